"""The command line: one file a command, wiring only.

What a command needs is imported when it runs, so that `watcher --version` and `--help` are quick.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import watcher
from watcher.cli.exits import Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; ends the process with its exit code, and never with a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"watcher {watcher.__version__}")
        sys.exit(Exit.DONE)
    from watcher.cli.app import run_app

    _leave(run_app(given))


def _leave(code: int) -> None:
    """End at once: taking all that was imported apart again would take longer than some commands.

    Nothing is open any more but the standard streams; whoever read them may be gone.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)

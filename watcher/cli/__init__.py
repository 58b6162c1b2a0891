"""The command line: one file a command, wiring only.

What a command needs is imported when it runs, so that `watcher --version` and `--help` are quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import watcher
from watcher.cli.exits import Exit, leave


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; ends the process with its exit code, and never with a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"watcher {watcher.__version__}")
        sys.exit(Exit.DONE)
    from watcher.cli.app import run_app

    leave(run_app(given))

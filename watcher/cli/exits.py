"""The one table of exit codes (but for `check`, which speaks Nagios), and the one way out."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
import threading
from typing import NoReturn

from watcher.errors import AlreadyRunning, ConfigurationError, WatcherError


class Exit(enum.IntEnum):
    """What a command says with its end."""

    DONE = 0
    LEFT_BEHIND = 1
    """Something was left behind, is missing, altered, or to mend."""
    USAGE = 2
    """Wrong usage or configuration."""
    ALREADY_RUNNING = 3
    """Another watcher already runs on this state folder."""


def exit_for(error: WatcherError) -> Exit:
    """Return the exit code that goes with an error."""
    match error:
        case ConfigurationError():
            return Exit.USAGE
        case AlreadyRunning():
            return Exit.ALREADY_RUNNING
        case _:
            return Exit.LEFT_BEHIND


def leave(code: int, patience: float | None = None) -> NoReturn:
    """End at once: taking all that was imported apart again would take longer than some commands.

    Nothing is open any more but the standard streams, whose reader may be gone; and a thread may be
    in a call to a share that hangs, of which only our end is the end.

    Args:
        code: the exit code.
        patience: seconds that the streams have to take what was said, where one of them may hang;
            for as long as it takes otherwise, since a reader may pause.

    """
    saying = threading.Thread(target=_flush, name="last words", daemon=True)
    saying.start()
    try:
        saying.join(patience)
    finally:  # Ctrl-C too
        os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()

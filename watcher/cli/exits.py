"""The one table of exit codes (but for `check`, which speaks Nagios)."""

from __future__ import annotations

import enum

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

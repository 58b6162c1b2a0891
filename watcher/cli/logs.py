"""The log of a command that works: our own lines and everybody's warnings, in one place."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.activity import Activity
    from watcher.config import Config


def log_file_of(config: Config) -> str:
    """Return where the log is written."""
    return config.log.file or os.path.join(config.state_dir, "watcher.log")


@contextlib.contextmanager
def logged(config: Config, activity: Activity, *, console: bool) -> Iterator[None]:
    """Log what happens for as long as it lasts, on standard output too if `console`."""
    from watcher.views import log

    end = log.setup(
        config.log.level,
        config.log.format,
        log_file_of(config),
        config.log.keep,
        sys.stdout if console else None,
    )
    activity.listen(log.Narrator())
    try:
        yield
    finally:
        end()

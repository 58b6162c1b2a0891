"""The log of a command that works: our own lines and everybody's warnings, in one place."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.activity import Activity
    from watcher.config import Config

PATIENCE = 1.0
"""Seconds that one that may take no more still has for the last line."""


@dataclass(slots=True)
class Ending:
    """How it ended, known when it has."""

    is_clean: bool = True
    """False if a terminal, or whoever reads what is said, or the log's disk, may take no more."""


def log_file_of(config: Config) -> str:
    """Return where the log is written."""
    return config.log.file or os.path.join(config.state_dir, "watcher.log")


@contextlib.contextmanager
def logged(config: Config, activity: Activity, *, console: bool) -> Iterator[Ending]:
    """Log what happens for as long as it lasts, on standard output too if `console`.

    Yields:
        What is told at the end: whether all of the log was taken by whoever shows or keeps it.

    """
    from watcher.activity import Notice
    from watcher.views import log

    def on_trouble(text: str) -> None:
        if text:
            mend = "free some space there, or set `log.file`; the files are archived all the same"
            activity.tell(Notice("error", f"the log can't be written: {text}", mend))
        else:
            activity.tell(Notice("info", "the log can be written again"))

    ending = Ending()
    end = log.setup(
        config.log.level,
        config.log.format,
        log_file_of(config),
        config.log.keep,
        sys.stdout if console else None,
        on_trouble,
    )
    activity.listen(log.Narrator())
    try:
        yield ending
    finally:
        ending.is_clean = end() and ending.is_clean

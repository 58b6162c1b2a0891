"""A bar for what takes longer than a second; nothing for what doesn't, or without a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

AFTER = 1.0
"""Seconds until the bar appears."""

_DUMB = ("dumb", "unknown")

Moved = Callable[[int, int], None]
"""Told how much is done, of how much (0 if that isn't known)."""


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether somebody looks at what is drawn there; under `pythonw` there is no stream.

    What calls itself dumb, as an editor's shell, shows lines, but none is ever drawn over.
    """
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in _DUMB


@contextlib.contextmanager
def bar(title: str) -> Iterator[Moved]:
    """Show a bar while something lasts.

    Args:
        title: what is done.

    Yields:
        What is told how much is done, of how much.

    """
    if not is_terminal(sys.stderr):
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    count, left = MofNCompleteColumn(), TimeRemainingColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn(), left)
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(title, total=None)
    timer = threading.Timer(AFTER, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
    finally:
        timer.cancel()
        timer.join()
        progress.stop()

"""How much room the instrument's own disk has, and how long it lasts at this rate.

During a long outage finished files stay where they are, and the disk that is measured onto fills
up. That must be told before it is full: nothing here can mend it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence

from watcher.activity import SpaceMeasured
from watcher.platform import system

EVERY = 10.0
"""Seconds between two measurements."""
WINDOW = 3600.0
"""How far back the rate is looked at, in seconds."""
LEAST = 600.0
"""For how long it must have been looked at before a rate is told, in seconds."""
_STEP = 0.001
"""The share of a volume by which its free space must have changed to be news."""
_CLOSE = 0.1
"""The share by which the time that is left must have changed to be news."""

Mark = tuple[float, int]
"""When, in seconds of any clock, and how many bytes were free."""


def seconds_left(marks: Sequence[Mark], least: float = LEAST) -> float | None:
    """Say how long the free space lasts at the average rate.

    Args:
        marks: measurements, oldest first.
        least: seconds that they must span.

    """
    if not marks or marks[-1][0] - marks[0][0] < least:
        return None
    span, gone = marks[-1][0] - marks[0][0], marks[0][1] - marks[-1][1]
    return marks[-1][1] * span / gone if gone > 0 else None


class SpaceWatch:
    """Measures the volumes of the data roots in a thread of its own."""

    def __init__(self, roots: Sequence[str], tell: Callable[[SpaceMeasured], None]) -> None:
        """Measure nothing yet.

        Args:
            roots: the data roots; of those on one volume, the first stands for it.
            tell: told what has changed.

        """
        self._roots = tuple(roots)
        self._tell = tell
        self._marks: dict[str, tuple[Mark, ...]] = {}
        self._told: dict[str, SpaceMeasured] = {}

    def run(self, stop: threading.Event) -> None:
        """Measure until it is told to stop: the body of a thread."""
        while not stop.is_set():
            self.look(time.monotonic())
            stop.wait(EVERY)

    def look(self, now: float) -> None:
        """Measure each volume once, and tell what has changed since it was told."""
        volumes: set[int] = set()
        for root in self._roots:
            try:
                volume, usage = system.volume(root), shutil.disk_usage(root)
            except OSError:  # the walk tells of a data root that can't be read
                continue
            if volume not in volumes:
                volumes.add(volume)
                self._measured(root, (now, usage.free), usage.total)

    def _measured(self, root: str, mark: Mark, total: int) -> None:
        kept = [m for m in self._marks.get(root, ()) if m[0] >= mark[0] - WINDOW]
        self._marks[root] = (*kept, mark)
        news = SpaceMeasured(root, mark[1], total, seconds_left(self._marks[root]))
        if _differs(self._told.get(root), news):
            self._told[root] = news
            self._tell(news)


def _differs(old: SpaceMeasured | None, new: SpaceMeasured) -> bool:
    """Tell whether it is worth telling: a figure that flickers makes everybody write."""
    if old is None or abs(old.free - new.free) > _STEP * new.total:
        return True
    if old.seconds_left is None or new.seconds_left is None:
        return old.seconds_left is not new.seconds_left
    return abs(old.seconds_left - new.seconds_left) > _CLOSE * old.seconds_left

"""What happens in the program, as frozen news through one sink, folded into one snapshot.

Rooms that do something `tell` the sink; views look at its snapshot or listen to its news. Telling
never waits for anybody: a listener must return at once (put the news on a queue of its own).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from watcher.activity.folding import NAMED, RECENT, fold
from watcher.activity.news import (
    Archived,
    BacklogChanged,
    BatchBegan,
    BatchEnded,
    ConflictKept,
    ConflictsUnseen,
    DestinationChanged,
    FaultyCounted,
    FileHeldBack,
    FileReleased,
    HeldCounted,
    HintsMissed,
    News,
    Notice,
    RescanBegan,
    RescanEnded,
    SpaceMeasured,
    Started,
    Stopping,
)
from watcher.activity.snapshot import NOT_LOOKED_AT, DestinationView, Snapshot

__all__ = [
    "NAMED",
    "NOT_LOOKED_AT",
    "RECENT",
    "Activity",
    "Archived",
    "BacklogChanged",
    "BatchBegan",
    "BatchEnded",
    "ConflictKept",
    "ConflictsUnseen",
    "DestinationChanged",
    "DestinationView",
    "FaultyCounted",
    "FileHeldBack",
    "FileReleased",
    "HeldCounted",
    "HintsMissed",
    "News",
    "Notice",
    "RescanBegan",
    "RescanEnded",
    "Snapshot",
    "SpaceMeasured",
    "Started",
    "Stopping",
    "fold",
]


class Activity:
    """The one sink. Thread-safe; telling it never waits but for another's telling."""

    def __init__(self) -> None:
        """Begin with an empty snapshot."""
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._listeners: tuple[Callable[[News], None], ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """The state as the last news left it."""
        return self._snapshot

    def listen(self, listener: Callable[[News], None]) -> None:
        """Call `listener` with all news from now on, in the teller's thread; it must not wait."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def tell(self, news: News) -> None:
        """Fold the news into the snapshot and pass it on."""
        with self._lock:
            self._snapshot = fold(self._snapshot, news, time.time())
            for listener in self._listeners:
                listener(news)

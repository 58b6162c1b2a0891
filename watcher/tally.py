"""How much there is to do, counted where it is on record, and told when it is another figure."""

from __future__ import annotations

import time

from watcher.activity import (
    NAMED,
    RECENT,
    Activity,
    BacklogChanged,
    ConflictKept,
    ConflictsUnseen,
    FaultyCounted,
    HeldCounted,
)
from watcher.backlog import Backlog
from watcher.ledger import Ledger

_SHARE = 50
"""Counting may take this part of the time: that of a large backlog is counted less often."""


class Tally:
    """Counts what waits, what is held back, and what somebody should look at."""

    def __init__(self, ledger: Ledger, backlog: Backlog, activity: Activity) -> None:
        """Nothing is counted yet."""
        self._ledger = ledger
        self._backlog = backlog
        self._activity = activity
        self._count_after = 0.0
        self._born = ledger.born

    def look(self) -> bool:
        """Count, unless that would take too much of the time; tells whether more may change."""
        if time.monotonic() < self._count_after:
            return True
        self.count()
        return bool(len(self._backlog))

    def count(self) -> None:
        """Count what waits, and what is held back."""
        began = time.monotonic()
        self._count_waiting()
        self._count_held()
        self._count_after = began + _SHARE * (time.monotonic() - began)

    def _count_waiting(self) -> None:
        files, size, oldest = self._ledger.waiting_totals()
        files = max(files, len(self._backlog))
        told = self._activity.snapshot
        if (files, size, oldest) != (told.backlog, told.backlog_size, told.oldest):
            self._activity.tell(BacklogChanged(files, size, oldest))

    def _count_held(self) -> None:
        counts, told = self._ledger.held_counts(), self._activity.snapshot
        named = min(sum(counts.values()), NAMED)
        if (counts, named) == (told.held_counts, len(told.held)):
            return
        if self._ledger.born != self._born:  # a new one: nobody tells it again what it had
            self._born = self._ledger.born
            self._ledger.hold(*told.held.values())
            counts = self._ledger.held_counts()
        last = tuple(self._ledger.last_held(NAMED))
        if not self._ledger.trouble:  # else what was told meanwhile is not in it
            self._activity.tell(HeldCounted(counts, last))

    def count_conflicts(self) -> None:
        """Count conflicts that earlier runs left, or that somebody has marked as seen since."""
        count = self._ledger.unseen_conflicts()
        if count != self._activity.snapshot.conflicts:
            last = self._ledger.last_unseen(RECENT)
            kept = tuple(ConflictKept(r.source, r.destination, r.path) for r in last)
            self._activity.tell(ConflictsUnseen(count, kept))

    def count_faulty(self) -> None:
        """Count the files of which somebody found a copy missing or altered meanwhile."""
        files = self._ledger.faulty()
        if files != self._activity.snapshot.faulty and not self._ledger.trouble:
            self._activity.tell(FaultyCounted(files))

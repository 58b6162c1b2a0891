"""What waits: bounded, ordered, one entry a file version.

An entry stands in the queue of each lane that it still needs; a lane is a destination, or
`SETTLING` once every destination that is copied to has it. What goes first is told in `queues`.

What doesn't fit is dropped: the file is still finished on disk, and a rescan brings it back.
"""

from __future__ import annotations

import contextlib
import enum
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator

from watcher.backlog.entry import SETTLING, Entry
from watcher.backlog.queues import BATCH_FILES, LARGE, SLOW, Queues
from watcher.model import FinishedFile, Receipt

__all__ = ["BATCH_FILES", "CAPACITY", "LARGE", "SETTLING", "Backlog", "Entry", "Offer"]

CAPACITY = 10_000
"""Entries in memory at the most."""


class Offer(enum.Enum):
    """What became of a file that was offered."""

    TAKEN = enum.auto()
    KNOWN = enum.auto()
    FULL = enum.auto()


def _always() -> bool:
    return True


class Backlog:
    """The queues of all lanes. Thread-safe; only `take` waits."""

    def __init__(self, destinations: Collection[str], capacity: int = CAPACITY) -> None:
        """Begin empty.

        Args:
            destinations: the names of all destinations.
            capacity: how many entries to hold at the most.

        """
        self._destinations = frozenset(destinations)
        self._capacity = capacity
        self._lock = threading.RLock()
        self._lanes = {
            name: Queues(self._lock, knows_large=name != SETTLING)
            for name in (*destinations, SETTLING)
        }
        self._entries: dict[str, Entry] = {}
        self._numbers = itertools.count()
        self._is_closed = False
        self._gone = 0
        self._down: set[str] = set()
        self._come_last: set[str] = set()
        """Lanes that are known to leave files to be renamed."""
        self._no_room_until: dict[tuple[bool, bool], float] = {}
        """When it is worth looking for room again for a newcomer, by what room there is for it."""
        self.has_dropped = False
        """Whether a file was turned away since this was last set to False."""

    def __len__(self) -> int:
        """Return how many entries are in memory."""
        return len(self._entries)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let all that is done inside be seen at once, so that it is taken as one batch."""
        with self._lock:
            yield

    def offer(self, entry: Entry) -> Offer:
        """Take an entry in, unless this version is known or there is no room."""
        with self._lock:
            known = self._entries.get(entry.file.path)
            if known is not None and known.file.fingerprint == entry.file.fingerprint:
                return Offer.KNOWN
            # The ledger may know destinations that the configuration names no more.
            entry.receipts = {n: r for n, r in entry.receipts.items() if n in self._destinations}
            entry.missing = set(self._destinations) - set(entry.receipts)
            if known is None and len(self._entries) >= self._capacity:
                self.has_dropped = True
                if not self._makes_room_for(entry):
                    return Offer.FULL
            if known is not None:
                self._is_gone(known)
            self._entries[entry.file.path] = entry
            for lane in entry.missing or {SETTLING}:
                self._queue(lane, entry)
            return Offer.TAKEN

    def holds(self, file: FinishedFile) -> bool:
        """Tell whether this very version is in memory."""
        known = self._entries.get(file.path)
        return known is not None and known.file.fingerprint == file.fingerprint

    def take(
        self,
        lane: str,
        timeout: float,
        *,
        large: bool = True,
        is_open: Callable[[], bool] = _always,
    ) -> list[Entry]:
        """Wait for work and take a batch: what is ready, never waiting to be full.

        Args:
            lane: whose work.
            timeout: seconds after which to come back with nothing.
            large: whether a large file may be taken; if so, it is taken first.
            is_open: whether this lane works now; asked again after `wake`.

        Returns:
            Small files, or one large file; nothing after the timeout, or when it or the lane is
            closed.

        """
        deadline = time.monotonic() + timeout
        queues = self._lanes[lane]
        with self._lock:
            queues.is_through()
            while not self._is_closed and is_open():
                now = time.monotonic()
                self._bring_back(queues, now)
                if batch := queues.take(now, large=large):
                    queues.call_another()
                    return batch
                due = queues.later[0][0] if queues.later else deadline
                if len(queues):
                    due = min(due, now + SLOW)
                wait = min(due, deadline) - now
                if deadline <= now:
                    return []
                queues.changed.wait(max(wait, 0.0))
            return []

    def received(self, entry: Entry, receipt: Receipt) -> None:
        """Note that a destination holds the file; the last one sends it on to settling."""
        with self._lock:
            entry.receipts[receipt.destination] = receipt
            self._served(entry, receipt.destination)

    def leave_to_rename(self, entry: Entry, destination: str) -> bool:
        """Leave a destination to settling, which renames the source into it; one may be left so."""
        with self._lock:
            if entry.renamed_into not in {None, destination}:
                return False
            self._come_last.add(destination)
            entry.renamed_into = destination
            self._served(entry, destination)
            return True

    def lost(self, entry: Entry, destination: str) -> None:
        """Note that a copy is gone: the destination must be served again."""
        with self._lock:
            entry.receipts.pop(destination, None)
            if entry.renamed_into == destination:
                entry.renamed_into = None
            entry.missing.add(destination)
            if not entry.is_gone:
                self._queue(destination, entry)

    def later(self, entry: Entry, lane: str, delay: float) -> None:
        """Put an entry back into a lane, not to be taken before `delay` seconds have passed."""
        with self._lock:
            if not entry.is_gone:
                due = time.monotonic() + delay
                heapq.heappush(self._lanes[lane].later, (due, next(self._numbers), entry))
                self._lanes[lane].changed.notify_all()

    def drop(self, entry: Entry) -> None:
        """Let an entry go: it is archived, or no longer the file that was looked at."""
        with self._lock:
            self._is_gone(entry)
            if self._entries.get(entry.file.path) is entry:  # else a newer version is there
                del self._entries[entry.file.path]

    def drop_path(self, path: str) -> None:
        """Let the entry of a path go, if there is one: the file is gone."""
        with self._lock:
            if entry := self._entries.get(path):
                self.drop(entry)

    @property
    def is_crowded(self) -> bool:
        """Whether so much is in memory that it isn't worth bringing more back yet."""
        return len(self._entries) > self._capacity // 2

    def is_stuck(self, down: Collection[str]) -> bool:
        """Tell whether every entry is held back, or needs only destinations that are down."""
        with self._lock:
            return all(
                entry.reason or entry.next_stops <= set(down) for entry in self._entries.values()
            )

    def opened(self, lane: str) -> None:
        """Make all entries of a lane that wait for a later time ready now: it can be used again."""
        for name in (lane, SETTLING):
            with self._lock:
                self._down.discard(lane)
                queues = self._lanes[name]
                queues.later = [(0.0, number, entry) for _, number, entry in queues.later]
                heapq.heapify(queues.later)
                queues.changed.notify_all()

    def closed(self, lane: str) -> None:
        """Make those who take from a lane see that it can't be used."""
        with self._lock:
            self._down.add(lane)
            self._no_room_until.clear()
            self._lanes[lane].changed.notify_all()

    def close(self) -> None:
        """Send everybody who takes, or will, away with nothing."""
        with self._lock:
            self._is_closed = True
            for queues in self._lanes.values():
                queues.changed.notify_all()

    def _makes_room_for(self, newcomer: Entry) -> bool:
        """Drop some of those that need not be here now, if the newcomer can be served (R8).

        They wait only for what is down, or are old where the newcomer is fresh; else they are held
        back, which the newcomer isn't as far as is known. They are on the disk and in the ledger,
        and come back when there is room. What is filled by renaming comes last in any case.
        """
        if not newcomer.next_stops - self._down - self._come_last:
            return False
        now, kind = time.monotonic(), (newcomer.is_fresh, newcomer.was_held)
        if now < self._no_room_until.get(kind, 0.0):
            return False
        idle = [
            entry
            for entry in self._entries.values()
            if entry.next_stops <= self._down or (newcomer.is_fresh and not entry.is_fresh)
            if not entry.reason
        ]
        if not idle and not newcomer.was_held:
            idle = [entry for entry in self._entries.values() if entry.reason]
        for entry in idle[-(self._capacity // 100 or 1) :]:
            self.drop(entry)
        if not idle:
            self._no_room_until[kind] = now + SLOW
        return bool(idle)

    def _is_gone(self, entry: Entry) -> None:
        """Mark it; it leaves the queues when it is its turn, or when there are many (R12)."""
        self._gone += not entry.is_gone
        entry.is_gone = True
        if self._gone > self._capacity:
            self._gone = 0
            for lane in self._lanes.values():
                lane.sweep()

    def _served(self, entry: Entry, destination: str) -> None:
        entry.missing.discard(destination)
        if not entry.missing and not entry.is_gone:
            self._queue(SETTLING, entry)

    def _queue(self, lane: str, entry: Entry) -> None:
        queues = self._lanes[lane]
        if queues.add(entry, next(self._numbers)):  # not everybody takes a large one
            queues.changed.notify_all()
        else:  # one is enough: who takes some calls another if there are more
            queues.changed.notify()

    def _bring_back(self, queues: Queues, now: float) -> None:
        while queues.later and queues.later[0][0] <= now:
            queues.add(heapq.heappop(queues.later)[2], next(self._numbers))

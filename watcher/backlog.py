"""What waits: bounded, ordered, one entry a file version.

An entry stands in the queue of each lane that it still needs; a lane is a destination, or
`SETTLING` once every destination that is copied to has it. New files (from hints) go before those
that a rescan brought back, so that nobody waits behind an old backlog; among the old, the oldest
goes first. Large files have queues of their own and never hold up small ones.

What doesn't fit is dropped: the file is still finished on disk, and a rescan brings it back.
"""

from __future__ import annotations

import contextlib
import enum
import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from watcher.model import FinishedFile, Receipt

SETTLING = ""
"""The lane of files that every destination holds; no destination has this name."""
CAPACITY = 10_000
"""Entries in memory at the most."""
BATCH_FILES = 256
BATCH_SIZE = 32 << 20
LARGE = 8 << 20
"""Bytes from which a file is a batch of its own."""
WORTH_SHARING = 64
"""Small files that must be ready for each batch that is under way, before another is begun: many
threads with tiny batches get in each other's way, and flush what one batch would flush once."""
SLOW = 1.0
"""Seconds after which a batch under way keeps nobody else from beginning one."""


@dataclass(slots=True, eq=False)
class Entry:
    """One file version that waits; its fields are changed under the backlog's lock alone."""

    file: FinishedFile
    marked_at: float
    cycles: Mapping[str, str]
    is_fresh: bool
    """From a hint, not brought back by a rescan."""
    may_be_earlier: bool = False
    """A life before a lost ledger may have archived it in an earlier cycle."""
    missing: set[str] = field(default_factory=set)
    """Destinations that it must still be copied to."""
    receipts: dict[str, Receipt] = field(default_factory=dict)
    renamed_into: str | None = None
    """The destination that settling fills by renaming the source."""
    can_rename: bool = True
    """False once renaming turned out not to work."""
    attempts: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    """Why it is held back; empty if it isn't."""
    held_in: str = ""
    """The lane that holds it back; the reasons of others are not told meanwhile."""
    settles_after: str | None = None
    """The destination that was down when it was to be settled."""
    is_gone: bool = False
    """Dropped or replaced by a newer version; whoever holds it lets it go."""


def _next_stops(entry: Entry) -> set[str]:
    """Return the destinations without which it can't get on."""
    return entry.missing or {entry.settles_after or entry.renamed_into or SETTLING}


class Offer(enum.Enum):
    """What became of a file that was offered."""

    TAKEN = enum.auto()
    KNOWN = enum.auto()
    FULL = enum.auto()


class _Queue:
    """One lane's entries of one size class."""

    def __init__(self) -> None:
        self.fresh: deque[Entry] = deque()
        self.old: list[tuple[int, int, Entry]] = []

    def add(self, entry: Entry, number: int) -> None:
        if entry.is_fresh:
            self.fresh.append(entry)
        else:
            heapq.heappush(self.old, (entry.file.fingerprint.mtime_ns, number, entry))

    def pop(self) -> Entry | None:
        while self.fresh or self.old:
            entry = self.fresh.popleft() if self.fresh else heapq.heappop(self.old)[2]
            if not entry.is_gone:
                return entry
        return None

    def __len__(self) -> int:
        return len(self.fresh) + len(self.old)

    def sweep(self) -> None:
        self.fresh = deque(entry for entry in self.fresh if not entry.is_gone)
        self.old = [waiting for waiting in self.old if not waiting[2].is_gone]
        heapq.heapify(self.old)


class _Lane:
    def __init__(self, lock: threading.RLock) -> None:
        self.small, self.large = _Queue(), _Queue()
        self.later: list[tuple[float, int, Entry]] = []
        self.begun: dict[int, float] = {}
        """When each thread took the small files that it is at now."""
        self.changed = threading.Condition(lock)

    def is_worth_it(self, now: float) -> bool:
        """Tell whether enough small files are ready to begin another batch beside those begun."""
        return bool(self.small) and not any(now - at < SLOW for at in self.begun.values())

    def call_another(self) -> None:
        """Let somebody see to what is left, while who took something is busy with it."""
        if len(self.small) or len(self.large) or self.later:
            self.changed.notify()

    def sweep(self) -> None:
        self.small.sweep()
        self.large.sweep()
        self.later = [waiting for waiting in self.later if not waiting[2].is_gone]
        heapq.heapify(self.later)


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
        self._lanes = {name: _Lane(self._lock) for name in (*destinations, SETTLING)}
        self._entries: dict[str, Entry] = {}
        self._numbers = itertools.count()
        self._is_closed = False
        self._gone = 0
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
            if known is None and len(self._entries) >= self._capacity:
                self.has_dropped = True
                return Offer.FULL
            if known is not None:
                self._is_gone(known)
            self._entries[entry.file.path] = entry
            # The ledger may know destinations that the configuration names no more.
            entry.receipts = {n: r for n, r in entry.receipts.items() if n in self._destinations}
            entry.missing = set(self._destinations) - set(entry.receipts)
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
            queues.begun.pop(threading.get_ident(), None)
            while not self._is_closed and is_open():
                self._bring_back(queues)
                if large and (entry := queues.large.pop()):
                    queues.call_another()
                    return [entry]
                now = time.monotonic()
                if queues.is_worth_it(now) and (batch := self._batch(queues.small)):
                    queues.begun[threading.get_ident()] = now
                    queues.call_another()
                    return batch
                due = queues.later[0][0] if queues.later else deadline
                if len(queues.small):
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

    def drop(self, entry: Entry) -> bool:
        """Let an entry go: it is archived, or no longer the file that was looked at.

        Returns:
            False if a newer version had taken its place already.

        """
        with self._lock:
            self._is_gone(entry)
            is_current = self._entries.get(entry.file.path) is entry
            if is_current:
                del self._entries[entry.file.path]
            return is_current

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
                entry.reason or _next_stops(entry) <= set(down) for entry in self._entries.values()
            )

    def hurry(self, lane: str) -> None:
        """Make all entries of a lane that wait for a later time ready now."""
        for name in (lane, SETTLING):
            with self._lock:
                queues = self._lanes[name]
                queues.later = [(0.0, number, entry) for _, number, entry in queues.later]
                heapq.heapify(queues.later)
                queues.changed.notify_all()

    def wake(self, lane: str) -> None:
        """Make those who take from a lane see that it is closed."""
        with self._lock:
            self._lanes[lane].changed.notify_all()

    def close(self) -> None:
        """Send everybody who takes, or will, away with nothing."""
        with self._lock:
            self._is_closed = True
            for queues in self._lanes.values():
                queues.changed.notify_all()

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
        is_large = lane != SETTLING and entry.file.fingerprint.size >= LARGE
        (queues.large if is_large else queues.small).add(entry, next(self._numbers))
        if is_large:  # not everybody takes it
            queues.changed.notify_all()
        else:  # one is enough: who takes some calls another if there are more
            queues.changed.notify()

    def _bring_back(self, queues: _Lane) -> None:
        now = time.monotonic()
        while queues.later and queues.later[0][0] <= now:
            entry = heapq.heappop(queues.later)[2]
            is_large = queues is not self._lanes[SETTLING] and entry.file.fingerprint.size >= LARGE
            (queues.large if is_large else queues.small).add(entry, next(self._numbers))

    def _batch(self, queue: _Queue) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        while len(batch) < BATCH_FILES and size < BATCH_SIZE and (entry := queue.pop()):
            batch.append(entry)
            size += entry.file.fingerprint.size
        return batch

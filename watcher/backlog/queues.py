"""What goes first, in one lane.

New files (from hints) go before those that a rescan brought back, so that nobody waits behind an
old backlog. Among either, each experiment gets its turn, so that none waits behind another's
thousands; within one, the oldest goes first. A batch that goes on where the last experiment's
files ended stays in few folders, which are flushed once. Large files have queues of their own and
never hold up small ones.
"""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from dataclasses import dataclass

from watcher.backlog.entry import Entry

BATCH_FILES = 256
BATCH_SIZE = 64 << 20
"""Bytes with which a batch is full."""
LARGE = 32 << 20
"""Bytes from which a file is a batch of its own."""
SLOW = 1.0
"""Seconds after which a batch of small files under way keeps nobody else from beginning another."""


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many files a batch may have, and how many batches there may be."""

    files: int
    batches: int
    """More at a time would get in each other's way, and flush twice what one flushes once."""
    patience: float
    """Seconds after which a batch counts no more: its destination is slow, others are welcome."""


_SMALL = _Pace(BATCH_FILES, 2, SLOW)
"""One is copied while the other is flushed."""
_ONE_LARGE = _Pace(1, 1, 10.0)
"""The threads that copy it, flush it and read it back need all there is."""


class _Turns:
    """Entries of several experiments, of which each gets its turn."""

    def __init__(self) -> None:
        self._experiments: OrderedDict[tuple[str, str], list[tuple[int, int, Entry]]]
        self._experiments = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry, order: int, number: int) -> None:
        """Add one; `order`, then `number`, is its place among those of its experiment."""
        waiting = self._experiments.setdefault((entry.file.root, entry.file.experiment), [])
        heapq.heappush(waiting, (order, number, entry))
        self._count += 1

    def take(self, files: int) -> list[Entry]:
        """Take what is next: one experiment's, then, if there is room, the next one's."""
        batch: list[Entry] = []
        size = 0
        while self._experiments and len(batch) < files and size < BATCH_SIZE:
            key, waiting = next(iter(self._experiments.items()))
            while waiting and len(batch) < files and size < BATCH_SIZE:
                entry = heapq.heappop(waiting)[2]
                self._count -= 1
                if not entry.is_gone:
                    batch.append(entry)
                    size += entry.file.fingerprint.size
            if waiting:
                self._experiments.move_to_end(key)
            else:
                del self._experiments[key]
        return batch

    def sweep(self) -> None:
        """Let go of those that are gone."""
        for key, waiting in list(self._experiments.items()):
            left = [one for one in waiting if not one[2].is_gone]
            heapq.heapify(left)
            self._experiments[key] = left
            if not left:
                del self._experiments[key]
        self._count = sum(map(len, self._experiments.values()))


class _Queue:
    """Entries of one size class: the fresh ones, then the others."""

    def __init__(self) -> None:
        self.fresh, self.old = _Turns(), _Turns()

    def __len__(self) -> int:
        return len(self.fresh) + len(self.old)

    def add(self, entry: Entry, number: int) -> None:
        if entry.is_fresh:
            self.fresh.add(entry, 0, number)
        else:
            self.old.add(entry, entry.file.fingerprint.mtime_ns, number)

    def take(self, files: int) -> list[Entry]:
        return self.fresh.take(files) or self.old.take(files)

    def sweep(self) -> None:
        self.fresh.sweep()
        self.old.sweep()


class Queues:
    """All that waits in one lane; used under the backlog's lock alone."""

    def __init__(self, lock: threading.RLock, *, knows_large: bool) -> None:
        """Begin empty.

        Args:
            lock: the backlog's.
            knows_large: whether large files cost this lane more than small ones.

        """
        self.later: list[tuple[float, int, Entry]] = []
        """When each is to be tried again, a number, and the entry: a heap."""
        self.changed = threading.Condition(lock)
        self._knows_large = knows_large
        self._small, self._large = _Queue(), _Queue()
        self._begun: dict[int, tuple[float, _Turns | _Queue]] = {}
        """When each thread took what it is at now, and from where."""

    def __len__(self) -> int:
        """Return how many wait for nothing but their turn."""
        return len(self._small) + len(self._large)

    def add(self, entry: Entry, number: int) -> bool:
        """Add an entry; tells whether it is a large one."""
        is_large = self._knows_large and entry.file.fingerprint.size >= LARGE
        (self._large if is_large else self._small).add(entry, number)
        return is_large

    def take(self, now: float, *, large: bool) -> list[Entry]:
        """Take a large file if that is wanted, else a batch of small ones if it is their turn."""
        return (
            (large and self._begin(self._large, now, _ONE_LARGE))
            or self._begin(self._small.fresh, now, _SMALL)
            or self._begin(self._small.old, now, _SMALL)
        )

    def _begin(self, kind: _Turns | _Queue, now: float, pace: _Pace) -> list[Entry]:
        """Take from there, unless enough are at it."""
        under_way = [at for at, of in self._begun.values() if of is kind]
        if sum(now - at < pace.patience for at in under_way) >= pace.batches:
            return []
        batch = kind.take(pace.files)
        if batch:
            self._begun[threading.get_ident()] = now, kind
        return batch

    def is_through(self) -> None:
        """Note that this thread is through with what it took."""
        self._begun.pop(threading.get_ident(), None)

    def call_another(self) -> None:
        """Let somebody see to what is left, while who took something is busy with it."""
        if len(self) or self.later:
            self.changed.notify()

    def sweep(self) -> None:
        """Let go of the entries that are gone."""
        self._small.sweep()
        self._large.sweep()
        self.later = [waiting for waiting in self.later if not waiting[2].is_gone]
        heapq.heapify(self.later)

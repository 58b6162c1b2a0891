"""Where hints and findings become a backlog: each path is looked at, its cycle fixed, once.

The observer's thread only leaves paths here; a thread of intake's own looks at them. The rescan's
thread brings finished files that it has looked at itself. Both end in one commit to the ledger
and one offer to the backlog.
"""

from __future__ import annotations

import heapq
import logging
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence

from watcher.activity import Activity, HintsMissed
from watcher.backlog import Backlog, Entry, Offer
from watcher.inspection import Verdict, inspect
from watcher.ledger import Ledger, Waiting
from watcher.model import FinishedFile, Manner
from watcher.platform import system
from watcher.sources.cycles import CycleReader
from watcher.sources.ground import Ground

logger = logging.getLogger(__name__)
_AT_ONCE = 512
"""Hints looked at before the files are offered."""
_REMEMBERED = 20_000
"""Paths that a hint told of lately."""
_MOVED = frozenset({Manner.RENAMED, Manner.UNFLUSHED})
_NOTHING = Waiting(None, {}, {})
_GRACE = 5.0
"""Seconds that a hint may come later than the rescan, and is not missed."""
_LOOK_BACK = 24 * 3600.0
"""Seconds around a ledger's birth within which files may have been archived before it."""


class Intake:
    """Takes hints and findings in."""

    def __init__(
        self,
        ground: Ground,
        readers: Mapping[str, CycleReader],
        ledger: Ledger,
        backlog: Backlog,
        activity: Activity,
        kept: Collection[str] = (),
    ) -> None:
        """Begin with nothing to look at.

        Args:
            ground: what is watched.
            readers: of those destinations that have a cycle.
            ledger: remembers cycles and receipts.
            backlog: where finished files go.
            activity: told of missed hints.
            kept: where sources are kept, the destinations whose receipts make a file archived.

        """
        self._ground = ground
        self._readers = readers
        self._ledger = ledger
        self._backlog = backlog
        self._activity = activity
        self._kept = kept
        self._changed = threading.Condition()
        self._paths: dict[str, None] = {}
        self._delayed: list[tuple[float, str]] = []
        self._again: OrderedDict[str, int] = OrderedDict()
        self._hinted: OrderedDict[str, None] = OrderedDict()
        self._suspects: dict[str, float] = {}
        self._looked_at = 0
        self._is_closed = False
        self._taking = threading.Lock()

    def hint(self, path: str) -> None:
        """Look at a path soon. Never waits, never raises."""
        with self._changed:
            self._paths[path] = None
            self._hinted[path] = None
            self._suspects.pop(path, None)
            while len(self._hinted) > _REMEMBERED:
                self._hinted.popitem(last=False)
            self._changed.notify()

    def look_again(self, path: str) -> None:
        """Look at a path that was not what had been queued, each time a little later."""
        with self._changed:
            times = self._again[path] = self._again.pop(path, 0) + 1
            while len(self._again) > _REMEMBERED:
                self._again.popitem(last=False)
            delay = min(0.05 * 2 ** min(times, 10), 30.0)
            heapq.heappush(self._delayed, (time.monotonic() + delay, path))
            self._changed.notify()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Look at what was hinted at, until closed: the body of intake's thread."""
        while (paths := self._next()) is not None:
            try:
                self._take_hints(paths)
            except Exception:  # the top of a thread; the rescan finds these files again
                logger.exception("unexpected error while taking hints in; it goes on")

    def found(self, files: Sequence[FinishedFile], *, expected: bool = False) -> None:
        """Take in files that a walk found.

        Args:
            files: finished files.
            expected: no hint could have told of them: nobody listened.

        """
        taken = self._take(files, is_fresh=False)
        if not expected:
            self._suspect(taken)

    def came_along(self, files: Sequence[FinishedFile]) -> None:
        """Take in files that were found in a folder which has just appeared: new ones."""
        self._take(files, is_fresh=True)

    def count_missed(self) -> int:
        """Count the files that no hint has told of in time (R9), and tell of them.

        Returns:
            How many there were since the last call.

        """
        limit = time.monotonic() - _GRACE
        with self._changed:
            missed = [path for path, at in self._suspects.items() if at < limit]
            for path in missed:
                del self._suspects[path]
        if missed:
            self._activity.tell(HintsMissed(len(missed), system.plain(missed[0])))
        return len(missed)

    def pending(self, often: float = math.inf) -> int:
        """Count the paths that are looked at just now, or will be.

        Args:
            often: leave out those that were found changed more often than this.

        """
        with self._changed:
            waiting = [*self._paths, *(path for _, path in self._delayed)]
            return self._looked_at + sum(self._again.get(path, 0) <= often for path in waiting)

    @property
    def has_suspects(self) -> bool:
        """Whether a walk has found files that a hint may still tell of."""
        return bool(self._suspects)

    def _next(self) -> list[str] | None:
        with self._changed:
            self._looked_at = 0
            while not self._is_closed:
                now = time.monotonic()
                while self._delayed and self._delayed[0][0] <= now:
                    self._paths[heapq.heappop(self._delayed)[1]] = None
                if self._paths:
                    paths = list(self._paths)[:_AT_ONCE]
                    for path in paths:
                        del self._paths[path]
                    self._looked_at = len(paths)
                    return paths
                self._changed.wait(self._delayed[0][0] - now if self._delayed else None)
        return None

    def _take_hints(self, paths: Sequence[str]) -> None:
        files = [file for path in paths if (file := self._look(path)) is not None]
        self._forget_hints(set(paths) - {file.path for file in files})
        self._take(files, is_fresh=True)

    def _forget_hints(self, unfinished: set[str]) -> None:
        """A hint at an unfinished file doesn't stand for the one that its mark must give."""
        with self._changed:
            for path in unfinished - self._paths.keys():
                self._hinted.pop(path, None)

    def _look(self, path: str) -> FinishedFile | None:
        root = self._ground.root_of(path)
        if root is None or self._ground.is_excluded(path):
            return None
        try:
            result = inspect(root, path, os.lstat(path))
        except OSError:
            return None
        return None if isinstance(result, Verdict) else result

    def _take(self, files: Sequence[FinishedFile], *, is_fresh: bool) -> list[FinishedFile]:
        """Fix cycles, remember, and offer what is new to the backlog; returns the unheard-of."""
        with self._taking:
            files = [file for file in files if not self._backlog.holds(file)]
            if files and self._kept:
                archived = self._ledger.archived(files, self._kept)
                files = [file for file in files if file.path not in archived]
            if not files:
                return []
            asked = {name: reader.ask() for name, reader in self._readers.items()}
            # The ledger is asked after that: both at once only hold each other up.
            cycles = self._cycles(asked)
            known = self._ledger.recall(files)
            new = [f for f in files if f.path not in known or known[f.path].first_seen is None]
            marked = {f.path: _marked_at(f) for f in new}
            doubtful = self._ledger.born + _LOOK_BACK
            # Where room is scarce, it goes to those that nothing is known to hold back.
            held = self._ledger.held_among(files) if self._backlog.is_crowded else set[str]()
            # From here on nothing is read from the ledger: that would be a commit.
            self._ledger.admit([(f, marked[f.path], cycles) for f in new])
            with self._backlog.together():
                for file in files:
                    waiting = known.get(file.path, _NOTHING)
                    entry = _entry(file, waiting, marked.get(file.path), cycles)
                    entry.is_fresh = is_fresh
                    entry.was_held = file.path in held
                    entry.may_be_earlier = (
                        file.path in marked and file.fingerprint.mtime_ns / 1e9 < doubtful
                    )
                    if self._backlog.offer(entry) is Offer.FULL and is_fresh:
                        logger.debug("the backlog is full; a rescan brings %s back", file.path)
        self._ledger.commit()  # while the files are copied already; nobody publishes before
        return [f for f in new if f.path not in known]

    def _cycles(self, asked: Mapping[str, int]) -> dict[str, str]:
        """Return the cycle of each destination that has one; while it is down, the last known."""
        cycles = {}
        for name, reader in self._readers.items():
            if cycle := reader.answer(asked[name]):
                self._ledger.remember_cycle(name, cycle)
            if cycle := cycle or self._ledger.last_cycle(name):
                cycles[name] = cycle
        return cycles

    def _suspect(self, files: Sequence[FinishedFile]) -> None:
        now = time.monotonic()
        with self._changed:
            for file in files:
                if file.path not in self._hinted and len(self._suspects) < _REMEMBERED:
                    self._suspects.setdefault(file.path, now)


def _entry(
    file: FinishedFile, waiting: Waiting, marked_at: float | None, cycles: Mapping[str, str]
) -> Entry:
    """Make an entry; `marked_at` and `cycles` are those of a file that was not known yet."""
    if marked_at is None:
        marked_at, cycles = waiting.first_seen or time.time(), waiting.cycles
    # The source is here, so no rename has brought it to its destination.
    receipts = {n: r for n, r in waiting.receipts.items() if r.manner not in _MOVED}
    return Entry(file, marked_at, cycles, is_fresh=False, receipts=receipts)


def _marked_at(file: FinishedFile) -> float:
    try:
        marked_at = system.marked_at(os.lstat(file.path))
    except OSError:
        marked_at = None
    return min(time.time(), marked_at or math.inf)

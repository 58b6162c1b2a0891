"""The threads of one destination: take a batch, transfer it, write the receipts."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from watcher.activity import Activity, BatchBegan, BatchEnded, ConflictKept
from watcher.backlog import Entry
from watcher.errors import DestinationDown, without_frames
from watcher.model import ArchivePath, Arrival, Transfer
from watcher.platform import system
from watcher.settling import receipt_for
from watcher.transfer import Depot, carry
from watcher.worker.desk import IDLE, Desk, Failures

_NEWS = 0.25
"""Seconds between news of a batch that is under way."""


class Lane:
    """The threads of one destination."""

    def __init__(self, desk: Desk, depot: Depot, workers: int, *, may_rename: bool) -> None:
        """Make it ready.

        Args:
            desk: what all lanes share.
            depot: the destination.
            workers: how many threads; at least two, one of which leaves large files alone.
            may_rename: leave files to be renamed into place, if the destination turns out to lie
                on their volume.

        """
        self._desk = desk
        self._depot = depot
        self._gate = desk.gates[depot.name]
        self._workers = max(2, workers)
        self._may_rename = may_rename

    def threads(self) -> list[threading.Thread]:
        """Return the lane's threads, not started yet."""
        return [
            threading.Thread(
                target=self._run, args=(i,), name=f"{self._depot.name}-{i}", daemon=True
            )
            for i in range(self._workers)
        ]

    def _run(self, index: int) -> None:
        while self._gate.wait():
            entries = self._desk.backlog.take(
                self._depot.name, IDLE, large=index > 0, is_open=lambda: self._gate.is_open
            )
            if entries:
                worker = f"{self._depot.name}-{index}"
                self._desk.guard(self._serve, entries, self._depot.name, worker)
            elif index == 0 and self._gate.is_open and not self._desk.patience.stop.is_set():
                self._gate.look()

    def _serve(self, entries: Sequence[Entry], worker: str) -> None:
        is_on_volume = functools.cache(self._is_on_volume_of)  # one look a batch, not one a file
        planned = [(e, t) for e in entries if (t := self._plan(e, is_on_volume)) is not None]
        if not planned:
            return
        news = _Progress(self._desk.activity, worker, [t for _, t in planned])
        try:
            with self._desk.pulses.watching(self._depot.name) as beat:
                transfers = [t for _, t in planned]
                # A file's cycle is on record before the first copy of it has a name (R5).
                on_record = self._desk.ledger.commit
                moving = news.moving(beat)
                results = carry(transfers, self._depot, moving, self._desk.turn, on_record)
        except (OSError, DestinationDown) as error:
            results = [without_frames(error) for _ in planned]
        finally:
            news.end()
        self._conclude([e for e, _ in planned], results)

    def _plan(self, entry: Entry, is_on_volume: Callable[[str], bool]) -> Transfer | None:
        """Say where a file goes; None if it is left to settling.

        Its cycle is fixed now, if none could be read before; settling needs it, too.
        """
        name, depot = self._depot.name, self._depot
        if depot.template.has_cycle and name not in entry.cycles:
            entry.cycles = {**entry.cycles, name: depot.reach.cycles[0]}
            self._desk.ledger.admit([(entry.file, entry.marked_at, entry.cycles)])
        may_rename = self._may_rename and entry.can_rename and is_on_volume(entry.file.root)
        if may_rename and self._desk.backlog.leave_to_rename(entry, name):
            return None
        cycle = entry.cycles.get(name)
        earlier: tuple[ArchivePath, ...] = ()
        if entry.may_be_earlier and depot.template.has_cycle:
            others = [c for c in depot.reach.cycles if c != cycle]
            earlier = tuple(depot.template.place(entry.file, c) for c in others)
        return Transfer(entry.file, name, depot.template.place(entry.file, cycle), earlier)

    def _is_on_volume_of(self, root: str) -> bool:
        try:
            return system.volume(root) == self._depot.reach.volume
        except OSError:
            return False

    def _conclude(self, entries: Sequence[Entry], results: Sequence[Arrival | Exception]) -> None:
        pairs = list(zip(entries, results, strict=True))
        arrived = [(e, receipt_for(e, r)) for e, r in pairs if isinstance(r, Arrival)]
        if arrived:
            self._desk.ledger.record([receipt for _, receipt in arrived])
            self._gate.succeeded()
        for entry, receipt in arrived:
            self._desk.release(entry, self._depot.name)
            if receipt.conflict:
                self._desk.activity.tell(
                    ConflictKept(receipt.source, receipt.destination, receipt.path)
                )
        with self._desk.backlog.together():
            for entry, receipt in arrived:
                self._desk.backlog.received(entry, receipt)
        failed = [(e, r) for e, r in pairs if isinstance(r, Exception)]
        Failures(self._desk, self._depot.name, self._depot.name).judge(failed)


class _Progress:
    """Tells of one batch on its way, now and then."""

    def __init__(self, activity: Activity, worker: str, transfers: Sequence[Transfer]) -> None:
        first = transfers[0]
        size = sum(t.file.fingerprint.size for t in transfers)
        name = system.plain(first.file.path)
        self._activity = activity
        self._news = BatchBegan(worker, first.destination, name, len(transfers), size)
        self._done = 0
        self._next = time.monotonic() + _NEWS
        activity.tell(self._news)

    def moving(self, beat: Callable[[], None]) -> Callable[[int], None]:
        """Return what is called for each step, with the bytes it moved."""

        def moved(size: int) -> None:
            beat()
            self._done += size
            if (now := time.monotonic()) > self._next:
                self._next = now + _NEWS
                self._activity.tell(replace(self._news, done=self._done))

        return moved

    def end(self) -> None:
        self._activity.tell(BatchEnded(self._news.worker))

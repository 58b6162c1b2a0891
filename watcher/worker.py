"""Lanes: the threads that take files from the backlog to a destination, and those that settle.

A lane's threads do the same: wait until the destination is usable, take a batch, transfer it,
write the receipts. The first thread of a lane leaves large files to the others, so that they
never hold up small ones.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.activity import (
    Activity,
    Archived,
    BatchBegan,
    BatchEnded,
    ConflictKept,
    FileHeldBack,
    FileReleased,
)
from watcher.backlog import SETTLING, Backlog, Entry
from watcher.errors import DestinationDown, FileFault, ProducerMismatch, SourceChanged
from watcher.ledger import Ledger
from watcher.model import ArchivePath, Arrival, HeldBack, Receipt, Transfer
from watcher.outage import Fault, Gate, Patience, Pulses, fault_of, words_of
from watcher.platform import system
from watcher.settling import CopyGone, Settling, Unsettled, receipt_for
from watcher.transfer import Depot, Turn, carry

logger = logging.getLogger(__name__)
_IDLE = 60.0
"""Seconds after which a lane that has nothing to do looks whether its destination is there."""
_NEWS = 0.25
"""Seconds between news of a batch that is under way."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all lanes share."""

    backlog: Backlog
    ledger: Ledger
    activity: Activity
    pulses: Pulses
    patience: Patience
    gates: Mapping[str, Gate]
    turn: Turn
    look_again: Callable[[str], None]
    """Look at a path anew: it is not the file that was queued. Never waits."""

    def hold(self, entry: Entry, error: BaseException, lane: str, destination: str | None) -> None:
        """Note why a file stays behind, if that is another reason than before (R11).

        It has one reason at a time: where two lanes fail, the first one's stays until that is over.
        """
        source = system.plain(entry.file.path)
        reason, mend = words_of(error)
        reason = reason.removesuffix(f": {source}")  # all who tell it name the file
        if fault_of(error) in {Fault.BUSY, Fault.OUTAGE}:
            mend = ""  # it passes by itself: nobody needs to come
        if reason == entry.reason or (entry.reason and entry.held_in != lane):
            return
        entry.reason, entry.held_in = reason, lane
        mismatch = isinstance(error, ProducerMismatch)
        held = HeldBack(source, reason, mend, time.time(), destination, mismatch)
        self.ledger.hold(held)
        self.activity.tell(FileHeldBack(held))

    def release(self, entry: Entry, lane: str | None = None) -> None:
        """Note that nothing holds a file back any more, or nothing in this lane."""
        if entry.reason and lane in {None, entry.held_in}:
            entry.reason = ""
            source = system.plain(entry.file.path)
            self.ledger.release(source)
            self.activity.tell(FileReleased(source))

    def let_go(self, entry: Entry) -> None:
        """Drop a file that is not what was queued, and look at its path again (R6)."""
        self.release(entry)
        if self.backlog.drop(entry):  # else the row is that of a newer version
            self.ledger.forget([system.plain(entry.file.path)])
        self.look_again(entry.file.path)

    def guard(
        self, serve: Callable[..., None], entries: Sequence[Entry], lane: str, *arguments: object
    ) -> None:
        """Serve a batch; should that hit a defect of ours, it is said and the files go on (R11).

        Each is served alone then, so that only those that it is about wait.
        """
        try:
            serve(entries, *arguments)
        except Exception as error:
            if len(entries) > 1:
                for entry in entries:
                    self.guard(serve, [entry], lane, *arguments)
                return
            logger.exception("unexpected error; the file is kept and tried again")
            self.hold(entries[0], error, lane, lane or None)
            self.put_back(entries[0], lane, Fault.UNKNOWN)

    def put_back(self, entry: Entry, lane: str, fault: Fault) -> None:
        """Try a file again in this lane, later and later."""
        attempts = entry.attempts[lane] = entry.attempts.get(lane, 0) + 1
        self.backlog.later(entry, lane, self.patience.delay(attempts, fault))


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
                self._depot.name, _IDLE, large=index > 0, is_open=lambda: self._gate.is_open
            )
            if entries:
                worker = f"{self._depot.name}-{index}"
                self._desk.guard(self._serve, entries, self._depot.name, worker)
            elif index == 0 and self._gate.is_open and not self._desk.patience.stop.is_set():
                self._gate.look()

    def _serve(self, entries: Sequence[Entry], worker: str) -> None:
        planned = [(e, t) for e in entries if (t := self._plan(e)) is not None]
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
            results = [error for _ in planned]
        finally:
            news.end()
        self._conclude([e for e, _ in planned], results)

    def _plan(self, entry: Entry) -> Transfer | None:
        """Say where a file goes; None if it is left to settling.

        Its cycle is fixed now, if none could be read before; settling needs it, too.
        """
        name, depot = self._depot.name, self._depot
        if depot.template.has_cycle and name not in entry.cycles:
            entry.cycles = {**entry.cycles, name: depot.reach.cycles[0]}
            self._desk.ledger.admit([(entry.file, entry.marked_at, entry.cycles)])
        if self._is_on_volume_of(entry) and self._desk.backlog.leave_to_rename(entry, name):
            return None
        cycle = entry.cycles.get(name)
        earlier: tuple[ArchivePath, ...] = ()
        if entry.may_be_earlier and depot.template.has_cycle:
            others = [c for c in depot.reach.cycles if c != cycle]
            earlier = tuple(depot.template.place(entry.file, c) for c in others)
        return Transfer(entry.file, name, depot.template.place(entry.file, cycle), earlier)

    def _is_on_volume_of(self, entry: Entry) -> bool:
        if not self._may_rename or not entry.can_rename:
            return False
        try:
            return system.volume(entry.file.root) == self._depot.reach.volume
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
        _Failures(self._desk, self._depot.name, self._depot.name).judge(failed)


class SettlingLane:
    """The thread that ends files which every destination holds."""

    def __init__(self, desk: Desk, settling: Settling) -> None:
        """Make it ready."""
        self._desk = desk
        self._settling = settling

    def threads(self) -> list[threading.Thread]:
        """Return the lane's thread, not started yet."""
        return [threading.Thread(target=self._run, name="settling", daemon=True)]

    def _run(self) -> None:
        while not self._desk.patience.stop.is_set():
            if entries := self._desk.backlog.take(SETTLING, _IDLE):
                self._desk.guard(self._serve, entries, SETTLING)

    def _serve(self, entries: Sequence[Entry]) -> None:
        outcomes = self._settling.settle(entries)
        settled = {e: r for e, r in outcomes.items() if not isinstance(r, Unsettled)}
        for entry, receipts in settled.items():
            self._desk.backlog.drop(entry)
            self._tell_conflicts(r for r in receipts if r.destination == entry.renamed_into)
        if settled:
            self._desk.activity.tell(Archived(tuple(settled.values())))
        for entry, outcome in outcomes.items():
            if isinstance(outcome, Unsettled):
                self._unsettled(entry, outcome)

    def _tell_conflicts(self, receipts: Iterable[Receipt]) -> None:
        """Tell of renames that had to take another name; of copies their own lane has told."""
        for receipt in receipts:
            if receipt.conflict:
                place = receipt.source, receipt.destination, receipt.path
                self._desk.activity.tell(ConflictKept(*place))

    def _unsettled(self, entry: Entry, outcome: Unsettled) -> None:
        name = outcome.destination
        if isinstance(outcome.error, CopyGone) and name:
            logger.warning("%s; it is copied again", outcome.error)
            self._desk.ledger.void(system.plain(entry.file.path), name)
            self._desk.release(entry)
            self._desk.backlog.lost(entry, name)
        elif outcome.cannot_rename and name:
            entry.can_rename = False
            self._desk.release(entry)
            self._desk.backlog.lost(entry, name)
        else:
            _Failures(self._desk, SETTLING, name).judge([(entry, outcome.error)])


_MAY_BE_OVER = {Fault.OUTAGE, Fault.FULL}
"""What a destination that answers again was for an instant: told of a file if it happens again."""


class _Failures:
    """Judges the errors of one batch: the first that may be an outage asks the destination."""

    def __init__(self, desk: Desk, lane: str, destination: str | None) -> None:
        self._desk = desk
        self._lane = lane
        self._destination = destination
        self._is_down: bool | None = None

    def judge(self, failed: Sequence[tuple[Entry, Exception]]) -> None:
        for entry, error in failed:
            if isinstance(error, SourceChanged):
                self._desk.let_go(entry)
                continue
            if not isinstance(error, FileFault) and self._destination_is_down(error):
                entry.settles_after = self._destination if self._lane == SETTLING else None
                self._desk.put_back(entry, self._lane, Fault.OUTAGE)
                continue
            fault = fault_of(error)
            if fault not in _MAY_BE_OVER or self._lane in entry.attempts:
                self._desk.hold(entry, error, self._lane, self._destination)
            self._desk.put_back(entry, self._lane, fault)

    def _destination_is_down(self, error: Exception) -> bool:
        if self._is_down is None and self._destination:
            with self._desk.pulses.watching(self._destination):
                self._is_down = self._desk.gates[self._destination].failed(error)
        return bool(self._is_down)


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

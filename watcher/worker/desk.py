"""What all lanes share, and what becomes of a file that fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from watcher.activity import Activity, FileHeldBack, FileReleased
from watcher.backlog import SETTLING, Backlog, Entry
from watcher.errors import FileFault, ProducerMismatch, SourceChanged
from watcher.ledger import Ledger
from watcher.model import HeldBack
from watcher.outage import Fault, Gate, Patience, Pulses, fault_of, words_of
from watcher.platform import system
from watcher.transfer import Turn

logger = logging.getLogger(__name__)
IDLE = 60.0
"""Seconds after which a lane that has nothing to do looks whether its destination is there."""
_MAY_BE_OVER = {Fault.OUTAGE, Fault.FULL}
"""What a destination that answers again was for an instant: told of a file if it happens again."""


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
        was_held, entry.was_held = entry.was_held, False
        before = self.ledger.held(source) if was_held else None
        if before and (before.reason, before.destination) == (reason, destination):
            return  # it only had to make room for others meanwhile
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
        self.look_again(entry.file.path)  # first: it is never nowhere
        self.backlog.drop(entry)
        self.ledger.forget([(entry.file.path, entry.file.fingerprint)])

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


class Failures:
    """Judges the errors of one batch: the first that may be an outage asks the destination."""

    def __init__(self, desk: Desk, lane: str, destination: str | None) -> None:
        """Nothing is judged yet; without a destination, the fault is the source's."""
        self._desk = desk
        self._lane = lane
        self._destination = destination
        self._is_down: bool | None = None

    def judge(self, failed: Sequence[tuple[Entry, Exception]]) -> None:
        """Hold back, put back or let go of each file that failed."""
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

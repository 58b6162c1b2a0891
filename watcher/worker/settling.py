"""The thread that ends files which every destination holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence

from watcher.activity import Archived, ConflictKept
from watcher.backlog import SETTLING, Entry
from watcher.model import Receipt
from watcher.platform import system
from watcher.settling import CopyGone, Settling, Unsettled
from watcher.worker.desk import IDLE, Desk, Failures

logger = logging.getLogger(__name__)


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
            if entries := self._desk.backlog.take(SETTLING, IDLE):
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
            Failures(self._desk, SETTLING, name).judge([(entry, outcome.error)])

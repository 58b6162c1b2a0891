"""The last looks at a batch of files, and places for those that are renamed; nothing is moved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from watcher.backlog import Entry
from watcher.errors import FileFault, SourceChanged
from watcher.ledger import Ledger
from watcher.model import Arrival, Checksum, FinishedFile, Manner, Receipt, Transfer
from watcher.outage import Pulses
from watcher.platform import system
from watcher.settling.outcome import At, CopyGone, Kept, Outcomes, Unsettled
from watcher.transfer import (
    Depot,
    candidates,
    hash_source,
    holds,
    is_still,
    is_taken,
    keep_as_ours,
    make_folders,
    may_hold,
    vouched,
)

Moves = dict[Entry, Arrival]
"""The files whose sources are renamed, and where to."""
Looks = dict[str, Unsettled | None]
"""What looking at each destination came to, in this batch."""


class Planning:
    """Looks once more, and plans."""

    def __init__(
        self, depots: Mapping[str, Depot], ledger: Ledger, pulses: Pulses, *, keep: bool
    ) -> None:
        """Make it ready; the arguments are those of `Settling`."""
        self._depots = depots
        self._ledger = ledger
        self._pulses = pulses
        self._keep = keep

    def plan(self, entries: Sequence[Entry], looks: Looks) -> tuple[Outcomes, Moves]:
        """Look at everything once more, and find places for those that are to be renamed.

        Args:
            entries: the files.
            looks: how the destinations were found to be; added to.

        Returns:
            What is known of each file, and the renames; a file whose place another of these
            takes is not in there: its turn comes when that one is in place.

        """
        outcomes: Outcomes = {}
        moves: Moves = {}
        taken: set[str] = set()
        ready: set[str] = set()
        for entry in entries:
            with Kept(outcomes, entry):
                look = _look_at_source(entry.file)
                self._look_at_copies(entry, looks)
                self._look_at_content(entry, look)
                if entry.renamed_into:
                    self._look_at(entry.renamed_into, looks)
                    arrival = self._plan_move(entry, entry.renamed_into, ready)
                    place = arrival.place.path.casefold()
                    if place in taken:
                        del outcomes[entry]
                    else:
                        moves[entry] = arrival
                        taken.add(place)
        return outcomes, moves

    def _look_at(self, name: str, looks: Looks) -> None:
        """Look at a destination, its marker and its mount, once for the batch."""
        if name not in looks:
            looks[name] = None
            try:
                with At(name, self._pulses):
                    self._depots[name].reach.look()
            except Unsettled as error:
                looks[name] = error
        if (down := looks[name]) is not None:
            raise down

    def _look_at_copies(self, entry: Entry, looks: Looks) -> None:
        """Look at each published copy once more (R2)."""
        receipts = {n: r for n, r in entry.receipts.items() if n in self._depots}
        if len({receipt.checksums for receipt in receipts.values()}) > 1:
            self._start_over(receipts.values(), "two destinations got different content")
        for name, receipt in receipts.items():
            depot = self._depots[name]
            if depot.cleaned_by_others or self._keep:
                continue
            self._look_at(name, looks)
            with At(name, self._pulses):
                if not may_hold(system.native(receipt.path), entry.file.fingerprint.size):
                    raise CopyGone(f"the copy at {name} is gone: {receipt.path}")

    def _look_at_content(self, entry: Entry, look: os.stat_result) -> None:
        """Read a source again that was touched since its first copy, and hold it to that (R6).

        Whoever changes a file can give it back its size, its time and its mark, but not the time
        of that, where the system tells it.
        """
        receipts = [r for n, r in entry.receipts.items() if n in self._depots]
        touched = system.marked_at(look)
        if not receipts or touched is None or touched <= min(r.archived_at for r in receipts):
            return
        copied = receipts[0].checksums
        try:
            made = hash_source(entry.file, [one.algorithm for one in copied], unwatched)
        except FileFault as error:
            raise Unsettled(error) from error
        if made != copied:
            self._start_over(receipts, "was changed after it was copied")

    def _start_over(self, receipts: Iterable[Receipt], reason: str) -> NoReturn:
        """Let no copy count: which of them is right, only new ones tell."""
        for receipt in receipts:
            self._ledger.void(receipt.source, receipt.destination, receipt)
        raise Unsettled(SourceChanged(reason))

    def _plan_move(self, entry: Entry, destination: str, ready: set[str]) -> Arrival:
        """Find the place for the source itself; the source is not touched.

        Args:
            entry: the file.
            destination: where it is renamed into.
            ready: the folders there that are made and durable; added to.

        """
        depot, file = self._depots[destination], entry.file
        with At(destination, self._pulses):
            checksums = self._checksums(entry, depot)
            planned = depot.template.place(file, entry.cycles.get(destination))
            if planned.parent not in ready:
                make_folders(planned, depot.record, depot.reach.changes)
                for folder in depot.reach.unflushed(planned):
                    depot.reach.flush(folder)
                ready.add(planned.parent)
            for place in candidates(depot.record, planned, checksums[0]):
                transfer = Transfer(file, destination, planned)
                if not is_taken(place):
                    return transfer.received(place, checksums, Manner.RENAMED)
                if holds(place, file, checksums, unwatched):
                    keep_as_ours(place)
                    system.flush_folder(place.parent)
                    return transfer.received(place, checksums, Manner.ADOPTED)
            raise FileFault("every name it could be kept under is taken", path=file.path)

    def _checksums(self, entry: Entry, depot: Depot) -> tuple[Checksum, ...]:
        for receipt in entry.receipts.values():
            if [checksum.algorithm for checksum in receipt.checksums] == list(depot.algorithms):
                return receipt.checksums
        return vouched(entry.file, depot.algorithms, depot.accepts, unwatched)


def _look_at_source(file: FinishedFile) -> os.stat_result:
    """Look early, so that a source that is gone isn't taken for a destination's fault."""
    try:
        look = os.lstat(file.path)
        if is_still(file, look):
            return look
    except OSError as error:
        if not system.is_absent(error):
            fault = FileFault(f"can't be looked at: {error.strerror}", path=file.path)
            raise Unsettled(fault) from error
    raise Unsettled(SourceChanged("is not the file that was archived", path=file.path))


def unwatched(_size: int) -> None:
    """Progress that nobody watches."""

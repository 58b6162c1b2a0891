"""The end of a file: every destination has its receipt, so the source may go.

Each published copy is looked at once more, then the source, then it is removed; or, where one
destination lies on the source's own volume, the source itself is renamed into place there, last,
without a byte being written again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from watcher.backlog import Entry
from watcher.checksums import Entry as Line
from watcher.errors import DestinationDown, FileFault, SourceChanged
from watcher.ledger import Ledger
from watcher.model import (
    ArchivePath,
    Arrival,
    Checksum,
    Fingerprint,
    FinishedFile,
    Manner,
    Receipt,
    Transfer,
)
from watcher.outage import Pulses, Watch
from watcher.platform import system
from watcher.transfer import (
    Depot,
    Turn,
    at_once,
    candidates,
    hash_copy,
    holds,
    is_still,
    is_taken,
    keep_as_ours,
    make_folders,
    may_hold,
    vouched,
    vouches_for,
)

logger = logging.getLogger(__name__)


class Unsettled(Exception):  # noqa: N818 - an outcome, not a defect
    """A file could not be settled; says why and whose fault it is."""

    def __init__(self, error: Exception, destination: str | None = None) -> None:
        """Blame a destination, or (None) the source."""
        super().__init__(str(error))
        self.error = error
        self.destination = destination

    @property
    def cannot_rename(self) -> bool:
        """Whether the destination is not on the source's volume after all: it must be copied to."""
        return isinstance(self.error, NotImplementedError) or (
            isinstance(self.error, OSError) and self.error.errno == errno.EXDEV
        )


Looks = dict[str, Unsettled | None]
"""What looking at each destination came to, in this batch."""


class CopyGone(FileFault):
    """A destination's copy is gone or cut short, and must be made again."""


def receipt_for(entry: Entry, arrival: Arrival) -> Receipt:
    """Write the receipt of an arrival."""
    now = time.time()
    file = entry.file
    return Receipt(
        source=system.plain(file.path),
        experiment=file.experiment,
        fingerprint=file.fingerprint,
        destination=arrival.transfer.destination,
        path=system.plain(arrival.place.path),
        folder=system.plain(arrival.place.folder),
        checksums=arrival.checksums,
        archived_at=now,
        seconds=max(0.0, now - entry.marked_at),
        attempts=entry.attempts.get(arrival.transfer.destination, 0) + 1,
        manner=arrival.manner,
        conflict=arrival.is_conflict,
        scan=arrival.scan,
    )


class Settling:
    """Settles batches of files."""

    def __init__(
        self,
        depots: Mapping[str, Depot],
        ledger: Ledger,
        pulses: Pulses,
        turn: Turn,
        *,
        keep: bool,
    ) -> None:
        """Make it ready.

        Args:
            depots: all destinations by name.
            ledger: where receipts go.
            pulses: told which destination is looked at, in case it hangs.
            turn: shared by all threads that move files.
            keep: leave the sources where they are.

        """
        self._depots = depots
        self._ledger = ledger
        self._pulses = pulses
        self._turn = turn
        self._keep = keep

    def settle(self, entries: Sequence[Entry]) -> dict[Entry, tuple[Receipt, ...] | Unsettled]:
        """Settle files that every destination holds, or is to get by renaming.

        Returns:
            For each file all its receipts, or why it is not settled.

        """
        results: dict[Entry, tuple[Receipt, ...] | Unsettled] = {}
        vouching = [e for e in entries if not self._keep and vouches_for(e.file)]
        if vouching:  # what a checksum file is about must go first, for it must be held to that
            results = self.settle([e for e in entries if e not in vouching])
            for entry in vouching:
                if subject := vouches_for(entry.file):
                    results[entry] = Unsettled(_waits_for(subject))
            entries = [entry for entry in vouching if entry not in results]
        looks: Looks = {}
        with system.folders_kept():
            while entries:
                with self._turn.taken():
                    outcomes, moves = self._plan(entries, looks)
                self._flush_sources(moves, outcomes)
                results.update(self._settle(outcomes, moves))
                entries = [entry for entry in entries if entry not in results]
        return results

    def _plan(
        self, entries: Sequence[Entry], looks: Looks
    ) -> tuple[dict[Entry, Unsettled | None], dict[Entry, Arrival]]:
        """Look at everything once more, and find places for those that are to be renamed.

        Returns:
            What is known of each file, and the renames; a file whose place another of these
            takes is not in there: its turn comes when that one is in place.

        """
        outcomes: dict[Entry, Unsettled | None] = {}
        moves: dict[Entry, Arrival] = {}
        taken: set[str] = set()
        ready: set[str] = set()
        for entry in entries:
            with _Kept(outcomes, entry):
                _look_at_source(entry.file)
                self._look_at_copies(entry, looks)
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

    def _flush_sources(
        self, moves: dict[Entry, Arrival], outcomes: dict[Entry, Unsettled | None]
    ) -> None:
        """Make durable what is to be renamed, or note that the system can't (R2)."""
        renamed = [e for e, arrival in moves.items() if arrival.manner is Manner.RENAMED]
        for entry, flushed in zip(renamed, at_once(_flushed, renamed), strict=True):
            if isinstance(flushed, Unsettled):
                outcomes[entry] = flushed
                del moves[entry]
            elif not flushed:
                moves[entry] = replace(moves[entry], manner=Manner.UNFLUSHED)

    def _settle(
        self, outcomes: dict[Entry, Unsettled | None], moves: Mapping[Entry, Arrival]
    ) -> dict[Entry, tuple[Receipt, ...] | Unsettled]:
        """Announce, rename or remove, and make the announced receipts valid."""
        receipts = self._announce(moves, outcomes)
        with self._turn.taken():
            for entry in [e for e, unsettled in outcomes.items() if unsettled is None]:
                with _Kept(outcomes, entry):
                    self._finish(entry, moves.get(entry))
        self._flush_folders([moves[entry] for entry in moves if outcomes[entry] is None])
        for entry, receipt in receipts.items():
            if outcomes[entry] is not None:
                self._take_back(receipt)
        settled = [system.plain(e.file.path) for e in outcomes if outcomes[e] is None]
        self._ledger.settle([], settled)
        return {e: outcomes[e] or _all_receipts(e, receipts.get(e)) for e in outcomes}

    def reconcile(self) -> int:
        """After a crash between renaming a source and its receipt: write what is missing.

        Returns:
            How many receipts were completed.

        """
        done = 0
        for receipt in self._ledger.pending():
            if _is_version(system.native(receipt.path), receipt.fingerprint):
                self._ledger.settle([receipt], [receipt.source])
                done += 1
            else:
                self._take_back(receipt)
        return done

    def _take_back(self, receipt: Receipt) -> None:
        """Void a rename that was announced and not done.

        Should something else have taken its name meanwhile, the line that was written for it has
        to tell of that.
        """
        self._ledger.void(receipt.source, receipt.destination)
        depot = self._depots.get(receipt.destination)
        path, folder = system.native(receipt.path), system.native(receipt.folder)
        place = ArchivePath(folder, folder, os.path.relpath(path, folder))
        if depot is None or receipt.manner is Manner.ADOPTED:
            return
        try:
            with self._at(depot.name):
                if system.is_plain_file(os.lstat(path)):
                    checksums = hash_copy(path, depot.algorithms, _nothing)
                    depot.record.write([Line(place, checksums)])
        except Unsettled as error:  # mostly: there is nothing, and the file comes again
            logger.debug("the line of %r is left as it is: %s", receipt.path, error)

    def _look_at(self, name: str, looks: Looks) -> None:
        """Look at a destination, its marker and its mount, once for the batch."""
        if name not in looks:
            looks[name] = None
            try:
                with self._at(name):
                    self._depots[name].reach.look()
            except Unsettled as error:
                looks[name] = error
        if (down := looks[name]) is not None:
            raise down

    def _look_at_copies(self, entry: Entry, looks: Looks) -> None:
        """Look at each published copy once more (R2)."""
        receipts = {n: r for n, r in entry.receipts.items() if n in self._depots}
        if len({receipt.checksums for receipt in receipts.values()}) > 1:
            for name, receipt in receipts.items():  # which of them is right, only new ones tell
                self._ledger.void(receipt.source, name, receipt)
            raise Unsettled(SourceChanged("two destinations got different content"))
        for name, receipt in receipts.items():
            depot = self._depots[name]
            if depot.cleaned_by_others or self._keep:
                continue
            self._look_at(name, looks)
            with self._at(name):
                if not may_hold(system.native(receipt.path), entry.file.fingerprint.size):
                    raise CopyGone(f"the copy at {name} is gone: {receipt.path}")

    def _plan_move(self, entry: Entry, destination: str, ready: set[str]) -> Arrival:
        """Find the place for the source itself; the source is not touched.

        Args:
            entry: the file.
            destination: where it is renamed into.
            ready: the folders there that are made and durable; added to.

        """
        depot, file = self._depots[destination], entry.file
        with self._at(destination):
            checksums = self._checksums(entry, depot)
            planned = depot.template.place(file, entry.cycles.get(destination))
            if planned.parent not in ready:
                folders = {*make_folders(planned, depot.record), *depot.reach.unflushed(planned)}
                for folder in folders:
                    system.flush_folder(folder)
                depot.reach.flushed(folders)
                ready.add(planned.parent)
            for place in candidates(depot.record, planned, checksums[0]):
                transfer = Transfer(file, destination, planned)
                if not is_taken(place):
                    return transfer.received(place, checksums, Manner.RENAMED)
                if holds(place, file, checksums, _nothing):
                    keep_as_ours(place)
                    system.flush_folder(place.parent)
                    return transfer.received(place, checksums, Manner.ADOPTED)
            raise FileFault("every name it could be kept under is taken", path=file.path)

    def _checksums(self, entry: Entry, depot: Depot) -> tuple[Checksum, ...]:
        for receipt in entry.receipts.values():
            if [checksum.algorithm for checksum in receipt.checksums] == list(depot.algorithms):
                return receipt.checksums
        return vouched(entry.file, depot.algorithms, depot.accepts, _nothing)

    def _announce(
        self, moves: Mapping[Entry, Arrival], outcomes: dict[Entry, Unsettled | None]
    ) -> dict[Entry, Receipt]:
        """Put renames on record before they are done: the ledger's intent, then the record."""
        receipts = {entry: receipt_for(entry, arrival) for entry, arrival in moves.items()}
        self._ledger.intend(list(receipts.values()))
        folders: dict[tuple[str, str], dict[Entry, Line]] = defaultdict(dict)
        for entry, arrival in moves.items():
            line = Line(arrival.place, arrival.checksums, may_stand=True)
            folders[arrival.transfer.destination, arrival.place.folder][entry] = line
        for (name, _), lines in folders.items():
            try:
                with self._at(name):
                    self._depots[name].record.write(list(lines.values()))
            except Unsettled as unsettled:
                outcomes.update(dict.fromkeys(lines, unsettled))
        return receipts

    def _finish(self, entry: Entry, arrival: Arrival | None) -> None:
        """Move or remove the source; nothing is left to do with a source that is kept."""
        file = entry.file
        is_same = functools.partial(is_still, file)
        if self._keep:
            return
        if arrival is not None and arrival.manner is not Manner.ADOPTED:
            with self._at(arrival.transfer.destination):
                try:
                    system.move_source(file.root, file.path, arrival.place.path, is_same)
                except OSError:  # it may be done though an error came back
                    if not _is_version(arrival.place.path, file.fingerprint):
                        raise
            return
        try:
            system.remove_source(file.root, file.path, is_same)
        except FileFault as error:
            raise Unsettled(error) from error
        except OSError as error:
            if isinstance(error, FileNotFoundError) and system.is_absent(error):
                raise Unsettled(SourceChanged("is gone", path=file.path)) from error
            fault = FileFault(
                f"its copies are safe, but it can't be removed: {error.strerror}",
                mend="give the account that runs the watcher the right to remove it",
            )
            fault.__cause__ = error
            raise Unsettled(fault) from error

    def _flush_folders(self, arrivals: Sequence[Arrival]) -> None:
        """Make renames durable; after a power cut without it, the source would be back."""
        for folder in {arrival.place.parent for arrival in arrivals}:
            with contextlib.suppress(OSError):
                system.flush_folder(folder)

    def _at(self, destination: str) -> _At:
        return _At(self._pulses.watching(destination), destination)


class _At:
    """Watches what may hang at a destination, and says whose fault an error is."""

    __slots__ = ("_destination", "_watch")

    def __init__(self, watch: Watch, destination: str) -> None:
        self._watch = watch
        self._destination = destination

    def __enter__(self) -> None:
        self._watch.__enter__()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._watch.__exit__()
        if isinstance(error, FileFault) and not isinstance(error, CopyGone):
            raise Unsettled(error) from error
        if isinstance(error, (OSError, DestinationDown, NotImplementedError, CopyGone)):
            raise Unsettled(error, self._destination) from error


class _Kept:
    """Keeps how it ends for this file, so that the others go on."""

    __slots__ = ("_entry", "_outcomes")

    def __init__(self, outcomes: dict[Entry, Unsettled | None], entry: Entry) -> None:
        self._outcomes = outcomes
        self._entry = entry

    def __enter__(self) -> None:
        self._outcomes[self._entry] = None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Unsettled):
            return False
        self._outcomes[self._entry] = error
        return True


def _all_receipts(entry: Entry, last: Receipt | None) -> tuple[Receipt, ...]:
    return (*entry.receipts.values(), *((last,) if last else ()))


def _waits_for(subject: str) -> FileFault:
    return FileFault(f"holds the checksum of {system.plain(subject)}, and goes when that has gone")


def _look_at_source(file: FinishedFile) -> None:
    """Look early, so that a source that is gone isn't taken for a destination's fault."""
    try:
        if is_still(file, os.lstat(file.path)):
            return
    except OSError as error:
        if not system.is_absent(error):
            fault = FileFault(f"can't be looked at: {error.strerror}", path=file.path)
            raise Unsettled(fault) from error
    raise Unsettled(SourceChanged("is not the file that was archived", path=file.path))


def _flushed(entry: Entry) -> bool | Unsettled:
    """Flush a source; tells whether the system can, or why it failed."""
    try:
        return system.flush_file(entry.file.path)
    except OSError as error:
        return Unsettled(error, entry.renamed_into)


def _is_version(path: str, fingerprint: Fingerprint) -> bool:
    """Tell whether the source was renamed to `path`: it is the very file, not a copy."""
    try:
        return fingerprint.is_of(os.lstat(path))
    except OSError:
        return False


def _nothing(_size: int) -> None:
    """Progress that nobody watches."""

"""Renaming or removing sources, and what is on record of it before and after."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from watcher.backlog import Entry
from watcher.checksums import Entry as Line
from watcher.errors import FileFault, SourceChanged, without_frames
from watcher.ledger import Ledger
from watcher.model import ArchivePath, Arrival, Fingerprint, Manner, Receipt
from watcher.outage import Pulses
from watcher.platform import system
from watcher.settling.outcome import At, Kept, Outcomes, Unsettled, receipt_for
from watcher.settling.planning import Looks, Moves, Planning, unwatched
from watcher.transfer import Depot, Turn, at_once, hash_copy, is_still, vouches_for

logger = logging.getLogger(__name__)


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
        self._planning = Planning(depots, ledger, pulses, keep=keep)

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
        while entries:
            with self._turn.taken(len(entries)), system.folders_kept():
                outcomes, moves = self._planning.plan(entries, looks)
            self._flush_sources(moves, outcomes)
            results.update(self._settle(outcomes, moves))
            entries = [entry for entry in entries if entry not in results]
        return results

    def _flush_sources(self, moves: Moves, outcomes: Outcomes) -> None:
        """Make durable what is to be renamed, or note that the system can't (R2)."""
        renamed = [e for e, arrival in moves.items() if arrival.manner is Manner.RENAMED]
        # A rename can't leave a volume, so these are the sources' volumes too.
        folders = {moves[entry].place.parent for entry in renamed}
        size = sum(entry.file.fingerprint.size for entry in renamed)
        if system.flush_volumes(folders, len(renamed), size):
            with self._turn.taken(len(renamed)):
                answers = [_flushed(entry, alone=False) for entry in renamed]
        else:
            answers = at_once(_flushed, renamed)
        for entry, flushed in zip(renamed, answers, strict=True):
            if isinstance(flushed, Unsettled):
                outcomes[entry] = flushed
                del moves[entry]
            elif not flushed:
                moves[entry] = replace(moves[entry], manner=Manner.UNFLUSHED)

    def _settle(
        self, outcomes: Outcomes, moves: Moves
    ) -> dict[Entry, tuple[Receipt, ...] | Unsettled]:
        """Announce, rename or remove, and make the announced receipts valid."""
        receipts = self._announce(moves, outcomes)
        # Kept anew: a record may have been slow to write, and folders be others by now (R1).
        with self._turn.taken(len(outcomes)), system.folders_kept():
            for entry in [e for e, unsettled in outcomes.items() if unsettled is None]:
                with Kept(outcomes, entry):
                    self._finish(entry, moves.get(entry))
        self._flush_folders([moves[entry] for entry in moves if outcomes[entry] is None])
        for entry, receipt in receipts.items():
            if outcomes[entry] is not None:
                self._take_back(receipt)
        settled = [(e.file.path, e.file.fingerprint) for e in outcomes if outcomes[e] is None]
        self._ledger.settle([], settled)
        for unsettled in filter(None, outcomes.values()):
            without_frames(unsettled)  # its calls hold the outcomes, which hold it
        return {e: outcomes[e] or _all_receipts(e, receipts.get(e)) for e in outcomes}

    def reconcile(self) -> int:
        """After a crash between renaming a source and its receipt: write what is missing.

        Returns:
            How many receipts were completed.

        """
        done = 0
        for receipt in self._ledger.pending():
            if _is_version(system.native(receipt.path), receipt.fingerprint):
                self._ledger.settle([receipt], [(receipt.source, receipt.fingerprint)])
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
            with At(depot.name, self._pulses):
                if system.is_plain_file(os.lstat(path)):
                    checksums = hash_copy(path, depot.algorithms, unwatched)
                    depot.record.write([Line(place, checksums)])
        except Unsettled as error:  # mostly: there is nothing, and the file comes again
            logger.debug("the line of %r is left as it is: %s", receipt.path, error)

    def _announce(self, moves: Moves, outcomes: Outcomes) -> dict[Entry, Receipt]:
        """Put renames on record before they are done: the ledger's intent, then the record."""
        receipts = {entry: receipt_for(entry, arrival) for entry, arrival in moves.items()}
        self._ledger.intend(list(receipts.values()))
        folders: dict[tuple[str, str], dict[Entry, Line]] = defaultdict(dict)
        for entry, arrival in moves.items():
            line = Line(arrival.place, arrival.checksums, may_stand=True)
            folders[arrival.transfer.destination, arrival.place.folder][entry] = line
        for (name, _), lines in folders.items():
            try:
                with At(name, self._pulses):
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
            with At(arrival.transfer.destination, self._pulses):
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


def _all_receipts(entry: Entry, last: Receipt | None) -> tuple[Receipt, ...]:
    return (*entry.receipts.values(), *((last,) if last else ()))


def _waits_for(subject: str) -> FileFault:
    return FileFault(f"holds the checksum of {system.plain(subject)}, and goes when that has gone")


def _flushed(entry: Entry, *, alone: bool = True) -> bool | Unsettled:
    """Flush a source; tells whether the system can.

    After an error it is never flushed again, for that would only say that nothing waits any more:
    it is copied, and the copy compared with what the others got.
    """
    path = entry.file.path
    try:
        return system.flush_file(path, alone=alone)
    except OSError as error:
        logger.warning("%s can't be flushed, so it is copied: %s", system.plain(path), error)
        return Unsettled(NotImplementedError("it can't be flushed"), entry.renamed_into)


def _is_version(path: str, fingerprint: Fingerprint) -> bool:
    """Tell whether the source was renamed to `path`: it is the very file, not a copy."""
    try:
        return fingerprint.is_of(os.lstat(path))
    except OSError:
        return False

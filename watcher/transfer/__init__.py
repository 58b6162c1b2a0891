"""The transaction: a batch of files to one destination, up to the checksum record.

Its unit is a batch, and one file is a batch of one. Each step is done for all files of the batch
before the next, so that folders and records are flushed once. An error in one file drops that
file only, unless the destination no longer answers: then all that are under way get that error.

What is raised here belongs to the destination (`OSError`, `DestinationDown`) unless it is a
`FileFault`, which is the source's own.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from watcher.checksums import Entry, Hashing, Record
from watcher.destination import PartNames, Template
from watcher.errors import CopyDiffers, DestinationDown, FileFault, SourceChanged
from watcher.header import scan_of
from watcher.model import ArchivePath, Arrival, Checksum, FinishedFile, Manner, Scan, Transfer
from watcher.platform import system
from watcher.reach import Reach
from watcher.transfer.places import (
    candidates,
    hash_copy,
    holds,
    keep_as_ours,
    make_folders,
    may_hold,
)
from watcher.transfer.producer import (
    Accepts,
    Promise,
    accepts_none,
    algorithms_for,
    hold_to,
    names_beside,
    promises,
    vouched,
    vouches_for,
)
from watcher.transfer.source import Moved, Source, hash_source, is_still
from watcher.transfer.streams import Beside, put_inside


@dataclass(frozen=True, slots=True)
class Depot:
    """A destination, ready to be used."""

    name: str
    template: Template
    reach: Reach
    record: Record
    algorithms: tuple[str, ...]
    parts: PartNames
    cleaned_by_others: bool = False
    accepts: Accepts = accepts_none
    """Tells which files a person took as they are, against their producer's checksum."""


@dataclass(slots=True, eq=False)
class _Shipment:
    """One file on its way through the steps."""

    transfer: Transfer
    part: str
    descriptor: int | None = None
    checksums: tuple[Checksum, ...] = ()
    promises: tuple[Promise, ...] = ()
    scan: Scan | None = None
    look: os.stat_result | None = None
    """What the source showed when it had been read."""
    beside: Sequence[Entry] = ()
    """What was published beside it, because the destination keeps no streams."""
    named: ArchivePath | None = None
    """Where it must be published, because the copy itself holds that name."""
    outcome: Arrival | Exception | None = None

    @property
    def file(self) -> FinishedFile:
        return self.transfer.file

    def arrived(self, place: ArchivePath, manner: Manner) -> None:
        self.outcome = self.transfer.received(place, self.checksums, manner, self.scan)


@dataclass(slots=True)
class _Batch:
    depot: Depot
    moved: Moved
    shipments: list[_Shipment]
    folders: set[str] = field(default_factory=set)
    """Folders with a new name in them, to be flushed."""
    seen: set[str] = field(default_factory=set)
    """Folders that are known to exist."""
    beside: dict[str, frozenset[str]] = field(default_factory=dict)
    """What may be producers' checksum files, by the sources' folder."""


def carry(
    transfers: Sequence[Transfer],
    depot: Depot,
    moved: Moved,
    before_publishing: Callable[[], None] = lambda: None,
) -> list[Arrival | Exception]:
    """Take a batch of files to a destination.

    Args:
        transfers: what goes where; all to the same destination.
        depot: the destination.
        moved: told of each step and of the bytes moved.
        before_publishing: called once the copies are durable, before any gets its name: makes
            that on record which a life after a crash must know of them.

    Returns:
        For each transfer, in order, what came of it.

    Raises:
        OSError: the destination can't be used at all.
        DestinationDown: likewise.

    """
    depot.reach.look()
    parts = [os.path.join(t.place.parent, depot.parts.new()) for t in transfers]
    batch = _Batch(depot, moved, [_Shipment(t, p) for t, p in zip(transfers, parts, strict=True)])
    try:
        for step in (_ask_producer, _adopt, _prepare, _copy, _flush, _read_back):
            _for_each(step, batch)
        before_publishing()
        _for_each(_publish, batch)
        _put_beside(batch)
        _flush_folders(batch)
        _record(batch)
    finally:
        for shipment in batch.shipments:
            _throw_away(batch, shipment)
    return [s.outcome or RuntimeError("the transfer came to no end") for s in batch.shipments]


def _for_each(step: Callable[[_Batch, _Shipment], None], batch: _Batch) -> None:
    """Take all files that are under way one step on."""
    for shipment in batch.shipments:
        if shipment.outcome is not None:
            continue
        try:
            step(batch, shipment)
        except FileFault as error:
            _failed(batch, shipment, error)
        except (OSError, NotImplementedError, DestinationDown) as error:
            _failed(batch, shipment, error)
            batch.depot.reach.look()
        batch.moved(0)


def _failed(batch: _Batch, shipment: _Shipment, error: Exception) -> None:
    """Note how it ended, and at once give back the room that it took: others may need it."""
    shipment.outcome = error
    _throw_away(batch, shipment)


def _ask_producer(batch: _Batch, shipment: _Shipment) -> None:
    """See what checksums the producer left for it; it is compared with them when it is read."""
    folder = os.path.dirname(shipment.file.path)
    if folder not in batch.beside:
        batch.beside[folder] = names_beside(folder)
    shipment.promises = promises(shipment.file, batch.beside[folder])


def _held(batch: _Batch, shipment: _Shipment, made: tuple[Checksum, ...]) -> tuple[Checksum, ...]:
    """Hold what was read to what was promised; returns what goes on record of it."""
    hold_to(shipment.promises, shipment.file, made, batch.depot.accepts)
    return made[: len(batch.depot.algorithms)]


def _adopt(batch: _Batch, shipment: _Shipment) -> None:
    """Take what is there already, if it is the same, instead of copying it again."""
    known = (*shipment.transfer.earlier, shipment.transfer.place)
    places = [p for p in known if not batch.depot.record.reserves(p)]
    found = [p for p in places if may_hold(p, shipment.file.fingerprint.size)]
    if not any(os.path.lexists(p.path) for p in known):
        return
    algorithms = algorithms_for(batch.depot.algorithms, shipment.promises)
    made = hash_source(shipment.file, algorithms, batch.moved)
    shipment.checksums = _held(batch, shipment, made)
    taken = candidates(batch.depot.record, shipment.transfer.place, shipment.checksums[0])
    for place in (*found, *taken):
        if _has(batch, place, shipment):
            _take_over(batch, place)
            shipment.arrived(place, Manner.ADOPTED)
            return


def _prepare(batch: _Batch, shipment: _Shipment) -> None:
    """Make the folders, but never those that tell whether the destination is there."""
    place = shipment.transfer.place
    if place.parent not in batch.seen:
        batch.depot.reach.check(place)
        batch.folders.update(make_folders(place, batch.depot.record))
        _enter(batch, place)
        batch.seen.add(place.parent)


def _enter(batch: _Batch, place: ArchivePath) -> None:
    """See to what an earlier life may have left: parts, and folders that it didn't flush (R5)."""
    batch.depot.reach.sweep(place.parent)
    batch.folders.update(batch.depot.reach.unflushed(place))


def _copy(batch: _Batch, shipment: _Shipment) -> None:
    """Copy and hash in one pass; then the source must still be what it was (R6)."""
    file = shipment.file
    hashing = Hashing(algorithms_for(batch.depot.algorithms, shipment.promises))
    with Source(file) as source:
        shipment.descriptor = system.create_part(shipment.part)
        for number, data in enumerate(source):
            if not number:
                shipment.scan = scan_of(data)
            hashing.update(data)
            _write(shipment.descriptor, data)
            batch.moved(len(data))
        put_inside(file, shipment.part)
        shipment.look = source.look
    checksums = _held(batch, shipment, hashing.checksums())
    if shipment.checksums and shipment.checksums != checksums:
        raise SourceChanged("changed while it was copied", path=file.path)
    shipment.checksums = checksums
    system.forget_cached(shipment.descriptor)


def _flush(batch: _Batch, shipment: _Shipment) -> None:
    """Streams, times, mark, flush, close; after an error it is thrown away, never flushed again."""
    record, place = batch.depot.record, shipment.transfer.place
    places = candidates(record, place, shipment.checksums[0])
    shipment.named = record.attach(shipment.part, places, shipment.checksums)
    descriptor, shipment.descriptor = shipment.descriptor, None
    times = (shipment.file.fingerprint.mtime_ns, shipment.file.fingerprint.mtime_ns)
    if descriptor is not None:
        system.finish_part(descriptor, shipment.part, times)
    if shipment.look is not None:
        system.dress(shipment.part, shipment.look)


def _read_back(batch: _Batch, shipment: _Shipment) -> None:
    """Read what the disk holds and compare it with what was read from the source (R2)."""
    if hash_copy(shipment.part, batch.depot.algorithms, batch.moved) != shipment.checksums:
        raise CopyDiffers(
            "what was read back differs from what was written; it is copied again",
            path=shipment.file.path,
        )


def _publish(batch: _Batch, shipment: _Shipment) -> None:
    """Give it its name without replacing anything (R3, R4)."""
    place = shipment.transfer.place
    free = candidates(batch.depot.record, place, shipment.checksums[0])
    for candidate in [shipment.named] if shipment.named else free:
        try:
            system.publish(shipment.part, candidate.path)
        except OSError as error:
            # It may be done though an error came back, or somebody else was faster: the disk tells.
            if not _has(batch, candidate, shipment):
                if isinstance(error, FileExistsError):
                    continue
                raise
            manner = Manner.ADOPTED if isinstance(error, FileExistsError) else Manner.COPIED
            system.remove_part(shipment.part)
            _take_over(batch, candidate)
            shipment.arrived(candidate, manner)
            return
        batch.folders.add(candidate.parent)
        shipment.arrived(candidate, Manner.COPIED)
        return
    if shipment.named:
        raise FileFault("its name was taken meanwhile; it is copied again", path=place.path)
    raise FileFault(
        "every name it could be kept under is taken",
        path=shipment.file.path,
        mend=f"look at {system.plain(place.path)} and the files beside it",
    )


def _has(batch: _Batch, place: ArchivePath, shipment: _Shipment) -> bool:
    return holds(place, shipment.file, shipment.checksums, batch.moved)


def _take_over(batch: _Batch, place: ArchivePath) -> None:
    keep_as_ours(place)
    _enter(batch, place)
    batch.folders.add(place.parent)


def _put_beside(batch: _Batch) -> None:
    """Publish what the copies could not take in; a file without it has not arrived."""
    depot = batch.depot
    beside = Beside(depot.record, depot.algorithms, depot.parts.new, batch.moved)
    for shipment in batch.shipments:
        if isinstance(arrival := shipment.outcome, Arrival):
            try:
                shipment.beside = beside.put(shipment.file, arrival.place)
            except FileFault as error:
                shipment.outcome = error
            except (OSError, NotImplementedError) as error:
                shipment.outcome = error
                depot.reach.look()


def _flush_folders(batch: _Batch) -> None:
    for folder in batch.folders:
        system.flush_folder(folder)
        batch.moved(0)
    batch.depot.reach.flushed(batch.folders)


def _record(batch: _Batch) -> None:
    """Put what arrived on record; where one experiment's can't be written, its files wait (R8)."""
    arrived: dict[str, list[tuple[_Shipment, Entry]]] = defaultdict(list)
    for shipment in batch.shipments:
        if isinstance(shipment.outcome, Arrival):
            entry = entry_of(shipment.outcome)
            folder = arrived[entry.place.folder]
            folder += [(shipment, one) for one in (entry, *shipment.beside)]
    for shipments in arrived.values():
        try:
            batch.depot.record.write([entry for _, entry in shipments])
        except OSError as error:
            for shipment, _ in shipments:
                shipment.outcome = error
            batch.depot.reach.look()
        batch.moved(0)


def entry_of(arrival: Arrival) -> Entry:
    """Return what the checksum record says of an arrival."""
    return Entry(arrival.place, arrival.checksums, may_stand=arrival.manner is Manner.ADOPTED)


def _throw_away(batch: _Batch, shipment: _Shipment) -> None:
    """Leave no part behind; the next start sweeps what is left by a crash."""
    descriptor, shipment.descriptor = shipment.descriptor, None
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if not isinstance(shipment.outcome, Arrival):
        batch.depot.reach.throw_away(shipment.part)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


__all__ = [
    "Accepts",
    "Depot",
    "accepts_none",
    "candidates",
    "carry",
    "entry_of",
    "hash_copy",
    "hash_source",
    "holds",
    "is_still",
    "keep_as_ours",
    "make_folders",
    "may_hold",
    "vouched",
    "vouches_for",
]

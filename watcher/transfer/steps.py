"""The steps of the transaction, each for one file of a batch; `carry` tells their order.

What is raised here belongs to the destination (`OSError`, `DestinationDown`) unless it is a
`FileFault`, which is the source's own.
"""

from __future__ import annotations

import os
from collections import defaultdict

from watcher.checksums import READ_BACK, Entry, Hashing
from watcher.errors import CopyDiffers, FileFault, SourceChanged
from watcher.header import scan_of
from watcher.model import ArchivePath, Arrival, Checksum, Manner
from watcher.platform import system
from watcher.transfer.batch import Batch, Shipment
from watcher.transfer.places import (
    candidates,
    hash_open,
    holds,
    is_taken,
    keep_as_ours,
    make_folders,
)
from watcher.transfer.producer import algorithms_for, hold_to, names_beside, promises
from watcher.transfer.source import Source, hash_source
from watcher.transfer.streams import Beside, put_inside
from watcher.transfer.trail import WINDOW, Trail


def ask_producer(batch: Batch, shipment: Shipment) -> None:
    """See what checksums the producer left for it; it is compared with them when it is read."""
    folder = os.path.dirname(shipment.file.path)
    if folder not in batch.beside:
        batch.beside[folder] = names_beside(folder)
    shipment.promises = promises(shipment.file, batch.beside[folder])


def adopt(batch: Batch, shipment: Shipment) -> None:
    """Take what is there already, if it is the same, instead of copying it again."""
    record, place = batch.depot.record, shipment.place
    taken = [p for p in (*shipment.transfer.earlier, place) if is_taken(p)]
    if not taken:
        return
    algorithms = algorithms_for(batch.depot.algorithms, shipment.promises)
    made = hash_source(shipment.file, algorithms, batch.moved)
    shipment.checksums = _held(batch, shipment, made)
    possible = [p for p in taken if not record.reserves(p)]
    possible += (p for p in candidates(record, place, shipment.checksums[0]) if p not in taken)
    for found in possible:
        if has(batch, found, shipment):
            _take_over(batch, found)
            shipment.arrived(found, Manner.ADOPTED)
            return


def prepare(batch: Batch, shipment: Shipment) -> None:
    """Make the folders, but never those that tell whether the destination is there."""
    place = shipment.place
    if place.parent not in batch.seen:
        batch.depot.reach.check(place)
        make_folders(place, batch.depot.record, batch.depot.reach.changes)
        _enter(batch, place)
        batch.seen.add(place.parent)


def copy(batch: Batch, shipment: Shipment) -> None:
    """Copy and hash in one pass; then the source must still be what it was (R6)."""
    file = shipment.file
    wanted = algorithms_for(batch.depot.algorithms, shipment.promises)
    hashing = Hashing([*wanted, READ_BACK])
    with Source(file) as source:
        shipment.is_begun = True  # whatever comes of that
        shipment.descriptor = system.create_part(shipment.part)
        if file.fingerprint.size > WINDOW and system.flush_range(shipment.descriptor, 0, 1):
            shipment.trail = Trail(shipment.part, batch.moved)
        done = 0
        for data in source:
            if not done:
                shipment.scan = scan_of(data)
            hashing.update(data)
            _write(shipment.descriptor, data)
            batch.moved(len(data))
            done += len(data)
            if shipment.trail is not None:
                shipment.trail.written(done)
        put_inside(file, shipment.part)
        shipment.look = source.look
    *made, shipment.seal = hashing.checksums()
    checksums = _held(batch, shipment, tuple(made))
    if shipment.checksums and shipment.checksums != checksums:
        raise SourceChanged("changed while it was copied", path=file.path)
    shipment.checksums = checksums


def begin_to_flush(batch: Batch, shipment: Shipment) -> None:
    """Put into the copy what belongs there, and let the disk begin with it."""
    places = candidates(batch.depot.record, shipment.place, shipment.checksums[0])
    shipment.named = batch.depot.record.attach(shipment.part, places, shipment.checksums)
    if shipment.descriptor is not None:
        system.prepare_part(shipment.descriptor, _times(shipment))


def flush(batch: Batch) -> None:
    """Flush the copies: many of them as one where the system can, else several at a time."""
    under_way = [shipment for shipment in batch.shipments if shipment.outcome is None]
    folders = {shipment.place.parent for shipment in under_way}
    size = sum(shipment.file.fingerprint.size for shipment in under_way)
    batch.is_flushed = system.flush_volumes(folders, len(under_way), size)
    if not batch.is_flushed:
        batch.together(_flush)


def _flush(_batch: Batch, shipment: Shipment) -> None:
    """Flush it; after an error it is thrown away, never flushed again."""
    if shipment.descriptor is not None:
        system.flush_part(shipment.descriptor)


def close(batch: Batch, shipment: Shipment) -> None:
    """See that its data was not lost, close it, and give it what else its source shows."""
    if shipment.descriptor is not None:
        if batch.is_flushed:  # if not, it was flushed by itself, which told
            system.flush_part(shipment.descriptor, alone=False)
        descriptor, shipment.descriptor = shipment.descriptor, None
        system.close_part(descriptor, shipment.part, _times(shipment))
    if shipment.look is not None:
        system.dress(shipment.part, shipment.look)


def begin_to_read_back(_batch: Batch, shipment: Shipment) -> None:
    """Open the copy again, drop what is cached of it, and let the disk begin to read it."""
    if shipment.trail is None:
        shipment.descriptor = system.open_for_reading(shipment.part)
        system.forget_cached(shipment.descriptor)
        system.fetch_early(shipment.descriptor)


def read_back(batch: Batch, shipment: Shipment) -> None:
    """Read what the disk holds and compare it with what was read from the source (R2)."""
    if _read_back(batch, shipment) != shipment.seal:
        raise CopyDiffers(
            "what was read back differs from what was written; it is copied again",
            path=shipment.file.path,
        )


def _read_back(batch: Batch, shipment: Shipment) -> Checksum:
    if shipment.trail is not None:
        return shipment.trail.seal()
    descriptor, shipment.descriptor = shipment.descriptor, None
    assert descriptor is not None, "it was opened a step before"
    try:
        size = shipment.file.fingerprint.size
        return hash_open(descriptor, size, [READ_BACK], batch.moved)[0]
    finally:
        os.close(descriptor)


def publish(batch: Batch, shipment: Shipment) -> None:
    """Give it its name without replacing anything (R3, R4)."""
    place = shipment.place
    free = candidates(batch.depot.record, place, shipment.checksums[0])
    for candidate in [shipment.named] if shipment.named else free:
        try:
            system.publish(shipment.part, candidate.path)
        except OSError as error:
            # It may be done though an error came back, or somebody else was faster: the disk tells.
            if not has(batch, candidate, shipment):
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


def put_beside(batch: Batch) -> None:
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


def flush_folders(batch: Batch) -> None:
    """Make the new names durable; what is below a folder where that fails has not arrived."""
    for folder in batch.folders:
        try:
            batch.depot.reach.flush(folder)
        except OSError as error:
            inside = os.path.join(folder, "")
            for shipment in batch.shipments:
                arrival = shipment.outcome
                if isinstance(arrival, Arrival) and arrival.place.path.startswith(inside):
                    shipment.outcome = error
            batch.depot.reach.look()
        batch.moved(0)


def put_on_record(batch: Batch) -> None:
    """Record what arrived; where one experiment's record can't be written, its files wait (R8)."""
    arrived: dict[str, list[tuple[Shipment, Entry]]] = defaultdict(list)
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


def has(batch: Batch, place: ArchivePath, shipment: Shipment) -> bool:
    """Tell whether a place holds the very content of a file, whatever an error said."""
    return holds(place, shipment.file, shipment.checksums, batch.moved)


def _times(shipment: Shipment) -> tuple[int, int]:
    modified = shipment.file.fingerprint.mtime_ns
    return modified, modified


def _held(batch: Batch, shipment: Shipment, made: tuple[Checksum, ...]) -> tuple[Checksum, ...]:
    """Hold what was read to what was promised; returns what goes on record of it."""
    hold_to(shipment.promises, shipment.file, made, batch.depot.accepts)
    return made[: len(batch.depot.algorithms)]


def _enter(batch: Batch, place: ArchivePath) -> None:
    """See to what an earlier life may have left: parts, and folders that it didn't flush (R5)."""
    batch.depot.reach.sweep(place.parent)
    batch.folders.update(batch.depot.reach.unflushed(place))


def _take_over(batch: Batch, place: ArchivePath) -> None:
    keep_as_ours(place)
    _enter(batch, place)
    batch.folders.add(place.parent)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

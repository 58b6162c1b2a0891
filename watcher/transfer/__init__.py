"""The transaction: a batch of files to one destination, up to the checksum record.

Its unit is a batch, and one file is a batch of one. Each step is done for all files of the batch
before the next, so that folders and records are flushed once, and so that the disk is asked for
many files at a time; those worth threads go to the disk one by one, as soon as each is copied. An
error in one file drops that file only, unless the destination no longer answers: then all that are
under way get that error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from watcher.model import Arrival, Transfer
from watcher.platform import system
from watcher.transfer import steps
from watcher.transfer.batch import Batch, Depot, Shipment
from watcher.transfer.crew import at_once
from watcher.transfer.places import (
    candidates,
    hash_copy,
    holds,
    is_taken,
    keep_as_ours,
    make_folders,
    may_hold,
)
from watcher.transfer.producer import Accepts, accepts_none, vouched, vouches_for
from watcher.transfer.source import Moved, hash_source, is_still
from watcher.transfer.turn import Turn

__all__ = [
    "Accepts",
    "Depot",
    "Turn",
    "accepts_none",
    "at_once",
    "candidates",
    "carry",
    "hash_copy",
    "hash_source",
    "holds",
    "is_still",
    "is_taken",
    "keep_as_ours",
    "make_folders",
    "may_hold",
    "vouched",
    "vouches_for",
]


def carry(
    transfers: Sequence[Transfer],
    depot: Depot,
    moved: Moved,
    turn: Turn | None = None,
    before_publishing: Callable[[], None] = lambda: None,
) -> list[Arrival | Exception]:
    """Take a batch of files to a destination.

    Args:
        transfers: what goes where; all to the same destination.
        depot: the destination.
        moved: told of each step and of the bytes moved; from any thread.
        turn: shared by all threads that move files.
        before_publishing: called once the copies are durable, before any gets its name: makes
            that on record which a life after a crash must know of them.

    Returns:
        For each transfer, in order, what came of it.

    Raises:
        OSError: the destination can't be used at all.
        DestinationDown: likewise.

    """
    depot.reach.look_to_begin()
    parts = [os.path.join(t.place.parent, depot.parts.new()) for t in transfers]
    batch = Batch(depot, moved, [Shipment(t, p) for t, p in zip(transfers, parts, strict=True)])
    try:
        _take_all_steps(batch, turn or Turn(), before_publishing)
    finally:
        for shipment in batch.shipments:
            batch.put_away(shipment)
    return [s.outcome or RuntimeError("the transfer came to no end") for s in batch.shipments]


def _take_all_steps(batch: Batch, turn: Turn, before_publishing: Callable[[], None]) -> None:
    count = len(batch.shipments)
    with turn.taken(count), system.folders_kept():
        batch.in_turn(steps.ask_producer)
        batch.in_turn(steps.adopt)
        batch.in_turn(steps.prepare)
        batch.by_size(steps.copy, steps.begin_to_flush)
    steps.flush(batch)
    with turn.taken(count):
        batch.in_turn(steps.close)
        batch.by_size(steps.begin_to_read_back)
    with turn.taken(0 if batch.are_worth_threads else count):  # others copy while the disk reads
        batch.by_size(steps.read_back)
    batch.look_again()
    before_publishing()
    with turn.taken(count):
        batch.in_turn(steps.publish)
        steps.put_beside(batch)
    steps.flush_folders(batch)
    steps.put_on_record(batch)

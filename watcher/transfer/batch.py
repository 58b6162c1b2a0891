"""Files that go to one destination together, and how a step is done to all of them."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from watcher.checksums import Entry, Record
from watcher.destination import PartNames, Template
from watcher.errors import DestinationDown, FileFault, without_frames
from watcher.model import ArchivePath, Arrival, Checksum, FinishedFile, Manner, Scan, Transfer
from watcher.reach import Reach
from watcher.transfer.crew import at_once, by_pace, in_turn
from watcher.transfer.producer import Accepts, Promise, accepts_none
from watcher.transfer.source import Moved
from watcher.transfer.trail import Trail

_UNTRIED = Exception("not tried yet")
_WORTH_THREADS = 64 << 10
"""Bytes of a file from which it is read and hashed mostly without the interpreter."""


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
class Shipment:
    """One file on its way through the steps."""

    transfer: Transfer
    part: str
    is_begun: bool = False
    """Whether there may be a part."""
    descriptor: int | None = None
    """The part, open for writing until it is flushed, then for reading it back."""
    trail: Trail | None = None
    """What reads a large part back while it is still being written."""
    checksums: tuple[Checksum, ...] = ()
    seal: Checksum | None = None
    """What was written, by `READ_BACK`: the same must be read back."""
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
        """The source."""
        return self.transfer.file

    @property
    def place(self) -> ArchivePath:
        """Where it is to go."""
        return self.transfer.place

    def arrived(self, place: ArchivePath, manner: Manner) -> None:
        """Note that a verified copy is at `place`."""
        self.outcome = self.transfer.received(place, self.checksums, manner, self.scan)


@dataclass(slots=True)
class Batch:
    """Shipments to one destination."""

    depot: Depot
    moved: Moved
    shipments: list[Shipment]
    folders: set[str] = field(default_factory=set)
    """Folders with a new name in them, to be flushed."""
    seen: set[str] = field(default_factory=set)
    """Folders that are known to exist."""
    beside: dict[str, frozenset[str]] = field(default_factory=dict)
    """What may be producers' checksum files, by the sources' folder."""
    is_flushed: bool = False
    """Whether all volumes were flushed, so that each file is asked only whether it was lost."""
    _is_doubtful: bool = False
    """Whether an error may be the destination's own: nothing is begun until that is known."""

    @property
    def are_worth_threads(self) -> bool:
        """Whether the files under way are copied and hashed for most of their time."""
        sizes = [s.file.fingerprint.size for s in self.shipments if s.outcome is None]
        return bool(sizes) and sum(sizes) >= _WORTH_THREADS * len(sizes)

    def look_again(self) -> None:
        """Make sure that what was copied into is no bare folder that a mount hid (R2).

        Later it can't be: a copy that is on the mount is not found in the bare folder.
        """
        if any(shipment.outcome is None for shipment in self.shipments):
            self.depot.reach.look()

    def in_turn(self, step: Step) -> None:
        """Take each file that is under way one step on; several at a time where that takes long."""
        self._concluded(step, in_turn)

    def together(self, step: Step) -> None:
        """Do so for several at a time: the step waits for the disk."""
        self._concluded(step, at_once)

    def by_size(self, *steps: Step) -> None:
        """Do so for several at a time, if they are worth threads.

        Such a file takes all of these steps before its thread turns to another, so that the disk
        has work all the time; small ones all take one step before any takes the next, so that it
        gets them together.
        """
        if not self.are_worth_threads:
            for step in steps:
                self.in_turn(step)
            return

        def all_of_them(batch: Batch, shipment: Shipment) -> None:
            for step in steps:
                step(batch, shipment)

        first = next(s for s in self.shipments if s.outcome is None)
        self._concluded(all_of_them, functools.partial(by_pace, size=first.file.fingerprint.size))

    def _concluded(self, step: Step, each: _Each) -> None:
        """Drop the files that fail, unless the destination is down: that ends the whole batch."""
        under_way = [shipment for shipment in self.shipments if shipment.outcome is None]
        while under_way:
            untried = []
            errors = each(functools.partial(self._attempted, step), under_way)
            for shipment, error in zip(under_way, errors, strict=True):
                if error is _UNTRIED:
                    untried.append(shipment)
                elif error is not None:
                    self._failed(shipment, error)
            under_way = untried

    def _attempted(self, step: Step, shipment: Shipment) -> Exception | None:
        if self._is_doubtful:  # each further call may take as long as a share takes to be given up
            return _UNTRIED
        try:
            step(self, shipment)
        except FileFault as error:
            return error
        except (OSError, NotImplementedError, DestinationDown) as error:
            self._is_doubtful = True
            return error
        self.moved(0)
        return None

    def _failed(self, shipment: Shipment, error: Exception) -> None:
        shipment.outcome = error
        self.put_away(shipment)  # at once: others may need the room that it takes
        if not isinstance(error, FileFault):
            self.depot.reach.look()
            self._is_doubtful = False

    def put_away(self, shipment: Shipment) -> None:
        """Leave no part behind; the next start sweeps what is left by a crash."""
        if shipment.trail is not None:
            shipment.trail.end()
        descriptor, shipment.descriptor = shipment.descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if isinstance(shipment.outcome, Exception):
            without_frames(shipment.outcome)  # its calls hold the batch, which holds it
        if shipment.is_begun and not isinstance(shipment.outcome, Arrival):
            shipment.is_begun = False  # who throws it away remembers it until it is gone
            self.depot.reach.throw_away(shipment.part)


Step = Callable[[Batch, Shipment], None]
_Each = Callable[
    [Callable[[Shipment], Exception | None], Sequence[Shipment]], Iterable[Exception | None]
]

"""How it ends for a file: with its last receipt, or with the reason why not, and whose fault."""

from __future__ import annotations

import errno
import time

from watcher.backlog import Entry
from watcher.errors import DestinationDown, FileFault
from watcher.model import Arrival, Receipt
from watcher.outage import Pulses
from watcher.platform import system


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


class CopyGone(FileFault):
    """A destination's copy is gone or cut short, and must be made again."""


Outcomes = dict[Entry, Unsettled | None]
"""What came of each file so far; None as long as all is well."""


class At:
    """Watches what may hang at a destination, and says whose fault an error is."""

    __slots__ = ("_destination", "_watch")

    def __init__(self, destination: str, pulses: Pulses) -> None:
        """Name the destination whose calls are made inside."""
        self._watch = pulses.watching(destination)
        self._destination = destination

    def __enter__(self) -> None:
        """Begin to watch."""
        self._watch.__enter__()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise what is known as `Unsettled`."""
        self._watch.__exit__()
        if isinstance(error, FileFault) and not isinstance(error, CopyGone):
            raise Unsettled(error) from error
        if isinstance(error, (OSError, DestinationDown, NotImplementedError, CopyGone)):
            raise Unsettled(error, self._destination) from error


class Kept:
    """Keeps how it ends for this file, so that the others go on."""

    __slots__ = ("_entry", "_outcomes")

    def __init__(self, outcomes: Outcomes, entry: Entry) -> None:
        """Name the file that is dealt with inside."""
        self._outcomes = outcomes
        self._entry = entry

    def __enter__(self) -> None:
        """Nothing is wrong so far."""
        self._outcomes[self._entry] = None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Note why not, if it is `Unsettled`."""
        if not isinstance(error, Unsettled):
            return False
        self._outcomes[self._entry] = error
        return True


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

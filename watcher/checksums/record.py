"""Where the checksums of copies are written down: one protocol, one file a kind of record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from watcher.checksums.entry import Entry, Warn, logged
from watcher.checksums.manifest import Manifest, Recorded, nothing_recorded
from watcher.checksums.sidecar import Sidecar
from watcher.checksums.stream import Stream
from watcher.model import ArchivePath, Checksum

__all__ = ["Entry", "Kind", "Record", "record_for"]


class Kind(enum.StrEnum):
    """The kinds of record."""

    MANIFEST = "manifest"
    SIDECAR = "sidecar"
    STREAM = "stream"
    NONE = "none"


class Record(Protocol):
    """One kind of record, at one destination."""

    def reserves(self, place: ArchivePath) -> bool:
        """Tell whether the record needs this name itself: a file takes its conflict name then."""

    def attach(
        self, part: str, places: Iterable[ArchivePath], checksums: Sequence[Checksum]
    ) -> ArchivePath | None:
        """Put what belongs inside a copy into it, before it is marked and flushed.

        Args:
            part: the copy, under its temporary name.
            places: where it may be published, the best first.
            checksums: its checksums.

        Returns:
            The place whose name the copy holds now, so that it must be published there.

        Raises:
            OSError: the destination's fault.

        """

    def write(self, entries: Sequence[Entry]) -> None:
        """Put copies at one destination on record, durably, each once.

        Raises:
            OSError: the destination's fault; all of it can be written again.

        """


class Nothing:
    """No record beside the copies; the ledger still has the checksums."""

    def reserves(self, place: ArchivePath) -> bool:
        """Reserve nothing."""
        return False

    def attach(
        self, part: str, places: Iterable[ArchivePath], checksums: Sequence[Checksum]
    ) -> None:
        """Attach nothing."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write nothing."""


def record_for(
    kind: str,
    algorithms: Sequence[str],
    part: Callable[[], str],
    warn: Warn = logged,
    recorded: Recorded = nothing_recorded,
) -> Record:
    """Return the record of a kind.

    Args:
        kind: one of `Kind`.
        algorithms: the known algorithms that are recorded; the first counts.
        part: makes the name of a temporary file of ours, new each time.
        warn: told what an operator should know, and what to do about it.
        recorded: tells what receipts there are of copies in an experiment's folder.

    Raises:
        ValueError: there is no such kind.

    """
    match Kind(kind):
        case Kind.MANIFEST:
            return Manifest(algorithms, recorded, warn)
        case Kind.SIDECAR:
            return Sidecar(algorithms, part)
        case Kind.STREAM:
            return Stream(algorithms, part, warn)
        case Kind.NONE:
            return Nothing()

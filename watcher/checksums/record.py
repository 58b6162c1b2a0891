"""Where the checksums of copies are written down: one protocol, one file a kind of record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

from watcher.checksums.entry import Entry
from watcher.checksums.manifest import Manifest
from watcher.errors import ConfigurationError
from watcher.model import ArchivePath

__all__ = ["Entry", "Kind", "Nothing", "Record", "record_for"]


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

    def write(self, entries: Sequence[Entry]) -> None:
        """Write nothing."""


def record_for(kind: str, algorithms: Sequence[str], part: Callable[[], str]) -> Record:
    """Return the record of a kind.

    Args:
        kind: one of `Kind`.
        algorithms: the known algorithms that are recorded; the first counts.
        part: makes the name of a temporary file of ours, new each time.

    Raises:
        ConfigurationError: this kind of record isn't there yet.
        ValueError: there is no such kind.

    """
    match Kind(kind):
        case Kind.MANIFEST:
            return Manifest(algorithms)
        case Kind.NONE:
            return Nothing()
        case missing:
            raise ConfigurationError(
                f"checksums.record: {missing} can't be written yet", mend="use manifest"
            )

"""What is put on record."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.model import ArchivePath, Checksum


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified copy whose checksums go on record."""

    place: ArchivePath
    checksums: tuple[Checksum, ...]
    may_stand: bool = True
    """Whether an earlier life may have recorded it: it was adopted, or there was a crash."""

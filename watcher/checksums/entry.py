"""What is put on record, and who is told when that goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from watcher.model import ArchivePath, Checksum

logger = logging.getLogger(__name__)

Warn = Callable[[str, str], None]
"""Told what an operator should know: what happened, and what to do."""


def logged(what: str, mend: str) -> None:
    """Log it, where nobody else is told."""
    logger.warning("%s; %s", what, mend)


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified copy whose checksums go on record."""

    place: ArchivePath
    checksums: tuple[Checksum, ...]
    may_stand: bool = True
    """Whether an earlier life may have recorded it: it was adopted, or there was a crash."""

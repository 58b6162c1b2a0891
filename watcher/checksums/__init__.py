"""Checksums: which there are, their lines, and the records of them at a destination."""

from watcher.checksums.algorithms import READ_BACK, Hashing, is_known, known
from watcher.checksums.manifest import Manifest
from watcher.checksums.record import Entry, Kind, Record, record_for

__all__ = [
    "READ_BACK",
    "Entry",
    "Hashing",
    "Kind",
    "Manifest",
    "Record",
    "is_known",
    "known",
    "record_for",
]

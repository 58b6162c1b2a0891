"""From words to rows and back.

Names and paths may hold bytes that are no text (POSIX) or lone surrogates (Windows); they are
stored as BLOBs of the name's own bytes.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from watcher.header import stamp_of
from watcher.model import (
    Checksum,
    Fingerprint,
    FinishedFile,
    HeldBack,
    Manner,
    Proof,
    Receipt,
    Scan,
)
from watcher.platform import system

PENDING, VALID, VOID = 0, 1, 2
UNSEEN, SEEN = 1, 2

Row = tuple[Any, ...]
Version = tuple[str, Fingerprint]
"""A file as it was at some time: its path, and what told it from other versions."""

_name = os.fsdecode
_shared_name = functools.lru_cache(maxsize=256)(os.fsdecode)
"""For folders, which thousands of receipts share."""
_shared_bytes = functools.lru_cache(maxsize=256)(os.fsencode)
"""For these and for experiments."""


def key(path: str) -> bytes:
    """Store a path, in its plain form."""
    return os.fsencode(system.plain(path))


def folder_key(path: str) -> bytes:
    """Store an experiment's folder, which thousands of receipts share."""
    return _shared_bytes(system.plain(path))


def version(fingerprint: Fingerprint) -> str:
    """Store a fingerprint; as text, since its numbers may not fit in 64 bits."""
    return f"{fingerprint.size}:{fingerprint.mtime_ns}:{fingerprint.identity}"


def version_of(source: bytes, fingerprint: str) -> Version:
    """Give a file's version back."""
    return _name(source), _fingerprint(fingerprint)


def _fingerprint(text: str) -> Fingerprint:
    size, mtime_ns, identity = text.split(":")
    return Fingerprint(int(size), int(mtime_ns), identity)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known of a finished file that is not archived yet."""

    first_seen: float | None
    """None where only receipts are known of it."""
    cycles: Mapping[str, str]
    """The folder name of the cycle that was fixed for it, for each destination that has cycles."""
    receipts: Mapping[str, Receipt]
    """The valid receipts for this path and fingerprint, by destination."""


def write_cycles(cycles: Mapping[str, str]) -> str:
    """Store the cycles of a file."""
    return _cycles_text(tuple(sorted(cycles.items())))


@functools.lru_cache(maxsize=64)
def _cycles_text(cycles: tuple[tuple[str, str], ...]) -> str:
    return json.dumps(dict(cycles))


@functools.lru_cache(maxsize=64)
def read_cycles(text: str) -> Mapping[str, str]:
    """Give them back; thousands of files share a few values."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError(f"not the cycles of a file: {text}")
    return MappingProxyType(found)


def held_row(held: HeldBack) -> Row:
    """Store a reason; as JSON, since it may quote names that are no text."""
    words = json.dumps([held.reason, held.mend, held.destination, held.mismatch])
    return key(held.source), held.since, words, held.waits_for


def held_of(source: bytes, since: float, words: str) -> HeldBack:
    """Give a reason back."""
    reason, mend, destination, *mismatch = json.loads(words)
    return HeldBack(_name(source), reason, mend, since, destination, *mismatch)


def file_row(receipt: Receipt) -> Row:
    """Store the file that a receipt is for; the first two columns are what it is known by."""
    experiment, stamp = _shared_bytes(receipt.experiment), stamp_of(receipt.source)
    return key(receipt.source), version(receipt.fingerprint), experiment, stamp


def scan_row(file: Row, scan: Scan) -> Row:
    """Store what a file says of its scan; its own row is `file`."""
    words = (scan.uid, scan.scan_id, scan.plan_name, json.dumps(scan.motors), scan.start_time)
    return *file[:2], *words


def scan_of(*row: Any) -> tuple[tuple[str, str], Scan]:  # noqa: ANN401
    """Give it back, with the source and its version."""
    source, fingerprint, uid, number, plan, motors, started = row
    scan = Scan(uid, number, plan, tuple(json.loads(motors)), started)
    return (_name(source), fingerprint), scan


def receipt_row(file: Row, receipt: Receipt, state: int) -> Row:
    """Store a receipt; the row of its file is `file`, and its folder is there already."""
    first, *more = receipt.checksums
    return (
        *file[:2],
        receipt.destination,
        folder_key(receipt.folder),
        os.fsencode(_below(system.plain(receipt.folder), system.plain(receipt.path))),
        first.algorithm,
        first.digest,
        " ".join(map(str, more)),
        receipt.archived_at,
        receipt.seconds,
        receipt.attempts,
        receipt.manner.value,
        UNSEEN if receipt.conflict else 0,
        state,
    )


def receipt_of(*row: Any) -> Receipt:  # noqa: ANN401 - as sqlite gives it
    """Give a receipt back; the columns are those of `sql.RECEIPTS`."""
    source, fingerprint, experiment, destination, folder, name = row[:6]
    algorithm, digest, more, archived_at, seconds, attempts, manner, conflict, state = row[6:15]
    at, result = row[15:17]
    return Receipt(
        source=_name(source),
        experiment=_shared_name(experiment),
        fingerprint=_fingerprint(fingerprint),
        destination=destination,
        path=os.path.join(_shared_name(folder), _name(name)),
        folder=_shared_name(folder),
        checksums=(Checksum(algorithm, digest), *(_checksums(more) if more else ())),
        archived_at=float(archived_at),
        seconds=float(seconds),
        attempts=int(attempts),
        manner=Manner(manner),
        conflict=bool(conflict),
        void=state == VOID,
        proof=Proof(at, result) if at and at >= archived_at else None,
    )


class Check(NamedTuple):
    """A copy that is to be read again."""

    number: int
    source: str
    experiment: str
    folder: str
    """The experiment's folder at the destination."""
    name: str
    """The path from there."""
    checksum: Checksum
    size: int
    at: float
    """When it was read again last; 0 if it never was."""


def check_of(*row: Any) -> Check:  # noqa: ANN401
    """Give a copy that is to be read again; the columns are those of `sql.UNCHECKED`."""
    number, source, experiment, folder, name, algorithm, digest, size, at = row
    return Check(
        number,
        _name(source),
        _shared_name(experiment),
        _shared_name(folder),
        _name(name),
        Checksum(algorithm, digest),
        size,
        at,
    )


def _checksums(text: str) -> Iterator[Checksum]:
    for part in text.split():
        algorithm, digest = part.split(":")
        yield Checksum(algorithm, digest)


def _below(folder: str, path: str) -> str:
    """Take the folder off a path; a path from elsewhere stays whole, and joins to itself again."""
    start = os.path.join(folder, "")
    return path.removeprefix(start)


def places(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield every way to take a path apart into a folder and what is below it."""
    plain = system.plain(path)
    folder = os.path.dirname(plain)
    while folder and folder != os.path.dirname(folder):
        yield os.fsencode(folder), os.fsencode(_below(folder, plain))
        folder = os.path.dirname(folder)


def whole(*row: Any) -> Row:  # noqa: ANN401
    """Take a row as it is."""
    return row


def wanted(files: Sequence[FinishedFile]) -> dict[bytes, tuple[str, str]]:
    """Return the path and the fingerprint of each file by its key in the tables."""
    return {key(path := file.path): (path, version(file.fingerprint)) for file in files}


def keyed_receipt(*row: Any) -> tuple[bytes, str, Receipt]:  # noqa: ANN401
    """Give a receipt back with the key and the fingerprint of its file."""
    return row[0], row[1], receipt_of(*row)


def numbered_receipt(*row: Any) -> tuple[Receipt, Row]:  # noqa: ANN401
    """Give a receipt back with its row, to tell where a page ended."""
    return receipt_of(*row), row


def first(value: Any) -> Any:  # noqa: ANN401
    """Take the one column there is."""
    return value


def chunks(items: Iterable[Any], size: int = 500) -> Iterator[list[Any]]:
    """Cut into pieces that one statement can take as its arguments."""
    piece: list[Any] = []
    for item in items:
        piece.append(item)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece

"""The system calls that the promises take, and next to nothing else: `bare.py DATA ARCHIVE CACHE`.

One thread, one batch after the other; no error is expected, and nobody is told anything. So it says
how much of what an archived file costs is the system's, and how much could be saved at all.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import xxhash

BATCH = 256
READ_ONLY = 0o444
_libc = ctypes.CDLL(None, use_errno=True)
_HERE, _NOREPLACE = -100, 1
_WRITE_AND_WAIT = 7
_TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE waiting (source BLOB PRIMARY KEY, version TEXT) WITHOUT ROWID;
    CREATE TABLE receipt (source BLOB, destination TEXT, digest TEXT, state INTEGER,
                          PRIMARY KEY (source, destination)) WITHOUT ROWID;
    CREATE INDEX receipt_digest ON receipt (digest);
"""


@dataclass(slots=True)
class Shipment:
    """A file on its way."""

    source: str
    experiment: str
    name: str
    look: os.stat_result
    part: str = ""
    copy: str = ""
    descriptor: int = -1
    digest: str = ""
    seal: int = 0


def found(data: Path) -> Iterator[Shipment]:
    """Walk."""
    for experiment in sorted(os.listdir(data)):
        with os.scandir(data / experiment / "bluesky_scans") as entries:
            for entry in entries:
                look = entry.stat(follow_symlinks=False)
                yield Shipment(entry.path, experiment, entry.name, look)


def copied(one: Shipment, archive: Path) -> None:
    """Look whether its name is free; read it, as nobody writes to it, and write it."""
    one.copy = f"{archive}/{one.experiment}/{one.name}"
    one.part = f"{archive}/{one.experiment}/.{one.name}.part"
    with suppress(FileNotFoundError):
        os.lstat(one.copy)
    source = os.open(one.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    os.fstat(source)
    fcntl.fcntl(source, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(source, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    content = os.read(source, one.look.st_size + 1)
    os.fstat(source)
    os.close(source)
    one.digest = hashlib.sha256(content).hexdigest()
    one.seal = xxhash.xxh3_128_intdigest(content)
    one.descriptor = os.open(one.part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(one.descriptor, content)
    os.utime(one.descriptor, ns=(one.look.st_mtime_ns, one.look.st_mtime_ns))
    os.fchmod(one.descriptor, READ_ONLY)
    os.posix_fadvise(one.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def read_back(one: Shipment) -> None:
    """Read what the disk holds."""
    content = os.pread(one.descriptor, one.look.st_size + 1, 0)
    assert xxhash.xxh3_128_intdigest(content) == one.seal
    os.close(one.descriptor)


def call(name: str, *arguments: object) -> None:
    """Make a call that the standard library doesn't offer, or only with more around it."""
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def flushed(descriptor: int) -> None:
    """Ask a file of a volume that was flushed whether its data was lost."""
    nothing = ctypes.c_int64(0)
    call("sync_file_range", descriptor, nothing, nothing, _WRITE_AND_WAIT)


def sync(folder: Path, how: str) -> None:
    """Flush a folder by fsync, or its volume by syncfs."""
    descriptor = os.open(folder, os.O_RDONLY)
    call(how, descriptor)
    os.close(descriptor)


def move(old: str, new: str) -> None:
    """Rename without replacing."""
    call("renameat2", _HERE, os.fsencode(old), _HERE, os.fsencode(new), _NOREPLACE)


def on_record(batch: Iterable[Shipment], top: Path) -> None:
    """Flush the folders, and append to their manifests."""
    lines: dict[str, list[str]] = {}
    for one in batch:
        lines.setdefault(one.experiment, []).append(f"{one.digest} *{one.name}\n")
    for experiment, text in lines.items():
        sync(top / experiment, "fsync")
        with (top / experiment / "checksums.sha256").open("a", encoding="ascii") as manifest:
            manifest.write("".join(text))
            manifest.flush()
            os.fsync(manifest.fileno())


def archive_batch(
    batch: list[Shipment], archive: Path, cache: Path, ledger: sqlite3.Connection
) -> None:
    """Take all the steps of the transaction, and of settling."""
    keys = [(os.fsencode(one.source),) for one in batch]
    ledger.executemany("INSERT INTO waiting VALUES (?, '')", keys)
    for folder in {one.experiment for one in batch}:
        (archive / folder).mkdir(exist_ok=True)
        (cache / folder).mkdir(exist_ok=True)
    for one in batch:
        copied(one, archive)
    sync(archive, "syncfs")
    for one in batch:
        flushed(one.descriptor)
        os.posix_fadvise(one.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(one.descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    for one in batch:
        read_back(one)
    ledger.commit()
    for one in batch:
        move(one.part, one.copy)
    on_record(batch, archive)
    receipts(batch, "archive", 1, ledger)
    sync(cache, "syncfs")
    for one in batch:
        os.lstat(one.copy)
        descriptor = os.open(one.source, os.O_RDONLY)
        flushed(descriptor)
        os.close(descriptor)
    receipts(batch, "cache", 0, ledger)
    on_record(batch, cache)
    for one in batch:
        os.lstat(one.source)
        place = f"{cache}/{one.experiment}/{one.name}"
        move(one.source, place)
        os.lstat(place)
    for folder in {one.experiment for one in batch}:
        sync(cache / folder, "fsync")
    ledger.executemany("UPDATE receipt SET state = 1 WHERE source = ? AND state = 0", keys)
    ledger.executemany("DELETE FROM waiting WHERE source = ?", keys)
    ledger.commit()


def receipts(
    batch: Iterable[Shipment], destination: str, state: int, ledger: sqlite3.Connection
) -> None:
    """Write them."""
    rows = [(os.fsencode(one.source), destination, one.digest, state) for one in batch]
    ledger.executemany("INSERT INTO receipt VALUES (?, ?, ?, ?)", rows)
    ledger.commit()


def main() -> None:
    data, archive, cache = map(Path, sys.argv[1:])
    files = list(found(data))
    with closing(sqlite3.connect(cache / "ledger.sqlite")) as ledger:
        ledger.executescript(_TABLES)
        for first in range(0, len(files), BATCH):
            archive_batch(files[first : first + BATCH], archive, cache, ledger)


if __name__ == "__main__":
    main()

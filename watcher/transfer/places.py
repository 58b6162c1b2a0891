"""Places at a destination: their folders, the names a file may take, what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from watcher.checksums import Hashing, Record
from watcher.destination import conflict_names
from watcher.errors import FileFault
from watcher.model import ArchivePath, Checksum, FinishedFile
from watcher.platform import system
from watcher.transfer.source import CHUNK, Moved


def make_folders(
    place: ArchivePath, record: Record, changes: Callable[[Collection[str]], None]
) -> None:
    """Make a place's folders below its fixed part.

    Args:
        place: where a file is to go.
        record: the destination's checksum record.
        changes: told before they are made which folders get a new name in them, and so must be
            flushed by whoever puts something below it.

    Raises:
        FileFault: one of them would take the name that the record needs, and so stop it for all
            files of the experiment.

    """
    _refuse_reserved(place, record)
    missing: list[str] = []
    folder = place.parent
    while folder != place.fixed and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    changes([os.path.dirname(folder) for folder in missing])
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise


def _refuse_reserved(place: ArchivePath, record: Record) -> None:
    relative = os.path.dirname(place.relative)
    while relative:
        if record.reserves(replace(place, relative=relative)):
            raise FileFault(
                f"its folder {os.path.basename(relative)} has the name of a checksum record",
                path=system.plain(place.path),
                mend="rename that folder in the data root; nothing of it is archived until then",
            )
        relative = os.path.dirname(relative)


def candidates(record: Record, place: ArchivePath, checksum: Checksum) -> Iterator[ArchivePath]:
    """Yield the places that a file may take: its own, then its conflict names."""
    if not record.reserves(place):
        yield place
    for name in conflict_names(os.path.basename(place.path), checksum):
        yield place.renamed(name)


def is_taken(place: ArchivePath) -> bool:
    """Tell whether anything at all has that name; an error that doesn't tell is raised."""
    return system.look(place.path) is not None


def may_hold(path: str, size: int) -> bool:
    """Tell whether a plain file of that size is there."""
    stat = system.look(path)
    return stat is not None and system.is_plain_file(stat) and stat.st_size == size


def holds(
    place: ArchivePath, file: FinishedFile, checksums: Sequence[Checksum], moved: Moved
) -> bool:
    """Tell whether a place holds the very content, read from the disk.

    Raises:
        FileFault: what is there is the source itself, seen through a link or a mount (R7).

    """
    if not may_hold(place.path, file.fingerprint.size):
        return False
    if _is_one_entry(place.path, file.path):
        raise FileFault(
            f"it and {system.plain(place.path)} are the same file",
            path=file.path,
            mend="the destination leads back into the data root: correct its path or that link",
        )
    algorithms = [c.algorithm for c in checksums]
    return hash_copy(place.path, algorithms, moved) == tuple(checksums)


def _is_one_entry(one: str, other: str) -> bool:
    """Tell whether two paths mean the same name of the same file, not two hard links to it."""
    try:
        stat = os.lstat(one)
        if not os.path.samestat(stat, os.lstat(other)):
            return False
        return stat.st_nlink == 1 or os.path.samefile(os.path.dirname(one), os.path.dirname(other))
    except OSError as error:
        if not system.is_absent(error):
            raise
        return False


def hash_copy(path: str, algorithms: Sequence[str], moved: Moved) -> tuple[Checksum, ...]:
    """Hash what the disk holds at `path`, not what is cached of it, where the system allows."""
    descriptor = system.open_for_reading(path)
    try:
        system.forget_cached(descriptor)
        return hash_open(descriptor, os.fstat(descriptor).st_size, algorithms, moved)
    finally:
        os.close(descriptor)


def hash_open(
    descriptor: int, size: int, algorithms: Sequence[str], moved: Moved
) -> tuple[Checksum, ...]:
    """Hash an open file to its end, in one read if it is as small as expected.

    Args:
        descriptor: the file, at its beginning.
        size: the bytes that are expected.
        algorithms: what is computed.
        moved: told that it moves.

    """
    hashing = Hashing(algorithms)
    left = size
    while data := os.read(descriptor, min(left + 1, CHUNK) if left >= 0 else CHUNK):
        hashing.update(data)
        left -= len(data)
        if left == 0 and len(data) < CHUNK:  # asked for one byte more, which isn't there
            break
        moved(0)
    return hashing.checksums()


def keep_as_ours(place: ArchivePath) -> None:
    """Make a copy that somebody else may have put there as safe as our own, but for its folder."""
    if not system.is_marked(os.lstat(place.path)):
        system.mark(place.path)
    system.flush_file(place.path)

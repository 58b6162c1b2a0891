"""One file a file: `scan.txt.sha256` beside `scan.txt`, one line, read-only.

A sidecar is written aside, flushed and published as a copy is, and replaces nothing. One that is
there already and says the same digest, a producer's own perhaps, serves as ours; where the name is
taken by anything else, ours has digits of the checksum in its name, as a conflict has.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from watcher.checksums.entry import Entry
from watcher.checksums.lines import parsed, written
from watcher.checksums.producer import digest_in, subjects
from watcher.model import ArchivePath, Checksum
from watcher.platform import system

LONGEST = 64 << 10
"""Bytes; a larger file is no sidecar."""
_LONGEST_NAME = 255
_DIGITS = (8, 16, 32)


class Sidecar:
    """The sidecars at one destination."""

    def __init__(self, algorithms: Sequence[str], part: Callable[[], str]) -> None:
        """Make it ready.

        Args:
            algorithms: whose digests are recorded, each in a sidecar of its own.
            part: makes the name of a temporary file of ours.

        """
        self._algorithms = tuple(algorithms)
        self._part = part

    def reserves(self, place: ArchivePath) -> bool:
        """Reserve nothing: a producer's sidecar keeps its name, and ours gives way."""
        return False

    def attach(
        self, part: str, places: Iterable[ArchivePath], checksums: Sequence[Checksum]
    ) -> None:
        """Attach nothing to the copy itself."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the sidecars that are missing, durably.

        Raises:
            OSError: the destination's fault; all of it can be written again.

        """
        parts: list[str] = []
        try:
            missing = [
                (entry.place, one)
                for entry in entries
                if not is_sidecar(entry.place.path)
                for one in entry.checksums
                if one.algorithm in self._algorithms
            ]
            for place, _ in missing:
                parts.append(os.path.join(place.parent, self._part()))
            self._publish(missing, parts)
        finally:
            for part in parts:
                system.remove_part(part)

    def _publish(self, missing: list[tuple[ArchivePath, Checksum]], parts: list[str]) -> None:
        folders = set()
        for (place, one), part in zip(missing, parts, strict=True):
            line = written(os.path.basename(place.path), one.digest, one.algorithm)
            candidates = list(_names(os.path.basename(place.path), one))
            if any(_says(os.path.join(place.parent, name), line, one) for name in candidates):
                folders.add(place.parent)  # whoever put it there may have been killed
                continue
            now = time.time_ns()
            system.write_part(part, line, (now, now))
            self._name(part, place, candidates)
            folders.add(place.parent)
        for folder in folders:
            system.flush_folder(folder)

    def _name(self, part: str, place: ArchivePath, candidates: Iterable[str]) -> None:
        for name in candidates:
            try:
                system.publish(part, os.path.join(place.parent, name))
            except FileExistsError:
                continue
            return
        raise FileExistsError(errno.EEXIST, "every name of its sidecar is taken", place.path)


def _names(name: str, checksum: Checksum) -> Iterator[str]:
    """Yield the names that a sidecar may have, its own first; none is too long."""
    suffix = f".{checksum.algorithm}"
    if len(os.fsencode(name + suffix)) <= _LONGEST_NAME:
        yield name + suffix
    for digits in (*_DIGITS, len(checksum.digest)):
        end, stem = f".{checksum.digest[:digits]}{suffix}", name
        while len(os.fsencode(stem + end)) > _LONGEST_NAME:
            stem = stem[:-1]
        yield stem + end


def _says(path: str, line: bytes, checksum: Checksum) -> bool:
    """Tell whether a sidecar at `path` holds this very digest for this very file."""
    content = small(path)
    if content is None:
        return False
    wanted = parsed(line, checksum.algorithm)
    name = wanted.name if wanted else ""
    return content == line or digest_in(content, checksum.algorithm, name) == checksum


def small(path: str) -> bytes | None:
    """Read a small plain file; None if it is none, or not there.

    Raises:
        OSError: it can't be read.

    """
    try:
        stat = os.lstat(path)
        if not system.is_plain_file(stat) or stat.st_size > LONGEST:
            return None
        descriptor = system.open_for_reading(path)
    except OSError as error:
        if not system.is_absent(error):
            raise
        return None
    try:
        return os.read(descriptor, LONGEST + 1)
    finally:
        os.close(descriptor)


def is_sidecar(path: str) -> bool:
    """Tell whether a file is one that holds another's checksum: sidecars get no sidecar.

    Raises:
        OSError: it can't be read.

    """
    meant = subjects(os.path.basename(path))
    if not meant or not os.path.lexists(path):  # on its way still: its name must do
        return bool(meant)
    content = small(path) or b""
    return any(_is_digest(content, algorithm, name) for name, algorithm in meant)


def _is_digest(content: bytes, algorithm: str, name: str) -> bool:
    if digest_in(content, algorithm, name) is not None:
        return True
    lines = [line for line in content.split(b"\n") if line]
    return len(lines) == 1 and parsed(lines[0], algorithm) is not None


def told(path: str, algorithm: str) -> dict[str, Checksum]:
    """Return what a file named like a sidecar says: digests by the file's name.

    Raises:
        OSError: it can't be read.

    """
    content = small(path) or b""
    lines = [parsed(line, algorithm) for line in content.split(b"\n")]
    if found := {one.name: one.checksum for one in lines if one}:
        return found
    names = [name for name, meant in subjects(os.path.basename(path)) if meant == algorithm]
    digests = ((name, digest_in(content, algorithm, name)) for name in names)
    return {name: digest for name, digest in digests if digest is not None}

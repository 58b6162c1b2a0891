"""The line inside the copy: `scan.txt:checksum` on NTFS, `user.checksum` elsewhere.

It is written to the part, before that is marked: neither NTFS nor extended attributes let an
ordinary user write one on a read-only file. Where a destination loses streams, which one written
on the destination itself tells, sidecars take their place, and that is said.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from watcher.checksums.algorithms import usual
from watcher.checksums.entry import Entry, Warn
from watcher.checksums.lines import parsed, written
from watcher.checksums.sidecar import Sidecar
from watcher.model import ArchivePath, Checksum
from watcher.platform import system

STREAM = "checksum"
STREAMLESS = "set checksums.record to sidecar or manifest, or use a volume with streams"
"""What to do where streams don't survive."""
_TRIAL = b"a trial of streams\n"


def stream_name(algorithm: str, first: str) -> str:
    """Return the stream of an algorithm: the one that counts has the plain name."""
    return STREAM if algorithm == first else f"{STREAM}.{algorithm}"


class Stream:
    """The streams at one destination; sidecars where there are none."""

    def __init__(self, algorithms: Sequence[str], part: Callable[[], str], warn: Warn) -> None:
        """Make it ready.

        Args:
            algorithms: whose digests are recorded, each in a stream of its own.
            part: makes the name of a temporary file of ours.
            warn: told once for each place that has no streams.

        """
        self._algorithms = tuple(algorithms)
        self._part = part
        self._warn = warn
        self._sidecar = Sidecar(algorithms, part)
        self._lock = threading.Lock()
        self._works: dict[str, bool] = {}

    def reserves(self, place: ArchivePath) -> bool:
        """Reserve nothing."""
        return False

    def attach(
        self, part: str, places: Iterable[ArchivePath], checksums: Sequence[Checksum]
    ) -> ArchivePath | None:
        """Write the lines into a copy that is not published yet.

        Returns:
            The place whose name the copy holds now, so that it must be published there.

        Raises:
            OSError: the destination's fault.

        """
        place = next((one for one in places if not os.path.lexists(one.path)), None)
        if place is None or not self._survives(place):
            return None
        self._put(part, place, checksums)
        return place

    def write(self, entries: Sequence[Entry]) -> None:
        """See to it that each copy has its lines; where that can't be, a sidecar.

        Raises:
            OSError: the destination's fault; all of it can be written again.

        """
        self._sidecar.write([entry for entry in entries if not self._has_or_gets(entry)])

    def _has_or_gets(self, entry: Entry) -> bool:
        path, mine = entry.place.path, self._mine(entry.checksums)
        if all(self._line(path, one) == one for one in mine):
            return True
        if not entry.may_stand or not self._survives(entry.place):
            return False
        try:
            self._put_on_marked(path, entry)
        except PermissionError:  # somebody else's copy that we adopted
            return False
        return all(self._line(path, one) == one for one in mine)

    def _mine(self, checksums: Sequence[Checksum]) -> list[Checksum]:
        return [one for one in checksums if one.algorithm in self._algorithms]

    def _line(self, path: str, wanted: Checksum) -> Checksum | None:
        return read_stream(path, wanted.algorithm, self._algorithms[0])

    def _put(self, path: str, place: ArchivePath, checksums: Sequence[Checksum]) -> None:
        name = os.path.basename(place.path)
        for one in self._mine(checksums):
            stream = stream_name(one.algorithm, self._algorithms[0])
            system.write_stream(path, stream, written(name, one.digest, one.algorithm))

    def _put_on_marked(self, path: str, entry: Entry) -> None:
        """Lift the mark of an adopted copy for a moment; its content is not touched."""
        before = os.lstat(path)
        os.chmod(path, stat.S_IREAD | stat.S_IWRITE)
        try:
            self._put(path, entry.place, entry.checksums)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            system.mark(path)
        system.flush_file(path)

    def _survives(self, place: ArchivePath) -> bool:
        with self._lock:
            known = self._works.get(place.fixed)
            if known is None:
                known = self._works[place.fixed] = self.survive_in(place.parent)
                if not known:
                    where = system.plain(place.fixed)
                    self._warn(
                        f"streams don't survive at {where}: sidecar files are written instead",
                        STREAMLESS,
                    )
            return known

    def survive_in(self, folder: str) -> bool:
        """Write a file with a stream, mark and rename it; tell whether all of it is still there.

        Raises:
            OSError: the destination's fault.

        """
        first, second = (os.path.join(folder, self._part()) for _ in range(2))
        descriptor, now = system.create_part(first), time.time_ns()
        try:
            try:
                os.write(descriptor, _TRIAL)
                kept = _wrote(first)
            finally:
                system.finish_part(descriptor, first, (now, now))
            system.publish(first, second)
            return kept and system.read_stream(second, STREAM) == _TRIAL and _content(second)
        finally:
            system.remove_part(first)
            system.remove_part(second)


def read_stream(path: str, algorithm: str, first: str) -> Checksum | None:
    """Return the digest that a copy's own stream gives; None if it has none.

    Raises:
        OSError: it can't be read.

    """
    text = system.read_stream(path, stream_name(algorithm, first))
    line = parsed(text, algorithm) if text else None
    return line.checksum if line else None


def own_stream(path: str, first: str) -> Checksum | None:
    """Return the digest that a copy's plain stream gives, whatever its algorithm was.

    Args:
        path: the copy.
        first: the algorithm that counts now; another one is told by the digest's length.

    Raises:
        OSError: it can't be read.

    """
    text = system.read_stream(path, STREAM)
    digits = len((text or b"").removeprefix(b"\\").split(b" ")[0])
    read = (parsed(text, one) for one in (first, usual(digits)) if one) if text else ()
    return next((line.checksum for line in read if line), None)


def _wrote(path: str) -> bool:
    try:
        system.write_stream(path, STREAM, _TRIAL)
    except OSError:
        return False
    return True


def _content(path: str) -> bool:
    """Tell whether the file itself is what was written: one file system mixed them up."""
    descriptor = system.open_for_reading(path)
    try:
        return os.read(descriptor, len(_TRIAL) + 1) == _TRIAL
    finally:
        os.close(descriptor)

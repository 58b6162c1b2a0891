"""One line a file in `checksums.<algorithm>` in the experiment's folder.

Lines are appended in one write for each folder and flushed. Several writers respect each other
by a lock on the manifest itself, which ends with the process that holds it; where there are no
locks, the append still is one write at the end of the file. A line is never there twice: what a
manifest holds is read once, then only what others have added. A digest that isn't true any more
(the copy was removed, and another one took its name) is written over: both have the same length,
so that no line moves, nobody else's line can be lost, and a crash in the middle is mended when
the file, which has no receipt yet, comes again.

A manifest that is another than was remembered (a new life, or somebody edited or deleted it) is
compared with the receipts: what it lacks is written again, and that is said.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from weakref import WeakValueDictionary

from watcher.checksums.algorithms import Hashing
from watcher.checksums.entry import Entry, Warn, logged
from watcher.checksums.lines import is_torn, parsed, written
from watcher.checksums.remembered import Known, Memory, key, lines_from
from watcher.model import ArchivePath, Checksum
from watcher.platform import system
from watcher.platform.locking import locked

_NAMES_IN_MEMORY = 200_000
_TRIES = 3
_BLOCK = 256 << 10
_MODE = 0o666
"""Less the umask: where a group shares an experiment, each of its accounts adds its lines."""
_EXTRA = ("O_BINARY", "O_CLOEXEC", "O_NOINHERIT", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY")
_FLAGS = os.O_RDWR
for _flag in _EXTRA:  # each system has its own of these
    _FLAGS |= getattr(os, _flag, 0)


Recorded = Callable[[str], Iterable[Entry]]
"""Tells what receipts there are of copies in an experiment's folder."""


def nothing_recorded(_folder: str) -> Iterable[Entry]:
    """Tell of no receipts."""
    return ()


class Manifest:
    """The manifests at one destination."""

    def __init__(
        self,
        algorithms: Sequence[str],
        recorded: Recorded = nothing_recorded,
        warn: Warn = logged,
        *,
        names_in_memory: int = _NAMES_IN_MEMORY,
    ) -> None:
        """Begin with nothing remembered.

        Args:
            algorithms: whose digests are recorded, each in a manifest of its own.
            recorded: tells what receipts there are of copies in a folder.
            warn: told when a manifest lacked lines.
            names_in_memory: how many names are remembered, over all manifests; a longer manifest
                is not compared with the receipts.

        """
        self._algorithms = tuple(algorithms)
        self._recorded = recorded
        self._warn = warn
        self._names = {_name(algorithm) for algorithm in algorithms}
        self._memory = Memory(names_in_memory)
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def reserves(self, place: ArchivePath) -> bool:
        """Tell whether a manifest is, or may one day be, called so.

        In any case, for the destination may be a share that doesn't tell cases apart; and in
        any folder, for the folder of one experiment may lie in that of another.
        """
        return os.path.basename(place.relative).casefold() in self._names

    def attach(
        self, part: str, places: Iterable[ArchivePath], checksums: Sequence[Checksum]
    ) -> None:
        """Attach nothing to the copy itself."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Append the lines that are missing and correct those that aren't true, durably.

        Raises:
            OSError: the destination's fault; all of it can be written again.

        """
        wanted: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for entry in entries:
            for one in entry.checksums:
                if one.algorithm in self._algorithms:
                    wanted[entry.place.folder, one.algorithm][entry.place.relative] = one.digest
        for (folder, algorithm), digests in wanted.items():
            known, is_news = self._write(folder, algorithm, digests)
            if is_news:
                self._restore(folder, algorithm, known)

    def restore(self, folder: str) -> int:
        """Write the lines again that a folder's manifests lack, of copies that have receipts.

        Returns:
            How many there were.

        Raises:
            OSError: the destination's fault.

        """
        return sum(
            self._restore(folder, algorithm, self._write(folder, algorithm, {})[0])
            for algorithm in self._algorithms
        )

    def read(self, folder: str, algorithm: str) -> dict[str, Checksum]:
        """Return the checksums by the file's path from the folder; none without a manifest.

        Raises:
            OSError: the destination's fault.

        """
        try:
            descriptor = system.open_for_reading(_path(folder, algorithm))
        except OSError as error:
            if not system.is_absent(error):
                raise
            return {}
        try:
            lines = (parsed(line, algorithm) for _, line in lines_from(descriptor, 0))
            here = os.curdir + os.sep
            return {one.name.removeprefix(here): one.checksum for one in lines if one}
        finally:
            os.close(descriptor)

    def _restore(self, folder: str, algorithm: str, known: Known) -> int:
        lacking = dict(self._lacking(folder, algorithm, known)) if known.is_whole else {}
        if lacking:
            self._write(folder, algorithm, lacking)
            lines = f"{len(lacking)} line{'s' * (len(lacking) != 1)}"
            self._warn(
                f"{lines} that {system.plain(_path(folder, algorithm))} lacked, or that were"
                " wrong there, are written again from the receipts",
                "nothing is lost; somebody edited or deleted it, or an old copy of it was put back",
            )
        return len(lacking)

    def _lacking(self, folder: str, algorithm: str, known: Known) -> Iterator[tuple[str, str]]:
        """Compare with the receipts; where a line says something else, the copy itself decides."""
        for entry in self._recorded(folder):
            for one in entry.checksums:
                if one.algorithm != algorithm:
                    continue
                is_right = known.states(key(entry.place.relative), one.digest)
                is_missing = is_right is None and os.path.lexists(entry.place.path)
                if is_missing or (is_right is False and _is(entry.place.path, one)):
                    yield entry.place.relative, one.digest

    def _write(self, folder: str, algorithm: str, digests: dict[str, str]) -> tuple[Known, bool]:
        """Write the lines of one manifest.

        Returns:
            What it holds now, and whether it was another than was remembered.

        """
        path = _path(folder, algorithm)
        names = {key(name): name for name in digests}
        with self._lock_of(path), _held(path) as (descriptor, is_alone):
            known = self._memory.taken(path, algorithm, descriptor)
            is_news = len(known) == 0
            rest = known.read_on(descriptor, names)
            begin = _mended(descriptor, rest, folder, algorithm, is_alone=is_alone)
            if begin:
                known.add(rest + begin)
            states = {name: known.states(name, digests[names[name]]) for name in names}
            stale = {name: digests[names[name]] for name in names if states[name] is False}
            if stale:
                _overwrite(path, algorithm, stale)
                known.corrected(descriptor, stale)
            fresh = [(k, n) for k, n in names.items() if states[k] is None]
            lines = [written(n, digests[n], algorithm) for _, n in fresh]
            _append(descriptor, begin + b"".join(lines), is_alone=is_alone)
            for (name, n), line in zip(fresh, lines, strict=True):
                known.append(line, name, digests[n])
            if is_news:
                system.flush_folder(folder)
            self._memory.keep(path, known)
            return known, is_news

    def _lock_of(self, path: str) -> threading.Lock:
        """Return the one lock for a manifest; it lives as long as somebody uses it."""
        with self._guard:
            return self._locks.setdefault(path, threading.Lock())


def _name(algorithm: str) -> str:
    return f"checksums.{algorithm}"


def _path(folder: str, algorithm: str) -> str:
    return os.path.join(folder, _name(algorithm))


@contextlib.contextmanager
def _held(path: str) -> Iterator[tuple[int, bool]]:
    """Open a manifest, begun where it is missing, and lock it.

    Yields:
        The descriptor, and whether the lock was to be had.

    """
    with contextlib.ExitStack() as stack:
        for attempt in range(_TRIES):
            descriptor = os.open(path, _FLAGS | os.O_APPEND | os.O_CREAT, _MODE)
            stack.callback(os.close, descriptor)
            _refuse_others(descriptor, path)
            is_alone = stack.enter_context(locked(descriptor, path))
            if _still_there(descriptor, path) or attempt == _TRIES - 1:
                break
            stack.close()
        yield descriptor, is_alone


def _refuse_others(descriptor: int, path: str) -> None:
    """Refuse what is no manifest: nothing that is marked, which may be a copy, is written to."""
    stat = os.fstat(descriptor)
    if not system.is_plain_file(stat):
        raise OSError(errno.EINVAL, "is no regular file", path)
    if system.is_marked(stat):
        raise PermissionError(errno.EACCES, "is marked read-only", path)


def _still_there(descriptor: int, path: str) -> bool:
    """Tell whether the path still means this file: it may be gone while the lock is awaited.

    Where the file system makes numbers up this is never so, and the last attempt is taken.
    """
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _mended(descriptor: int, rest: bytes, folder: str, algorithm: str, *, is_alone: bool) -> bytes:
    """Cut a torn line off the end.

    Returns:
        What must stand before the next line: an LF after a line that only lacks that.

    """
    if not rest or not (is_alone and is_torn(rest, algorithm)):
        return b"\n" if rest else b""
    line = parsed(rest, algorithm)
    if line and os.path.lexists(os.path.join(folder, line.name)):
        return b"\n"
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - len(rest))
    return b""


def _overwrite(path: str, algorithm: str, digests: dict[bytes, str]) -> None:
    """Write the true digests over those that stand for these names."""
    descriptor = os.open(path, _FLAGS)
    try:
        for at, digest in list(_places(descriptor, algorithm, digests)):
            os.lseek(descriptor, at, os.SEEK_SET)
            os.write(descriptor, digest.encode("ascii"))
    finally:
        os.close(descriptor)


def _places(
    descriptor: int, algorithm: str, digests: dict[bytes, str]
) -> Iterator[tuple[int, str]]:
    for start, line in lines_from(descriptor, 0):
        read = parsed(line, algorithm)
        if read and (digest := digests.get(key(read.name))):
            yield start + read.at, digest


def _is(path: str, checksum: Checksum) -> bool:
    """Tell whether a copy has this very content; False if it can't be read."""
    hashing = Hashing([checksum.algorithm])
    try:
        descriptor = system.open_for_reading(path)
        try:
            while data := os.read(descriptor, _BLOCK):
                hashing.update(data)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return hashing.checksums() == (checksum,)


def _append(descriptor: int, text: bytes, *, is_alone: bool) -> None:
    """Append in one write and flush; what can't be flushed is taken back, for the next attempt.

    Flushed in any case: lines that were found may be those of a writer that was killed.
    """
    size = os.fstat(descriptor).st_size
    try:
        while text:
            text = text[os.write(descriptor, text) :]
        os.fsync(descriptor)
    except OSError:
        if is_alone:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
        raise

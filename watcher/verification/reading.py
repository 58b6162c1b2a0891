"""Reading copies again: several at once, from the disk and not from what is cached of it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from watcher.checksums import Hashing, is_known
from watcher.model import Checksum
from watcher.platform import system
from watcher.verification.copies import Copy, Finding, State

_CHUNK = 256 << 10
_TOGETHER = 64
_BYTES_TOGETHER = 4 << 20
_AHEAD = 3
"""Groups under way for each thread."""
_GONE = (FileNotFoundError, NotADirectoryError)


class Stopped(Exception):  # noqa: N818 - no error: the way out of a long read
    """It was interrupted."""


class Reader:
    """Reads copies in groups, in a few threads."""

    def __init__(self, threads: int, moved: Callable[[int], None]) -> None:
        """Make it ready.

        Args:
            threads: how many groups are read at a time.
            moved: told of bytes that were read, from any thread; what it raises ends it.

        """
        self._threads = threads
        self._moved = moved
        self._stop = threading.Event()

    def findings(self, copies: Iterable[Copy | Finding]) -> Iterator[list[Finding]]:
        """Yield what the copies are found to be, in groups, in their order.

        What is found without reading goes along with them, so that nobody has to keep it.
        """
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify")
        under_way: deque[Future[list[Finding]]] = deque()
        try:
            for group in _groups(copies):
                under_way.append(pool.submit(self._read, group))
                if len(under_way) > self._threads * _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, group: list[Copy | Finding]) -> list[Finding]:
        """Open all and let the disk begin on all, then read one after the other."""
        opened = [_opened(one) if isinstance(one, Copy) else one for one in group]
        try:
            return [self._finding(one) if isinstance(one, _Opened) else one for one in opened]
        finally:
            for one in opened:
                if isinstance(one, _Opened):
                    os.close(one.descriptor)

    def _finding(self, opened: _Opened) -> Finding:
        copy = opened.copy
        assert copy.checksum is not None, "what nothing is on record of is not read"
        if not is_known(copy.checksum.algorithm):
            why = f"{copy.checksum.algorithm} can't be computed here"
            return Finding(copy, State.UNREADABLE, time.time(), why)
        try:
            found = self._hashed(copy.checksum.algorithm, opened)
        except OSError as error:
            return _unread(copy, error)
        state = State.OK if found == copy.checksum else State.ALTERED
        return Finding(copy, state, time.time(), str(found))

    def _hashed(self, algorithm: str, opened: _Opened) -> Checksum:
        """Ask for one byte more than there should be, so that a small file is read in one go."""
        hashing, size, done = Hashing([algorithm]), min(opened.size, _CHUNK - 1) + 1, 0
        while data := os.read(opened.descriptor, size):
            hashing.update(data)
            done += len(data)
            self._moved(len(data))
            if self._stop.is_set():
                raise Stopped
            if done == opened.size and len(data) < size:
                break
        return hashing.checksums()[0]


class _Opened(NamedTuple):
    copy: Copy
    descriptor: int
    size: int


def _opened(copy: Copy) -> _Opened | Finding:
    """Open a copy and let the disk begin on it."""
    try:
        descriptor = system.open_for_reading(copy.path)
    except OSError as error:
        return _unread(copy, error)
    stat = os.fstat(descriptor)
    if not system.is_plain_file(stat):
        os.close(descriptor)
        return Finding(copy, State.UNREADABLE, time.time(), "is no regular file")
    with contextlib.suppress(OSError):
        system.forget_cached(descriptor)
        system.fetch_early(descriptor)
    return _Opened(copy, descriptor, stat.st_size)


def _unread(copy: Copy, error: OSError) -> Finding:
    if isinstance(error, _GONE):
        return Finding(copy, State.MISSING, time.time())
    return Finding(copy, State.UNREADABLE, time.time(), error.strerror or str(error))


def _groups(copies: Iterable[Copy | Finding]) -> Iterator[list[Copy | Finding]]:
    """Take copies together until they are many, or much."""
    group: list[Copy | Finding] = []
    size = 0
    for one in copies:
        size += one.size or 0 if isinstance(one, Copy) else 0
        group.append(one)
        if len(group) >= _TOGETHER or size >= _BYTES_TOGETHER:
            yield group
            group, size = [], 0
    if group:
        yield group

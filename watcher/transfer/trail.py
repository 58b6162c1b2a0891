"""Reading a large copy back while it is still being written.

Flushing a file of gigabytes and then reading it again takes twice as long as either. The disk and
a second core can do the one during the other: behind the thread that writes, one waits until the
disk has what was written, and behind that one another reads it again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from watcher.checksums import READ_BACK, Hashing
from watcher.model import Checksum
from watcher.platform import system
from watcher.transfer.source import CHUNK, Moved

WINDOW = 16 << 20
"""Bytes that are waited for together."""


class Trail:
    """Follows the writing of one part in two threads of its own."""

    def __init__(self, part: str, moved: Moved) -> None:
        """Open the part for reading.

        Args:
            part: the copy under its temporary name; it is being written.
            moved: told that it moves.

        Raises:
            OSError: it can't be read.

        """
        self._hashing = Hashing([READ_BACK])
        self._moved = moved
        self._descriptor = system.open_for_reading(part)
        self._changed = threading.Condition()
        self._written = self._flushed = self._read = 0
        self._is_whole = False
        self._is_ended = False
        self._error: OSError | None = None
        self._threads: list[threading.Thread] = []
        try:
            for body in (self._flush_on, self._read_on):
                thread = threading.Thread(target=body, name="trail", daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:  # there are no more; it is tried again, and must leave nothing here
            self.end()
            raise

    def written(self, size: int) -> None:
        """Say how many bytes have been written so far."""
        if size - self._written >= WINDOW:
            with self._changed:
                self._written = size
                self._changed.notify_all()

    def seal(self) -> Checksum:
        """Say that the part is whole and flushed; wait until all of it has been read.

        Returns:
            What was read, by `READ_BACK`.

        Raises:
            OSError: it can't be read.

        """
        with self._changed:
            self._is_whole = True
            self._changed.notify_all()
        self._join()
        if self._error is not None:
            raise self._error
        return self._hashing.checksums()[0]

    def end(self) -> None:
        """Let go of the part, read or not; waits for what is under way."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _flush_on(self) -> None:
        """Wait for the disk to have what was written: the body of a thread."""
        while (end := self._next(lambda: self._written, self._flushed)) is not None:
            system.flush_range(self._descriptor, self._flushed, end - self._flushed)
            with self._changed:
                self._flushed = end
                self._changed.notify_all()

    def _read_on(self) -> None:
        """Read what the disk has, then, when the whole part was flushed, the rest: another's."""
        try:
            while (end := self._next(lambda: self._flushed, self._read)) is not None:
                self._take(end)
            self._threads[0].join()
            system.forget_cached(self._descriptor)
            while not self._is_ended and self._take(self._read + CHUNK):
                pass
        except OSError as error:
            self._error = error

    def _next(self, ahead: Callable[[], int], done: int) -> int | None:
        """Wait until those ahead are further; None when the part is whole, or given up."""
        with self._changed:
            self._changed.wait_for(lambda: ahead() > done or self._is_whole or self._is_ended)
            return None if self._is_whole or self._is_ended else ahead()

    def _take(self, end: int) -> int:
        """Read and hash on to there; tells how many bytes there were."""
        begin = self._read
        while self._read < end and not self._is_ended:
            data = os.read(self._descriptor, min(end - self._read, CHUNK))
            if not data:
                break
            self._hashing.update(data)
            self._read += len(data)
            self._moved(0)
        return self._read - begin

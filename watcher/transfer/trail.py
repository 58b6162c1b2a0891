"""Reading a large copy back while it is still being written, a window behind.

Flushing a file of gigabytes and then reading it again takes twice as long as either; the disk and
a second core can do the one during the other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from watcher.checksums import Hashing
from watcher.model import Checksum
from watcher.platform import system
from watcher.transfer.source import CHUNK, Moved

WINDOW = 32 << 20
"""Bytes that are waited for and read together."""


class Trail:
    """Follows the writing of one part in a thread of its own."""

    def __init__(self, part: str, algorithms: Sequence[str], moved: Moved) -> None:
        """Open the part for reading.

        Args:
            part: the copy under its temporary name; it is being written.
            algorithms: what is computed of it.
            moved: told that it moves.

        Raises:
            OSError: it can't be read.

        """
        self._hashing = Hashing(algorithms)
        self._moved = moved
        self._descriptor = system.open_for_reading(part)
        self._changed = threading.Condition()
        self._written = 0
        self._is_whole = False
        self._is_ended = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="trail", daemon=True)
        self._thread.start()

    def written(self, size: int) -> None:
        """Say how many bytes have been written so far."""
        if size - self._written >= WINDOW:
            with self._changed:
                self._written = size
                self._changed.notify()

    def checksums(self) -> tuple[Checksum, ...]:
        """Say that the part is whole and flushed; wait until all of it has been read.

        Raises:
            OSError: it can't be read.

        """
        with self._changed:
            self._is_whole = True
            self._changed.notify()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._hashing.checksums()

    def end(self) -> None:
        """Let go of the part, read or not; waits for a read that is under way."""
        with self._changed:
            self._is_ended = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        at = 0
        try:
            while (end := self._next(at)) is not None:
                system.flush_range(self._descriptor, at, end - at)
                at += self._read(end - at)
            system.forget_cached(self._descriptor)
            while not self._is_ended and self._read(CHUNK):
                pass
        except OSError as error:
            self._error = error
        finally:
            os.close(self._descriptor)

    def _next(self, at: int) -> int | None:
        """Wait for the end of the next window; None if there is none, since the part is whole."""
        with self._changed:
            self._changed.wait_for(lambda: self._written > at or self._is_whole or self._is_ended)
            return None if self._is_whole or self._is_ended else self._written

    def _read(self, size: int) -> int:
        left = size
        while left and not self._is_ended and (data := os.read(self._descriptor, min(left, CHUNK))):
            self._hashing.update(data)
            self._moved(0)
            left -= len(data)
        return size - left

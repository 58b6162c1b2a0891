"""Taking turns: threads that switch at each call to the system cost more than they gain."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

FEW = 8
"""Files that are dealt with before others notice."""
PATIENCE = 0.1
"""Seconds that anybody waits for the one whose turn it is: twice what a full batch takes for its
longest turn where disks are quick."""


class Turn:
    """A courtesy among the threads that move small files, never a lock.

    All of them are held up by the one interpreter far more often than by disks. Who has the turn
    works on undisturbed; who has it for long (the share is slow, or hangs) is not waited for.
    """

    def __init__(self) -> None:
        """Begin with nobody's turn."""
        self._lock = threading.Lock()
        self._since = 0.0

    @contextlib.contextmanager
    def taken(self, files: int) -> Iterator[None]:
        """Take the turn for so many files, or go on without it if somebody has it for long.

        Few go on at once: a file that was just finished is not behind all those of a backlog.
        """
        if files <= FEW:
            yield
            return
        patience = self._since + PATIENCE - time.monotonic() if self._lock.locked() else PATIENCE
        is_mine = self._lock.acquire(timeout=max(0.0, patience))
        if is_mine:
            self._since = time.monotonic()
        try:
            yield
        finally:
            if is_mine:
                self._lock.release()

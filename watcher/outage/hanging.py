"""What may hang is done in a thread of its own; who waits for it can be asked to end, and does.

A call to a dead share can't be interrupted, not by Ctrl-C either: it can only be left alone.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from watcher.errors import WatcherError

T = TypeVar("T")

_AHEAD = 4
"""Results that may wait for whoever takes them."""
_SLICE = 0.5
"""How long Ctrl-C may go unnoticed on Windows, where a wait can't be interrupted."""
_LET_GO = 2.0
"""Seconds that work has to end when nobody waits for more of it."""


class Hangs(WatcherError):  # noqa: N818 - a state
    """Something gave no answer in time."""


class Abandoned(Exception):  # noqa: N818 - no error: the way out of long work
    """Nobody waits for it any more."""


def within(seconds: float, action: Callable[[], T]) -> T:
    """Do something in a thread of its own and wait for it.

    Raises:
        Hangs: it took longer than `seconds`; the thread is left behind.

    """
    (answer,) = Attended[T](seconds).results(action() for _ in range(1))
    return answer


class Attended(Generic[T]):
    """Work in a thread of its own, waited for as long as it moves."""

    def __init__(self, patience: float) -> None:
        """Begin with nothing to do.

        Args:
            patience: seconds without a result and without a move after which it counts as hanging.

        """
        self._patience = patience
        self._moved_at = time.monotonic()
        self._results: queue.Queue[tuple[T] | None] = queue.Queue(_AHEAD)  # None: that was all
        self._error: BaseException | None = None
        self._is_left = False

    def moved(self) -> None:
        """Say, from any thread that works, that it doesn't hang.

        Raises:
            Abandoned: nobody waits for it any more.

        """
        if self._is_left:
            raise Abandoned
        self._moved_at = time.monotonic()

    def results(self, work: Generator[T, None, None]) -> Generator[T, None, None]:
        """Yield what the work yields, or raise what it raises.

        Raises:
            Hangs: it doesn't move any more; the thread is left behind.

        """
        thread = threading.Thread(target=self._do, args=(work,), name="attended", daemon=True)
        thread.start()
        patience = _LET_GO
        try:
            while (result := self._next()) is not None:
                yield result[0]
            if self._error:
                raise self._error
        except Hangs:
            patience = 0.0
            raise
        finally:
            self._is_left = True
            thread.join(patience)

    def _next(self) -> tuple[T] | None:
        began = time.monotonic()
        while (left := max(began, self._moved_at) + self._patience - time.monotonic()) > 0.0:
            with contextlib.suppress(queue.Empty):
                return self._results.get(timeout=min(left, _SLICE))
        raise Hangs(
            f"no answer for {self._patience:.0f} s", mend="check the network and the server"
        )

    def _do(self, work: Generator[T, None, None]) -> None:
        try:
            with contextlib.closing(work):
                for result in work:
                    self._put((result,))
        except BaseException as error:  # noqa: BLE001 - passed on to who waits
            self._error = error
        with contextlib.suppress(Abandoned):
            self._put(None)

    def _put(self, result: tuple[T] | None) -> None:
        while True:
            self.moved()
            with contextlib.suppress(queue.Full):
                return self._results.put(result, timeout=_SLICE)

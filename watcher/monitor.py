"""Looks how everything is: soon after something happened, rarely while nothing does."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)
TICK = 0.5
"""Seconds between two looks while something goes on."""
REST = 5.0
"""Seconds between two looks while nothing does, and between two of the rare ones."""

Look = Callable[[], bool]
"""Looks, and tells whether there is something to be looked at again soon."""


class Monitor:
    """The thread in which everybody looks at his own."""

    def __init__(
        self, looks: Sequence[Look], rare: Sequence[Callable[[], None]], stop: threading.Event
    ) -> None:
        """Make it ready.

        Args:
            looks: called one after the other.
            rare: called first, but seldom: for what tells nobody when it changes.
            stop: ends it, if it is woken then.

        """
        self._looks = tuple(looks)
        self._rare = tuple(rare)
        self._stop = stop
        self._happened = threading.Event()
        self._next_rare = -math.inf

    def wake(self, _news: object = None) -> None:
        """Look soon: something happened. Never waits."""
        if not self._happened.is_set():
            self._happened.set()

    def run(self) -> None:
        """Look until stopped: the body of a thread."""
        while not self._stop.wait(TICK):
            self._happened.clear()
            if not self._look():
                self._happened.wait(REST - TICK)

    def _look(self) -> bool:
        """Look everywhere; what goes wrong in one place keeps nobody from the others (R11)."""
        now = time.monotonic()
        if now >= self._next_rare:
            self._next_rare = now + REST
            for look in self._rare:
                self._surviving(look)
        wanted = [self._surviving(look) for look in self._looks]
        return any(wanted)

    def _surviving(self, look: Callable[[], object]) -> bool:
        try:
            return bool(look())
        except Exception:
            logger.exception("unexpected error while looking how everything is; it goes on")
            return True

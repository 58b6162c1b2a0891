"""Which cycle it is at a destination, asked without waiting for a share that hangs."""

from __future__ import annotations

import logging
import threading

from watcher.reach import Reach

logger = logging.getLogger(__name__)
_PATIENCE = 0.5
"""Seconds to wait for a share to tell its cycle before the last known one applies."""


class CycleReader:
    """Reads the cycle of one destination in a thread of its own, since the share may hang."""

    def __init__(self, reach: Reach) -> None:
        """Start the thread, which ends when it is closed and the share doesn't hang."""
        self._reach = reach
        self._changed = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._is_late = False
        self._is_closed = False
        self.thread = threading.Thread(target=self._run, name="cycle", daemon=True)
        self.thread.start()

    def ask(self) -> int:
        """Begin to look, and return the number of the question."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def answer(self, number: int) -> str | None:
        """Return the newest cycle; the last one known if the share doesn't answer at once."""
        with self._changed:
            if not self._is_late:
                done = self._changed.wait_for(
                    lambda: self._is_closed or self._answered >= number, _PATIENCE
                )
                self._is_late = not done
        return next(iter(self._reach.cycles), None)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._asked > self._answered)
                if self._is_closed:
                    return
                number = self._asked
            try:
                self._reach.look_ahead()
            except Exception:  # the lane says what is wrong with the destination
                logger.debug("the cycle can't be read now", exc_info=True)
            with self._changed:
                self._answered = number
                self._is_late = False
                self._changed.notify_all()

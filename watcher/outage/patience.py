"""How to wait between attempts, so that stopping interrupts it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import tenacity
from tenacity.wait import wait_base, wait_exponential, wait_random

from watcher.outage.faults import Fault


class Stopped(Exception):  # noqa: N818 - no error: the way out of a wait
    """The program stops; whoever waits ends at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait between attempts: exponentially, with jitter, interrupted by stopping."""

    initial: float
    """Seconds before the second attempt."""
    maximum: float
    """Seconds between attempts at the most."""
    stop: threading.Event

    _BUSY = 0.05

    def delay(self, attempts: int, fault: Fault) -> float:
        """Return how many seconds to wait after so many attempts at one file."""
        initial = min(self._BUSY, self.initial) if fault is Fault.BUSY else self.initial
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = attempts
        return min(self.maximum, self._waiting(initial)(state))

    def until_it_works(
        self, attempt: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Call `attempt` until it raises nothing any more, not even for a defect of ours (R11).

        Args:
            attempt: what to try.
            failed: told each error.

        Raises:
            Stopped: the program stops.

        """

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                failed(error)

        tenacity.Retrying(
            wait=self._waiting(self.initial),
            sleep=self._sleep,
            retry=tenacity.retry_if_exception_type(Exception),
            before_sleep=tell,
        )(attempt)

    def _waiting(self, initial: float) -> wait_base:
        return wait_exponential(multiplier=initial, max=self.maximum) + wait_random(0, initial)

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(min(seconds, self.maximum)):
            raise Stopped

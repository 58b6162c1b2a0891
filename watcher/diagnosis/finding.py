"""What was found, and a patience that ends: a call that hangs is left alone, and said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from watcher.errors import WatcherError

T = TypeVar("T")

CLOCK_OFF = 60.0
"""A clock that is off by more seconds than this is told."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at."""

    what: str
    text: str
    mend: str = ""
    """What to do; empty if there is nothing to do."""


class Hangs(WatcherError):  # noqa: N818 - a state
    """Something gave no answer in time."""


def within(seconds: float, action: Callable[[], T]) -> T:
    """Do something in a thread of its own and wait for it.

    Raises:
        Hangs: it took longer than `seconds`; the thread is left behind.

    """
    results: list[T] = []
    errors: list[BaseException] = []

    def act() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - passed on to who waits
            errors.append(error)

    thread = threading.Thread(target=act, name="doctor", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise Hangs(f"no answer for {seconds:.0f} s", mend="check the network and the server")
    return results[0]

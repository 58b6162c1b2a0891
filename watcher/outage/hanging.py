"""A patience that ends: a call that hangs is left alone, and said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from watcher.errors import WatcherError

T = TypeVar("T")


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

    thread = threading.Thread(target=act, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise Hangs(f"no answer for {seconds:.0f} s", mend="check the network and the server")
    return results[0]

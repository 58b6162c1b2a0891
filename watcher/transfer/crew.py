"""A few threads for what waits for a disk or a share, which take many requests at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CREW = 8
"""Threads at the most: more would only wait for the interpreter."""
_TRIED = 16
"""Items after which it is known how long one takes."""
_LONG = 0.002
"""Seconds of one item from which a crew is worth its threads: it waits for a share's answer."""


def in_turn(action: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Do the same to each item, here; several at a time once it is seen that each takes long.

    Args:
        action: takes next to no time on a disk, but a round trip on a share.
        items: what it is done to.

    Yields:
        What came of each, in order.

    """
    began = time.monotonic()
    for item in items[:_TRIED]:
        yield action(item)
    takes_long = time.monotonic() - began > _TRIED * _LONG
    yield from (at_once if takes_long else map)(action, items[_TRIED:])


def at_once(action: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do the same to each item, several at a time; one item is done here.

    Args:
        action: waits for a disk or a share most of its time.
        items: what it is done to.

    Returns:
        What came of each, in order.

    """
    if len(items) <= 1:
        return [action(item) for item in items]
    crew = min(CREW, len(items))

    def share(first: int) -> list[R]:
        return [action(item) for item in items[first::crew]]

    results: list[R] = [None] * len(items)  # type: ignore[list-item]
    with ThreadPoolExecutor(crew, thread_name_prefix="crew") as pool:
        for first, shared in enumerate(pool.map(share, range(crew))):
            results[first::crew] = shared
    return results

"""A few threads for what waits for a disk or a share, or works without the interpreter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CREW = 8
"""Threads at the most: more would only wait for the interpreter."""
PROCESSORS = min(CREW, os.cpu_count() or 1)
"""Threads for what waits for nothing: more would only change places."""
_TRIED = 16
"""Items after which it is known how long one takes."""
_LONG = 0.002
"""Seconds of one item from which a crew is worth its threads: it waits for a share's answer."""
_QUICK = 150e6
"""Bytes a second that a share with a line of a gigabit doesn't reach, and a processor does that
copies and hashes."""


def in_turn(action: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Do the same to each item, here; several at a time once it is seen that each takes long.

    Args:
        action: takes next to no time on a disk, but a round trip on a share.
        items: what it is done to.

    Yields:
        What came of each, in order.

    """
    began = time.perf_counter()
    for item in items[:_TRIED]:
        yield action(item)
    takes_long = time.perf_counter() - began > _TRIED * _LONG
    yield from at_once(action, items[_TRIED:], CREW if takes_long else 1)


def by_pace(action: Callable[[T], R], items: Sequence[T], size: float) -> Iterator[R]:
    """Do the same to each item, one a processor; more at a time once it is seen that one waits.

    Args:
        action: copies or hashes, mostly without the interpreter.
        items: what it is done to.
        size: bytes of the first; one that fails at once says nothing of the others, and is taken
            for a quick one.

    Yields:
        What came of each, in order.

    """
    began = time.perf_counter()
    for item in items[:1]:
        yield action(item)
    waits = time.perf_counter() - began > size / _QUICK
    yield from at_once(action, items[1:], CREW if waits else PROCESSORS)


def at_once(action: Callable[[T], R], items: Sequence[T], crew: int = CREW) -> list[R]:
    """Do the same to each item, several at a time; one item is done here.

    Args:
        action: waits for a disk or a share most of its time.
        items: what it is done to.
        crew: how many threads at the most.

    Returns:
        What came of each, in order.

    """
    crew = min(crew, len(items))
    if crew <= 1:
        return [action(item) for item in items]

    def share(first: int) -> list[R]:
        return [action(item) for item in items[first::crew]]

    results: list[R] = [None] * len(items)  # type: ignore[list-item]
    with ThreadPoolExecutor(crew, thread_name_prefix="crew") as pool:
        for first, shared in enumerate(pool.map(share, range(crew))):
            results[first::crew] = shared
    return results

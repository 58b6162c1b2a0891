"""A few threads for what waits for a disk or a share, which take many requests at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CREW = 8
"""Threads at the most: more would only wait for the interpreter."""


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

"""How many threads do the same to many files: few where they work, more where they wait."""

from __future__ import annotations

import math
import threading

import pytest

from watcher.transfer import crew

NEVER, AT_ONCE = math.inf, -1.0
"""Bytes of a file that can't be slow, and of one that always is."""


def test_what_waits_for_nothing_gets_a_thread_a_processor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "PROCESSORS", 2)
    together = threading.Barrier(3)

    def meet(number: int) -> bool:
        """Tell whether three were at it."""
        try:
            together.wait(0.2 if number else 0.0)
        except threading.BrokenBarrierError:
            together.reset()
            return False
        return True

    assert not any(crew.by_pace(meet, range(9), NEVER))


def test_R8_what_waits_gets_more_threads_than_there_are_processors(
    monkeypatch: pytest.MonkeyPatch,
):
    """On a share, files are under way together: each waits for answers."""
    monkeypatch.setattr(crew, "PROCESSORS", 1)
    together = threading.Barrier(crew.CREW)

    def meet(number: int) -> int:
        if number:
            together.wait(10.0)  # nobody comes if each waits for the one before
        return number

    count = 1 + crew.CREW
    assert list(crew.by_pace(meet, range(count), AT_ONCE)) == list(range(count))


@pytest.mark.parametrize("workers", [1, 3, crew.CREW])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_results_come_in_the_order_of_the_files(workers: int, count: int):
    assert crew.at_once(str, range(count), workers) == list(map(str, range(count)))
    assert list(crew.by_pace(str, range(count), NEVER)) == list(map(str, range(count)))
    assert list(crew.in_turn(str, range(count))) == list(map(str, range(count)))

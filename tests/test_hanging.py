"""What may hang is waited for as long as it moves, and left alone when it doesn't."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from tests.harness import wait_until
from watcher.outage import Attended, Hangs, within

PATIENCE = 0.2


def test_what_hangs_is_left_alone() -> None:
    """R8"""
    release = threading.Event()
    with pytest.raises(Hangs, match="no answer for"):
        within(0.05, release.wait)
    release.set()
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 / 0)
    assert within(5.0, lambda: 42) == 42


def test_what_moves_does_not_hang_however_long_it_takes() -> None:
    """R8: a slow share is none that hangs."""
    attended, pause = Attended[int](PATIENCE), threading.Event()

    def work() -> Generator[int, None, None]:
        for _ in range(10):
            pause.wait(PATIENCE / 4)
            attended.moved()
        yield 1

    assert list(attended.results(work())) == [1]


def test_whoever_takes_results_slowly_is_not_taken_for_a_share_that_hangs() -> None:
    """R8: as when what is printed is read page by page."""
    taken, pause = [], threading.Event()
    for number in Attended[int](PATIENCE).results(iter_of(20)):
        pause.wait(PATIENCE * 2 if number == 0 else 0.0)
        taken.append(number)
    assert taken == list(range(20))


def iter_of(count: int) -> Generator[int, None, None]:
    yield from range(count)


@pytest.mark.parametrize("move", [True, False])
def test_what_nobody_waits_for_any_more_ends(move: bool) -> None:
    """It goes no further than its next move, or its next result."""
    attended, ended = Attended[int](5.0), threading.Event()

    def work() -> Generator[int, None, None]:
        try:
            yield 1
            while True:
                if move:
                    attended.moved()
                else:
                    yield 2
        finally:
            ended.set()

    results = attended.results(work())
    assert next(results) == 1
    results.close()
    wait_until(ended.is_set, 5.0)

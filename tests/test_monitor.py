"""How often it is looked how everything is: soon while something goes on, rarely while not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.harness import wait_until
from watcher import monitor
from watcher.monitor import Monitor


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "TICK", 0.01)
    monkeypatch.setattr(monitor, "REST", 600.0)


@contextmanager
def running(
    *looks: Callable[[], bool], rare: Callable[[], None] = lambda: None
) -> Iterator[Monitor]:
    stop = threading.Event()
    made = Monitor(looks, [rare], stop)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        made.wake()
        thread.join(10.0)
        assert not thread.is_alive()


def test_it_rests_until_something_happens():
    """Idle is idle: one look, and none after it; news wakes it at once, and so does the end."""
    looked = []
    with running(lambda: bool(looked.append(time.monotonic()))) as watching:
        wait_until(lambda: looked, 5.0)
        for number in range(2, 5):
            count = len(looked)
            threading.Event().wait(0.1)  # ten times as long as it would take if it didn't rest
            assert len(looked) == count
            watching.wake("news")
            wait_until(lambda number=number: len(looked) == number, 5.0)


def test_it_looks_again_while_anybody_wants_to():
    """R8: a call that hangs makes no news; whoever watches it says so."""
    looked = []

    def wants_more() -> bool:
        looked.append(1)
        return len(looked) < 20

    with running(wants_more, lambda: False):
        wait_until(lambda: len(looked) == 20, 5.0)


def test_what_goes_wrong_in_one_place_keeps_nobody_from_the_others(caplog):
    """R11: it is said, and tried again."""
    looked = []

    def fail() -> bool:
        raise ValueError("no")

    with running(fail, lambda: bool(looked.append(1))), caplog.at_level(logging.ERROR):
        wait_until(lambda: len(looked) > 2, 5.0)
    assert "it goes on" in caplog.text


def test_rare_looks_are_rare(monkeypatch: pytest.MonkeyPatch):
    """What tells nobody is looked at in the end, busy or idle, but not each time."""
    rare, often = [], []
    monkeypatch.setattr(monitor, "REST", 0.2)
    with running(lambda: not often.append(1), rare=lambda: rare.append(1)):
        wait_until(lambda: len(rare) > 2, 5.0)
    assert len(often) > 3 * len(rare)
    with running(lambda: False, rare=lambda: rare.append(1)):
        count = len(rare)
        wait_until(lambda: len(rare) > count + 2, 5.0)


def test_R9_news_that_keep_coming_put_no_rare_look_off(monkeypatch: pytest.MonkeyPatch):
    """Whether the observer still watches is looked at by the clock, not once in so many looks."""
    monkeypatch.setattr(monitor, "REST", 0.2)
    rare, often = [], []
    with running(lambda: bool(often.append(1)), rare=lambda: rare.append(1)) as watching:
        wait_until(lambda: watching.wake() or len(rare) > 4, 20.0, every=0.03)
    assert len(often) < 12 * len(rare)

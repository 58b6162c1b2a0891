"""Who moves many small files takes turns; nobody is ever locked out (R8)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.depots import Ground, Store
from tests.faulty import faulty
from watcher.transfer import carry, turn
from watcher.transfer.turn import FEW, Turn

MANY = FEW + 1


@contextmanager
def somebody_at_it(one: Turn) -> Iterator[threading.Event]:
    """Have a thread take the turn until the event that is given is set."""
    has_it, over = threading.Event(), threading.Event()

    def work() -> None:
        with one.taken(MANY):
            has_it.set()
            over.wait(30.0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert has_it.wait(10.0)
        yield over
    finally:
        over.set()
        thread.join()


@contextmanager
def another(one: Turn, files: int) -> Iterator[threading.Event]:
    """Have a thread want the turn; gives what is set once it went on."""
    passed = threading.Event()

    def work() -> None:
        with one.taken(files):
            passed.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield passed


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "PATIENCE", 30.0)


@pytest.mark.usefixtures("endless")
def test_many_wait_for_their_turn():
    one = Turn()
    with somebody_at_it(one) as over, another(one, MANY) as passed:
        assert not passed.wait(0.1)
        over.set()
        assert passed.wait(10.0)


@pytest.mark.usefixtures("endless")
def test_a_file_that_was_just_finished_is_not_behind_a_backlog():
    one = Turn()
    with somebody_at_it(one), another(one, FEW) as passed:
        assert passed.wait(10.0)


def test_R8_who_has_it_for_long_is_not_waited_for():
    one = Turn()
    with somebody_at_it(one):
        for _ in range(3):
            with another(one, MANY) as passed:
                assert passed.wait(10.0)


@pytest.mark.usefixtures("endless")
def test_a_turn_ends_with_an_error_too():
    one = Turn()
    with pytest.raises(ZeroDivisionError), one.taken(MANY):
        raise ZeroDivisionError
    with another(one, MANY) as passed:
        assert passed.wait(10.0)


@pytest.mark.usefixtures("endless")
def test_nobody_has_the_turn_while_the_disk_reads_back(tmp_path: Path):
    ground, store, one = Ground(tmp_path), Store(tmp_path), Turn()
    files = [ground.finished(f"{number}.txt") for number in range(MANY)]
    reading: list[bool] = []

    def moved(_size: int) -> None:
        if calls["fetch_early"] == MANY and not calls["publish"]:
            with another(one, MANY) as passed:  # the first is told of as the last step's last
                reading.append(passed.wait(10.0 if reading else 0.1))

    with faulty() as calls:
        carry([store.transfer(file) for file in files], store.depot, moved, one)
    assert reading[1:] == [True] * MANY

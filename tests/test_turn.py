"""Who moves many small files takes turns; nobody is ever locked out (R8)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.depots import Ground, Store, nothing
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


class Asked(Turn):
    """A turn that remembers for how many files it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[int] = []

    @contextmanager
    def taken(self, files: int) -> Iterator[None]:
        self.files.append(files)
        with super().taken(files):
            yield


@pytest.mark.parametrize(("size", "reading"), [(100, MANY), (64 << 10, 0)])
def test_large_copies_are_read_back_in_nobodys_turn(tmp_path: Path, size: int, reading: int):
    """Others copy while the disk reads; small ones would only take the interpreter from them."""
    ground, store, one = Ground(tmp_path), Store(tmp_path), Asked()
    files = [ground.finished(f"{number}.txt", bytes(size)) for number in range(MANY)]
    carry([store.transfer(file) for file in files], store.depot, nothing, one)
    assert one.files == [MANY, MANY, reading, MANY]

"""What holds for all tests: a thread that a test leaves behind fails it; deep trees are removed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell has it ignored in what it doesn't wait for, and all that is started here would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
_PATIENCE = 5.0
"""Seconds that a thread may need to end after its test."""


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + _PATIENCE
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [t.name for t in set(threading.enumerate()) - before if t.is_alive()]
    assert not left, f"threads left behind: {left}"


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Remove what is too deep for pytest's own clean-up, which would fail a later run."""
    yield tmp_path
    if os.name == "posix":
        _flatten(tmp_path)


def _flatten(top: Path) -> None:
    """Bring folders that are too deep up to the top, so that no path is too long to remove."""
    for number in range(10_000):
        deep = next((f for f, _, _ in os.walk(top) if len(f) > 2000), None)
        if deep is None:
            return
        os.rename(deep, top / f"deep-{number}")

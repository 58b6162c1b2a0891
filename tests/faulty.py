"""The one double of the tests: the real system, with faults at scripted calls."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from watcher.platform import system

Fault = Callable[..., Any]
"""Called in place of an operation: with the real one, then its arguments."""
ALWAYS = 0
"""In a script: whatever call has no fault of its own."""


def fails(number: int) -> Fault:
    """Fail without doing anything."""

    def fault(_real: Fault, *arguments: object) -> None:
        raise OSError(number, os.strerror(number), str(arguments[-1]))

    return fault


def does_but_fails(number: int) -> Fault:
    """Do it, and come back with an error all the same."""

    def fault(real: Fault, *arguments: object) -> None:
        result = real(*arguments)
        if type(result) is int:  # a descriptor that nobody gets to see
            os.close(result)
        raise OSError(number, os.strerror(number), str(arguments[-1]))

    return fault


def before(action: Callable[[], object]) -> Fault:
    """Let something else happen, then do it."""

    def fault(real: Fault, *arguments: object) -> Any:
        action()
        return real(*arguments)

    return fault


def after(action: Callable[..., object]) -> Fault:
    """Do it, then let something happen to what it was done to."""

    def fault(real: Fault, *arguments: object) -> Any:
        result = real(*arguments)
        action(*arguments)
        return result

    return fault


def flip_a_bit(path: str) -> None:
    """Damage one bit of a file, and nothing else about it."""
    stat = os.stat(path)
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.chmod(path, stat.st_mode & 0o777)


class _Faulty:
    def __init__(self, script: Mapping[str, Mapping[int, Fault]]) -> None:
        self._script = script
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        real = getattr(system, name)
        if not callable(real):
            return real

        def call(*arguments: object, **keywords: object) -> Any:
            self.calls[name] += 1
            faults = self._script.get(name, {})
            fault = faults.get(self.calls[name], faults.get(ALWAYS))
            done = functools.partial(real, **keywords)
            return fault(done, *arguments) if fault else done(*arguments)

        return call


@contextlib.contextmanager
def faulty(**script: Mapping[int, Fault]) -> Iterator[Counter[str]]:
    """Have all rooms but the platform's own use a system with faults.

    Args:
        script: for each operation, which of its calls (from 1 on) has which fault.

    Yields:
        How often each operation was called.

    """
    double = _Faulty(script)
    rooms = [
        module
        for name, module in sys.modules.items()
        if name.startswith("watcher.")
        and vars(module).get("system") is system
        and not name.startswith("watcher.platform")
    ]
    for room in rooms:
        room.system = double  # type: ignore[attr-defined]
    try:
        yield double.calls
    finally:
        for room in rooms:
            room.system = system  # type: ignore[attr-defined]

"""The end of a console: Ctrl-C, Ctrl-Break, its window closed, logging off, shutting down.

Python's own signal handlers never run in the last three: the system ends the process about five
seconds after it has told the handler here, in a thread of its own, or as soon as that returns.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from ctypes import wintypes

assert sys.platform == "win32"

REASONS = {
    0: "Ctrl-C",
    1: "Ctrl-Break",
    2: "the console was closed",
    5: "the user logs off",
    6: "the computer shuts down",
}
_IS_LAST = 2
"""From this event on the process is ended when the handler returns."""
_GRACE = 4.0
"""Seconds to wait for a clean end; the system waits for five."""

Routine = Callable[[int], bool]

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_HANDLER = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
_kernel32.SetConsoleCtrlHandler.restype = wintypes.BOOL
_kernel32.SetConsoleCtrlHandler.argtypes = (_HANDLER, wintypes.BOOL)


def routine_for(asked: Callable[[str], None], ended: threading.Event) -> Routine:
    """Return what the system is to call with the number of an event; it says whether it did."""

    def routine(event: int) -> bool:
        if event not in REASONS:
            return False
        asked(REASONS[event])
        if event >= _IS_LAST:
            ended.wait(_GRACE)
        return True

    return routine


@contextlib.contextmanager
def console_watched(asked: Callable[[str], None]) -> Iterator[None]:
    """Let the console ask for an end, and its end wait until this context is left."""
    ended = threading.Event()
    handler = _HANDLER(routine_for(asked, ended))
    is_set = _kernel32.SetConsoleCtrlHandler(handler, True)
    try:
        yield
    finally:
        ended.set()
        if is_set:
            _kernel32.SetConsoleCtrlHandler(handler, False)

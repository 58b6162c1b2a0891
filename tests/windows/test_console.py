"""What a console does to a program: Ctrl-C, its window closed, text that nobody lets through."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("can only hold on Windows", allow_module_level=True)

from tests.harness import Instrument
from tests.platforms import wine_excuses
from tests.rules.evidence import SCANS, assert_exact, leftovers, said

CLOSE_THE_WINDOW = """
import ctypes, sys
kernel32, user32 = ctypes.WinDLL("kernel32"), ctypes.WinDLL("user32")
kernel32.GetConsoleWindow.restype = ctypes.c_void_p
user32.PostMessageW.argtypes = (ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_ssize_t)
kernel32.FreeConsole()
kernel32.AttachConsole(int(sys.argv[1]))
window = kernel32.GetConsoleWindow()
kernel32.FreeConsole()
user32.PostMessageW(window, 0x10, 0, 0)
"""
LARGE = 128 << 20


@pytest.fixture
def instrument(tmp_path: Path) -> Iterator[Instrument]:
    with Instrument(tmp_path) as instrument:
        yield instrument


def close_window(instrument: Instrument) -> None:
    """Do what a click on the cross does, and wait for the end."""
    assert instrument.watcher
    process = instrument.watcher.process
    command = [sys.executable, "-c", CLOSE_THE_WINDOW, str(process.pid)]
    subprocess.run(command, stdin=subprocess.PIPE, check=True)
    process.wait(15)
    instrument.kill()  # for its pipes


def test_ctrl_c_is_a_clean_end(instrument: Instrument) -> None:
    instrument.start()
    assert instrument.stop() == 0
    assert said(instrument, "Ctrl-C")()


@wine_excuses("ends a program whose window is closed without calling its handler")
def test_closing_the_window_is_a_clean_end(instrument: Instrument) -> None:
    instrument.start()
    close_window(instrument)
    assert said(instrument, "the console was closed")()


def test_closing_the_window_in_a_large_copy_loses_nothing(instrument: Instrument) -> None:
    """R5: however little time there was, the next start ends what was begun."""
    instrument.start()
    content = os.urandom(1 << 20) * (LARGE >> 20)
    path = instrument.finish(f"RB1/{SCANS}/large.nxs", content)
    folder = instrument.archive / "RB1"
    instrument.wait_until(lambda: any(folder.glob(".watcher-*.part")))
    close_window(instrument)
    assert path.exists()
    instrument.start()
    instrument.wait_until(lambda: not instrument.sources())
    assert_exact(folder, {"large.nxs": content})
    assert leftovers(instrument) == []


def test_a_console_that_takes_no_more_text_holds_up_nobody(instrument: Instrument) -> None:
    """R8: as when somebody clicks into the window (QuickEdit), here a pipe that nobody reads."""
    command = instrument.command("run", "--headless")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(
        command, env=instrument.environment(), cwd=instrument.folder, **pipes
    ) as process:
        names = [f"{number:0150}.txt" for number in range(300)]
        for name in names:
            instrument.finish(f"RB1/{SCANS}/{name}", b"1")
        instrument.wait_until(lambda: not instrument.sources(), 120)
        assert_exact(instrument.archive / "RB1", dict.fromkeys(names, b"1"))
        process.kill()

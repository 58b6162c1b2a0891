"""What a log-on starts: the shortcut in the Startup folder, as the desktop would start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("can only hold on Windows", allow_module_level=True)

import signal

from tests.harness import IS_WINE, Instrument, wait_until
from tests.platforms import wine_excuses
from tests.rules.evidence import SCANS, assert_exact
from watcher import startup

KEPT = ("APPDATA", "PROGRAMDATA")


@pytest.fixture
def instrument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instrument]:
    """Two words in its path; whatever was started for it is ended."""
    for name in KEPT:
        monkeypatch.setenv(name, str(tmp_path / "home"))
    with Instrument(tmp_path / "an instrument") as instrument:
        yield instrument
        if pid := instrument.status()["pid"]:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not instrument.status()["running"])


@pytest.mark.parametrize("whose", [[], ["--all-users"]], ids=["own", "all users"])
def test_the_shortcut_starts_it_and_status_finds_it(
    instrument: Instrument, whose: list[str]
) -> None:
    """Started as a click on it does: minimised, headless, from whatever folder."""
    assert instrument.run("startup", "install", *whose).returncode == 0
    open_shortcut(instrument, startup.kind().path(bool(whose)))
    instrument.wait_until(lambda: instrument.status()["running"], 60)
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.wait_until(lambda: not instrument.sources())
    assert_exact(instrument.archive / "RB1", {"scan.txt": b"1 2 3\n"})


def test_at_a_second_log_on_it_ends_quietly_with_3(instrument: Instrument) -> None:
    """With one state folder for all users, the first one's watcher goes on."""
    assert instrument.run("startup", "install", "--all-users").returncode == 0
    path = startup.kind().path(True)
    open_shortcut(instrument, path)
    first = instrument.wait_until(lambda: instrument.status()["pid"], 60)
    command = startup.kind().read(path)
    second = subprocess.run(
        [command.program, *command.arguments],
        cwd=command.folder,
        env=instrument.environment(),
        stdin=subprocess.PIPE,
        check=False,
    )
    assert second.returncode == 3
    assert instrument.status()["pid"] == first


@pytest.mark.skipif(not IS_WINE, reason="nobody can log on from here")
def test_a_log_on_starts_it(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Startup folder of this very user."""
    monkeypatch.undo()
    assert instrument.run("startup", "install").returncode == 0
    try:
        log_on(instrument)
        instrument.wait_until(lambda: instrument.status()["running"], 60)
    finally:
        startup.remove(False)


@pytest.mark.parametrize(
    "top",
    [
        pytest.param("C:", id="drive"),
        pytest.param(
            r"\\localhost\C$",
            id="share",
            marks=wine_excuses("its desktop opens no shortcut to a share"),
        ),
    ],
)
def test_a_program_below_any_folder_is_started(instrument: Instrument, top: str) -> None:
    """R13: the desktop finds it by its name in UTF-16."""
    folder = instrument.folder / "Jürgen 日本"
    folder.mkdir()
    program = shutil.copy(os.environ["COMSPEC"], folder / "a program.exe")
    here = top + str(program)[2:]
    if not str(program).startswith("C:") or not os.path.exists(here):
        pytest.skip(f"{here} can't be reached from here")
    source, copy = folder / "a.txt", folder / "b.txt"
    source.touch()
    path = startup.kind().path(False)
    wanted = startup.Command(here, ("/c", "copy", "a.txt", "b.txt"), str(folder))
    assert startup.install(wanted, False)
    open_shortcut(instrument, path)
    wait_until(copy.exists)


def log_on(instrument: Instrument) -> None:
    """Do what Wine does when a session begins: it starts what lies in the Startup folder."""
    environment = instrument.environment()
    subprocess.run(["wineboot"], env=environment, stdin=subprocess.PIPE, check=True)


def open_shortcut(instrument: Instrument, path: str) -> None:
    """Open it as the desktop does."""
    command = ["cmd", "/c", "start", "", path]
    subprocess.run(command, env=instrument.environment(), stdin=subprocess.PIPE, check=True)

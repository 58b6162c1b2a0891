"""The one file that `make dist` builds, run by this system's Python as it would be elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import watcher
from tests.harness import PROJECT, Instrument
from tests.rules.evidence import SCANS, assert_exact
from watcher import startup

RUN = ("run", "--headless", "--config")
ALONE = [sys.executable, "-I", "-S"]
"""This Python without what is installed for it."""
FILE = PROJECT / "dist" / "watcher.pyz"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="`make dist` has not built it")


class Single(Instrument):
    """An instrument that has nothing but Python and the file, in a folder of its own."""

    def command(self, *arguments: str) -> list[str]:
        """Start the file."""
        return [*ALONE, str(FILE), *arguments, "--config", str(self.config_file)]

    def environment(self) -> dict[str, str]:
        """Let it unpack itself where it leaves no trace."""
        return super().environment() | {"SHIV_ROOT": str(self.folder / "unpacked")}


def test_it_tells_its_version(tmp_path: Path) -> None:
    instrument = Single(tmp_path)
    told = subprocess.run(
        [*ALONE, str(FILE), "--version"],
        env=instrument.environment(), input="", capture_output=True, text=True, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert told.stdout.split() == ["watcher", watcher.__version__]


def test_it_archives_and_can_be_started_at_log_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One unpacking serves all: a rescan, then the entry that starts this very file."""
    for name in ("XDG_CONFIG_HOME", "APPDATA", "PROGRAMDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    with Single(tmp_path) as instrument:
        instrument.finish(f"RB1/{SCANS}/scan.txt", b"1 2 3\n")
        done = instrument.run("rescan", seconds=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert_exact(instrument.archive / "RB1", {"scan.txt": b"1 2 3\n"})
        assert_exact(instrument.cache / "RB1" / SCANS, {"scan.txt": b"1 2 3\n"})
        assert instrument.run("startup", "install").returncode == 0
        command = startup.read(False)
        assert command
        assert command.arguments == (str(FILE), *RUN, str(instrument.config_file))
        (unpacked,) = (f for f in (tmp_path / "unpacked").iterdir() if f.is_dir())
        assert unpacked.name.startswith("watcher.pyz_")

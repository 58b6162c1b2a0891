"""`watcher doctor`: what could go wrong, each with its mend; `--live` leaves nothing behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import IS_WINE, Instrument, files_below
from tests.platforms import on_posix
from watcher.config import load
from watcher.diagnosis import Found, diagnose, roots
from watcher.trial import live


def to_mend(instrument: Instrument) -> list[Found]:
    return [found for found in diagnose(load(str(instrument.config_file))) if found.mend]


def listed(folder: Path) -> list[str]:
    """Everything below a folder, the temporary files of a moment too."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_all_is_well_and_nothing_stays_behind(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        instrument.cache.mkdir()
        before = listed(tmp_path)
        found = list(diagnose(load(str(instrument.config_file))))
        assert [f for f in found if f.mend and f.what != "free space"] == []
        assert listed(tmp_path) == before
    looked_at = {f.what for f in found}
    assert looked_at >= {
        "configuration", "Python", "clock", "state folder", "ledger", "watcher", "log",
        "data root", "free space", "folders", "open files", "destination archive",
        "destination cache",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"data_roots": ["{tmp}/missing"]}, "data root"),
        ({"log": {"file": "{tmp}/missing/watcher.log"}}, "log"),
        ({"metrics": {"textfile": "{tmp}/missing/watcher.prom"}}, "metrics file"),
        ({"cycle": "cycle_99_9"}, "destination archive"),
        (
            {"destinations": [{"name": "gone", "path": "{tmp}/gone/{experiment}"}]},
            "destination gone",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_mend(
    tmp_path: Path, settings: dict[str, Any], what: str
) -> None:
    with Instrument(tmp_path, **_filled(settings, tmp_path)) as instrument:
        assert what in {found.what for found in to_mend(instrument)}


def _filled(value: Any, tmp_path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _filled(v, tmp_path) for key, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, tmp_path) for v in value]
    return value.replace("{tmp}", str(tmp_path)).replace("/", os.sep)


def test_a_state_folder_that_is_a_file_and_a_broken_ledger_are_told(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        instrument.state.mkdir()
        (instrument.state / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
        assert "ledger" in {found.what for found in to_mend(instrument)}


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Instrument(tmp_path, metrics={"http": address}) as instrument:
            assert "metrics port" in {found.what for found in to_mend(instrument)}


def test_folders_beyond_what_may_be_watched_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "max_user_watches"
    limit.write_text("1\n")
    monkeypatch.setattr(roots, "_WATCHES", str(limit))
    with Instrument(tmp_path / "i") as instrument:
        instrument.finish("RB1/bluesky_scans/deep/er/scan.txt")
        assert "watches" in {found.what for found in to_mend(instrument)}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts a read-only volume")
def test_a_destination_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    """As root every mode is passed by; only a read-only volume says no."""
    with Instrument(tmp_path / "i") as instrument:
        mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(instrument.cycle)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("may not mount here")
        try:
            assert "destination archive" in {found.what for found in to_mend(instrument)}
        finally:
            subprocess.run(["umount", str(instrument.cycle)], check=True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts a volume")
def test_what_tells_a_mount_from_the_bare_folder_is_said(tmp_path: Path) -> None:
    """R2: without a cycle or a marker only the ledger does, also for a watcher that starts anew."""
    with Instrument(tmp_path / "i") as instrument:
        path = str(instrument.share / "{experiment}")
        instrument.configure(destinations=[{"name": "archive", "path": path}])
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(instrument.share)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("may not mount here")
        try:
            assert "only the ledger tells" in instrument.run("doctor").stdout
            assert instrument.run("rescan").returncode == 0
        finally:
            subprocess.run(["umount", str(instrument.share)], check=True)
        assert "a bare folder is where" in (said := instrument.run("doctor").stdout)
        assert "ok    destination archive" not in said
        instrument.share.rename(tmp_path / "away")
        assert "its folder is missing" in (said := instrument.run("doctor").stdout)
        assert "ok    destination archive" not in said
        (tmp_path / "away").rename(instrument.share)
        instrument.finish("RB1/bluesky_scans/scan.txt")
        assert instrument.run("rescan").returncode == 1
        assert list(instrument.sources()) == ["RB1/bluesky_scans/scan.txt"]
        assert not instrument.archived("RB1", "scan.txt").exists()


NO_ROOM = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from watcher.cli import main
main()
"""
"""Runs the command where nothing more can be written to any file, as on full disks."""


@on_posix
def test_no_room_for_temporary_files_is_told_and_all_else_is_looked_at(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        _, _, _, *rest = instrument.command("doctor")
        done = subprocess.run(
            [sys.executable, "-c", NO_ROOM, *rest],
            env=instrument.environment(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    lines = done.stdout.splitlines()
    (clock,) = [number for number, line in enumerate(lines) if line.startswith("MEND  clock: ")]
    assert "No usable temporary directory" in lines[clock]
    assert "set TMPDIR" in lines[clock + 1]
    assert "destination cache" in done.stdout, done.stderr
    assert done.returncode == 1


def test_the_command_tells_and_ends_with_what_is_to_mend(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        done = instrument.run("doctor")
        marks = {line[:5] for line in done.stdout.splitlines()[:-1]}
        assert marks <= {"ok   ", "MEND ", "     "}
        assert (done.returncode == 0) is (done.stdout.splitlines()[-1] == "nothing to mend")
        instrument.share.rename(tmp_path / "away")
        done = instrument.run("doctor")
        assert done.returncode == 1
        assert "MEND  destination archive: " in done.stdout
        instrument.configure(workers=0)
        assert instrument.run("doctor").returncode == 2


@pytest.mark.parametrize("settings", [{}, {"after_archiving": "keep"}], ids=["remove", "keep"])
@pytest.mark.parametrize("running", [False, True], ids=["no watcher", "a watcher"])
def test_a_test_file_goes_all_the_way_and_nothing_of_it_stays(
    tmp_path: Path, settings: dict[str, Any], running: bool
) -> None:
    """R1: nothing else in the data root is touched, and finished files wait for a real watcher."""
    with Instrument(tmp_path, **settings) as instrument:
        instrument.cache.mkdir()
        instrument.archive.mkdir(parents=True)
        unfinished = instrument.write("RB1/bluesky_scans/growing.txt")
        waiting = None if running else instrument.finish("RB1/bluesky_scans/scan.txt")
        if running:
            instrument.start()
        before = [listed(instrument.root), listed(instrument.share)]
        steps: list[tuple[int, int]] = []
        config = load(str(instrument.config_file))
        found = list(live(config, lambda done, total: steps.append((done, total))))
        assert [f for f in found if f.mend] == []
        assert [f.text.split(":")[0] for f in found[:2]] == ["archive", "cache"]
        assert ("by the watcher that runs" in found[0].text) is running
        assert [listed(instrument.root), listed(instrument.share)] == before
        assert unfinished.exists()
        assert waiting is None or waiting.exists()
        assert all(0 <= done <= total == 3 for done, total in steps)


def test_a_trial_that_fails_is_told_and_cleaned_up_too(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        instrument.cache.mkdir()
        instrument.archive.parent.mkdir(parents=True)
        instrument.archive.write_bytes(b"a file where a folder should be")
        found = list(live(load(str(instrument.config_file)), lambda _d, _t: None))
        assert [f.what for f in found if f.mend]
        assert not [name for name in files_below(tmp_path) if "watcher-doctor" in name]


def test_where_experiments_are_not_apart_nothing_is_sent(tmp_path: Path) -> None:
    destinations = [{"name": "all", "path": str(tmp_path / "all")}]
    with Instrument(tmp_path / "i", destinations=destinations) as instrument:
        (found,) = live(load(str(instrument.config_file)), lambda _d, _t: None)
        assert "no {experiment}" in found.text
        assert found.mend
        assert listed(instrument.root) == []


@pytest.mark.skipif(IS_WINE, reason="Wine: a command with pipes has no console to draw on")
def test_live_by_command(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        done = instrument.run("doctor", "--live")
        assert "the test file and its folders are gone again" in done.stdout

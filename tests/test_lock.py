"""Whether a watcher runs: told alike by all commands, whatever their account may do."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import scenes
from tests.harness import Instrument
from tests.platforms import humbly, on_posix
from watcher.lock import LOCK_NAME, is_running, locked
from watcher.views import status


def asked(instrument: Instrument, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an account that modes count for."""
    return subprocess.run(
        humbly(instrument.command(*arguments)),
        cwd=instrument.folder,
        env=instrument.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def allowed(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def runs(instrument: Instrument) -> bool:
    """Ask all commands that tell whether one runs; they must agree."""
    told = json.loads(asked(instrument, "status", "--json").stdout)
    path = instrument.root / "RB1" / "bluesky_scans" / "waits.txt"
    answers = {
        told["running"],
        "no watcher runs" not in asked(instrument, "check").stdout,
        "one runs on" in asked(instrument, "doctor").stdout,
        "none runs" not in asked(instrument, "why", str(path)).stdout,
    }
    assert len(answers) == 1
    return answers.pop()


@on_posix
def test_a_dead_watcher_is_dead_for_those_who_may_only_read_its_lock(tmp_path: Path) -> None:
    """The account of a Nagios, or a scientist's, where the watcher has one of its own."""
    with Instrument(tmp_path) as instrument:
        instrument.start()
        instrument.share.rename(tmp_path / "away")
        instrument.finish("RB1/bluesky_scans/waits.txt")
        with allowed(instrument.state / LOCK_NAME, 0o444):
            assert runs(instrument)
            instrument.kill()
            assert not runs(instrument)


@on_posix
def test_where_the_lock_may_not_even_be_read_what_was_said_lately_decides(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        instrument.start()
        instrument.kill()
        said = instrument.state / status.NAME
        with allowed(instrument.state / LOCK_NAME, 0):
            assert json.loads(asked(instrument, "status", "--json").stdout)["running"]
            long_ago = time.time() - 2 * status.HEARTBEAT
            said.write_text(json.dumps(status.status_of(scenes.calm(), long_ago)))
            assert not json.loads(asked(instrument, "status", "--json").stdout)["running"]


def test_those_who_ask_keep_nobody_from_the_lock(tmp_path: Path) -> None:
    state = str(tmp_path)
    assert not is_running(state)
    with locked(state):
        assert is_running(state)
        assert is_running(state)
    assert not is_running(state)
    assert not is_running(str(tmp_path / "missing"))
    assert os.listdir(tmp_path) in ([], [LOCK_NAME])
    with locked(state):
        pass


@on_posix
@pytest.mark.parametrize("command", ["status", "check"])
def test_a_state_folder_that_may_not_be_read_is_said_to_be_that(
    tmp_path: Path, command: str
) -> None:
    """R11: it is not the same as one that no watcher has run on."""
    with Instrument(tmp_path) as instrument:
        instrument.start()
        with allowed(instrument.state, 0):
            done = asked(instrument, command)
            assert "no watcher" not in done.stdout + done.stderr
            assert f"{instrument.state / status.NAME}: what the watcher says" in done.stderr
            assert "Permission denied; run this as the watcher's account, or" in done.stderr
            assert done.returncode == {"status": 2, "check": 3}[command]
            assert ("WATCHER UNKNOWN" in done.stdout) is (command == "check")
            doctor = asked(instrument, "doctor")
            assert "Permission denied" in doctor.stdout
            assert "destination archive" in doctor.stdout

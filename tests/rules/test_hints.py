"""Hints are hints: what they miss, the rescan finds; however much comes, memory stays (R9, R12)."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import IS_WINE, Instrument, wait_until
from tests.rules.evidence import (
    SCANS,
    assert_exact,
    away,
    destination,
    files_of,
    launch,
    log_lines,
    said,
    stopped,
)

INTERVAL = 2.0
TRANSFER = 10.0
"""Seconds that a handful of small files may take on a busy machine."""
DEAF = ["unshare", "--user", "--map-root-user", "sh", "-c"]
DEAFEN = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
"""Takes inotify away from one process and its children; nobody else is touched."""


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path, rescan_interval=f"{INTERVAL:.0f}s") as instrument:
        yield instrument


def can_deafen():
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*DEAF, DEAFEN, "sh", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def test_R9_without_any_hints_all_is_archived_within_one_interval(instrument):
    """R9: where the system has no watches to give, the rescan serves, and that is said loudly."""
    if not can_deafen():
        pytest.skip("hints can be taken from one process on Linux with user namespaces only")
    launch(instrument, *DEAF, DEAFEN, "sh")
    instrument.wait_until(lambda: instrument.status()["running"])
    for round_ in range(3):
        began = time.monotonic()
        for number in range(10):
            instrument.finish(f"RB{round_}/sub/{SCANS}/{number}.txt")
        instrument.wait_until(lambda: not instrument.sources())
        assert time.monotonic() - began < INTERVAL + TRANSFER
    lines = [line for line in log_lines(instrument) if " WARNING " in line or " ERROR " in line]
    stopped(instrument)
    assert any("watch" in line or "hint" in line for line in lines), lines
    assert len(lines) < 6, lines
    expected = {f"{number}.txt": b"1 2 3\n" for number in range(10)}
    assert_exact(instrument.archive / "RB2" / "sub", expected)


def beside(instrument, name, count=20):
    """Make a folder of finished files beside the data root, on its volume."""
    folder = instrument.folder / "beside" / name
    (folder / SCANS).mkdir(parents=True)
    for number in range(count):
        path = folder / SCANS / f"{number}.txt"
        path.write_bytes(b"moved in")
        path.chmod(0o444)
    return folder


def test_R9_a_tree_that_is_moved_in_is_archived_within_one_interval(instrument):
    """R9: whole folders of finished files that were never written here are found as well."""
    instrument.start()
    began = time.monotonic()
    beside(instrument, "RB1").rename(instrument.root / "RB1")
    (instrument.root / "RB2").mkdir()
    beside(instrument, "RB2/deep").rename(instrument.root / "RB2" / "deep")
    instrument.wait_until(lambda: not instrument.sources())
    assert time.monotonic() - began < INTERVAL + TRANSFER
    stopped(instrument)
    expected = {f"{number}.txt": b"moved in" for number in range(20)}
    assert_exact(instrument.archive / "RB1", expected)
    assert_exact(instrument.archive / "RB2" / "deep", expected)


def test_R9_a_data_root_that_appears_later_is_watched(instrument):
    """R9: a root that is missing at the start, or goes and comes back, is no root given up."""
    late = instrument.folder / "Late"
    instrument.configure(data_roots=[str(instrument.root), str(late)], rescan_interval="2s")
    instrument.start()
    beside(instrument, "Late/RB1").parent.rename(late)
    began = time.monotonic()
    instrument.wait_until(lambda: not files_of(late))
    assert time.monotonic() - began < INTERVAL + TRANSFER
    instrument.wait_until(lambda: instrument.status()["archived"] == 20)
    shutil.rmtree(late)
    instrument.wait_until(lambda: not late.exists())  # Windows: once the watcher has let it go
    beside(instrument, "Late/RB2").parent.rename(late)
    instrument.wait_until(lambda: not files_of(late), INTERVAL + TRANSFER)
    instrument.wait_until(lambda: instrument.status()["archived"] == 40)
    stopped(instrument)


def resident(pid: int) -> tuple[float, float]:
    """Return the resident memory of a process, now and at its highest, in megabytes."""
    lines = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return tuple(int(lines[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))


MANY = 2_000 if IS_WINE else 10_000  # each call takes it four times as long


@pytest.mark.timeout(150)
def test_R12_ten_thousand_files_at_once_through_an_outage_in_flat_memory(instrument):
    """R12, R9: all are archived when the archive returns, and memory hardly grows."""
    instrument.configure(rescan_interval="20s")
    watcher = instrument.start()
    instrument.finish(f"RB0/{SCANS}/first.txt")
    instrument.wait_until(lambda: not instrument.sources())
    pid = watcher.process.pid
    figures = {"idle": measured(pid)}
    with away(instrument.share):
        for number in range(MANY):
            instrument.finish(f"RB{number % 20}/{SCANS}/{number}.txt", b"%d" % number)
        instrument.wait_until(lambda: destination(instrument, "archive") == "offline")
        instrument.wait_until(lambda: instrument.status()["backlog"] == MANY)
        figures["waiting"] = measured(pid)
    began = time.monotonic()

    def drained():
        return instrument.status()["archived"] == MANY + 1

    wait_until(drained, 100, lambda: watcher.output[-2000:], every=0.5)  # asking costs CPU time too
    figures["drained"] = measured(pid)
    print(f"drained in {time.monotonic() - began:.1f} s; resident and highest, MB: {figures}")
    instrument.wait_until(said(instrument, "online again"))
    stopped(instrument)
    assert not instrument.sources()
    expected = {f"{n}.txt": b"%d" % n for n in range(3, MANY, 20)}
    assert_exact(instrument.archive / "RB3", expected)
    assert_exact(instrument.cache / "RB3" / SCANS, expected)
    assert sum(len(files) for *_, files in os.walk(instrument.archive)) == MANY + 1 + 20
    if figures["idle"]:
        assert figures["drained"][1] - figures["idle"][0] < 60


def measured(pid):
    """Return the memory of a process where the system tells; nothing elsewhere."""
    return resident(pid) if sys.platform == "linux" else ()

"""Scans by bluesky's own run engine, written by ibex_bluesky_core, taken to where they are safe."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest

from tests.harness import PROJECT, Instrument, files_below, is_marked

pytestmark = pytest.mark.instrument

PROGRAM = PROJECT / "examples" / "simulated_instrument.py"
SCANS = 3
FILES_OF_A_SCAN = 3  # points, fit, plot
DIED = 70


def run_scans(output, *arguments):
    """Run the simulated instrument in its own process; it must need no network and no C: drive."""
    environment = {k: v for k, v in os.environ.items() if k != "IBEX_BLUESKY_CORE_OUTPUT"}
    environment["IBEX_BLUESKY_CORE_LOGS"] = str(output.parent / "producer_logs")
    command = [sys.executable, str(PROGRAM), "--output", str(output), *arguments]
    return subprocess.run(
        command,
        env=environment,
        cwd=output.parent,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Scans with an RB number of which the last dies, and one without."""
    root = tmp_path_factory.mktemp("instrument") / "Data"
    done = run_scans(root, "--scans", str(SCANS), "--rb", "123456", "--die-in-scan")
    assert done.returncode == DIED, done.stderr
    done = run_scans(root, "--scans", "1")
    assert done.returncode == 0, done.stderr
    return root


def stranded_in(files):
    return [name for name in files if "_died" in name]


def test_each_scan_leaves_a_text_a_fit_and_a_plot(data):
    """The producer writes what the watcher is made for, where it is looked for."""
    files = files_below(data)
    folders = {name.rpartition("/")[0] for name in files}
    finished = [name for name in files if name not in stranded_in(files)]
    assert folders == {"RB123456/bluesky_scans", "Unknown RB/bluesky_scans"}
    assert len(finished) == (SCANS + 1) * FILES_OF_A_SCAN
    assert sum(name.endswith(".png") for name in finished) == SCANS + 1
    assert sum(name.endswith("_fit.txt") for name in finished) == SCANS + 1


def test_a_finished_scan_is_marked_and_a_dead_one_is_not(data):
    """R1: the mark tells finished files from unfinished ones, with the real producer too."""
    files = files_below(data)
    (stranded,) = stranded_in(files)
    assert {name for name, path in files.items() if not is_marked(path)} == {stranded}


def test_real_scans_reach_the_archive_and_the_cache(data, tmp_path):
    """R1, R2: what finished is at both places, byte for byte; what didn't is left alone."""
    with Instrument(tmp_path) as instrument:
        instrument.start()
        shutil.copytree(data, instrument.root, dirs_exist_ok=True)  # marks and times go along
        before = {name: looks(path) for name, path in files_below(data).items()}
        (stranded,) = stranded_in(before)
        expected = {n: look for n, look in before.items() if n != stranded}

        instrument.wait_until(lambda: set(instrument.sources()) == {stranded})
        status = instrument.wait_until(lambda: settled(instrument.status()))

        assert status["archived"] == len(expected)
        assert status["running"] is True
        assert (status["failed"], status["conflicts"]) == (0, 0)
        assert looks(instrument.root / stranded) == before[stranded]
        for name, look in expected.items():
            experiment, _, relative = name.split("/")
            assert looks(instrument.archived(experiment, relative)) == look
            assert looks(instrument.cached(experiment, relative)) == look
        assert instrument.stop() == 0
        for folder in manifests(instrument):
            check_with_coreutils(folder)
        assert listed(instrument) == 2 * len(expected)


def test_scans_are_archived_while_the_producer_writes_them(tmp_path):
    """R1, R3: a watcher that sees the text file grow point by point takes it whole, and last."""
    with Instrument(tmp_path) as instrument:
        instrument.start()
        done = run_scans(instrument.root, "--scans", "2", "--rb", "7")
        assert done.returncode == 0, done.stderr
        instrument.wait_until(lambda: not instrument.sources())
        instrument.wait_until(lambda: settled(instrument.status()))

        texts = sorted((instrument.archive / "RB7").glob("*_motor_*.txt"))
        points = [path for path in texts if not path.name.endswith("_fit.txt")]
        assert len(points) == 2
        for path in points:
            header, _, table = path.read_text(encoding="utf-8").partition("\n\n")
            assert "rb_number: 7" in header
            assert len(table.splitlines()) == 6  # the head and five points
        assert instrument.stop() == 0
        for folder in manifests(instrument):
            check_with_coreutils(folder)


def looks(path):
    """What must be the same of a source and its copies."""
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, is_marked(path)


def settled(status):
    return status if status["backlog"] == 0 and status["archived"] > 0 else None


def manifests(instrument):
    """The folders that must hold a manifest: one an experiment, at each destination."""
    places = [*instrument.archive.iterdir(), *instrument.cache.glob("*/bluesky_scans")]
    assert places
    return places


def listed(instrument):
    lines = [(f / "checksums.sha256").read_bytes().splitlines() for f in manifests(instrument)]
    return sum(len(each) for each in lines)


def check_with_coreutils(folder):
    tool = shutil.which("sha256sum") or pytest.skip("sha256sum is not installed")
    done = subprocess.run(
        [tool, "--check", "--strict", "checksums.sha256"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

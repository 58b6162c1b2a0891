"""Hints that get lost: all is archived within one rescan; it is noticed, told and mended (R9)."""

import contextlib
import itertools
import os
import shutil
import signal
import stat
import subprocess
import time

import pytest

from tests.faults import living
from tests.faults.results import tally
from tests.faults.victim import How, Plan
from tests.harness import Instrument, wait_until
from tests.rules.evidence import SCANS, files_of

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs Linux")
INTERVAL = 8.0
"""Seconds between rescans: longer than the observer needs to be mended, to tell the two apart."""
TRANSFER = 10.0
"""Seconds that a handful of files may take on a busy machine."""
QUICK = 2.5
"""Seconds in which what was hinted at is archived, on a busy machine."""
UNSHARE = ("unshare", "--user", "--map-root-user", "sh", "-c")


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path, rescan_interval=f"{INTERVAL:.0f}s") as instrument:
        yield instrument


def limited(limit, value):
    """Take watches from one process and its children; nobody else is touched."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    command = (*UNSHARE, f'echo {value} > /proc/sys/user/{limit} && exec "$@"', "sh")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces")
    return command


def finish_some(instrument, name, count=5):
    for number in range(count):
        instrument.finish(f"{name}/{SCANS}/{number}.txt", f"{name} {number}".encode())


def waits(instrument, *names):
    """Say which files of these experiments are still at the root."""
    return [n for n in instrument.sources() if n.split("/")[0] in names]


def arrive(instrument, *names, rescans=1.0):
    """All files of these experiments are archived within so many rescans."""
    instrument.wait_until(lambda: not waits(instrument, *names), rescans * INTERVAL + TRANSFER)
    for name in names:
        found = files_of(instrument.archive / name)
        assert found.pop("checksums.sha256").count(b"\n") == len(found)
        assert all(content == f"{name} {n[:-4]}".encode() for n, content in found.items())


def assert_hints_work(instrument):
    """Of three files in a row, no more than one can have been found by a rescan."""
    for number in range(3):
        path = instrument.finish(f"RB 9/{SCANS}/hint {number}.txt", b"a hint")
        instrument.wait_until(lambda p=path: not p.exists(), INTERVAL if number == 1 else QUICK)


def tells(instrument, *words):
    """Wait until the log says so; it says it a few times at the most."""
    instrument.wait_until(lambda: living.told(instrument, *words), INTERVAL + TRANSFER)
    lines = living.told(instrument, *words)
    assert len(lines) <= 4, lines


@contextlib.contextmanager
def ending(instrument):
    """End it in order, and count the case."""
    yield
    assert instrument.stop() == 0
    assert "Traceback" not in instrument.watcher.output, instrument.watcher.output
    tally("hints", 1)


def test_R9_the_kernels_queue_overflows_with_20000_files(instrument):
    """R9: more happened while it could not look than the kernel keeps."""
    living.start(instrument)
    with ending(instrument):
        for number in range(20):  # so that their folders are watched
            finish_some(instrument, f"RB{number}", 1)
        arrive(instrument, *(f"RB{number}" for number in range(20)))
        instrument.watcher.process.send_signal(signal.SIGSTOP)
        for number in range(20, 20_020):
            instrument.finish(f"RB{number % 20}/{SCANS}/{number}.txt", b"%d" % number)
        instrument.watcher.process.send_signal(signal.SIGCONT)
        tells(instrument, "more happened at once")

        def archived():
            return living.reported(instrument).get("archived") == 20_020

        wait_until(archived, 240, lambda: instrument.watcher.output[-2000:], every=0.2)
        assert not instrument.sources()
        found = files_of(instrument.archive / "RB7")
        assert len(found) == 1 + 1 + 1000
        assert all(found[f"{n}.txt"] == b"%d" % n for n in range(27, 20_020, 20))
        assert_hints_work(instrument)


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_R9_no_watches_are_left(instrument, limit):
    """R9, R11: it is said with its mend, and the rescan serves."""
    living.start(instrument, before=limited(limit, 12 if "watches" in limit else 0))
    with ending(instrument):
        names = [f"RB{number}" for number in range(20)]
        for name in names:
            finish_some(instrument, name)
        arrive(instrument, *names)
        tells(instrument, "fs.inotify.max_user_")
        finish_some(instrument, "RB30")
        arrive(instrument, "RB30")


def test_R9_a_folder_is_denied(instrument, as_root):
    """R9, R11: what can't be read is told; once it can, its files are missed and found."""
    finish_some(instrument, "RB1")
    folder = instrument.root / "RB1" / SCANS
    subprocess.run(["chown", "-R", "65534:65534", instrument.folder], check=True)
    for parent in instrument.folder.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    folder.chmod(0)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    living.start(instrument, before=nobody, HOME="/nonexistent")
    with ending(instrument):
        instrument.wait_until(lambda: living.told(instrument, "ermission denied"), INTERVAL * 2)
        assert living.told(instrument, str(folder))
        folder.chmod(0o755)
        arrive(instrument, "RB1")
        numbers = itertools.count(10)

        def is_watched():
            began = time.monotonic()
            finish_some(instrument, "RB1", next(numbers))
            arrive(instrument, "RB1")
            return time.monotonic() - began < QUICK

        instrument.wait_until(is_watched, 3 * INTERVAL + TRANSFER)


def test_R9_the_root_is_missing(instrument):
    """R9: it is watched as soon as it appears."""
    away = instrument.folder / "away"
    finish_some(instrument, "RB1")
    instrument.root.rename(away)
    living.start(instrument)
    with ending(instrument):
        tells(instrument, "missing")
        away.rename(instrument.root)
        arrive(instrument, "RB1")
        tells(instrument, "watched again")
        assert_hints_work(instrument)


def test_R9_the_root_is_replaced(instrument):
    """R9: a watch follows the folder, not its name."""
    living.start(instrument)
    with ending(instrument):
        instrument.root.rename(instrument.folder / "old")
        finish_some(instrument, "RB1")
        arrive(instrument, "RB1")
        tells(instrument, "taken the data root's place")
        assert_hints_work(instrument)


def test_R9_the_root_is_unmounted(instrument, as_root):
    """R9: and mounted again; what waits on it is not forgotten for good."""
    disk = ["mount", "-t", "tmpfs", "none", instrument.root]
    kept = instrument.folder / "kept"
    kept.mkdir()
    subprocess.run(disk, check=True)
    try:
        subprocess.run(["mount", "--bind", instrument.root, kept], check=True)
        living.start(instrument)
        with ending(instrument):
            finish_some(instrument, "RB1")
            arrive(instrument, "RB1")
            subprocess.run(["umount", "-l", instrument.root], check=True)
            tells(instrument, "taken the data root's place")
            for number in range(5):
                path = kept / "RB2" / SCANS / f"{number}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"RB2 %d" % number)
                path.chmod(0o444)
            subprocess.run(["mount", "--bind", kept, instrument.root], check=True)
            instrument.wait_until(lambda: not list(kept.glob("RB2/*/*")), INTERVAL + TRANSFER)
            arrive(instrument, "RB2")
            instrument.wait_until(lambda: len(living.told(instrument, "anew")) > 1)
            assert_hints_work(instrument)
    finally:
        instrument.kill()
        for folder in (instrument.root, instrument.root, kept):
            subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def test_R9_the_root_is_a_link_that_is_set_elsewhere(instrument):
    """R9: what it leads to now is watched."""
    real = [instrument.folder / name for name in ("one", "other")]
    instrument.root.rename(real[0])
    real[1].mkdir()
    instrument.root.symlink_to(real[0])
    living.start(instrument)
    with ending(instrument):
        finish_some(instrument, "RB1")
        arrive(instrument, "RB1")
        instrument.root.unlink()
        instrument.root.symlink_to(real[1])
        finish_some(instrument, "RB2")
        arrive(instrument, "RB2")
        tells(instrument, "taken the data root's place")
        assert_hints_work(instrument)


def test_R9_the_reader_dies(instrument, library):
    """R9: what reads from the kernel ends with an error."""
    plan = Plan(How.FAIL_ONCE, 2, 5, frozenset({"read"}), below="anon_inode:inotify")
    living.start(instrument, plan=plan, library=library)
    with ending(instrument):
        for name in ("RB1", "RB2", "RB3"):
            finish_some(instrument, name)
            arrive(instrument, name)
        tells(instrument, "the watch ended")
        trace = instrument.folder.with_suffix(".trace").read_text()
        assert "struck 2 read" in trace
        assert_hints_work(instrument)


@pytest.mark.parametrize("seed", ["a handler that dies", "a thread that is deaf"])
def test_R9_a_thread_of_the_observer_fails(instrument, seed):
    """R9: by its end or by what it misses, not by what it says of itself."""
    living.start(instrument, seed=seed)
    with ending(instrument):
        finish_some(instrument, "RB1")
        arrive(instrument, "RB1")
        tells(instrument, "started anew", "watched anew")
        if seed == "a thread that is deaf":
            instrument.wait_until(lambda: living.reported(instrument)["missed_by_events"] >= 5)
        assert_hints_work(instrument)

"""How long a scan file takes from its mark to its place at the archive, seen from outside."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import Options, Row, percentile
from tests.harness import PATIENCE, Instrument, wait_until

WARM_UP = 5
CALM = 0.02
"""Seconds between a file's end and the next one's mark."""
GLANCE = 0.0002
"""Seconds between two looks at the archive: as exact as it gets without a core of its own."""
READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def measure(options: Options) -> Iterator[Row]:
    """Take marks one by one, ours and the rival's in turn."""
    rival = "inotifywait, cp -p" if shutil.which("inotifywait") else ""
    ours: list[float] = []
    theirs: list[float] = []
    share = -(-options.marks // options.rounds)
    for number in range(options.rounds):
        ours += watcher_marks(options.folder / f"latency{number}", share, options.size)
        if rival:
            theirs += inotifywait_marks(options.folder / f"rival{number}", share, options.size)
    for percent in (50, 99):
        yield Row(
            f"mark to archive, {len(ours)} files one by one, p{percent}",
            percentile(ours, percent) * 1000,
            "ms",
            rival or "inotifywait is not installed",
            percentile(theirs, percent) * 1000 if theirs else None,
            "durable and read back; the rival promises nothing",
        )


def watcher_marks(folder: Path, count: int, size: int) -> list[float]:
    """Measure `watcher run` in a process of its own."""
    with Instrument(folder) as instrument:
        instrument.start()

        def one(number: int) -> float:
            name = f"scan{number}.txt"
            source = instrument.write(f"RB1/bluesky_scans/{name}", bytes(size))
            took = mark(source, instrument.archived("RB1", name), size)
            instrument.wait_until(lambda: not source.exists())
            return took

        return in_turn(one, count)


def inotifywait_marks(folder: Path, count: int, size: int) -> list[float]:
    """Measure the shortest script that does the job on a good day."""
    source, archive = folder / "source", folder / "archive"
    source.mkdir(parents=True)
    archive.mkdir()
    with inotifywait_and_cp(source, archive):

        def one(number: int) -> float:
            name = f"scan{number}.txt"
            (source / name).write_bytes(bytes(size))
            return mark(source / name, archive / name, size)

        return in_turn(one, count)


def in_turn(one: Callable[[int], float], count: int) -> list[float]:
    """Take one file after the other; the first few don't count."""
    samples = []
    for number in range(WARM_UP + count):
        samples.append(one(number))
        threading.Event().wait(CALM)
    return samples[WARM_UP:]


def mark(source: Path, target: Path, size: int) -> float:
    """Mark a file and return the seconds until all of it is at `target`."""
    pause, began = threading.Event(), time.perf_counter()
    source.chmod(READ_ONLY)
    while not _is_whole(target, size):
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError(f"{target} didn't appear within {PATIENCE} s")
        pause.wait(GLANCE)
    return time.perf_counter() - began


def _is_whole(target: Path, size: int) -> bool:
    try:
        return target.stat().st_size == size
    except OSError:
        return False


@contextmanager
def inotifywait_and_cp(source: Path, archive: Path) -> Iterator[None]:
    """Run the rival while the block lasts."""
    script = (
        'inotifywait -q -m -r -e attrib --format "%w%f" "$1" |'
        ' while IFS= read -r file; do cp -p "$file" "$2/"; done'
    )
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", str(source), str(archive)],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        probe = source / "probe"
        probe.touch()
        wait_until(lambda: _was_seen(probe, archive))
        yield
    finally:
        _end_session(process)


def _was_seen(probe: Path, archive: Path) -> bool:
    probe.chmod(READ_ONLY)
    return (archive / probe.name).exists()


def _end_session(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(PATIENCE)

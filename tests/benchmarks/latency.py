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
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.measure import Options, Row, percentile, ratio_of
from tests.harness import PATIENCE, Instrument, wait_until

WARM_UP = 5
OTHERS = 50.0
"""Other files a second that a busy watcher takes."""
CALM = 0.02
"""Seconds between a file's end and the next one's mark."""
GLANCE = 0.0002
"""Seconds between two looks at the archive: as exact as it gets without a core of its own."""
READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def measure(options: Options) -> Iterator[Row]:
    """Take marks one by one, ours and the rival's in turn."""
    rival = "inotifywait, cp -p" if shutil.which("inotifywait") else ""
    calm: list[list[float]] = []
    busy: list[list[float]] = []
    theirs: list[list[float]] = []
    share = -(-options.marks // options.rounds)
    for number in range(options.rounds):
        with Instrument(options.folder / f"latency{number}") as instrument:
            instrument.start()
            calm.append(watcher_marks(instrument, "calm", share, options.size))
            with others_marked(instrument, options.size):
                busy.append(watcher_marks(instrument, "busy", share, options.size))
        if rival:
            place = options.folder / f"rival{number}"
            theirs.append(inotifywait_marks(place, share, options.size))
    note = "durable and read back; the rival promises nothing"
    work = f"mark to archive, {share * options.rounds} files one by one"
    for percent in (50, 99):
        against = rival or "inotifywait is not installed"
        yield compared(f"{work}, p{percent}", percent, calm, against, theirs, note)
    work = f"the same while {OTHERS:.0f} other files a second are settled"
    for percent in (50, 99):
        yield compared(f"{work}, p{percent}", percent, busy, "itself, calm", calm, note)


def compared(
    work: str,
    percent: int,
    ours: list[list[float]],
    rival: str,
    theirs: list[list[float]],
    note: str,
) -> Row:
    """Compare one percentile of all rounds; its ratio is the median of the rounds'."""
    figures = [[percentile(taken, percent) * 1000 for taken in side] for side in (ours, theirs)]
    row = ratio_of(work, figures[0], "ms", rival, figures[1])
    mine, other = ([x for taken in side for x in taken] for side in (ours, theirs))
    return replace(
        row,
        figure=percentile(mine, percent) * 1000,
        theirs=percentile(other, percent) * 1000 if other else None,
        note=f"{note}; {row.note}" if row.note else note,
    )


def watcher_marks(instrument: Instrument, experiment: str, count: int, size: int) -> list[float]:
    """Measure a running watcher."""

    def one(number: int) -> float:
        name = f"scan{number}.txt"
        source = instrument.write(f"{experiment}/bluesky_scans/{name}", bytes(size))
        took = mark(source, instrument.archived(experiment, name), size)
        instrument.wait_until(lambda: not source.exists())
        return took

    return in_turn(one, count)


@contextmanager
def others_marked(instrument: Instrument, size: int) -> Iterator[None]:
    """Let other files be finished while the block lasts, at an even pace."""
    over = threading.Event()

    def finish_others() -> None:
        number, due = 0, time.perf_counter()
        while not over.wait(max(0.0, due - time.perf_counter())):
            instrument.finish(f"others/bluesky_scans/{number}.txt", bytes(size))
            number, due = number + 1, due + 1 / OTHERS

    thread = threading.Thread(target=finish_others)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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

"""Thousands of small files marked at once: how fast they are archived, and in how much memory."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.latency import READ_ONLY
from tests.benchmarks.measure import Options, Row, forget_peak, resident
from tests.harness import Instrument, wait_until

EXPERIMENTS = 10
LIMIT = 900.0
"""Seconds after which files that are not archived count as lost."""
GLANCE = 0.02
RIVALS = (("rsync", "-a"), ("rsync", "-a", "--fsync"))


@dataclass(frozen=True, slots=True)
class Burst:
    """What was seen of one burst."""

    seconds: float
    lost: int
    before: float | None
    peak: float | None
    after: float | None


def measure(options: Options) -> Iterator[Row]:
    """Archive the same files with ours and each rival in turn."""
    seen: list[Burst] = []
    theirs: dict[tuple[str, ...], list[float]] = {rival: [] for rival in RIVALS}
    for number in range(options.rounds):
        seen.append(watcher_burst(options.folder / f"burst{number}", options))
        for rival, seconds in theirs.items():
            if shutil.which(rival[0]):
                place = options.folder / f"{'_'.join(rival)}{number}"
                seconds.append(rival_burst(place, options, rival))
    took = statistics.median(burst.seconds for burst in seen)
    work = f"{options.files} files of {options.size} bytes at once"
    yield Row(f"{work}, until all are archived", took, "s")
    for rival, seconds in theirs.items():
        yield Row(
            f"{work}, rate",
            options.files / took,
            "files/s",
            " ".join(rival) if seconds else f"{rival[0]} is not installed",
            options.files / statistics.median(seconds) if seconds else None,
            "durable, read back, recorded, source gone; the rival only copies",
        )
    yield Row(f"{work}, lost", sum(burst.lost for burst in seen), "files")
    yield from memory(work, seen)


def memory(work: str, seen: list[Burst]) -> Iterator[Row]:
    """Tell the watcher's memory, of the round in which it grew most."""
    known = [b for b in seen if b.before is not None and b.peak is not None and b.after is not None]
    if not known:
        return
    worst = max(known, key=lambda burst: burst.peak or 0)
    for name, figure in (
        ("before", worst.before),
        ("at its peak", worst.peak),
        ("after", worst.after),
    ):
        yield Row(f"{work}, memory {name}", figure or 0.0, "MiB")


def lay_out(root: Path, options: Options, count: int) -> list[Path]:
    """Write so many files, unfinished, as scans of several experiments."""
    folders = [root / f"RB{number + 1}" / "bluesky_scans" for number in range(EXPERIMENTS)]
    for folder in folders:
        folder.mkdir(parents=True)
    paths = [folders[n % EXPERIMENTS] / f"scan{n:06}.txt" for n in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(number.to_bytes(8, "big") * (options.size // 8))
    return paths


def mark_all(paths: list[Path]) -> None:
    """Mark them, as fast as one process can."""
    for path in paths:
        os.chmod(path, READ_ONLY)


def watcher_burst(folder: Path, options: Options) -> Burst:
    """Drop the files before a running watcher and wait until the last source is gone."""
    with Instrument(folder) as instrument:
        paths = lay_out(instrument.root, options, options.files)
        watcher = instrument.start()
        pid = watcher.process.pid
        before = resident(pid)
        forget_peak(pid)
        began = time.perf_counter()
        mark_all(paths)
        wait_for_the_end(instrument, paths)
        seconds = time.perf_counter() - began
        peak, after = resident(pid, "VmHWM"), resident(pid)
        instrument.stop()
        return Burst(seconds, lost(instrument, options, options.files), before, peak, after)


def wait_for_the_end(instrument: Instrument, paths: list[Path]) -> None:
    """Wait until the last source is gone; what is not archived then is counted by others."""
    folders = sorted({path.parent for path in paths})

    def nothing_left() -> bool:
        while folders and not _holds_files(folders[-1]):
            folders.pop()
        return not folders

    try:
        wait_until(nothing_left, LIMIT, every=GLANCE)
    except AssertionError:
        print(instrument.watcher.output[-4000:] if instrument.watcher else "")


def _holds_files(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(True for _ in entries)


def lost(instrument: Instrument, options: Options, count: int) -> int:
    """Count the files that are not whole at both places, whatever the watcher says."""
    missing = 0
    for number in range(count):
        experiment, name = f"RB{number % EXPERIMENTS + 1}", f"scan{number:06}.txt"
        content = number.to_bytes(8, "big") * (options.size // 8)
        places = (instrument.archived(experiment, name), instrument.cached(experiment, name))
        missing += not all(_holds(place, content) for place in places)
    return missing


def _holds(place: Path, content: bytes) -> bool:
    try:
        return place.read_bytes() == content
    except OSError:
        return False


def rival_burst(folder: Path, options: Options, rival: tuple[str, ...]) -> float:
    """Copy the same files, already marked, with another tool; returns the seconds it took."""
    mark_all(lay_out(folder / "Data", options, options.files))
    (folder / "archive").mkdir()
    began = time.perf_counter()
    subprocess.run([*rival, f"{folder / 'Data'}/", f"{folder / 'archive'}/"], check=True)
    return time.perf_counter() - began

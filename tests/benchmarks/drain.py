"""The end of an outage: how fast what waited is gone, and whether a new file waits behind it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.burst import wait_for_the_end
from tests.benchmarks.disk import journaled
from tests.benchmarks.latency import READ_ONLY
from tests.benchmarks.measure import Options, Row, ratio_of
from tests.benchmarks.throughput import (
    EXPERIMENTS,
    PROMISED,
    Load,
    emptied,
    lay_out,
    promised,
    room_for,
)
from tests.harness import Instrument, wait_until

LIMIT = 900.0
"""Seconds that a backlog may take to be gone."""


def measure(options: Options) -> Iterator[Row]:
    """Let a backlog gather while the archive is away, and time what follows its return."""
    files = 2 * options.files
    load = Load(f"{files} x {options.size} B", files, options.size, (PROMISED,))
    ours: list[float] = []
    waits: list[float] = []
    theirs: list[float] = []
    with journaled(options.folder, room_for(load)) as disk:
        for _ in range(options.rounds):
            seconds, wait = emptied(disk, load, _drained)
            ours.append(seconds)
            waits.append(wait)
            if shutil.which("rsync"):
                theirs.append(emptied(disk, load, promised))
    yield ratio_of(
        f"{load.work}, from the end of an outage until all are archived",
        [files / seconds for seconds in ours],
        "files/s",
        PROMISED if theirs else "rsync is not installed",
        [files / seconds for seconds in theirs],
    )
    yield Row(
        "mark to archive, of a file that is new in the middle of that: the longest",
        max(waits) * 1000,
        "ms",
        note=f"of {len(waits)} drains",
    )


def _drained(folder: Path, load: Load) -> tuple[float, float]:
    """Return the seconds until the backlog was gone, and those of a file marked meanwhile."""
    with Instrument(folder) as instrument:
        lay_out(instrument.root, load)
        away = instrument.share.with_name("away")
        instrument.share.rename(away)
        instrument.start()
        wait_until(lambda: instrument.status()["backlog"] == load.files, LIMIT, every=0.5)
        began = time.perf_counter()
        away.rename(instrument.share)
        archive = instrument.archived("RB1", "")
        wait_until(lambda: archive.exists() and any(archive.iterdir()), LIMIT)
        wait = _new_one(instrument)
        folders = [instrument.root / f"RB{n + 1}" / "bluesky_scans" for n in range(EXPERIMENTS)]
        wait_for_the_end(instrument, [folder / "any" for folder in folders])
        seconds = time.perf_counter() - began
        instrument.stop()
        return seconds, wait


def _new_one(instrument: Instrument) -> float:
    path = instrument.write("RB77/bluesky_scans/new.txt")
    began = time.perf_counter()
    path.chmod(READ_ONLY)
    place = instrument.archived("RB77", "new.txt")
    wait_until(place.exists, LIMIT, every=0.001)
    return time.perf_counter() - began

"""More marks at once than the system can tell: whether that is noticed, and nothing is lost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.benchmarks.burst import lay_out, lost, mark_all, wait_for_the_end
from tests.benchmarks.measure import Options, Row
from tests.harness import Instrument

SIGN = "hints were lost"


@dataclass(frozen=True, slots=True)
class Flood:
    """What was seen of one flood."""

    marking: float
    noticed: float | None
    """Seconds from the first mark to the word that hints were lost; None: none were."""
    seconds: float
    lost: int


def measure(options: Options) -> Iterator[Row]:
    """Mark everything at once, once a round."""
    seen = [flood(options.folder / f"flood{n}", options) for n in range(options.rounds)]
    work = f"{options.flood:,} marks in {statistics.median(f.marking for f in seen):.1f} s"
    noticed = [f.noticed for f in seen if f.noticed is not None]
    if noticed:
        note = f"in {len(noticed)} of {len(seen)} rounds there was one; rescan_interval is 60 s"
        figure = statistics.median(noticed)
        yield Row(f"{work}, until the overflow is noticed", figure, "s", note=note)
    yield Row(f"{work}, until all are archived", statistics.median(f.seconds for f in seen), "s")
    yield Row(f"{work}, lost", sum(f.lost for f in seen), "files")


def flood(folder: Path, options: Options) -> Flood:
    """Drop all before a running watcher, and wait until the last source is gone."""
    with Instrument(folder) as instrument:
        paths = lay_out(instrument.root, options, options.flood)
        watcher = instrument.start()
        began, began_at = time.perf_counter(), time.time()
        mark_all(paths)
        marking = time.perf_counter() - began
        wait_for_the_end(instrument, paths)
        seconds = time.perf_counter() - began
        instrument.stop()
        noticed = told - began_at if (told := when_told(watcher.output)) else None
        return Flood(marking, noticed, seconds, lost(instrument, options, options.flood))


def when_told(log: str) -> float | None:
    """Return when the log says that hints were lost, in seconds since the epoch."""
    for line in log.splitlines():
        if SIGN in line:
            return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
    return None

"""A watcher before a full data disk, with years behind it: starting, and doing nothing."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.benchmarks.measure import Options, Row, resident
from tests.benchmarks.tree import Tree
from tests.harness import Instrument, wait_until
from watcher.ledger import Ledger

FOLDERS = 5_000
GLANCE = 0.002
PATIENCE = 300.0
HOUR = 3600.0
_HISTORY = (
    """
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < 200)
    INSERT INTO folder (path) SELECT CAST('/there/RB' || i AS BLOB) FROM n
    """,
    """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :files)
    INSERT INTO file (source, fingerprint, experiment)
    SELECT CAST('/data/RB' || (i % 200) || '/bluesky_scans/' || i AS BLOB),
           '4096:' || (1600000000000000000 + i) || ':' || i, CAST('RB' || (i % 200) AS BLOB)
    FROM n
    """,
    """
    INSERT INTO receipt (file, destination, folder, name, algorithm, digest, more,
                         archived_at, seconds, attempts, manner, conflict, state)
    SELECT file.id, place.name, 1 + file.id % 200, CAST(file.id AS BLOB), 'sha256',
           lower(hex(randomblob(32))), '', 1600000000 + file.id, 0.1, 1, 'copied', 0, 1
    FROM file, (SELECT 'archive' AS name UNION SELECT 'cache') AS place
    """,
)


def measure(options: Options) -> Iterator[Row]:
    """Start it some times, then leave it alone."""
    with Instrument(options.folder / "standing") as instrument:
        tree = Tree(instrument.root / "tree", options.tree, FOLDERS).make(0o644)
        write_history(instrument.state, options.receipts)
        what = f"{tree.files:,} files in {tree.folders:,} folders, {options.receipts:,} receipts"
        starts = [start(instrument, number) for number in range(options.rounds)]
        note = "from the command to the archived copy of a file that was waiting"
        seconds, used = (statistics.median(figures) for figures in zip(*starts, strict=True))
        yield Row(f"ready, with {what}", seconds, "s", note=note)
        yield Row(f"ready, processor time until then, {what}", used, "s", note=note)
        yield from idle(instrument, options, what)


def write_history(state: Path, receipts: int) -> None:
    """Make a ledger that has seen much."""
    state.mkdir(parents=True)
    path = state / "ledger.sqlite"
    Ledger.open(str(path), lambda _: None).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in _HISTORY:
            connection.execute(statement, {"files": receipts // 2})


def start(instrument: Instrument, number: int) -> tuple[float, float]:
    """Return the seconds from the command to the copy of a file, and those of processor time.

    It runs on if it is the last.
    """
    if instrument.watcher is not None:
        instrument.stop()
    name = f"waiting{number}.txt"
    instrument.finish(f"RB1/bluesky_scans/{name}")
    began = time.perf_counter()
    process = instrument.launch().process
    wait_until(instrument.archived("RB1", name).exists, PATIENCE, every=GLANCE)
    return time.perf_counter() - began, processor_time(process.pid)


def idle(instrument: Instrument, options: Options, what: str) -> Iterator[Row]:
    """Leave it alone, and see what that costs."""
    instrument.wait_until(lambda: instrument.status()["next_rescan"] is not None, PATIENCE)
    time.sleep(1.0)  # the end of what it did last
    assert instrument.watcher is not None
    pid = instrument.watcher.process.pid
    before, began = processor_time(pid), time.monotonic()
    time.sleep(options.idle)
    share = (processor_time(pid) - before) / (time.monotonic() - began)
    note = f"extrapolated from {options.idle:.0f} s"
    yield Row(f"idle, processor time an hour, {what}", share * HOUR, "s", note=note)
    yield Row(f"idle, memory, {what}", resident(pid) or 0.0, "MiB")


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

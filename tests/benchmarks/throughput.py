"""A backlog taken by one pass, start to end, beside rsync with and without the same promises.

Ours is `watcher rescan` as a whole process: started, walked, copied to the archive, flushed, read
back, put on record, the source renamed into the cache, ended. `rsync -a --fsync` and then
`rsync -ac --remove-source-files` promise the same of one destination.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.benchmarks.disk import journaled
from tests.benchmarks.latency import READ_ONLY
from tests.benchmarks.measure import Options, Row, ratio_of
from tests.harness import PROJECT, Instrument

T = TypeVar("T")

EXPERIMENTS = 10
LIMIT = 900.0
"""Seconds that a pass may take."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """Files of one kind."""

    work: str
    files: int
    size: int
    rivals: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of them all."""
        return self.files * self.size


PROMISED = "rsync --fsync, then -ac"
PLAIN = "rsync, no promise"
HASHED = "one sha256 pass"
BARE = "its system calls alone"


def small(options: Options) -> Iterator[Row]:
    """Many small files."""
    work = f"{options.files} x {options.size} B"
    return measure(options, Load(work, options.files, options.size, (PROMISED, PLAIN, BARE)))


def medium(options: Options) -> Iterator[Row]:
    """Files of a megabyte."""
    return measure(options, Load("1000 x 1 MiB", 1000, 1 << 20, (PROMISED,)))


def large(options: Options) -> Iterator[Row]:
    """Files of gigabytes."""
    return measure(options, Load("2 x 2 GiB", 2, 2 << 30, (PROMISED, HASHED)))


def measure(options: Options, load: Load) -> Iterator[Row]:
    """Take the same files with ours and each rival in turn."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in load.rivals}
    with journaled(options.folder, room_for(load)) as disk:
        for _ in range(options.rounds):
            ours.append(emptied(disk, load, _watcher))
            for name, seconds in theirs.items():
                if _can_run(name):
                    seconds.append(emptied(disk, load, _RIVALS[name]))
    for name, seconds in theirs.items():
        yield ratio_of(
            f"{load.work}, archived and gone from the source",
            [load.total / taken / 1e6 for taken in ours],
            "MB/s",
            name if seconds else f"{name}: not here",
            [load.total / taken / 1e6 for taken in seconds],
        )


def _can_run(rival: str) -> bool:
    if rival == BARE:
        return sys.platform == "linux"
    return rival == HASHED or shutil.which("rsync") is not None


def room_for(load: Load) -> int:
    """Return the bytes that a disk must have for the files, their copies, and all besides."""
    return 3 * load.total + load.files * (16 << 10) + (512 << 20)


def emptied(disk: Path, load: Load, taken: Callable[[Path, Load], T]) -> T:
    """Do the work in an empty folder, everything written before and removed after."""
    folder = disk / "work"
    folder.mkdir()
    try:
        return taken(folder, load)
    finally:
        shutil.rmtree(folder)
        os.sync()


def lay_out(root: Path, load: Load) -> None:
    """Write finished files as scans of several experiments, safe on the disk."""
    for number in range(load.files):
        folder = root / f"RB{number % EXPERIMENTS + 1}" / "bluesky_scans"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"scan{number:06}.txt"
        with path.open("wb") as file:
            for at in range(0, load.size, _BLOCK):
                file.write(_content(number, at)[: min(_BLOCK, load.size - at)])
        path.chmod(READ_ONLY)
    os.sync()


def _content(number: int, at: int) -> bytes:
    return (number << 40 | at).to_bytes(8, "big") * (_BLOCK // 8)


def _watcher(folder: Path, load: Load) -> float:
    with Instrument(folder) as instrument:
        lay_out(instrument.root, load)
        began = time.perf_counter()
        done = instrument.run("rescan", seconds=LIMIT)
        took = time.perf_counter() - began
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        _assert_all_there(instrument, load)
        return took


def _assert_all_there(instrument: Instrument, load: Load) -> None:
    for number in range(load.files):
        experiment, name = f"RB{number % EXPERIMENTS + 1}", f"scan{number:06}.txt"
        for place in (instrument.archived(experiment, name), instrument.cached(experiment, name)):
            assert place.stat().st_size == load.size, place
    assert not instrument.sources()


def _rsync(folder: Path, load: Load, *commands: tuple[str, ...]) -> float:
    source, archive = folder / "Data", folder / "archive"
    lay_out(source, load)
    archive.mkdir()
    began = time.perf_counter()
    for options in commands:
        subprocess.run(["rsync", *options, f"{source}/", f"{archive}/"], check=True)
    return time.perf_counter() - began


def promised(folder: Path, load: Load) -> float:
    return _rsync(folder, load, ("-a", "--fsync"), ("-ac", "--remove-source-files"))


def _plain(folder: Path, load: Load) -> float:
    return _rsync(folder, load, ("-a", "--remove-source-files"))


def _hashed(folder: Path, load: Load) -> float:
    """Read and hash all of it once, with the library that ours uses."""
    import hashlib  # noqa: PLC0415

    lay_out(folder, load)
    began = time.perf_counter()
    for path in sorted(folder.rglob("*.txt")):
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began


def _bare(folder: Path, load: Load) -> float:
    """Make the same calls, with nothing around them."""
    places = [folder / name for name in ("Data", "archive", "cache")]
    lay_out(places[0], load)
    for place in places[1:]:
        place.mkdir()
    began = time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.bare", *map(str, places)]
    subprocess.run(command, cwd=PROJECT, check=True)
    took = time.perf_counter() - began
    assert len(list(places[2].rglob("scan*.txt"))) == load.files
    assert len(list(places[1].rglob("scan*.txt"))) == load.files
    return took


_RIVALS: dict[str, Callable[[Path, Load], float]] = {
    PROMISED: promised,
    PLAIN: _plain,
    HASHED: _hashed,
    BARE: _bare,
}

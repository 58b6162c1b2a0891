"""Proving an archive again: `watcher verify` against `sha256sum -c` on the same files.

Both are whole commands, and both read from the disk: what is cached of the files is dropped before
each turn (`verify` does so itself).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.burst import mark_all
from tests.benchmarks.measure import Options, Row, ratio_of
from tests.harness import Instrument

LARGE = (50, 16 << 20)
"""A few large files: how many, and their bytes."""
LIMIT = 900.0


def measure(options: Options) -> Iterator[Row]:
    """Verify an experiment of small files, then one of large ones."""
    for number, (files, size) in enumerate(((options.files, options.size), LARGE)):
        with Instrument(options.folder / f"verify{number}") as instrument:
            archive(instrument, files, size)
            yield verified(instrument, f"verify {files} files of {size} bytes", options.rounds)


def archive(instrument: Instrument, files: int, size: int) -> None:
    """Archive one experiment."""
    paths = [instrument.write(f"RB1/bluesky_scans/scan{n:06}.txt") for n in range(files)]
    for number, path in enumerate(paths):
        path.write_bytes(number.to_bytes(8, "big") * (size // 8))
    mark_all(paths)
    done = instrument.run("rescan", seconds=LIMIT)
    assert done.returncode == 0, done.stdout[-2000:]


def verified(instrument: Instrument, work: str, rounds: int) -> Row:
    """Take turns, and compare the rates."""
    folder = instrument.archived("RB1", "")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    command = instrument.command("verify", "--destination", "archive")
    # as it is installed: compiled, which the first turn sees to
    environment = instrument.environment() | {"PYTHONDONTWRITEBYTECODE": ""}

    def ours() -> None:
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    def theirs() -> None:
        rival = ["sha256sum", "-c", "--quiet", "checksums.sha256"]
        subprocess.run(rival, cwd=folder, check=True)

    ours()
    has_rival = shutil.which("sha256sum") is not None
    mine, rivals = [], []
    for _ in range(rounds):
        mine.append(size / cold(ours, folder))
        if has_rival:
            rivals.append(size / cold(theirs, folder))
    rival = "sha256sum -c" if has_rival else "sha256sum is not installed"
    return ratio_of(f"{work}, rate", mine, "MB/s", rival, rivals)


def cold(command: Callable[[], None], folder: Path) -> float:
    """Run a command with nothing cached of the files in a folder; returns the seconds it took."""
    for path in folder.iterdir():
        forget(path)
    began = time.perf_counter()
    command()
    return time.perf_counter() - began


def forget(path: Path) -> None:
    """Drop what is cached of a file, where the system allows that."""
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)

"""How long a hint takes from the mark to whoever is told, while others write beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer as Rival

from tests.benchmarks.latency import READ_ONLY
from tests.benchmarks.measure import Options, Row, percentile
from tests.harness import wait_until
from watcher.platform import system
from watcher.sources.observer import Observer

PATIENCE = 3.0
"""Seconds after which a hint counts as never told; it enters the figures with so many."""
APPENDS = """
import sys
files = [open(f"{sys.argv[1]}/{n}.log", "ab", buffering=0) for n in range(4)]
while True:
    for file in files:
        file.write(b"1 2 3\\n")
"""
MAKES = """
import os, sys, time
number = 0
while True:
    number += 1
    open(f"{sys.argv[1]}/{number}.tmp", "w").close()
    os.rename(f"{sys.argv[1]}/{number}.tmp", f"{sys.argv[1]}/{number % 1000}-{number}.dat")
    os.remove(f"{sys.argv[1]}/{number % 1000}-{number}.dat")
    time.sleep(0.001)
"""
LOADS = {"nothing else is written": "", "others append": APPENDS, "others make files": MAKES}

Tell = Callable[[str], None]
Watching = Callable[[str, Tell], AbstractContextManager[None]]


def measure(options: Options) -> Iterator[Row]:
    """Mark files one by one under each load: told by our observer, and by watchdog's own."""
    for number, (load, script) in enumerate(LOADS.items()):
        ours = delays(options.folder / f"ours{number}", options.marks, script, watcher)
        few = min(options.marks, 20)
        theirs = delays(options.folder / f"theirs{number}", few, script, watchdog)
        for percent in (50, 99):
            yield Row(
                f"mark to hint while {load}, {len(ours)} files, p{percent}",
                percentile(ours, percent) * 1000,
                "ms",
                "watchdog as it comes",
                percentile(theirs, percent) * 1000,
                f"{PATIENCE:.0f} s stands for never",
            )


def delays(folder: Path, count: int, script: str, watching: Watching) -> list[float]:
    """Return the seconds from each mark to its hint."""
    root = Path(system.native(str(folder)))
    scans, other = root / "RB1" / "bluesky_scans", root / "other"
    scans.mkdir(parents=True)
    other.mkdir()
    told: set[str] = set()
    news = threading.Condition()

    def tell(path: str) -> None:
        with news:
            told.add(path)
            news.notify_all()

    def one(number: int) -> float:
        path = scans / f"scan{number}.txt"
        path.write_bytes(b"1 2 3\n")
        time.sleep(0.02)  # what its birth has told is no answer to the mark
        with news:
            told.clear()
        began = time.perf_counter()
        path.chmod(READ_ONLY)
        with news:
            news.wait_for(lambda: str(path) in told, PATIENCE)
        return time.perf_counter() - began

    with watching(str(root), tell), writing(script, other):
        for _ in os.walk(root):  # Wine tells nothing of folders that nobody has listed
            pass
        return [one(number) for number in range(count)]


@contextmanager
def writing(script: str, folder: Path) -> Iterator[None]:
    """Write in a process of its own while the block lasts."""
    if not script:
        yield
        return
    command = [sys.executable, "-c", script, system.plain(str(folder))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        wait_until(lambda: any(folder.iterdir()))
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def watcher(root: str, tell: Tell) -> Iterator[None]:
    """Watch as the watcher does."""

    def nothing(_: str) -> None:
        """Take no notice."""

    observer = Observer([root], lambda _: False, tell, nothing, nothing)
    observer.start()
    try:
        yield
    finally:
        observer.stop()


@contextmanager
def watchdog(root: str, tell: Tell) -> Iterator[None]:
    """Watch as watchdog's documentation shows it."""

    class All(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type not in {"opened", "closed_no_write"}:
                tell(os.fsdecode(event.src_path))

    observer = Rival()
    observer.schedule(All(), root, recursive=True)
    observer.start()
    try:
        yield
    finally:
        observer.stop()
        observer.join()

"""What the walk of a full data disk costs, against `find`; and whether it misses anything."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from tests.benchmarks.measure import Options, Row, ratio_of
from tests.benchmarks.tree import EACH, Tree
from watcher.platform import system
from watcher.sources.rescan import Rescan

T = TypeVar("T")
FOLDERS = (5_000, 100, 10_000)
AGAIN = 3
"""Walks of a settled tree for each `find`, which takes longer than all of them."""
RACES = 100
SECOND = 1.0
SETTLED = 3.0
"""Seconds after which folders' times tell everything."""
TOOLS = ("mkfs.ext4", "mount", "umount")


def measure(options: Options) -> Iterator[Row]:
    """Walk trees of as many files in ever more folders, and look `find` at them in turn."""
    for folders in FOLDERS:
        tree = Tree(options.folder / f"tree{folders}", options.tree, folders).make(0o644)
        what = f"{tree.files:,} files in {tree.folders:,} folders"
        yield from _walks(tree, options, f"{what}, nothing finished")
        if folders == FOLDERS[0]:
            tree.set_modes(0o444)
            yield from _walks(tree, options, f"{what}, {EACH} finished in each scan folder")
        shutil.rmtree(tree.root)
    yield from races(options.folder / "races")


def _walks(tree: Tree, options: Options, work: str) -> Iterator[Row]:
    first: list[float] = []
    again: list[float] = []
    found: list[float] = []
    for _ in range(options.rounds):
        if shutil.which("find"):
            found.append(took(find, tree.root))
        rescan = Rescan([system.native(str(tree.root))], lambda _: False, 86400.0)
        first.append(took(walk, rescan))
        again.append(statistics.median(took(walk, rescan) for _ in range(AGAIN)))
    rival = "find" if found else "find is not installed"
    yield in_ms(ratio_of(f"{work}, first walk", first, "ms", rival, found))
    yield in_ms(ratio_of(f"{work}, walked again", again, "ms", rival, found))


def in_ms(row: Row) -> Row:
    theirs = None if row.theirs is None else row.theirs * 1000
    return Row(row.work, row.figure * 1000, "ms", row.rival, theirs, row.note, row.paired)


def walk(rescan: Rescan) -> int:
    """Walk once; what is found is let go of."""
    return rescan.walk(lambda _files: None, lambda: False).finished


def find(root: Path) -> None:
    """Find the finished files as a shell would."""
    words = ("-path", "*/bluesky_scans/*", "-type", "f", "!", "-perm", "/222")
    subprocess.run(["find", str(root), *words], stdout=subprocess.DEVNULL, check=True)


def took(action: Callable[[T], object], of: T) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    action(of)
    return time.perf_counter() - began


def races(folder: Path) -> Iterator[Row]:
    """Let scan folders appear in the second of a walk, where times tell no more than that."""
    name = "scan folders that appear in the second of a walk, on one-second stamps, lost"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        yield Row(name, 0, "folders", "no disk with such stamps can be mounted here: not measured")
        return
    image = folder / "disk.img"
    place = folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run = ("mkfs.ext4", "-q", "-F", "-I", "128", str(image))  # no room for parts of a second
    subprocess.run(run, check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        for trusting in (True, False):
            how = "" if trusting else ", where folders don't tell what they hold"
            yield Row(f"{name}{how}", race(place / str(trusting), trusting), "folders")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def race(root: Path, trusting: bool) -> int:
    """Count the scan folders that a walk never finds."""
    root.mkdir()
    rescan = Rescan([system.native(str(root))], lambda _: False, 86400.0)
    counts = type(system).counts_folders
    if not trusting:
        type(system).counts_folders = lambda *_: False  # type: ignore[method-assign]
    try:
        for number in range(RACES):
            time.sleep(SECOND / 20)
            top = root / f"RB{number}"
            top.mkdir()
            walk(rescan)
            (top / "bluesky_scans").mkdir()
            (top / "bluesky_scans" / "scan.txt").touch(0o444)
        time.sleep(SETTLED)
        return RACES - walk(rescan)
    finally:
        type(system).counts_folders = counts  # type: ignore[method-assign]

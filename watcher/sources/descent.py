"""The way down a tree of folders: what must be listed is listed, what needs a look is looked at.

What folders there are is remembered as long as a folder's times, device and number stay the same,
so that a walk of a million files costs as much as a look at each of their folders; and where a
folder itself says that there is none in it, it needn't be listed at all. Both are savings, never a
truth: a folder that changed in the last seconds is listed again, and so is every folder once in
sixty walks. Files in scan folders are looked at each time: a mark moves no folder's time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from watcher.inspection import below, scan_folder_in
from watcher.model import PART, SCAN_FOLDER, Fingerprint, FinishedFile, is_part
from watcher.platform import system
from watcher.sources.findings import Findings
from watcher.sources.folders import Folder, descend

SETTLED = 2.0
"""Seconds after which a folder's time tells the next change from the last, on any local disk."""
SLICES = 60
"""Walks in which every remembered folder is listed anew at least once."""
OPEN_FOLDERS = 40
"""Folders that are held open at the most; deeper paths are opened again on the way back."""

Stopping = Callable[[], bool]


class Known:
    """What a walk remembers of a folder outside scan folders."""

    __slots__ = ("folders", "key")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.key = 0
        """What its number, device and times came to when it was listed; 0: list it."""
        self.folders: dict[str, Known] = _NO_FOLDERS


_NO_FOLDERS: dict[str, Known] = {}
_SCAN_FOLDER = Known()
"""Stands for each scan folder: nothing is remembered there."""


def _key(stat: os.stat_result) -> int:
    """Mix what tells one state of a folder from the next; utime() can hide one time, not both."""
    return hash((stat.st_ino, stat.st_dev, stat.st_ctime_ns, stat.st_mtime_ns))


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


@dataclass(frozen=True, slots=True)
class ScanFolder:
    """Which scan folder the walk is in, and how deep."""

    experiment: str
    name: str
    prefix: str = ""

    def deeper(self, name: str) -> ScanFolder:
        """Say where the walk is one folder further down."""
        return ScanFolder(self.experiment, self.name, f"{self.prefix}{name}{os.sep}")


@dataclass(slots=True)
class _Level:
    """A folder on the way down, with those of its folders that are still to be entered."""

    folder: Folder | None
    """None while it is closed, because the walk is far below it."""
    name: str
    path: str
    scan: ScanFolder | None
    identity: tuple[int, int] = (0, 0)
    pending: list[tuple[str, Known]] = field(default_factory=list)

    def close(self) -> None:
        if self.folder is not None:
            self.folder.close()
            self.folder = None


class Descent:
    """One pass over what lies below one folder."""

    def __init__(
        self,
        root: str,
        is_excluded: Callable[[str], bool],
        findings: Findings,
        stopping: Stopping,
        turn: int,
    ) -> None:
        """Take the next of `SLICES` turns: remembered folders whose turn it is are listed anew."""
        self._root = root
        self._is_excluded = is_excluded
        self._findings = findings
        self._stopping = stopping
        self._turn = turn
        self._counts = system.counts_folders(root)
        self._levels: list[_Level] = []

    def walk(self, folder: Folder, path: str, known: Known, scan: ScanFolder | None = None) -> None:
        """Walk down from an open folder, which is closed in the end."""
        try:
            self._visit(folder, "", path, known, scan)
            while self._levels and not self._stopping():
                self._step(self._levels[-1])
        finally:
            for level in self._levels:
                level.close()

    def _step(self, level: _Level) -> None:
        if level.pending and level.folder is None:
            self._open_again(level)
        if not level.pending or level.folder is None:
            self._levels.pop().close()
            return
        name, known = level.pending.pop()
        path = os.path.join(level.path, name)
        try:
            deeper = level.folder.enter(name)
        except OSError as error:
            if not system.is_absent(error):  # gone, or a link by now
                self._findings.failed(path, error)
            return
        self._visit(deeper, name, path, known, self._scan_in(level, name, known))

    def _scan_in(self, level: _Level, name: str, known: Known) -> ScanFolder | None:
        if level.scan is not None:
            return level.scan.deeper(name)
        if known is _SCAN_FOLDER:
            return ScanFolder(below(self._root, level.path) or "", name)
        return None

    def _visit(
        self, folder: Folder, name: str, path: str, known: Known, scan: ScanFolder | None
    ) -> None:
        """Look at an open folder, and put it on the way if there is more below it."""
        level = _Level(folder, name, path, scan)
        self._levels.append(level)
        if len(self._levels) > OPEN_FOLDERS + 1:
            self._levels[-1 - OPEN_FOLDERS].close()
        self._findings.folders += 1
        self._findings.hand_over_in_time()
        try:
            stat = folder.look()
            level.identity = _identity(stat)
            if scan is not None:
                level.pending = self._look_into(folder, path, scan)
            else:
                self._refresh(folder, path, known, stat)
                level.pending = self._changed(folder, known)
        except OSError as error:
            self._findings.failed(path, error)

    def _refresh(self, folder: Folder, path: str, known: Known, stat: os.stat_result) -> None:
        """List a folder, unless it is as it was when it was listed last.

        The look is older than the listing: a change between the two is seen next time, too late
        for nothing. The other way round it would be seen never.
        """
        key = _key(stat)
        if key == known.key and key % SLICES != self._turn:
            return
        known.key = 0
        looked_at = time.time()
        known.folders = self._list(folder, path, known.folders) or _NO_FOLDERS
        has_settled = looked_at - max(stat.st_mtime, stat.st_ctime) >= SETTLED
        if has_settled and stat.st_dev == self._levels[0].identity[0]:
            known.key = key

    def _list(self, folder: Folder, path: str, before: dict[str, Known]) -> dict[str, Known]:
        with folder.entries() as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return {
            name: _SCAN_FOLDER
            if system.same_name(name, SCAN_FOLDER)
            else before.get(name) or Known()
            for name in names
            if not self._is_excluded(os.path.join(path, name))
        }

    def _changed(self, folder: Folder, known: Known) -> list[tuple[str, Known]]:
        """Return the folders to enter: all but those that have none inside, or none as before."""
        pending = [
            (name, child)
            for name, child in known.folders.items()
            if child is _SCAN_FOLDER or child.folders or not self._is_leaf(folder, name, child)
        ]
        self._findings.folders += len(known.folders) - len(pending)
        return pending

    def _is_leaf(self, folder: Folder, name: str, child: Known) -> bool:
        """Tell by a look whether a folder has none in it, unless it is its turn to be listed."""
        try:
            stat = folder.look_at(name)
        except OSError:
            return False  # entering it will tell
        key = _key(stat)
        if key % SLICES == self._turn:
            return False
        return key == child.key or (self._counts and self._says_so(stat))

    def _says_so(self, stat: os.stat_result) -> bool:
        return system.has_no_folder(stat) and stat.st_dev == self._levels[0].identity[0]

    def _look_into(self, folder: Folder, path: str, scan: ScanFolder) -> list[tuple[str, Known]]:
        """Look at each file in a scan folder; return the folders in it."""
        inner = []
        findings, root = self._findings, self._root
        experiment, scan_folder, prefix = scan.experiment, scan.name, scan.prefix
        is_plain_file, is_marked = system.is_plain_file, system.is_marked
        fingerprint_of, stranded_before = Fingerprint.of, findings.stranded_before
        unfinished = 0
        with folder.entries() as entries:
            for number, entry in enumerate(entries, 1):
                name = entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(name)
                        continue
                    stat = entry.stat(follow_symlinks=False)
                    if not is_plain_file(stat):
                        continue
                    if name.startswith(PART[0]) and is_part(name):
                        findings.part(path, name)
                        continue
                    if not is_marked(stat):
                        unfinished += 1
                        if stat.st_mtime <= stranded_before:
                            findings.perhaps_stranded(path, name, stat)
                        continue
                    if not stat.st_ino:  # a listing doesn't always tell it
                        stat = folder.look_at(name)
                except OSError as error:
                    if not system.is_absent(error):  # settled, or removed by somebody just now
                        findings.failed(os.path.join(path, name), error)
                    continue
                findings.finished(
                    FinishedFile(root, experiment, scan_folder, prefix + name, fingerprint_of(stat))
                )
                if number % 256 == 0 and self._stopping():
                    break
        findings.unfinished += unfinished
        return [
            (name, _SCAN_FOLDER)
            for name in inner
            if not self._is_excluded(os.path.join(path, name))
        ]

    def _open_again(self, level: _Level) -> None:
        """Go down from the top once more; what has moved meanwhile is left to the next walk."""
        top = self._levels[0].folder
        assert top is not None  # it stays open
        with suppress(OSError):
            folder = descend(top, [step.name for step in self._levels[1:]])
            if _identity(folder.look()) == level.identity:
                level.folder = folder
                return
            folder.close()
        level.pending.clear()


def scan_folder_of(root: str, path: str) -> ScanFolder | None:
    """Tell which scan folder a folder is or lies in."""
    place = scan_folder_in(root, os.path.join(path, "x"))
    return ScanFolder(place[0], place[1], place[2].removesuffix("x")) if place else None

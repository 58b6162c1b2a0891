"""What a walk has found so far: handed over in chunks, and counted."""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from collections.abc import Callable, Sequence

from watcher.inspection import is_stranded
from watcher.model import REMOVING, FinishedFile, Stranded, WalkResult
from watcher.platform import system

CHUNK = 500
"""Files that are handed over together at the most."""
PATIENCE = 0.1
"""Seconds that a found file waits for company."""
LISTED = 100
"""Stranded files and errors that a result lists at the most."""

Found = Callable[[Sequence[FinishedFile]], None]


class Findings:
    """The findings of one walk.

    Args:
        found: is given finished files, up to `CHUNK` at a time.
        unfinished_after: seconds after which an unfinished file counts as stranded.
        sweep: remove sources that a crash left on their way out.

    """

    def __init__(self, found: Found, unfinished_after: float, *, sweep: bool = False) -> None:
        """Begin to count; the clock runs."""
        self._found = found
        self._sweep = sweep
        self._unfinished_after = unfinished_after
        self._began = time.monotonic()
        self._now = time.time()
        self._chunk: list[FinishedFile] = []
        self._due = 0.0
        self._finished = self._stranded_count = 0
        self._stranded: list[tuple[float, str, int]] = []
        self._errors: list[str] = []
        self._unlisted = 0
        self.folders = 0
        self.unfinished = 0
        self.stranded_before = self._now - unfinished_after
        """A file that was modified later is not stranded, whatever else it may be."""

    def finished(self, file: FinishedFile) -> None:
        """Add a finished file; a full chunk is handed over."""
        if not self._chunk:
            self._due = time.monotonic() + PATIENCE
        self._chunk.append(file)
        if len(self._chunk) == CHUNK:
            self.hand_over()

    def perhaps_stranded(self, folder: str, name: str, stat: os.stat_result) -> None:
        """Count an unfinished file if it is stranded; the oldest of them are listed."""
        if is_stranded(stat, self._now, self._unfinished_after):
            self._stranded_count += 1
            put = heapq.heappush if len(self._stranded) < LISTED else heapq.heappushpop
            put(self._stranded, (-stat.st_mtime, os.path.join(folder, name), stat.st_size))

    def part(self, folder: str, name: str) -> None:
        """Remove what is left of a source all of whose receipts were in (R5); leave other parts."""
        if self._sweep and name.startswith(REMOVING):
            with contextlib.suppress(OSError):  # this process may be at it just now
                system.remove_part(os.path.join(folder, name))

    def failed(self, path: str, error: OSError) -> None:
        """Add a place that could not be read."""
        self.complain(f"{system.plain(path)}: {error.strerror or error}")

    def complain(self, line: str) -> None:
        """Add a line in plain words."""
        if len(self._errors) < LISTED:
            self._errors.append(line)
        else:
            self._unlisted += 1

    def hand_over_in_time(self) -> None:
        """Hand over what has waited long enough."""
        if self._chunk and time.monotonic() >= self._due:
            self.hand_over()

    def hand_over(self) -> None:
        """Hand over what is there."""
        chunk, self._chunk = self._chunk, []
        if not chunk:
            return
        self._finished += len(chunk)
        self._found(chunk)

    def result(self) -> WalkResult:
        """Hand over the rest, and sum up."""
        self.hand_over()
        more = (f"and {self._unlisted} more",) if self._unlisted else ()
        stranded = sorted(self._stranded, reverse=True)
        return WalkResult(
            finished=self._finished,
            unfinished=self.unfinished,
            stranded=tuple(Stranded(path, size, -age) for age, path, size in stranded),
            stranded_count=self._stranded_count,
            folders=self.folders,
            seconds=time.monotonic() - self._began,
            errors=(*self._errors, *more),
        )

"""One look at a path: is it a finished file, and if not, why not. Pure: nothing is opened here."""

from __future__ import annotations

import enum
import os

from watcher.model import SCAN_FOLDER, Fingerprint, FinishedFile, is_part
from watcher.platform import system


class Verdict(enum.Enum):
    """Why a path is no finished file; the value is the sentence that `watcher why` prints."""

    OUTSIDE = f"it is not below a folder named {SCAN_FOLDER} in a data root"
    NOT_A_FILE = "it is no regular file but a folder, a link, a junction, a pipe or a device"
    PART = "it is a watcher's own temporary file"
    UNFINISHED = "it is unfinished: still writable, its producer has not marked it read-only yet"


def below(root: str, path: str) -> str | None:
    """Return the path from `root` to `path`, or None if it doesn't lie below it."""
    start = root if root.endswith(os.sep) else root + os.sep
    if not system.same_name(path[: len(start)], start):
        return None
    return path[len(start) :] or None


def scan_folder_in(root: str, path: str) -> tuple[str, str, str] | None:
    """Split a path at its outermost scan folder.

    Args:
        root: a data root.
        path: any path, made by `System.native`.

    Returns:
        The experiment, the scan folder's name as it is written, and the path below it; None where
        `path` isn't below a scan folder of this root.

    """
    relative = below(root, path)
    segments = relative.split(os.sep) if relative else []
    if os.pardir in segments or not all(segments):
        return None
    for number, segment in enumerate(segments[:-1]):
        if system.same_name(segment, SCAN_FOLDER):
            return os.sep.join(segments[:number]), segment, os.sep.join(segments[number + 1 :])
    return None


def inspect(root: str, path: str, stat: os.stat_result) -> FinishedFile | Verdict:
    """Judge a path by a look at it (lstat: no link followed).

    Args:
        root: the data root that it was seen in.
        path: the full path.
        stat: the look.

    """
    place = scan_folder_in(root, path)
    if place is None:
        return Verdict.OUTSIDE
    if not system.is_plain_file(stat):
        return Verdict.NOT_A_FILE
    if is_part(os.path.basename(path)):
        return Verdict.PART
    if not system.is_marked(stat):
        return Verdict.UNFINISHED
    return FinishedFile(root, *place, Fingerprint.of(stat))


def is_stranded(stat: os.stat_result, now: float, unfinished_after: float) -> bool:
    """Tell whether nobody has touched an unfinished file for so long that its scan must have died.

    The change time counts as a touch too; where a system gives the time of creation in its place,
    so does that: nobody is late with a file that came to be a moment ago.

    Args:
        stat: a look at the file.
        now: seconds since the epoch.
        unfinished_after: seconds.

    """
    return now - max(stat.st_mtime, stat.st_ctime) >= unfinished_after

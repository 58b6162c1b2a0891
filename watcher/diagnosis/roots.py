"""The data roots: whether they can be read and watched, and how much room they have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from watcher.config import Config
from watcher.diagnosis.finding import Found
from watcher.model import WalkResult
from watcher.platform import system
from watcher.sources.rescan import Rescan
from watcher.views import words
from watcher.views.health import Level, space_level, space_text, unreadable_mend
from watcher.wiring import ground_of

_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_FREE_SPACE = "free some space there: scans are written there, and wait there during an outage"


def of_roots(config: Config) -> Iterator[Found]:
    """Look at each data root, and at all folders below."""
    for root in ground_of(config).roots:
        yield _root(root)
        yield _space(root)
    walk = _walk(config)
    yield _unreadable(walk)
    yield from _watches(walk)


def _root(root: str) -> Found:
    what, shown = "data root", words.path_name(root)
    try:
        with os.scandir(root) as entries:
            next(entries, None)
    except OSError as error:
        mend = "make it, correct data_roots, or give this account the right to read it"
        return Found(what, f"{error.strerror}: {shown}", mend)
    if not system.is_local(root):
        return Found(what, f"{shown} is no local disk: hints may fail, only the rescan is sure")
    return Found(what, f"local and readable: {shown}")


def _space(root: str) -> Found:
    try:
        usage = shutil.disk_usage(root)
    except OSError as error:
        return Found("free space", f"{error.strerror}: {words.path_name(root)}", _FREE_SPACE)
    level = space_level(usage.free, usage.total, None)
    text = space_text(root, usage.free, usage.total, None)
    return Found("free space", text, "" if level is Level.OK else _FREE_SPACE)


def _walk(config: Config) -> WalkResult:
    ground = ground_of(config)
    walk = Rescan(ground.roots, ground.is_excluded, config.unfinished_after)
    return walk.walk(lambda _files: None, lambda: False)


def _unreadable(walk: WalkResult) -> Found:
    if walk.errors:
        more = f" and {len(walk.errors) - 1} more" if len(walk.errors) > 1 else ""
        mend = unreadable_mend(walk.errors[0])
        return Found("folders", f"can't be read: {walk.errors[0]}{more}", mend)
    finished = words.count(walk.finished, "finished file")
    took = f"in {words.duration(walk.seconds)}"
    return Found("folders", f"{words.count(walk.folders, 'folder')} read {took}, {finished}")


def _watches(walk: WalkResult) -> Iterator[Found]:
    """Compare the folders with what the system lets one user watch, where it has such a limit."""
    try:
        with open(_WATCHES, encoding="ascii") as file:
            limit = int(file.read())
    except (OSError, ValueError):
        return
    text = f"{limit:,} folders may be watched, {walk.folders:,} are there"
    need = 2 * walk.folders + 1000
    mend = f"sysctl fs.inotify.max_user_watches={need}; until then only the rescan finds all"
    yield Found("watches", text, mend if limit < walk.folders + walk.folders // 4 else "")

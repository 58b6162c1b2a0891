"""Whether a destination can be used, and which cycles stand there.

Everything here may hang with the share; callers watch themselves (`outage.Pulses`).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import stat
import time
from collections.abc import Callable, Collection

from watcher.destination import PartNames, Template, cycles_in
from watcher.errors import DestinationDown
from watcher.model import ArchivePath
from watcher.platform import system

LATEST = "latest"
"""The `cycle` of the configuration that means the newest one there is."""
LATELY = 0.01
"""Seconds for which a look ahead serves those who only begin to use the destination."""
_TRIAL = b"\0" * 4096
_ELSEWHERE = "correct the destination's path, or the link, so that it leads elsewhere"
_UNSAFE = "nothing is written there: use another file system, or share it in another way"
_SWEPT = 10_000
"""Folders that are remembered as swept, or as flushed."""


class Reach:
    """Looks at one destination; remembers what was seen there."""

    def __init__(
        self,
        template: Template,
        parts: PartNames,
        *,
        cycle: str = LATEST,
        marker: str | None = None,
        below_root: str | None = None,
        is_watched: Callable[[str], bool] | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            template: where the destination is.
            parts: names for temporary files.
            cycle: `latest`, or the name of the cycle to use.
            marker: a file that must be found in the fixed part.
            below_root: the data root that the destination lies in; there, and only there, the
                fixed part is made where it is missing.
            is_watched: tells whether a folder, all links followed, is read for sources.

        """
        self._template = template
        self._parts = parts
        self._is_safe = False
        self._looked_ahead_at = -math.inf
        self._swept: set[str] = set()
        self._changed: dict[str, int] = {}
        self._flushed: dict[str, int | None] = {}
        self._numbers = itertools.count()
        self._left: set[str] = set()
        self._wanted = cycle
        self._marker = marker
        self._below_root = below_root
        self._is_watched = is_watched
        self._apart: str | None = None
        self.mount = ""
        """The deepest mount point above it that was ever seen; an earlier life may have."""
        self.cycles: tuple[str, ...] = () if cycle == LATEST else (cycle,)
        """The cycles that were there when any were last seen, the newest first."""
        self.volume: int | None = None
        """The volume it was on at the last look."""

    @property
    def makes_fixed(self) -> bool:
        """Whether the fixed part is made where it is missing."""
        return self._below_root is not None

    def probe(self, writing: bool) -> None:
        """Look; with `writing`, and until publishing is known to be safe there, also try to write.

        Raises:
            DestinationDown: it is not what it should be.
            OSError: it can't be reached, is full, denies us...

        """
        self.look()
        if writing or not self._is_safe:
            self._try_to_write()

    def look(self) -> None:
        """Look at the fixed part, its marker (or mount) and its cycles; raises as `probe`."""
        fixed = self._template.fixed
        if not self._is_folder(fixed):
            self._make(fixed)
        if self._marker and not os.path.lexists(os.path.join(fixed, self._marker)):
            raise DestinationDown(
                f"its marker {self._marker} is missing: {system.plain(fixed)}",
                mend="mount the share, or correct `marker`; nothing is written there meanwhile",
            )
        if not self._marker:
            self.mount = self._mount_of(fixed)
        if self._template.has_cycle:
            self._look_for_cycles()
        self._look_where_links_lead()
        self.volume = system.volume(fixed)
        if self._left:
            self._clear_away(*self._left)

    def look_ahead(self) -> None:
        """Look for those too who will want to use the destination in a moment."""
        began, self._looked_ahead_at = time.monotonic(), -math.inf
        self.look()
        self._looked_ahead_at = began

    def look_to_begin(self) -> None:
        """Look, unless somebody has just looked ahead; whoever ends something looks himself."""
        if time.monotonic() - self._looked_ahead_at > LATELY:
            self.look()

    def check(self, place: ArchivePath) -> None:
        """Make sure that the part of a place that is never created is there."""
        if not self._is_folder(place.fixed):
            raise DestinationDown(
                f"its folder is missing: {system.plain(place.fixed)}",
                mend="it is never created: make it",
            )

    def sweep(self, folder: str) -> None:
        """Remove what an earlier life of this watcher left in a folder, the first time (R5)."""
        if folder in self._swept:
            return
        if len(self._swept) >= _SWEPT:
            self._swept.clear()
        for name in os.listdir(folder):
            if self._parts.is_left_over(name):
                with contextlib.suppress(OSError):  # in use, or denied: no reason to stop here
                    system.remove_part(os.path.join(folder, name))
        self._swept.add(folder)

    def throw_away(self, part: str) -> None:
        """Remove a temporary file: now, or else as soon as the destination is back."""
        self._left.add(part)
        self._clear_away(part)

    def _clear_away(self, *parts: str) -> None:
        for part in parts:
            with contextlib.suppress(OSError):
                self._remove(part)

    def _remove(self, part: str) -> None:
        """Remove a temporary file, and forget it once it is seen to be gone."""
        try:
            system.remove_part(part)
        except OSError:
            if system.look(part):  # where nothing may be written that is refused, too
                raise
        os.stat(os.path.dirname(part))  # else it has only gone with the whole folder
        self._left.discard(part)

    def unflushed(self, place: ArchivePath) -> set[str]:
        """Return the folders above a place's own that this life hasn't flushed yet (R2).

        Whoever made a folder may have been killed, or may not have come to flushing it yet.
        """
        folder, above = place.parent, set[str]()
        while folder not in {place.fixed, os.path.dirname(folder)}:
            folder = os.path.dirname(folder)
            above.add(folder)
        changed, none = self._changed, -1
        return {f for f in above if self._flushed.get(f, none) != changed.get(f)}

    def changes(self, folders: Collection[str]) -> None:
        """Say that these folders are about to get new folders; each batch may be slow to flush."""
        self._changed.update((folder, next(self._numbers)) for folder in folders)

    def flush(self, folder: str) -> None:
        """Make the names in a folder durable; remember that, but for what comes in meanwhile."""
        if len(self._flushed) >= _SWEPT:
            self._flushed.clear()
            self._changed.clear()
        number = self._changed.get(folder)
        system.flush_folder(folder)
        self._flushed[folder] = number

    def _is_folder(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(os.stat(path).st_mode)
        except OSError as error:
            if not system.is_absent(error):
                raise
            return False

    def _make(self, fixed: str) -> None:
        if self._below_root is None or not self._is_folder(self._below_root):
            raise DestinationDown(
                f"its folder is missing: {system.plain(fixed)}",
                mend="mount the share or make the folder; it is never created by the watcher",
            )
        if not self._marker:
            self._mount_of(self._below_root)  # nothing is made in the bare folder below a mount
        os.makedirs(fixed, exist_ok=True)
        while len(fixed) > len(self._below_root):
            fixed = os.path.dirname(fixed)
            system.flush_folder(fixed)

    def _look_where_links_lead(self) -> None:
        """Refuse a destination that is read for sources under another name (R7)."""
        folder = self._base()
        if self._is_watched is None or folder == self._apart:
            return
        if self._is_watched(folder):
            raise DestinationDown(
                f"it leads into a data root, where sources are looked for: {system.plain(folder)}",
                mend=_ELSEWHERE,
            )
        self._apart = folder

    def _base(self) -> str:
        """Return the deepest folder that all experiments share."""
        base = self._template.base(self.cycles[0] if self.cycles else None)
        return base or self._template.fixed

    def _mount_of(self, folder: str) -> str:
        """Refuse what lies above the deepest mount that was ever seen there (R2)."""
        mount = mount_above(folder, self.mount)
        if mount is None:
            raise DestinationDown(
                f"a bare folder is where a share was mounted: {self.mount}",
                mend="mount it again; if it is to be a plain folder, put a `marker` into it",
            )
        return mount

    def _look_for_cycles(self) -> None:
        parent = self._template.cycles
        if self._wanted != LATEST:
            if not self._is_folder(os.path.join(parent, self._wanted)):
                raise DestinationDown(
                    f"there is no {self._wanted} folder: {system.plain(parent)}",
                    mend="make it, or correct `cycle`",
                )
            return
        with os.scandir(parent) as entries:  # which tells folders without asking for each
            found = tuple(cycles_in([entry.name for entry in entries if entry.is_dir()]))
        if not found:
            raise DestinationDown(
                f"there is no cycle_YY_N folder: {system.plain(parent)}",
                mend="the facility makes it for each cycle; it goes on by itself then",
            )
        self.cycles = found

    @property
    def trial_folder(self) -> str:
        """The deepest folder there is of those that all experiments share."""
        folder = self._base()
        while not self._is_folder(folder) and folder != self._template.fixed:
            folder = os.path.dirname(folder)
        return folder

    def _try_to_write(self) -> None:
        """Write, flush and remove a small file where experiments' folders are made.

        On the way it is given the name of another one, which must be refused: a file system that
        replaces files, or has no way of renaming that doesn't, can't be published on (R4).
        """
        folder = self.trial_folder
        self.sweep(folder)
        path, taken = (os.path.join(folder, self._parts.new()) for _ in range(2))
        try:
            self._write_trial(path)
            os.close(system.create_part(taken))
            system.publish(path, taken)
        except FileExistsError:
            self._is_safe = True
        except NotImplementedError as error:
            why = f"there is no safe way of publishing: {error}"
            raise DestinationDown(why, mend=_UNSAFE) from error
        else:
            raise DestinationDown(
                f"files are replaced unasked there: {system.plain(folder)}", mend=_UNSAFE
            )
        finally:
            self._left |= {path, taken}
            self._remove(path)
            self._remove(taken)

    def _write_trial(self, path: str) -> None:
        descriptor = system.create_part(path)
        try:
            if os.write(descriptor, _TRIAL) != len(_TRIAL):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def mount_above(path: str, seen: str) -> str | None:
    """Return the mount point that holds a folder.

    Args:
        path: the folder.
        seen: the deepest one that was ever seen to hold it, or empty.

    Returns:
        Empty if that is the system's own root; None if `path` lies in a bare folder now, where
        `seen` was mounted.

    """
    mount = _mount_point_above(path)
    while mount != seen and mount != (again := _mount_point_above(path)):
        mount = again  # it went between two calls, which makes a folder look like a mount
    if len(mount) < len(seen) and f"{path}{os.sep}".startswith(f"{seen}{os.sep}"):
        return None
    return mount


def _mount_point_above(path: str) -> str:
    """Return the mount point that holds `path`; empty if that is the system's own root."""
    while path != os.path.dirname(path):
        if system.is_mount_point(path):
            return path
        path = os.path.dirname(path)
    return ""

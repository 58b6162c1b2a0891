"""Folders on the way down from a data root, none of them ever reached through a link.

Where the system can, a folder is held by its descriptor and everything below is asked for through
it: a folder that is swapped for a link while somebody walks leads nowhere (R13), and a path may be
longer than any call takes. Elsewhere it goes by path, with a look before each step.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from watcher.platform import system


class Folder(Protocol):
    """An open folder; every call may raise `OSError`."""

    def look(self) -> os.stat_result:
        """Look at the folder itself."""

    def look_at(self, name: str) -> os.stat_result:
        """Look at an entry, following no link."""

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """List it."""

    def enter(self, name: str) -> Folder:
        """Open a folder in it.

        Raises:
            NotADirectoryError: it is a link, a junction or no folder at all.

        """

    def close(self) -> None:
        """Let it go."""


_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class ByDescriptor:
    """A folder that is held open."""

    _FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)

    def __init__(self, path: str, flags: int = 0, parent: int | None = None) -> None:
        """Open it; the data root itself may be a link, nothing below it may."""
        self._descriptor = os.open(path, self._FLAGS | flags, dir_fd=parent)

    def look(self) -> os.stat_result:
        """Ask the descriptor."""
        return os.fstat(self._descriptor)

    def look_at(self, name: str) -> os.stat_result:
        """Ask through the descriptor."""
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """List what the descriptor holds: names are text all the same."""
        listing: Any = os.scandir(self._descriptor)
        return listing  # type: ignore[no-any-return]

    def enter(self, name: str) -> Folder:
        """Open it through the descriptor."""
        return ByDescriptor(name, _NO_LINK, self._descriptor)

    def close(self) -> None:
        """Close the descriptor; an error says nothing of what was read, and must not end a walk."""
        with suppress(OSError):
            os.close(self._descriptor)


class ByPath:
    """A folder that is known by its path."""

    def __init__(self, path: str, looked: os.stat_result | None = None) -> None:
        """Remember the path and the look that found a folder there."""
        self._path = path
        self._looked = looked or os.stat(path)

    def look(self) -> os.stat_result:
        """Return the look that was taken on the way in."""
        return self._looked

    def look_at(self, name: str) -> os.stat_result:
        """Look at the path."""
        return os.lstat(os.path.join(self._path, name))

    def entries(self) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """List the path."""
        return os.scandir(self._path)

    def enter(self, name: str) -> Folder:
        """Look first."""
        looked = self.look_at(name)
        path = os.path.join(self._path, name)
        if not system.is_plain_folder(looked):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return ByPath(path, looked)

    def close(self) -> None:
        """Nothing is held."""


_BY_DESCRIPTOR = (
    bool(_NO_LINK) and os.scandir in os.supports_fd and {os.open, os.stat} <= os.supports_dir_fd
)


def open_root(path: str) -> Folder:
    """Open a data root, in the way that is safest here."""
    return ByDescriptor(path) if _BY_DESCRIPTOR else ByPath(path)


def descend(top: Folder, names: Iterable[str]) -> Folder:
    """Open the folder that lies below `top`, name by name; `top` itself stays open."""
    folder = top
    try:
        for name in names:
            above, folder = folder, folder.enter(name)
            if above is not top:
                above.close()
    except OSError:
        if folder is not top:
            folder.close()
        raise
    return folder

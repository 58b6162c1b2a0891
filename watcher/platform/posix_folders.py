"""The folders on the way to sources, held open: what no link led to stays the folder it was."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator

assert sys.platform != "win32"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 64
"""Folders that a thread keeps open at the most."""


def open_folder(path: str) -> int:
    """Open a folder that may be reached through links, as a destination's may."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _let_go(folder: int) -> None:
    """Close a folder's descriptor; an error says nothing of what is in it, and it is closed."""
    with contextlib.suppress(OSError):
        os.close(folder)


def _walk_down(root: str, folder: str) -> int:
    """Open a folder below `root` segment by segment, so that no link can lead elsewhere."""
    descriptor = open_folder(root)
    try:
        relative = os.path.relpath(folder, root)
        for segment in [] if relative == os.curdir else relative.split(os.sep):
            if segment == os.pardir:
                raise OSError(errno.ELOOP, "leads out of the data root", folder)
            deeper = os.open(segment, _FOLDER, dir_fd=descriptor)
            _let_go(descriptor)
            descriptor = deeper
    except BaseException:
        _let_go(descriptor)
        raise
    return descriptor


class Folder:
    """An open folder's descriptor, for a `with` statement."""

    __slots__ = ("_descriptor", "_is_kept")

    def __init__(self, descriptor: int, *, is_kept: bool) -> None:
        """Close it in the end, unless it is kept for whoever comes next."""
        self._descriptor = descriptor
        self._is_kept = is_kept

    def __enter__(self) -> int:
        """Give the descriptor."""
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        """Close it, or leave it open."""
        if not self._is_kept:
            _let_go(self._descriptor)


class Folders(threading.local):
    """The folders that a thread holds open on its way to sources, if it wants them kept."""

    def __init__(self) -> None:
        """Keep nothing."""
        self._open: dict[tuple[str, str], int] | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is opened until the end, but not too many."""
        if self._open is not None:
            yield
            return
        self._open = {}
        try:
            yield
        finally:
            self._close()
            self._open = None

    def below(self, root: str, folder: str) -> Folder:
        """Give a folder below `root`, which no link led to."""
        return self._given((root, folder), lambda: _walk_down(root, folder))

    def at(self, folder: str) -> Folder:
        """Give a folder that may be reached through links."""
        return self._given(("", folder), lambda: open_folder(folder))

    def _given(self, key: tuple[str, str], opened: Callable[[], int]) -> Folder:
        if self._open is None:
            return Folder(opened(), is_kept=False)
        descriptor = self._open.pop(key) if key in self._open else opened()
        self._open[key] = descriptor  # the last now: the first is the one used longest ago
        self._close(_KEPT)
        return Folder(descriptor, is_kept=True)

    def _close(self, but: int = 0) -> None:
        while self._open and len(self._open) > but:
            _let_go(self._open.pop(next(iter(self._open))))

"""One data root and what watches it."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable

from watcher.inspection import scan_folder_in
from watcher.platform import system

if sys.platform == "win32":
    from watcher.sources.observer.directory_changes import Backend
elif sys.platform.startswith("linux"):
    from watcher.sources.observer.inotify import Backend
else:
    from watcher.sources.observer.other import Backend

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]

_MENDS = {
    errno.ENOSPC: "the system's limit on watched folders is reached; raise it: "
    "sysctl fs.inotify.max_user_watches=1048576",
    errno.EMFILE: "the system's limit on watchers is reached; raise it: "
    "sysctl fs.inotify.max_user_instances=1024",
    errno.ENOENT: "the data root is missing; it is watched as soon as it appears",
}


_LIMITED = "not all folders are watched: " + _MENDS[errno.ENOSPC]


class WatchedRoot:
    """A data root that is watched, or waits to be.

    `attach`, `check` and `detach` are called by one thread at a time, the rest by the backend's
    own threads.
    """

    def __init__(
        self,
        path: str,
        is_excluded: Callable[[str], bool],
        hint: Tell,
        look_below: Tell,
        blind: Tell,
    ) -> None:
        """Watch nothing yet."""
        self._path = path
        self._is_excluded = is_excluded
        self._hint = hint
        self._look_below = look_below
        self._blind = blind
        self._real = path
        self._identity = (0, 0)
        self._backend: Backend | None = None
        self._has_died = False
        self._told = ""
        self.trouble = self._say("it is not watched yet")
        """Why it is not watched in full; empty if it is."""

    def attach(self) -> str:
        """Begin to watch; returns what is wrong, if that is news."""
        self._has_died = False
        self.trouble = ""
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - whatever it is, the rescan goes on without
            self.detach()
            self.trouble = self._say(_explain(error))
        return self._if_news(self.trouble)

    def _watch(self) -> None:
        """Look first: what replaces the folder after that look is noticed by `check`."""
        self._identity = _identity(self._path)
        self._real = os.path.realpath(self._path) if os.path.islink(self._path) else self._path
        os.scandir(self._real).close()
        self._backend = Backend(self, self._real)
        self._backend.start()

    def detach(self) -> None:
        """Stop watching; its threads have ended when this returns."""
        backend, self._backend = self._backend, None
        self.trouble = self._say("it is not watched")
        if backend is not None:
            backend.end()

    def check(self) -> str:
        """Judge by what can be seen, mend what can be mended; returns what a rescan is due for."""
        if self._backend is None:
            return self.attach() or ("" if self.trouble else self._say("it is watched again"))
        reason = self._what_is_wrong(self._backend)
        if not reason:
            return ""
        self.detach()
        return self.attach() or self._say(f"{reason}; it is watched anew")

    def _what_is_wrong(self, backend: Backend) -> str:
        try:
            if _identity(self._path) != self._identity:
                return "another folder has taken the data root's place"
        except OSError as error:
            return _explain(error)
        if self._has_died or not backend.is_sound():
            return "the watch ended by itself"
        return ""

    def _if_news(self, trouble: str) -> str:
        """Say a thing once, as long as it stays the same."""
        if trouble == self._told:
            return ""
        self._told = trouble
        return trouble

    def _say(self, reason: str) -> str:
        return f"{system.plain(self._path)}: {reason}"

    # Called by the backend's threads

    def is_left_out(self, path: str) -> bool:
        """Tell whether a path is or lies in a folder that is excluded."""
        return self._is_excluded(self._own(path))

    def overflowed(self) -> None:
        """More happened at once than the system keeps."""
        self._blind(self._say("more happened at once than the system could tell"))

    def died(self, error: BaseException) -> None:
        """A thread of the backend ended; `check` starts anew."""
        self._has_died = True
        self.trouble = self._say(f"the watch ended: {error}")
        self._blind(self.trouble)

    def limited(self) -> None:
        """A folder could not be watched because there are too many."""
        self.trouble = self._say(_LIMITED)
        if news := self._if_news(self.trouble):
            self._blind(news)

    def happened(self, path: str, *, is_folder: bool) -> None:
        """Take what is told; whatever goes wrong with it, the next comes through."""
        try:
            self._sort(self._own(path), is_folder)
        except Exception as error:  # noqa: BLE001 - this thread must live
            logger.warning("a hint could not be read: %r", error)
            self._blind(self._say(f"a hint could not be read: {error}"))

    def _sort(self, path: str, is_folder: bool) -> None:
        if is_folder:
            if not self._is_excluded(path):
                self._look_below(path)
        elif scan_folder_in(self._path, path) is not None and not self._is_excluded(path):
            self._hint(path)

    def _own(self, path: str) -> str:
        """Put the data root's own name in front of a path that was reached through a link."""
        if self._real != self._path and path.startswith(self._real):
            return self._path + path[len(self._real) :]
        return path


def _identity(path: str) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino


def _explain(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return _MENDS.get(number or 0) or f"it can't be watched: {str(error) or repr(error)}"

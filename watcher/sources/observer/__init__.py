"""Hints from the system, through watchdog, whose only home this is.

Hints are hints: what is told here is looked at by others, and what is not told is found by the
rescan. So nothing here may raise or wait, and every loss that can be noticed is told at once.

Every data root is watched by itself, so that a bad one doesn't blind the others. watchdog's own
observers are put together from its parts in another way (`inotify`, `directory_changes`), because
as they come they wait where we can't.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from watcher.sources.observer.root import Tell, WatchedRoot


class Observer:
    """Watches all data roots.

    None of the callbacks may wait, or call back in here; they are called on threads of their own.

    Args:
        roots: the data roots, made by `System.native`.
        is_excluded: tells by its full path whether something is or lies in a folder that nothing
            is told of.
        hint: is told the path of a file below a scan folder that something happened to.
        look_below: is told a folder that appeared, by creation or by a move: files may have been
            in it before it was watched.
        blind: is told that hints were lost or may have been, with the reason and its mend: a
            rescan must be made at once.

    """

    def __init__(
        self,
        roots: Sequence[str],
        is_excluded: Callable[[str], bool],
        hint: Tell,
        look_below: Tell,
        blind: Tell,
    ) -> None:
        """Watch nothing yet."""
        self._blind = blind
        self._roots = [WatchedRoot(root, is_excluded, hint, look_below, blind) for root in roots]
        self._lock = threading.Lock()
        self._is_running = False

    @property
    def trouble(self) -> str:
        """Why not everything is watched, and what to do; empty if it is."""
        return "; ".join(root.trouble for root in self._roots if root.trouble)

    def start(self) -> None:
        """Watch what can be watched; `blind` is told what can't. A rescan must follow."""
        _quieten_watchdog()
        with self._lock:
            self._is_running = True
            news = [root.attach() for root in self._roots]
        self._tell(news)

    def restart(self, reason: str) -> None:
        """Watch everything anew, with new threads. A rescan must follow."""
        logging.getLogger(__name__).info("the observer is started anew: %s", reason)
        with self._lock:
            if not self._is_running:
                return
            news = []
            for root in self._roots:
                root.detach()
                news.append(root.attach())
        self._tell(news)

    def check(self) -> None:
        """Look whether all roots are still watched, and mend what isn't; to be called often."""
        with self._lock:
            news = [root.check() for root in self._roots] if self._is_running else []
        self._tell(news)

    def stop(self) -> None:
        """Stop watching; no thread is left behind, and nothing is told any more."""
        with self._lock:
            self._is_running = False
            for root in self._roots:
                root.detach()

    def _tell(self, news: Sequence[str]) -> None:
        for reason in filter(None, news):
            self._blind(reason)


def _quieten_watchdog() -> None:
    """Keep watchdog off the terminal, and out of the log with what is told here already."""
    log = logging.getLogger("watchdog")
    log.setLevel(logging.ERROR)
    if not log.handlers:
        log.addHandler(logging.NullHandler())

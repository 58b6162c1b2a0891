"""When the data roots are walked: at the start, once in an interval, and at once when it matters.

It matters when hints were lost, when files were turned away for want of room, and when a walk has
found what a hint should have told. A folder that appeared is walked by itself.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from watcher.activity import Activity, Notice, RescanBegan, RescanEnded
from watcher.backlog import Backlog
from watcher.model import WalkResult
from watcher.sources.intake import Intake
from watcher.sources.rescan import Rescan

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Rounds:
    """The thread that walks, and what it is asked for."""

    rescan: Rescan
    intake: Intake
    backlog: Backlog
    activity: Activity
    walked: Callable[[WalkResult], None]
    """Called after each whole walk, before it is told of."""
    interval: float
    """Seconds from the end of a walk to the next one."""
    stop: threading.Event
    _asked: threading.Condition = field(default_factory=threading.Condition)
    _is_wanted: bool = True
    _has_room: bool = False
    """Whether what was turned away can be brought back."""
    _below: list[str] = field(default_factory=list)
    _is_blind: bool = True
    """Whether hints can't have told of everything: nobody listened, or not all the time."""

    def ask(self) -> None:
        """Walk everything soon. Never waits."""
        with self._asked:
            self._is_wanted = True
            self._asked.notify_all()

    def look_below(self, folder: str) -> None:
        """Walk a folder that appeared. Never waits."""
        with self._asked:
            self._below.append(folder)
            self._asked.notify_all()

    def blind(self, reason: str) -> None:
        """Walk at once: hints were or may have been lost."""
        text = f"hints were lost: {reason}"
        self.activity.tell(Notice("warning", text, "the data roots are walked at once instead"))
        self.ask()

    def look_for_missed(self, restart: Callable[[str], None]) -> bool:
        """Have the observer started anew if it missed files (R9); tells whether more are suspect.

        Args:
            restart: starts the observer anew, for a reason.

        """
        if self.intake.count_missed():
            restart("it missed files that the rescan found")
            self._is_blind = True
            self.ask()
        return self.intake.has_suspects

    def look_for_dropped(self) -> bool:
        """Bring back what was turned away, once there is room; tells whether there is any."""
        if self.backlog.has_dropped and not self.backlog.is_crowded:
            with self._asked:
                self._has_room = True
                self._asked.notify_all()
        return self.backlog.has_dropped

    def wake(self) -> None:
        """Make the thread look at the stop event."""
        with self._asked:
            self._asked.notify_all()

    def run(self) -> None:
        """Walk at the start, then every interval or when asked: the body of a thread."""
        due = time.monotonic()
        while (wanted := self._next(due)) is not None:
            is_full, below = wanted
            try:
                for folder in below:
                    self.rescan.walk_below(folder, self.intake.came_along, self.stop.is_set)
                if is_full:
                    self.walk()
                elif self._has_room:
                    self.refill()
            except Exception:  # said, and gone on from: the next walk may go better (R11)
                logger.exception("unexpected error while walking; it goes on")
            if is_full:
                due = time.monotonic() + self.interval

    def _next(self, due: float) -> tuple[bool, list[str]] | None:
        """Wait for something to walk: whether everything, and which folders by themselves."""
        with self._asked:
            self._asked.wait_for(
                lambda: self._is_wanted or self._has_room or self._below or self.stop.is_set(),
                max(0.0, due - time.monotonic()),
            )
            if self.stop.is_set():
                return None
            below, self._below = self._below, []
            is_full = self._is_wanted or time.monotonic() >= due
            self._is_wanted = self._is_wanted and not is_full
            return is_full, below

    def walk(self) -> WalkResult:
        """Walk everything; what it finds though no hint told of it is looked into later."""
        self.activity.tell(RescanBegan())
        expected = self._is_blind or self.backlog.has_dropped
        self._is_blind = self._has_room = self.backlog.has_dropped = False
        found = functools.partial(self.intake.found, expected=expected)
        result = self.rescan.walk(found, self.stop.is_set)
        if not self.stop.is_set():
            self.walked(result)
        self.activity.tell(RescanEnded(result, time.time() + self.interval))
        return result

    def refill(self) -> None:
        """Bring back what was turned away; that ends as soon as something is turned away again."""
        self._has_room = self.backlog.has_dropped = False
        found = functools.partial(self.intake.found, expected=True)
        self.rescan.walk(found, lambda: self.stop.is_set() or self.backlog.has_dropped)

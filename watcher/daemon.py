"""Puts the parts together; the order of starting and stopping, with its reasons.

Starting: the lock first, so that two never share a state folder; then the ledger, which may have
to be set aside; then the lanes, so that whatever comes finds its way; then the observer; and only
then the first walk, so that no file falls between the two (a file marked before the observer was
there is found by the walk, one marked after it is hinted at).

Stopping: the sources first, so that nothing new comes; then everybody who waits is woken; copies
in flight get a few seconds; the ledger is closed; the lock is given back explicitly, since a thread
in a dead share would hold it for as long as the share is dead. What was in flight is still
finished on disk, and the next start finds it: that is why there is no shutdown protocol.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import watcher
from watcher.activity import (
    RECENT,
    Activity,
    BacklogChanged,
    ConflictKept,
    ConflictsUnseen,
    FileReleased,
    Notice,
    RescanBegan,
    RescanEnded,
    Started,
    Stopping,
)
from watcher.backlog import Backlog
from watcher.config import AfterArchiving, Config, Record
from watcher.destination import PartNames
from watcher.ledger import Ledger
from watcher.model import WalkResult
from watcher.outage import Gate, Patience, Pulses
from watcher.platform import system
from watcher.settling import Settling
from watcher.sources.intake import CycleReader, Intake
from watcher.sources.observer import Observer
from watcher.sources.rescan import Rescan
from watcher.space import SpaceWatch
from watcher.transfer import Depot, Turn
from watcher.views.status import NAME as STATUS_NAME
from watcher.views.status import StatusFile
from watcher.wiring import LEDGER_NAME, depots_of, ground_of
from watcher.worker import Desk, Lane, SettlingLane

logger = logging.getLogger(__name__)
if TYPE_CHECKING:
    from watcher.views.metrics import Outlet

_TICK = 0.5
"""Seconds between two looks at how everything is."""
_GRACE = 5.0
"""Seconds that copies in flight get when it stops."""
_GLANCE = 0.01
"""Seconds between two looks whether a single pass is through; longer where more is in memory."""
_CHECK = 5.0
"""Seconds between two looks at the observer."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a single pass ended."""

    result: WalkResult
    left: int
    """Finished files that are still behind."""


class Watcher:
    """All the parts of a running watcher; the state folder's lock is held by the caller."""

    def __init__(
        self,
        config: Config,
        activity: Activity,
        *,
        log_file: str = "",
        stop: threading.Event | None = None,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            config: what is wanted.
            activity: told of everything.
            log_file: shown to people.
            stop: the event that asks it to stop; it has one of its own otherwise.

        """
        self._config = config
        self._log_file = log_file
        self.activity = activity
        self.stop_event = stop or threading.Event()
        keep = self._keeps = config.after_archiving is AfterArchiving.KEEP
        self._parts = PartNames(platform.node(), os.path.abspath(config.state_dir))
        self._ground = ground_of(config)
        self._ledger = Ledger.open(os.path.join(config.state_dir, LEDGER_NAME), activity.tell)
        self._depots = depots_of(config, self._parts, activity.tell, self._ledger.accepted)
        for name, depot in self._depots.items():
            depot.reach.mount = self._ledger.last_mount(name)
        self._backlog = Backlog(list(self._depots))
        self._pulses = Pulses()
        self._patience = Patience(config.retry.initial, config.retry.maximum, self.stop_event)
        self._gates = {name: self._gate(name, depot) for name, depot in self._depots.items()}
        self._readers = {
            name: CycleReader(depot.reach)
            for name, depot in self._depots.items()
            if depot.template.has_cycle
        }
        self._intake = Intake(
            self._ground,
            self._readers,
            self._ledger,
            self._backlog,
            activity,
            kept=list(self._depots) if keep else (),
        )
        self._rescan = Rescan(
            self._ground.roots, self._ground.is_excluded, config.unfinished_after, sweep=True
        )
        self._observer = Observer(
            self._ground.roots,
            self._ground.is_excluded,
            self._intake.hint,
            self._look_below,
            self._blind,
        )
        desk = Desk(
            self._backlog,
            self._ledger,
            activity,
            self._pulses,
            self._patience,
            self._gates,
            turn := Turn(),
            self._intake.look_again,
        )
        self._settling = Settling(self._depots, self._ledger, self._pulses, turn, keep=keep)
        renaming = set() if keep or config.checksums.record is Record.STREAM else self._renaming()
        lanes = [
            Lane(desk, depot, config.workers, may_rename=name in renaming)
            for name, depot in self._depots.items()
        ]
        self._threads = [t for lane in lanes for t in lane.threads()]
        self._threads += SettlingLane(desk, self._settling).threads()
        self._threads.append(threading.Thread(target=self._intake.run, name="intake", daemon=True))
        self._status = StatusFile(os.path.join(config.state_dir, STATUS_NAME))
        self._outlet = self._outlet_of(config)
        self._wanted = threading.Condition()
        self._is_wanted = True
        self._below: list[str] = []
        self._has_gap = False
        """Whether the observer was away, so that hints can't have told of everything."""
        self._checked_at = self._count_after = time.monotonic()
        self._glance = _GLANCE

    def start(self) -> None:
        """Start everything: lanes, observer, then the walk."""
        self._begin()
        if self._outlet:
            self._outlet.start()
        self._observer.start()
        bodies = (
            (self._walk_on, "rescan"),
            (self._tick_on, "monitor"),
            (self._measure_on, "space"),
        )
        for target, name in bodies:
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def run_once(self) -> Ended:
        """Make one pass over the data roots, and wait until what it found is archived or stuck."""
        self._begin()
        ticking = threading.Thread(target=self._tick_on, name="monitor", daemon=True)
        ticking.start()
        self._threads.append(ticking)
        result = self._walk(expected=True)
        while not self.stop_event.wait(self._glance) and not self._is_through():
            if self._backlog.has_dropped and not self._backlog.is_crowded:
                self._backlog.has_dropped = False
                result = self._walk(expected=True)
        return Ended(result, max(len(self._backlog), self._ledger.waiting()))

    def stop(self, reason: str = "asked to") -> bool:
        """Stop everything in order.

        Returns:
            Whether all threads ended; those that didn't are in calls to a share that hangs, and
            the process must be left without waiting for them.

        """
        self.activity.tell(Stopping(reason))
        self.stop_event.set()
        self._observer.stop()
        self._intake.close()
        for reader in self._readers.values():
            reader.close()
        self._backlog.close()
        for gate in self._gates.values():
            gate.wake()
        with self._wanted:
            self._wanted.notify_all()
        deadline = time.monotonic() + _GRACE
        threads = [*self._threads, *(reader.thread for reader in self._readers.values())]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._tell_backlog()
        self._status.write(self.activity.snapshot, last=True)
        if self._outlet:
            self._outlet.stop()
        self._ledger.close()
        return not any(thread.is_alive() for thread in threads)

    def _begin(self) -> None:
        self.activity.tell(
            Started(
                self._config.instrument,
                watcher.__version__,
                os.getpid(),
                self._ground.roots,
                tuple(self._depots),
                self._config.file,
                self._log_file,
            )
        )
        self._tell_conflicts()
        self._settling.reconcile()
        for thread in self._threads:
            thread.start()

    def _gate(self, name: str, depot: Depot) -> Gate:
        def probe(writing: bool) -> None:
            with self._pulses.watching(name):
                depot.reach.probe(writing)
            self._ledger.remember_mount(name, depot.reach.mount)

        opened = functools.partial(self._backlog.hurry, name)
        closed = functools.partial(self._backlog.wake, name)
        return Gate(name, probe, self._patience, self.activity, opened, closed)

    def _renaming(self) -> set[str]:
        """Choose the destinations that may be filled by renaming the source.

        Those below a data root, else the last: one of them gets the source, all others a copy.
        """
        local = {name for name, depot in self._depots.items() if depot.reach.makes_fixed}
        return local or {list(self._depots)[-1]}

    def _look_below(self, folder: str) -> None:
        with self._wanted:
            self._below.append(folder)
            self._wanted.notify_all()

    def _blind(self, reason: str) -> None:
        """Walk at once: hints were or may have been lost."""
        text = f"hints were lost: {reason}"
        self.activity.tell(Notice("warning", text, "the data roots are walked at once instead"))
        self._want_walk()

    def _want_walk(self) -> None:
        with self._wanted:
            self._is_wanted = True
            self._wanted.notify_all()

    def _walk_on(self) -> None:
        """Walk at the start, then every interval or when asked: the body of a thread."""
        is_first, due = True, time.monotonic()
        while not self.stop_event.is_set():
            with self._wanted:
                self._wanted.wait_for(
                    lambda: self._is_wanted or self._below or self.stop_event.is_set(),
                    max(0.0, due - time.monotonic()),
                )
                below, self._below = self._below, []
                full = self._is_wanted or time.monotonic() >= due
                self._is_wanted = self._is_wanted and not full
            with _surviving("walking"):
                for folder in below:
                    found = functools.partial(self._intake.found, expected=True)
                    self._rescan.walk_below(folder, found, self.stop_event.is_set)
            if full and not self.stop_event.is_set():
                due = time.monotonic() + self._config.rescan_interval
                with _surviving("walking"):
                    self._walk(expected=is_first)
                is_first, due = False, time.monotonic() + self._config.rescan_interval

    def _walk(self, *, expected: bool) -> WalkResult:
        self.activity.tell(RescanBegan())
        expected = expected or self._has_gap or self._backlog.has_dropped
        self._has_gap = self._backlog.has_dropped = False
        found = functools.partial(self._intake.found, expected=expected)
        result = self._rescan.walk(found, self.stop_event.is_set)
        if not self.stop_event.is_set():
            self._forget_vanished(result.finished)
        self._tell_backlog()
        next_at = time.time() + self._config.rescan_interval
        self.activity.tell(RescanEnded(result, next_at))
        return result

    def _forget_vanished(self, found: int) -> None:
        """Drop waiting files that are gone or no longer finished, if there must be some.

        Where sources are kept, the walk finds archived files too, and its count tells nothing.
        """
        after = ""
        if self._ledger.waiting() <= found and not self._keeps:
            return
        while page := self._ledger.waiting_sources(after, 500):
            after = page[-1]
            gone = [source for source in page if self._is_gone(system.native(source))]
            self._ledger.forget(gone)
            for source in gone:
                self._backlog.drop_path(system.native(source))
                if source in self.activity.snapshot.held:
                    self.activity.tell(FileReleased(source))

    def _is_gone(self, path: str) -> bool:
        """Tell whether a file is gone, and not only its whole data root for a while."""
        root = self._ground.root_of(path)
        return root is None or (os.path.isdir(root) and not _is_finished(path))

    def _tick_on(self) -> None:
        """Look how everything is, now and then: the body of a thread."""
        while not self.stop_event.wait(_TICK):
            with _surviving("looking how everything is"):
                self._tick()

    def _tick(self) -> None:
        self._look_for_stalls()
        self._tell_backlog(now=False)
        if self._intake.count_missed():
            self._observer.restart("it missed files that the rescan found")
            self._has_gap = True
            self._want_walk()
        if self._backlog.has_dropped and not self._backlog.is_crowded:
            self._want_walk()
        if time.monotonic() - self._checked_at > _CHECK:
            self._checked_at = time.monotonic()
            self._observer.check()
            self._tell_conflicts()
        self._status.write(self.activity.snapshot)
        if self._outlet:
            self._outlet.write()

    def _outlet_of(self, config: Config) -> Outlet | None:
        """Make what tells figures, if that is wanted: only then is its library loaded."""
        wanted = config.metrics
        if not (wanted.textfile or wanted.http):
            return None
        from watcher.views.metrics import Outlet  # noqa: PLC0415

        def on_trouble(text: str) -> None:
            self.activity.tell(Notice("warning", text, "files are archived all the same"))

        return Outlet(lambda: self.activity.snapshot, wanted.textfile, wanted.http, on_trouble)

    def _measure_on(self) -> None:
        SpaceWatch(self._ground.roots, self.activity.tell).run(self.stop_event)

    def _look_for_stalls(self) -> None:
        still = self._pulses.stillness()
        for name, gate in self._gates.items():
            if still.get(name, 0.0) >= self._config.retry.stalled_after:
                gate.stalled(self._config.retry.stalled_after)
            else:
                gate.moved()

    def _tell_backlog(self, *, now: bool = True) -> None:
        """Count what waits, unless that has just been done, or would take too much of the time."""
        began = time.monotonic()
        if not now and began < self._count_after:
            return
        files, size, oldest = self._ledger.waiting_totals()
        self._count_after = began + 50 * (time.monotonic() - began)
        files = max(files, len(self._backlog))
        told = self.activity.snapshot
        if (files, size, oldest) != (told.backlog, told.backlog_size, told.oldest):
            self.activity.tell(BacklogChanged(files, size, oldest))

    def _tell_conflicts(self) -> None:
        """Tell of conflicts that earlier runs left, or that somebody has marked as seen."""
        count = self._ledger.unseen_conflicts()
        if count != self.activity.snapshot.conflicts:
            last = self._ledger.last_unseen(RECENT)
            kept = tuple(ConflictKept(r.source, r.destination, r.path) for r in last)
            self.activity.tell(ConflictsUnseen(count, kept))

    def _is_through(self) -> bool:
        """Tell whether nothing moves any more: all is archived, or stuck for a reason."""
        if self._backlog.has_dropped and not self._backlog.is_crowded:
            return False
        self._glance = _GLANCE * (1 + len(self._backlog) / 100)
        down = {name for name, gate in self._gates.items() if gate.is_down or gate.is_stalled}
        return self._backlog.is_stuck(down)


@contextlib.contextmanager
def _surviving(what: str) -> Iterator[None]:
    """Keep a thread alive that everything relies on; its next round may go better."""
    try:
        yield
    except Exception:  # said, and gone on from (R11)
        logger.exception("unexpected error while %s; it goes on", what)


def _is_finished(path: str) -> bool:
    try:
        stat = os.lstat(path)
    except OSError as error:
        return not system.is_absent(error)
    return system.is_plain_file(stat) and system.is_marked(stat)

"""Puts the parts together; the order of starting and stopping, with its reasons.

Starting: the lock first (the caller holds it), so that two never share a state folder; then

1. the ledger, which may have to be set aside, and what an earlier life left half renamed;
2. the lanes, so that whatever comes finds its way;
3. intake, so that whatever is told is looked at;
4. the observer, which watches before anybody walks: a file marked before it was there is found
   by the walk, one marked after it is hinted at, and none falls between the two;
5. the rounds, whose first walk begins at once;
6. the monitor, and whoever else only looks.

Stopping, once the one stop event is set, by a signal or anybody else:

1. the sources, so that nothing new comes;
2. everybody who waits is woken, and copies in flight get a few seconds;
3. the last word is written, and the ledger is closed;
4. the lock is given back explicitly (by the caller), since a thread in a dead share would hold it
   for as long as the share is dead.

What was in flight is still finished on disk, and the next start finds it: that is why there is no
shutdown protocol.
"""

from __future__ import annotations

import functools
import os
import platform
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import watcher
from watcher.activity import Activity, Notice, Started, Stopping
from watcher.backlog import Backlog
from watcher.checksums import Kind
from watcher.config import AfterArchiving, Config
from watcher.destination import PartNames
from watcher.ledger import Ledger
from watcher.model import WalkResult
from watcher.monitor import Monitor
from watcher.outage import Gate, Patience, Pulses, Stalls
from watcher.settling import Settling
from watcher.sources.cycles import CycleReader
from watcher.sources.intake import Intake
from watcher.sources.observer import Observer
from watcher.sources.rescan import Rescan
from watcher.sources.rounds import Rounds
from watcher.sources.vanished import Vanished
from watcher.space import SpaceWatch
from watcher.tally import Tally
from watcher.transfer import Depot, Turn
from watcher.views.status import NAME as STATUS_NAME
from watcher.views.status import StatusFile
from watcher.wiring import LEDGER_NAME, depots_of, ground_of
from watcher.worker import Desk, Lane, SettlingLane

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.views.metrics import Outlet

_GRACE = 5.0
"""Seconds that copies in flight get when it stops."""
_OFTEN = 5
"""Changes of a file after which a single pass ends without it."""
_GLANCE = 0.01
"""Seconds between two looks whether a single pass is through; longer where more is in memory."""


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
        self._keeps = config.after_archiving is AfterArchiving.KEEP
        self._threads: list[threading.Thread] = []
        self._make_destinations()
        self._make_sources()
        self._make_lanes()
        self._make_monitor()

    def _make_destinations(self) -> None:
        config, tell = self._config, self.activity.tell
        parts = PartNames(platform.node(), os.path.abspath(config.state_dir))
        self._ledger = Ledger.open(os.path.join(config.state_dir, LEDGER_NAME), tell)
        self._depots = depots_of(config, parts, tell, self._ledger)
        for name, depot in self._depots.items():
            depot.reach.mount = self._ledger.last_mount(name)
        self._backlog = Backlog(list(self._depots))
        self._pulses = Pulses()
        self._patience = Patience(config.retry.initial, config.retry.maximum, self.stop_event)
        self._gates = {name: self._gate(name, depot) for name, depot in self._depots.items()}

    def _make_sources(self) -> None:
        config, ground = self._config, ground_of(self._config)
        self._tally = Tally(self._ledger, self._backlog, self.activity)
        self._readers = {
            name: CycleReader(depot.reach)
            for name, depot in self._depots.items()
            if depot.template.has_cycle
        }
        kept = list(self._depots) if self._keeps else ()
        self._intake = Intake(
            ground, self._readers, self._ledger, self._backlog, self.activity, kept
        )
        vanished = Vanished(ground, self._ledger, self._backlog, self.activity, self._keeps)

        def walked(result: WalkResult) -> None:
            vanished.forget(result.finished)
            self._tally.count()

        self._ground = ground
        self._rounds = Rounds(
            Rescan(ground.roots, ground.is_excluded, config.unfinished_after, sweep=True),
            self._intake,
            self._backlog,
            self.activity,
            walked,
            config.rescan_interval,
            self.stop_event,
        )
        self._observer = Observer(
            ground.roots,
            ground.is_excluded,
            self._intake.hint,
            self._rounds.look_below,
            self._rounds.blind,
        )

    def _make_lanes(self) -> None:
        turn = Turn()
        desk = Desk(
            self._backlog,
            self._ledger,
            self.activity,
            self._pulses,
            self._patience,
            self._gates,
            turn,
            self._intake.look_again,
        )
        renaming = self._renaming()
        lanes = [
            Lane(desk, depot, self._config.workers, may_rename=name in renaming)
            for name, depot in self._depots.items()
        ]
        self._settling = Settling(self._depots, self._ledger, self._pulses, turn, keep=self._keeps)
        self._lanes = [thread for lane in lanes for thread in lane.threads()]
        self._lanes += SettlingLane(desk, self._settling).threads()

    def _make_monitor(self) -> None:
        config = self._config
        self._status = StatusFile(os.path.join(config.state_dir, STATUS_NAME), self._warn)
        self._outlet = self._outlet_of(config)
        looks = (
            Stalls(self._pulses, self._gates, config.retry.stalled_after).look,
            self._tally.look,
            functools.partial(self._rounds.look_for_missed, self._observer.restart),
            self._rounds.look_for_dropped,
            self._write,
        )
        rare = (self._observer.check, self._tally.count_conflicts, self._tally.count_faulty)
        self._monitor = Monitor(looks, rare, self.stop_event)
        self.activity.listen(self._monitor.wake)

    def start(self) -> None:
        """Start everything, in the order that is written above."""
        self._begin()
        self._observer.start()
        self._run(self._rounds.run, "rescan")
        self._run(self._monitor.run, "monitor")
        space = SpaceWatch(self._ground.roots, self.activity.tell)
        self._run(functools.partial(space.run, self.stop_event), "space")
        if self._outlet:
            self._outlet.start()

    def run_once(self) -> Ended:
        """Make one pass over the data roots, and wait until what it found is archived or stuck."""
        self._begin()
        self._run(self._monitor.run, "monitor")
        result = self._rounds.walk()
        while not self.stop_event.wait(self._glance()) and not self._is_through():
            if self._backlog.has_dropped and not self._backlog.is_crowded:
                self._rounds.refill()
        behind = max(len(self._backlog), self._ledger.waiting())
        return Ended(result, behind + self._intake.pending())

    def stop(self, reason: str = "asked to") -> bool:
        """Stop everything, in the order that is written above.

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
        self._rounds.wake()
        self._monitor.wake()
        has_ended = self._wait_for_threads()
        self._tally.count()
        self._status.write(self.activity.snapshot, last=True)
        if self._outlet:
            self._outlet.stop()
        self._ledger.close()
        return has_ended

    def _wait_for_threads(self) -> bool:
        deadline = time.monotonic() + _GRACE
        threads = [*self._threads, *(reader.thread for reader in self._readers.values())]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _begin(self) -> None:
        """Say who runs, end what an earlier life left half done, and start those who serve."""
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
        self._tally.count()
        self._tally.count_conflicts()
        self._tally.count_faulty()
        self._status.write(self.activity.snapshot)  # first: an earlier life's last word is there
        self._settling.reconcile()
        for thread in self._lanes:
            self._threads.append(thread)
            thread.start()
        self._run(self._intake.run, "intake")

    def _run(self, body: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=body, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _gate(self, name: str, depot: Depot) -> Gate:
        def probe(writing: bool) -> None:
            with self._pulses.watching(name):
                depot.reach.probe(writing)
            self._ledger.remember_mount(name, depot.reach.mount)

        opened = functools.partial(self._backlog.opened, name)
        closed = functools.partial(self._backlog.closed, name)
        return Gate(name, probe, self._patience, self.activity, opened, closed)

    def _renaming(self) -> set[str]:
        """Choose the destinations that may be filled by renaming the source.

        Those below a data root, else the last: one of them gets the source, all others a copy.
        """
        if self._keeps or self._config.checksums.record is Kind.STREAM:
            return set()
        local = {name for name, depot in self._depots.items() if depot.reach.makes_fixed}
        return local or {list(self._depots)[-1]}

    def _outlet_of(self, config: Config) -> Outlet | None:
        """Make what tells figures, if that is wanted: only then is its library loaded."""
        wanted = config.metrics
        if not (wanted.textfile or wanted.http):
            return None
        from watcher.views.metrics import Outlet  # noqa: PLC0415

        return Outlet(lambda: self.activity.snapshot, wanted.textfile, wanted.http, self._warn)

    def _warn(self, text: str) -> None:
        """Tell what keeps others from seeing how everything is."""
        self.activity.tell(Notice("warning", text, "files are archived all the same"))

    def _write(self) -> bool:
        """Tell other processes how everything is; returns whether there is more to tell."""
        self._status.write(self.activity.snapshot)
        if self._outlet:
            self._outlet.write()
        return not self._status.shows(self.activity.snapshot)

    def _glance(self) -> float:
        return _GLANCE * (1 + len(self._backlog) / 100)

    def _is_through(self) -> bool:
        """Tell whether nothing moves any more: all is archived, or stuck for a reason."""
        if self._backlog.has_dropped and not self._backlog.is_crowded:
            return False
        if self._intake.pending(_OFTEN):
            return False
        down = {name for name, gate in self._gates.items() if gate.is_down or gate.is_stalled}
        return self._backlog.is_stuck(down)

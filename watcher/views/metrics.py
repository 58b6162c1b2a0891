"""Figures for Prometheus: the snapshot as metrics, in a file and over HTTP.

Names begin with `watcher_` and end in their base unit. Ages are told as the moment they began
(`_timestamp_seconds`): a file that nobody writes any more would tell an age that stands still.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from watcher.activity import Snapshot
from watcher.model import DestinationState, WaitsFor
from watcher.views import words
from watcher.views.health import Level, health

EVERY = 5.0
"""Seconds between two writings of the file, at least."""

Value = tuple[tuple[str, ...], float]
"""The values of the labels, and the figure."""


class Figures(Collector):
    """The snapshot as metrics, whenever somebody asks."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """Ask `snapshot` each time."""
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        return metrics(self._snapshot(), time.time())


def metrics(snapshot: Snapshot, now: float) -> Iterator[Metric]:
    """Tell a snapshot as metrics.

    Args:
        snapshot: what is known.
        now: the time, in seconds since the epoch.

    """
    yield from _itself(snapshot, now)
    yield from _flow(snapshot)
    yield from _left_behind(snapshot)
    yield from _destinations(snapshot)
    yield from _space(snapshot)
    yield from _rescan(snapshot)


def _itself(snapshot: Snapshot, now: float) -> Iterator[Metric]:
    level, who = health(snapshot, now).level, snapshot.started
    states = [((each.value,), float(each is level)) for each in Level]
    yield _gauge("health", "1 for how things are: ok, waiting, attention", states, "level")
    yield _one("written_timestamp_seconds", "When these figures were told", now)
    if who:
        about = {"instrument": words.visible(who.instrument), "version": who.version}
        yield InfoMetricFamily("watcher", "Which watcher this is", about)
        yield _one("start_time_seconds", "When it was started", snapshot.started_at)


def _flow(snapshot: Snapshot) -> Iterator[Metric]:
    yield _one("backlog_files", "Finished files that are not archived yet", snapshot.backlog)
    yield _one("backlog_bytes", "Their size", snapshot.backlog_size)
    if snapshot.backlog and snapshot.oldest is not None:
        what = "When the oldest of them was modified"
        yield _one("backlog_oldest_timestamp_seconds", what, snapshot.oldest)
    yield _total("archived_files", "Files that every destination holds", snapshot.archived)
    yield _total("archived_bytes", "Their size", snapshot.archived_size)
    if snapshot.recent:
        last = max(snapshot.recent[0], key=lambda receipt: receipt.archived_at)
        what = "When the last file was archived"
        yield _one("last_archived_timestamp_seconds", what, last.archived_at)
        what = "How long the last file took from its mark to the last receipt"
        yield _one("last_archived_duration_seconds", what, last.seconds)


def _left_behind(snapshot: Snapshot) -> Iterator[Metric]:
    time_heals = snapshot.held_counts.get(WaitsFor.TIME, 0)
    person = snapshot.held_count - time_heals
    values = [(("person",), float(person)), (("time",), float(time_heals))]
    yield _gauge("held_files", "Files held back, by what they wait for", values, "waits_for")
    what = "Those that differ from their producer's checksum"
    yield _one("mismatched_files", what, snapshot.mismatches)
    yield _one("conflicts", "Conflicts that nobody has looked at", snapshot.conflicts)
    what = "Files of which a copy was missing or altered when it was verified last"
    yield _one("faulty_files", what, snapshot.faulty)
    what = "Files that were never finished, untouched for long"
    yield _one("stranded_files", what, snapshot.rescan.stranded_count)
    yield _total("missed_hints", "Files that the rescan found and no hint told of", snapshot.missed)


def _destinations(snapshot: Snapshot) -> Iterator[Metric]:
    views = snapshot.destinations.items()
    states = [
        ((name, state.value), float(view.state is state))
        for name, view in views
        for state in DestinationState
    ]
    what = "1 for the state that a destination is in"
    yield _gauge("destination_state", what, states, "destination", "state")
    since = [((name,), view.since) for name, view in views]
    what = "Since when it is in this state"
    yield _gauge("destination_state_since_timestamp_seconds", what, since, "destination")
    flights = snapshot.in_flight.values()
    bytes_left = [
        ((name,), float(sum(max(0, b.size - b.done) for b in flights if b.destination == name)))
        for name, _ in views
    ]
    yield _gauge("in_flight_bytes", "Bytes that are still being copied", bytes_left, "destination")


def _space(snapshot: Snapshot) -> Iterator[Metric]:
    spaces = [((words.path_name(space.root),), space) for space in snapshot.space.values()]
    free: list[Value] = [(label, space.free) for label, space in spaces]
    yield _gauge("disk_free_bytes", "Room on a data root's volume", free, "root")
    total: list[Value] = [(label, space.total) for label, space in spaces]
    yield _gauge("disk_size_bytes", "The volume's size", total, "root")
    left = [(label, s.seconds_left) for label, s in spaces if s.seconds_left is not None]
    yield _gauge("disk_full_in_seconds", "How long the room lasts at this rate", left, "root")


def _rescan(snapshot: Snapshot) -> Iterator[Metric]:
    walk = snapshot.rescan
    yield _one("unfinished_files", "Files that are still being written", walk.unfinished)
    yield _one("unreadable_folders", "Folders that could not be read", len(walk.errors))
    yield _one("rescan_folders", "Folders that the last rescan read", walk.folders)
    yield _one("rescan_duration_seconds", "How long it took", walk.seconds)


def _gauge(name: str, what: str, values: Iterable[Value], *labels: str) -> Metric:
    metric = GaugeMetricFamily(f"watcher_{name}", what, labels=labels)
    for label, value in values:
        metric.add_metric(label, value)
    return metric


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"watcher_{name}", what, value)


def _total(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"watcher_{name}", f"{what}, since it was started", value)


class Outlet:
    """Where the figures go: a file, an address of this computer, or both."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        textfile: str | None,
        http: str | None,
        on_trouble: Callable[[str], None],
    ) -> None:
        """Tell nobody yet.

        Args:
            snapshot: asked for what is known.
            textfile: a file for an exporter to read.
            http: host and port to answer on.
            on_trouble: told why one of them doesn't work, when that is new.

        """
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Figures(snapshot))
        self._textfile = textfile
        self._http = http
        self._on_trouble = on_trouble
        self._trouble = ""
        self._written_at = -EVERY
        self._close: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Answer over HTTP, if that is wanted."""
        if not self._http:
            return
        host, _, port = self._http.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), self._registry)
        except OSError as error:
            self._on_trouble(f"figures can't be told on {self._http}: {error.strerror}")
            return

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._close = close

    def write(self, *, last: bool = False) -> None:
        """Write the file if it is time, or at once if it is the last; never raises."""
        if not self._textfile or not (last or time.monotonic() - self._written_at >= EVERY):
            return
        self._written_at = time.monotonic()
        try:
            _replace(self._textfile, generate_latest(self._registry))
        except OSError as error:
            trouble = f"figures can't be written to {self._textfile}: {error.strerror}"
            if trouble != self._trouble:
                self._on_trouble(trouble)
            self._trouble = trouble
        else:
            self._trouble = ""

    def stop(self) -> None:
        """Tell the final figures, and answer nobody any more."""
        self.write(last=True)
        self._close()
        self._close = lambda: None


def _replace(path: str, content: bytes) -> None:
    aside = f"{path}.new"  # exporters read no other ending than .prom
    with open(aside, "wb") as file:
        file.write(content)
    os.replace(aside, path)

"""What happens in the program, as frozen news through one sink, folded into one snapshot.

Rooms that do something `tell` the sink; views look at its snapshot or listen to its news. Telling
never waits for anybody: a listener must return at once (put the news on a queue of its own).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from watcher.model import DestinationState, HeldBack, Receipt, WalkResult

K = TypeVar("K")
V = TypeVar("V")

RECENT = 50
"""How many of the last files a snapshot keeps."""
MINUTES = 60
"""How many minutes of throughput a snapshot keeps."""
PACE_SECONDS = 30.0
"""How far back the pace of archiving is looked at."""
PAUSE_SECONDS = 10.0
"""After so long without an archived file, the pace is measured afresh."""
NOT_LOOKED_AT = "not looked at yet"
"""What a destination's error says until somebody has looked."""


@dataclass(frozen=True, slots=True)
class Started:
    """The watcher runs."""

    instrument: str
    version: str
    pid: int
    data_roots: tuple[str, ...]
    destinations: tuple[str, ...]
    config_file: str = ""
    log_file: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """It was asked to stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class DestinationChanged:
    """A destination's state is another than before, or its error is."""

    name: str
    state: DestinationState
    error: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class BatchBegan:
    """A worker took files; told again as it moves on, with more bytes `done`."""

    worker: str
    destination: str
    name: str
    """The first file's path."""
    files: int
    size: int
    done: int = 0
    began_at: float = 0.0
    """When the worker took them; the fold knows, who tells it need not."""


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A worker is through with its files."""

    worker: str


@dataclass(frozen=True, slots=True)
class Archived:
    """Every destination holds these files; one tuple of receipts a file."""

    files: tuple[tuple[Receipt, ...], ...]


@dataclass(frozen=True, slots=True)
class ConflictKept:
    """A destination held another file of that name; the newcomer was kept beside it."""

    source: str
    destination: str
    path: str


@dataclass(frozen=True, slots=True)
class ConflictsUnseen:
    """Which conflicts nobody has looked at, as the ledger has it; told when their number changes.

    Some are from earlier runs, and somebody may mark one as seen meanwhile.
    """

    count: int
    last: tuple[ConflictKept, ...]
    """The last of them, newest first."""


@dataclass(frozen=True, slots=True)
class FileHeldBack:
    """A file stays behind; told when its reason changes, not each time it is tried."""

    held: HeldBack


@dataclass(frozen=True, slots=True)
class FileReleased:
    """Whatever held a file back is over."""

    source: str


@dataclass(frozen=True, slots=True)
class BacklogChanged:
    """How many finished files wait, told by those who take them in and settle them."""

    files: int
    size: int
    oldest: float | None
    """When the oldest was modified, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class RescanBegan:
    """A walk of the data roots starts."""


@dataclass(frozen=True, slots=True)
class RescanEnded:
    """A walk of the data roots is done; the next begins at `next_at`."""

    result: WalkResult
    next_at: float


@dataclass(frozen=True, slots=True)
class HintsMissed:
    """The rescan found files that a hint should have told of (R9)."""

    files: int
    example: str


@dataclass(frozen=True, slots=True)
class SpaceMeasured:
    """How much room there is on the volume of a data root; told when it has changed enough."""

    root: str
    free: int
    """Bytes that this account may still write."""
    total: int
    seconds_left: float | None
    """How long it lasts if it goes on as in the last hour; None if it doesn't get less."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Anything else an operator should know: `level` is a name of `logging`."""

    level: str
    text: str
    mend: str = ""


News = (
    Started
    | Stopping
    | DestinationChanged
    | BatchBegan
    | BatchEnded
    | Archived
    | ConflictKept
    | ConflictsUnseen
    | FileHeldBack
    | FileReleased
    | BacklogChanged
    | RescanBegan
    | RescanEnded
    | HintsMissed
    | SpaceMeasured
    | Notice
)


@dataclass(frozen=True, slots=True)
class DestinationView:
    """One destination, as a person sees it."""

    state: DestinationState = DestinationState.OFFLINE
    since: float = 0.0
    error: str = NOT_LOOKED_AT
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that there is to show at one instant."""

    started: Started | None = None
    started_at: float = 0.0
    stopping: str = ""
    destinations: Mapping[str, DestinationView] = field(
        default_factory=lambda: MappingProxyType({})
    )
    in_flight: Mapping[str, BatchBegan] = field(default_factory=lambda: MappingProxyType({}))
    recent: tuple[tuple[Receipt, ...], ...] = ()
    """The last archived files, newest first."""
    archived: int = 0
    """Files archived since the start."""
    archived_size: int = 0
    per_minute: tuple[tuple[int, int], ...] = ()
    """(minute since the epoch, files archived in it), oldest first, busy minutes only."""
    pace: tuple[tuple[float, int, int], ...] = ()
    """(when, `archived`, `archived_size` then), at most one a second, since the last pause."""
    backlog: int = 0
    backlog_size: int = 0
    oldest: float | None = None
    counted_at: float = 0.0
    """When the backlog was counted."""
    held: Mapping[str, HeldBack] = field(default_factory=lambda: MappingProxyType({}))
    conflicts: int = 0
    last_conflicts: tuple[ConflictKept, ...] = ()
    """The last that nobody has looked at, newest first."""
    missed: int = 0
    rescanning: bool = False
    rescan: WalkResult = field(default_factory=WalkResult)
    next_rescan_at: float | None = None
    space: Mapping[str, SpaceMeasured] = field(default_factory=lambda: MappingProxyType({}))
    """By data root, one for each volume."""
    notices: tuple[Notice, ...] = ()
    as_of: float = 0.0

    @property
    def mismatches(self) -> int:
        """How many of the files held back differ from their producer's checksum."""
        return sum(held.mismatch for held in self.held.values())


HELD_SHOWN = 1000
"""How many held-back files a snapshot names; the ledger still has a line for each of the others."""


def fold(old: Snapshot, news: News, now: float) -> Snapshot:
    """Return the snapshot that follows when `news` is told at `now`."""
    return replace(_FOLDS[type(news)](old, news, now), as_of=now)


def _started(old: Snapshot, news: Started, now: float) -> Snapshot:
    views = MappingProxyType({name: DestinationView(since=now) for name in news.destinations})
    return replace(old, started=news, started_at=now, destinations=views)


def _stopping(old: Snapshot, news: Stopping, _now: float) -> Snapshot:
    return replace(old, stopping=news.reason)


def _destination(old: Snapshot, news: DestinationChanged, now: float) -> Snapshot:
    before = old.destinations.get(news.name)
    since = before.since if before and before.state is news.state else now
    view = DestinationView(news.state, since, news.error, news.mend)
    return replace(old, destinations=_with(old.destinations, news.name, view))


def _began(old: Snapshot, news: BatchBegan, now: float) -> Snapshot:
    before = old.in_flight.get(news.worker)
    same = before is not None and (before.name, before.size) == (news.name, news.size)
    view = replace(news, began_at=before.began_at if before and same else now)
    return replace(old, in_flight=_with(old.in_flight, news.worker, view))


def _ended(old: Snapshot, news: BatchEnded, _now: float) -> Snapshot:
    return replace(old, in_flight=_without(old.in_flight, (news.worker,)))


def _archived(old: Snapshot, news: Archived, now: float) -> Snapshot:
    minute, before = int(now // 60), dict(old.per_minute)
    before[minute] = before.get(minute, 0) + len(news.files)
    archived = old.archived + len(news.files)
    size = old.archived_size + sum(f[0].fingerprint.size for f in news.files)
    return replace(
        old,
        recent=(*reversed(news.files[-RECENT:]), *old.recent)[:RECENT],
        archived=archived,
        archived_size=size,
        pace=_paced(old.pace, (now, archived, size)),
        per_minute=tuple((m, n) for m, n in before.items() if m > minute - MINUTES),
        held=_without(old.held, [f[0].source for f in news.files]),
    )


def _paced(
    old: tuple[tuple[float, int, int], ...], mark: tuple[float, int, int]
) -> tuple[tuple[float, int, int], ...]:
    now = mark[0]
    if old and not 0 <= now - old[-1][0] <= PAUSE_SECONDS:
        return (mark,)
    if len(old) > 1 and now - old[-2][0] < 1.0:
        return (*old[:-1], mark)
    return (*(m for m in old if m[0] > now - PACE_SECONDS), mark)


def _conflict(old: Snapshot, news: ConflictKept, _now: float) -> Snapshot:
    last = (news, *old.last_conflicts)[:RECENT]
    return replace(old, conflicts=old.conflicts + 1, last_conflicts=last)


def _unseen(old: Snapshot, news: ConflictsUnseen, _now: float) -> Snapshot:
    return replace(old, conflicts=news.count, last_conflicts=news.last)


def _held(old: Snapshot, news: FileHeldBack, _now: float) -> Snapshot:
    if len(old.held) >= HELD_SHOWN and news.held.source not in old.held:
        return old
    return replace(old, held=_with(old.held, news.held.source, news.held))


def _released(old: Snapshot, news: FileReleased, _now: float) -> Snapshot:
    return replace(old, held=_without(old.held, (news.source,)))


def _backlog(old: Snapshot, news: BacklogChanged, now: float) -> Snapshot:
    return replace(
        old, backlog=news.files, backlog_size=news.size, oldest=news.oldest, counted_at=now
    )


def _walking(old: Snapshot, _news: RescanBegan, _now: float) -> Snapshot:
    return replace(old, rescanning=True, next_rescan_at=None)


def _walked(old: Snapshot, news: RescanEnded, _now: float) -> Snapshot:
    return replace(old, rescanning=False, rescan=news.result, next_rescan_at=news.next_at)


def _missed(old: Snapshot, news: HintsMissed, _now: float) -> Snapshot:
    return replace(old, missed=old.missed + news.files)


def _space(old: Snapshot, news: SpaceMeasured, _now: float) -> Snapshot:
    return replace(old, space=_with(old.space, news.root, news))


def _notice(old: Snapshot, news: Notice, _now: float) -> Snapshot:
    return replace(old, notices=(*old.notices, news)[-RECENT:])


_FOLDS: Mapping[type, Callable[[Snapshot, Any, float], Snapshot]] = {
    Started: _started,
    Stopping: _stopping,
    DestinationChanged: _destination,
    BatchBegan: _began,
    BatchEnded: _ended,
    Archived: _archived,
    ConflictKept: _conflict,
    ConflictsUnseen: _unseen,
    FileHeldBack: _held,
    FileReleased: _released,
    BacklogChanged: _backlog,
    RescanBegan: _walking,
    RescanEnded: _walked,
    HintsMissed: _missed,
    SpaceMeasured: _space,
    Notice: _notice,
}


def _with(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    return MappingProxyType({**mapping, key: value})


def _without(mapping: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    gone = set(keys)
    if gone.isdisjoint(mapping):
        return mapping
    return MappingProxyType({key: value for key, value in mapping.items() if key not in gone})


class Activity:
    """The one sink. Thread-safe; telling it never waits but for another's telling."""

    def __init__(self) -> None:
        """Begin with an empty snapshot."""
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._listeners: tuple[Callable[[News], None], ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        """The state as the last news left it."""
        return self._snapshot

    def listen(self, listener: Callable[[News], None]) -> None:
        """Call `listener` with all news from now on, in the teller's thread; it must not wait."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def tell(self, news: News) -> None:
        """Fold the news into the snapshot and pass it on."""
        with self._lock:
            self._snapshot = fold(self._snapshot, news, time.time())
            for listener in self._listeners:
                listener(news)

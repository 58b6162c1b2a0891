"""How a snapshot follows from the one before and a piece of news. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from watcher.activity.news import (
    Archived,
    BacklogChanged,
    BatchBegan,
    BatchEnded,
    ConflictKept,
    ConflictsUnseen,
    DestinationChanged,
    FaultyCounted,
    FileHeldBack,
    FileReleased,
    HeldCounted,
    HintsMissed,
    News,
    Notice,
    RescanBegan,
    RescanEnded,
    SpaceMeasured,
    Started,
    Stopping,
)
from watcher.activity.snapshot import DestinationView, Snapshot
from watcher.model import HeldBack, WaitsFor

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
NAMED = 1000
"""How many held-back files a snapshot names at most; it counts all."""


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
        **_freed(old, [f[0].source for f in news.files]),
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
    others = tuple(one for one in old.last_conflicts if one.source != news.source)
    is_new = len(others) == len(old.last_conflicts)  # else another destination's was told
    last = (news, *others)[:RECENT]
    return replace(old, conflicts=old.conflicts + is_new, last_conflicts=last)


def _unseen(old: Snapshot, news: ConflictsUnseen, _now: float) -> Snapshot:
    return replace(old, conflicts=news.count, last_conflicts=news.last)


def _faulty(old: Snapshot, news: FaultyCounted, _now: float) -> Snapshot:
    return replace(old, faulty=news.files)


def _held(old: Snapshot, news: FileHeldBack, _now: float) -> Snapshot:
    before = old.held.get(news.held.source)
    counts = _counted(old.held_counts, [before] if before else [], [news.held])
    held = _with(old.held, news.held.source, news.held)
    if len(held) > NAMED:
        held = _without(held, [min(held, key=lambda s: (held[s].waits_for, held[s].since))])
    return replace(old, held=held, held_counts=counts)


def _released(old: Snapshot, news: FileReleased, _now: float) -> Snapshot:
    return replace(old, **_freed(old, (news.source,)))


def _held_counted(old: Snapshot, news: HeldCounted, _now: float) -> Snapshot:
    held = MappingProxyType({one.source: one for one in news.last})
    return replace(old, held=held, held_counts=MappingProxyType(dict(news.counts)))


def _freed(old: Snapshot, sources: Sequence[str]) -> dict[str, Any]:
    """Return what is another when these files don't stay behind any more."""
    gone = [old.held[source] for source in sources if source in old.held]
    counts = _counted(old.held_counts, gone, ())
    return {"held": _without(old.held, sources), "held_counts": counts}


def _counted(
    counts: Mapping[WaitsFor, int], gone: Iterable[HeldBack], new: Iterable[HeldBack]
) -> Mapping[WaitsFor, int]:
    left = Counter(counts)
    left.subtract(held.waits_for for held in gone)
    left.update(held.waits_for for held in new)
    return MappingProxyType({kind: count for kind, count in left.items() if count > 0})


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
    if news.level == "info":
        return old  # only good to know: the log has it
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
    FaultyCounted: _faulty,
    FileHeldBack: _held,
    FileReleased: _released,
    HeldCounted: _held_counted,
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

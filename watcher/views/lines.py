"""What happened, as lines for a log: one for each thing, transitions and not repetitions (R11)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from watcher.activity import (
    Archived,
    ConflictKept,
    DestinationChanged,
    FileHeldBack,
    FileReleased,
    HintsMissed,
    News,
    Notice,
    RescanEnded,
    Started,
    Stopping,
)
from watcher.model import DestinationState, Receipt, WalkResult
from watcher.platform import system
from watcher.views import words
from watcher.views.health import STRANDED_MEND, unreadable_mend

Line = tuple[int, str]
"""A level of `logging`, and a message."""


@dataclass(frozen=True, slots=True)
class Before:
    """What was last said, as far as the next line depends on it."""

    walk: WalkResult = field(default_factory=WalkResult)
    since: Mapping[str, tuple[DestinationState, float]] = field(
        default_factory=lambda: MappingProxyType({})
    )


def lines(news: News, before: Before, now: float) -> tuple[Line, ...]:
    """Return the lines that tell this news; none for what only a screen shows."""
    printer = _PRINTERS.get(type(news))
    return tuple(printer(news, before, now)) if printer else ()


def remember(news: News, before: Before, now: float) -> Before:
    """Return what the lines after this news depend on."""
    if isinstance(news, RescanEnded):
        return replace(before, walk=news.result)
    if isinstance(news, DestinationChanged):
        state, since = before.since.get(news.name, (None, now))
        entry = (news.state, since if state is news.state else now)
        return replace(before, since=MappingProxyType({**before.since, news.name: entry}))
    return before


def _said(what: str, mend: str) -> str:
    return f"{what}; {mend}" if mend else what


def _started(news: Started, _before: Before, _now: float) -> Iterator[Line]:
    roots = ", ".join(system.plain(root) for root in news.data_roots)
    to = ", ".join(news.destinations)
    config = system.plain(news.config_file) if news.config_file else "none"
    message = f"watcher {news.version} starts on {news.instrument}: {roots} to {to}"
    yield logging.INFO, f"{message} (configuration: {config})"


def _stopping(news: Stopping, _before: Before, _now: float) -> Iterator[Line]:
    yield logging.INFO, f"stopping: {news.reason}"


def _destination(news: DestinationChanged, before: Before, now: float) -> Iterator[Line]:
    state, since = before.since.get(news.name, (None, now))
    if news.state is not DestinationState.ONLINE:
        why = f": {news.error}" if news.error else ""
        yield logging.WARNING, _said(f"{news.name} is {news.state}{why}", news.mend)
    elif state in {None, news.state}:
        yield logging.INFO, f"{news.name} is online"
    else:
        lasted = words.duration(now - since)
        yield logging.INFO, f"{news.name} is online again after {lasted} ({state})"


def _archived(news: Archived, _before: Before, _now: float) -> Iterator[Line]:
    for receipts in news.files:
        yield logging.INFO, _file(receipts)


def _file(receipts: tuple[Receipt, ...]) -> str:
    last = max(receipts, key=lambda r: r.archived_at)
    where = ", ".join(f"{r.destination} {system.plain(r.path)}" for r in receipts)
    facts = f"{last.fingerprint.size} bytes, {last.checksum}"
    took = words.duration(last.seconds)
    return f"archived {system.plain(last.source)} ({facts}) in {took}: {where}"


def _conflict(news: ConflictKept, _before: Before, _now: float) -> Iterator[Line]:
    source, path = system.plain(news.source), system.plain(news.path)
    what = f"conflict: {news.destination} holds another file in the place of {source}"
    kept = f"{what}; both are kept, this one as {path}"
    command = f"watcher resolve {words.quoted(source)}"
    yield logging.WARNING, f"{kept}; compare the two, then: {command}"


def _held(news: FileHeldBack, _before: Before, _now: float) -> Iterator[Line]:
    held = news.held
    where = f" from {held.destination}" if held.destination else ""
    what = f"held back{where}: {system.plain(held.source)}: {held.reason}"
    yield logging.ERROR if held.mend else logging.WARNING, _said(what, held.mend)


def _released(news: FileReleased, _before: Before, _now: float) -> Iterator[Line]:
    yield logging.INFO, f"no longer held back: {system.plain(news.source)}"


def _walked(news: RescanEnded, before: Before, _now: float) -> Iterator[Line]:
    known = set(before.walk.errors)
    for error in news.result.errors:
        if error not in known:
            yield logging.ERROR, _said(f"can't read {error}", unreadable_mend(error))
    for error in set(known) - set(news.result.errors):
        yield logging.INFO, f"can be read again: {error}"
    stranded = {file.path for file in before.walk.stranded}
    for file in news.result.stranded:
        if file.path not in stranded:
            what = f"stranded: {system.plain(file.path)}, never finished"
            yield logging.WARNING, _said(what, STRANDED_MEND)
    yield logging.DEBUG, _walk(news.result)


def _walk(walk: WalkResult) -> str:
    took = words.duration(walk.seconds)
    return f"rescan of {walk.folders} folders in {took}: {walk.finished} finished files"


def _missed(news: HintsMissed, _before: Before, _now: float) -> Iterator[Line]:
    files = words.count(news.files, "file")
    example = system.plain(news.example)
    yield logging.WARNING, f"hints missed {files} that the rescan found, such as {example}"


def _notice(news: Notice, _before: Before, _now: float) -> Iterator[Line]:
    level = logging.getLevelNamesMapping().get(news.level.upper(), logging.WARNING)
    yield level, _said(news.text, news.mend)


_PRINTERS: Mapping[type, Callable[[Any, Before, float], Iterator[Line]]] = {
    Started: _started,
    Stopping: _stopping,
    DestinationChanged: _destination,
    Archived: _archived,
    ConflictKept: _conflict,
    FileHeldBack: _held,
    FileReleased: _released,
    RescanEnded: _walked,
    HintsMissed: _missed,
    Notice: _notice,
}

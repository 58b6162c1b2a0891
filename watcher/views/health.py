"""One word on how things are, with the reason; every view says it alike."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from watcher.activity import NOT_LOOKED_AT, DestinationView, Snapshot
from watcher.model import DestinationState, HeldBack
from watcher.views import words


class Level(enum.StrEnum):
    """How much of a person's attention it wants."""

    OK = "ok"
    WAITING = "waiting"
    """It goes on by itself when something else comes back."""
    ATTENTION = "attention"
    """It stays like this until a person does something."""


@dataclass(frozen=True, slots=True)
class Health:
    """How things are; the weightiest reason comes first."""

    level: Level
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """All reasons on one line."""
        return "; ".join(self.reasons)


def health(snapshot: Snapshot, now: float) -> Health:
    """Judge a snapshot at the time `now`, in seconds since the epoch."""
    attention, waiting = tuple(_for_a_person(snapshot)), tuple(_for_others(snapshot, now))
    if attention:
        return Health(Level.ATTENTION, attention + waiting)
    if waiting:
        return Health(Level.WAITING, waiting)
    return Health(Level.OK, (_calm(snapshot),))


def needs_a_person(held: HeldBack) -> bool:
    """Tell whether a file waits for somebody: whoever held it back said what can be done."""
    return bool(held.mend)


def _for_a_person(snapshot: Snapshot) -> Iterator[str]:
    held = [h for h in snapshot.held.values() if needs_a_person(h)]
    if held:
        yield f"{words.count(len(held), 'file')} held back: {words.visible(held[0].reason)}"
    if snapshot.conflicts:
        yield f"{words.count(snapshot.conflicts, 'conflict')} that nobody has looked at"
    if snapshot.rescan.stranded_count:
        yield f"{words.count(snapshot.rescan.stranded_count, 'stranded file')}, never finished"
    if snapshot.rescan.errors:
        yield f"can't read {words.visible(snapshot.rescan.errors[0])}"


def _for_others(snapshot: Snapshot, now: float) -> Iterator[str]:
    if snapshot.started is None:
        yield "starting"
    if snapshot.stopping:
        yield f"stopping: {words.visible(snapshot.stopping)}"
    for name, view in snapshot.destinations.items():
        if view.state is not DestinationState.ONLINE:
            yield _down(name, view, now)
    held = [h for h in snapshot.held.values() if not needs_a_person(h)]
    if held:
        yield f"{words.count(len(held), 'file')} tried again: {words.visible(held[0].reason)}"


def _down(name: str, view: DestinationView, now: float) -> str:
    if view.error == NOT_LOOKED_AT:
        return f"{name} {NOT_LOOKED_AT}"
    why = f": {words.visible(view.error)}" if view.error else ""
    return f"{name} {view.state} since {words.clock(view.since, now)}{why}"


def _calm(snapshot: Snapshot) -> str:
    if snapshot.backlog:
        return f"{words.count(snapshot.backlog, 'file')} on the way"
    return "every finished file is archived"

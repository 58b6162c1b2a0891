"""One word on how things are, with the reason; every view says it alike."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from watcher.activity import NOT_LOOKED_AT, DestinationView, Snapshot, SpaceMeasured
from watcher.model import MISSING_ROOT, DestinationState, HeldBack, WaitsFor
from watcher.views import words

SPACE_LOW = (5e9, 0.05)
"""Less room on a data root's volume than both of these, in bytes and as a share, is said."""
SPACE_OUT = (1e9, 0.01)
"""Less than both of these needs a person."""
LASTS_LOW = 24 * 3600.0
"""A volume that is full within so many seconds at this rate is said."""
LASTS_OUT = 2 * 3600.0
"""One that is full within so many seconds needs a person."""

REASONS = 3
"""How many of the reasons that hold files back are said, the commonest first."""

STRANDED_MEND = "mark it read-only to have it archived, or remove it"
FAULTY_MEND = "`watcher verify` names each: put it back from where it is whole, and verify again"
UNREADABLE_MEND = "give the account that runs the watcher the right to read it"
MISSING_ROOT_MEND = "make or mount it, or correct `data_roots` in the configuration"


class Level(enum.StrEnum):
    """How much of a person's attention it wants."""

    OK = "ok"
    WAITING = "waiting"
    """It goes on by itself when something else comes back."""
    ATTENTION = "attention"
    """It stays like this until a person does something."""


STYLES = {Level.OK: "green", Level.WAITING: "yellow", Level.ATTENTION: "red"}
"""The colour that goes with the word."""


class Matter(enum.StrEnum):
    """What a finding is about."""

    FLOW = "flow"
    """Nothing is wrong."""
    SPACE = "space"
    HELD = "held"
    """A file waits for a person."""
    CONFLICT = "conflict"
    FAULTY = "faulty"
    """A copy was missing or altered when it was verified."""
    STRANDED = "stranded"
    UNREADABLE = "unreadable"
    STARTING = "starting"
    STOPPING = "stopping"
    OUTAGE = "outage"
    RETRIED = "retried"
    """A file is tried again by itself."""
    GONE = "gone"
    """No watcher runs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that there is to say."""

    level: Level
    matter: Matter
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """How things are; the weightiest finding comes first."""

    level: Level
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What there is to say."""
        return tuple(finding.text for finding in self.findings)

    @property
    def text(self) -> str:
        """All reasons on one line."""
        return "; ".join(self.reasons)


def health(snapshot: Snapshot, now: float) -> Health:
    """Judge a snapshot at the time `now`, in seconds since the epoch."""
    found = [
        *(Finding(Level.ATTENTION, *said) for said in _for_a_person(snapshot)),
        *(Finding(Level.WAITING, *said) for said in _for_others(snapshot, now)),
    ]
    found = found or [Finding(Level.OK, Matter.FLOW, _calm(snapshot))]
    return Health(found[0].level, tuple(found))


def unreadable_mend(error: str) -> str:
    """Say what to do about a folder that a rescan couldn't read."""
    return MISSING_ROOT_MEND if error.endswith(MISSING_ROOT) else UNREADABLE_MEND


def because(held: HeldBack) -> str:
    """Say why a file stays behind, and on the way to where."""
    return f"{held.destination}: {held.reason}" if held.destination else held.reason


def space_level(free: float, total: float, seconds_left: float | None) -> Level:
    """Judge the room on a data root's volume: bytes, bytes, and how long it lasts."""
    for level, (size, share), least in (
        (Level.ATTENTION, SPACE_OUT, LASTS_OUT),
        (Level.WAITING, SPACE_LOW, LASTS_LOW),
    ):
        ends = seconds_left is not None and seconds_left < least
        if free < min(size, share * total) or ends:
            return level
    return Level.OK


def space_text(root: str, free: float, total: float, seconds_left: float | None) -> str:
    """Say how much room there is, and how long it lasts."""
    room = f"{words.size(free)} of {words.size(total)} free on {words.path_name(root)}"
    return room if seconds_left is None else f"{room}, full in {words.about(seconds_left)}"


Said = tuple[Matter, str]


def _for_a_person(snapshot: Snapshot) -> Iterator[Said]:
    yield from _space(snapshot, Level.ATTENTION)
    for waits_for in (WaitsFor.DECISION, WaitsFor.PERSON):
        for text in _held(snapshot, waits_for, "held back"):
            yield Matter.HELD, text
    if snapshot.conflicts:
        text = f"{words.count(snapshot.conflicts, 'conflict')} that nobody has looked at"
        yield Matter.CONFLICT, text
    if snapshot.faulty:
        files = words.count(snapshot.faulty, "archived file")
        yield Matter.FAULTY, f"{files} missing or altered, as `watcher verify` found"
    if snapshot.rescan.stranded_count:
        text = f"{words.count(snapshot.rescan.stranded_count, 'stranded file')}, never finished"
        yield Matter.STRANDED, text
    if snapshot.rescan.errors:
        yield Matter.UNREADABLE, f"can't read {words.visible(snapshot.rescan.errors[0])}"


def _for_others(snapshot: Snapshot, now: float) -> Iterator[Said]:
    if snapshot.started is None:
        yield Matter.STARTING, "starting"
    if snapshot.stopping:
        yield Matter.STOPPING, f"stopping: {words.visible(snapshot.stopping)}"
    for name, view in snapshot.destinations.items():
        if view.state is not DestinationState.ONLINE:
            yield _down(name, view, now)
    yield from _space(snapshot, Level.WAITING)
    for text in _held(snapshot, WaitsFor.TIME, "tried again"):
        yield Matter.RETRIED, text


def _held(snapshot: Snapshot, waits_for: WaitsFor, deed: str) -> Iterator[str]:
    """Say how many are held back for each reason; each mismatch has its own, so one stands for all.

    Where not all are named, nobody knows the reasons of the others here.
    """
    rest = snapshot.held_counts.get(waits_for, 0)
    named = [held.reason for held in snapshot.held_in_order if held.waits_for is waits_for]
    groups = Counter(named).most_common(REASONS)
    if groups and (waits_for is WaitsFor.DECISION or len(groups) == 1):
        groups = [(groups[0][0], rest)]
    for reason, count in groups:
        rest -= count
        yield f"{words.count(count, 'file')} {deed}: {words.visible(reason)}"
    if rest > 0:
        yield f"{words.count(rest, 'more file')} {deed}"


def _space(snapshot: Snapshot, level: Level) -> Iterator[Said]:
    for space in snapshot.space.values():
        if _level(space) is level:
            yield Matter.SPACE, space_text(space.root, space.free, space.total, space.seconds_left)


def _level(space: SpaceMeasured) -> Level:
    return space_level(space.free, space.total, space.seconds_left)


def _down(name: str, view: DestinationView, now: float) -> Said:
    if view.error == NOT_LOOKED_AT:
        return Matter.STARTING, f"{name} {NOT_LOOKED_AT}"
    why = f": {words.visible(view.error)}" if view.error else ""
    return Matter.OUTAGE, f"{name} {view.state} since {words.clock(view.since, now)}{why}"


def _calm(snapshot: Snapshot) -> str:
    if snapshot.backlog:
        return f"{words.count(snapshot.backlog, 'file')} on the way"
    return "every finished file is archived"

"""One line for Nagios and its kin: what is wrong, and performance data. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.views import words
from watcher.views.health import (
    LASTS_LOW,
    LASTS_OUT,
    SPACE_LOW,
    SPACE_OUT,
    Matter,
    space_text,
)
from watcher.views.standing import oldest_for
from watcher.views.status import HEARTBEAT


class Nagios(enum.IntEnum):
    """What a check says with its end."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_WEIGHTS = {
    Matter.GONE: Nagios.CRITICAL,
    Matter.OUTAGE: Nagios.CRITICAL,
    Matter.HELD: Nagios.CRITICAL,
    Matter.UNREADABLE: Nagios.CRITICAL,
    Matter.CONFLICT: Nagios.WARNING,
    Matter.FAULTY: Nagios.WARNING,
    Matter.STRANDED: Nagios.WARNING,
    Matter.RETRIED: Nagios.WARNING,
    Matter.STARTING: Nagios.WARNING,
    Matter.STOPPING: Nagios.WARNING,
}
"""What a finding weighs; of free space, the thresholds decide."""


@dataclass(frozen=True, slots=True)
class Room:
    """So much room: bytes, and a share of the volume; the lesser of the two counts."""

    size: float
    share: float

    def of(self, total: float) -> float:
        """Return the bytes that it means on a volume."""
        return min(self.size, self.share * total)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is wrong; times are in seconds."""

    age_warning: float = 600.0
    """The age of the oldest file that waits."""
    age_critical: float = 3600.0
    free_warning: Room = Room(*SPACE_LOW)
    """Less room than this on a data root's volume."""
    free_critical: Room = Room(*SPACE_OUT)
    full_warning: float = LASTS_LOW
    """A data root's volume is full within so long at this rate."""
    full_critical: float = LASTS_OUT
    silent: float = 4 * HEARTBEAT
    """A watcher that has said nothing for so long hangs."""


Said = tuple[Nagios, str]


def check(
    status: Mapping[str, Any] | None, thresholds: Thresholds, now: float
) -> tuple[Nagios, str]:
    """Judge what a watcher last said.

    Args:
        status: as `watcher status --json` has it; None if there is none.
        thresholds: from where on something is wrong.
        now: the time, in seconds since the epoch.

    Returns:
        The exit code, and the line.

    """
    if status is None:
        return unknown("there is no status: no watcher has run on this state folder", critical=True)
    wrong = sorted(_wrong(status, thresholds, now), key=lambda said: -said[0])
    code = wrong[0][0] if wrong else Nagios.OK
    said = "; ".join(text for _, text in wrong) or status["health"]["text"]
    return code, _line(code, said, _figures(status, thresholds, now))


def unknown(text: str, *, critical: bool = False) -> tuple[Nagios, str]:
    """Say that there is nothing to judge, and why."""
    code = Nagios.CRITICAL if critical else Nagios.UNKNOWN
    return code, _line(code, text, ())


def _line(code: Nagios, text: str, figures: Iterator[str] | tuple[str, ...]) -> str:
    shown = words.visible(text).replace("|", "/")  # a bar begins the performance data
    data = " ".join(figures)
    return f"WATCHER {code.name} - {shown}" + (f" | {data}" if data else "")


def _wrong(status: Mapping[str, Any], limits: Thresholds, now: float) -> Iterator[Said]:
    if not status["running"]:
        yield Nagios.CRITICAL, status["health"]["text"]
        return
    silent = now - words.moment(status["written_at"])
    if silent > limits.silent:
        yield Nagios.CRITICAL, f"the watcher hangs: not a word for {words.about(silent)}"
    for finding in status["health"]["findings"]:
        if finding["matter"] in _WEIGHTS:
            yield _WEIGHTS[finding["matter"]], finding["text"]
    yield from _old(oldest_for(status, now), limits)
    for root, space in status["space"].items():
        yield from _full(root, space, limits)


def _old(age: float, limits: Thresholds) -> Iterator[Said]:
    text = f"the oldest file waits for {words.about(age)}"
    if age >= limits.age_critical:
        yield Nagios.CRITICAL, text
    elif age >= limits.age_warning:
        yield Nagios.WARNING, text


def _full(root: str, space: Mapping[str, Any], limits: Thresholds) -> Iterator[Said]:
    free, total, left = space["free_bytes"], space["total_bytes"], space["seconds_left"]
    lasts = float("inf") if left is None else left
    text = space_text(root, free, total, left)
    if free < limits.free_critical.of(total) or lasts < limits.full_critical:
        yield Nagios.CRITICAL, text
    elif free < limits.free_warning.of(total) or lasts < limits.full_warning:
        yield Nagios.WARNING, text


def _figures(status: Mapping[str, Any], limits: Thresholds, now: float) -> Iterator[str]:
    age = f"{limits.age_warning:g};{limits.age_critical:g}"
    yield f"backlog={status['backlog']};;;0"
    yield f"backlog_size={status['backlog_bytes']}B;;;0"
    yield f"oldest={oldest_for(status, now):.0f}s;{age};0"
    for name in ("archived", "missed_by_events"):
        yield f"{name}={status[name]}c;;;0"
    for name in ("failed", "mismatches", "conflicts", "faulty", "stranded"):
        yield f"{name}={status[name]};;;0"
    online = [view["state"] == "online" for view in status["destinations"].values()]
    yield f"online={sum(online)};;{len(online)}:;0;{len(online)}"
    for root, space in status["space"].items():
        total = space["total_bytes"]
        low = f"{limits.free_warning.of(total):.0f}:;{limits.free_critical.of(total):.0f}:"
        label = words.visible(root).replace("'", "").replace("=", "").replace("|", "/")
        yield f"'free {label}'={space['free_bytes']}B;{low};0;{total}"

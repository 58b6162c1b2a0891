"""What is to be read again, and what came of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from watcher.model import Checksum


class State(enum.StrEnum):
    """What a copy is like."""

    OK = "ok"
    MISSING = "missing"
    ALTERED = "altered"
    UNREADABLE = "unreadable"
    UNRECORDED = "unrecorded"
    """A file at the destination that nothing on record tells of."""
    PENDING = "pending"
    """It is recorded, and its source is still on the way."""
    CLEANED = "cleaned"
    """It is gone from a destination that others clean."""

    @property
    def is_fault(self) -> bool:
        """Whether somebody should look at it."""
        return self not in _FINE


_FINE = frozenset({State.OK, State.PENDING, State.CLEANED})


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that should be at a destination."""

    destination: str
    path: str
    """Native."""
    source: str
    checksum: Checksum | None
    """None where nothing is on record."""
    size: int | None = None
    """None where the record doesn't tell."""
    number: int | None = None
    """Its number in the ledger."""
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a copy was found to be."""

    copy: Copy
    state: State
    at: float
    found: str = ""
    """The checksum that it has now, or why it can't be read."""


@dataclass(slots=True)
class Tally:
    """How much was found, and how much there is; grows while it lasts."""

    is_shown: bool = False
    """Whether somebody looks at how much there is, so that it is worth counting first."""
    counts: dict[State, int] = field(default_factory=dict)
    size: int = 0
    """The bytes there are to read, as far as that is known."""
    done: int = 0
    """The bytes that were read."""
    unreachable: dict[str, str] = field(default_factory=dict)
    """Destinations that could not be looked at, with the reason."""
    unkept: str = ""
    """Why the result could not be kept in the ledger; empty if it was, or there is none."""
    remarks: list[str] = field(default_factory=list)
    """What was set right on the way, or aside."""
    nowhere: list[str] = field(default_factory=list)
    """Where the experiment was looked for that has neither a record nor a folder."""
    interrupted: bool = False

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.counts[finding.state] = self.counts.get(finding.state, 0) + 1

    @property
    def is_clean(self) -> bool:
        """Whether all of it was looked at, and nothing is wrong."""
        faults = any(count for state, count in self.counts.items() if state.is_fault)
        return not (faults or self.unreachable or self.interrupted)

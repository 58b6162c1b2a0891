"""All that there is to show at one instant, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from watcher.activity.news import BatchBegan, ConflictKept, Notice, SpaceMeasured, Started
from watcher.model import DestinationState, HeldBack, Receipt, WaitsFor, WalkResult

NOT_LOOKED_AT = "not looked at yet"
"""What a destination's error says until somebody has looked."""


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
    """The last files that stay behind, by their source; what waits for somebody stays longest."""
    held_counts: Mapping[WaitsFor, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many there are in all."""
    conflicts: int = 0
    """Files; one that is a conflict at several destinations is one."""
    last_conflicts: tuple[ConflictKept, ...] = ()
    """The last that nobody has looked at, newest first."""
    faulty: int = 0
    """Files of which a copy was missing or altered when it was verified last."""
    missed: int = 0
    rescanning: bool = False
    rescan: WalkResult = field(default_factory=WalkResult)
    next_rescan_at: float | None = None
    space: Mapping[str, SpaceMeasured] = field(default_factory=lambda: MappingProxyType({}))
    """By data root, one for each volume."""
    notices: tuple[Notice, ...] = ()
    """The last that an operator should act on or know of; the newest comes last."""
    as_of: float = 0.0

    @property
    def held_count(self) -> int:
        """How many files stay behind for a reason."""
        return sum(self.held_counts.values())

    @property
    def mismatches(self) -> int:
        """How many of them differ from their producer's checksum."""
        return self.held_counts.get(WaitsFor.DECISION, 0)

    @property
    def held_in_order(self) -> list[HeldBack]:
        """Those that are named, the most important first, then the oldest."""
        return sorted(self.held.values(), key=lambda held: (-held.waits_for, held.since))

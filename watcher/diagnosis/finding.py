"""What was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

CLOCK_OFF = 60.0
"""A clock that is off by more seconds than this is told."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at."""

    what: str
    text: str
    mend: str = ""
    """What to do; empty if there is nothing to do."""

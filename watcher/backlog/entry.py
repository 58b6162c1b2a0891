"""One file version that waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.model import FinishedFile, Receipt

SETTLING = ""
"""The lane of files that every destination holds; no destination has this name."""


@dataclass(slots=True, eq=False)
class Entry:
    """One file version that waits; its fields are changed under the backlog's lock alone."""

    file: FinishedFile
    marked_at: float
    cycles: Mapping[str, str]
    is_fresh: bool
    """From a hint, not brought back by a rescan."""
    may_be_earlier: bool = False
    """A life before a lost ledger may have archived it in an earlier cycle."""
    missing: set[str] = field(default_factory=set)
    """Destinations that it must still be copied to."""
    receipts: dict[str, Receipt] = field(default_factory=dict)
    renamed_into: str | None = None
    """The destination that settling fills by renaming the source."""
    can_rename: bool = True
    """False once renaming turned out not to work."""
    attempts: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    """Why it is held back; empty if it isn't."""
    was_held: bool = False
    """Why it was held back is on record, of the time before it was brought back."""
    held_in: str = ""
    """The lane that holds it back; the reasons of others are not told meanwhile."""
    settles_after: str | None = None
    """The destination that was down when it was to be settled."""
    is_gone: bool = False
    """Dropped or replaced by a newer version; whoever holds it lets it go."""

    @property
    def next_stops(self) -> set[str]:
        """The destinations without which it can't get on."""
        return self.missing or {self.settles_after or self.renamed_into or SETTLING}

"""What a person asks of the history, as a condition on its rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from watcher.ledger import sql

_HEX = frozenset("0123456789abcdef")
_SURELY_A_DIGEST = 32
"""Hexadecimal digits that no name has by chance (md5 has so many); these are found by index."""

Condition = tuple[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which receipts are wanted; what is empty excludes nothing."""

    text: str = ""
    """A part of the source's or the copy's path, or a checksum or its beginning, with or without
    its algorithm."""
    day: tuple[float, float] | None = None
    """What was archived then is wanted as well as what has `text` in its name."""
    uid: str = ""
    """A scan's uid, or its beginning: the fit and the plot of that scan too."""
    plan: str = ""
    """The name of a plan, in any case: all files of its scans."""
    scan: int | None = None
    """The number of a scan: all files of the scans that have it."""
    experiment: str | None = None
    """In any case, with or without its `RB`."""
    destination: str | None = None
    since: float | None = None
    """In seconds since the epoch, as is `until`."""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Checks:
    """Which copies are to be read again."""

    destination: str
    before: float
    """Those that were neither archived nor read again since then."""
    experiment: str | None = None

    @property
    def condition(self) -> Condition:
        """The condition for their rows."""
        if self.experiment is None:
            return "", ()
        return sql.IN_EXPERIMENT, (os.fsencode(self.experiment),)


def matching(wanted: Wanted) -> Condition:
    """Return the condition for rows that are wanted, and its arguments."""
    conditions = list(_conditions(wanted))
    statement = " ".join(condition for condition, _ in conditions)
    return statement, tuple(value for _, values in conditions for value in values)


def _conditions(wanted: Wanted) -> Iterator[Condition]:
    if wanted.since is not None:
        yield "AND archived_at >= ?", (wanted.since,)
    if wanted.until is not None:
        yield "AND archived_at < ?", (wanted.until,)
    if wanted.experiment is not None:
        yield sql.OF_EXPERIMENT, _experiments(wanted.experiment)
    if wanted.destination is not None:
        yield sql.AT_DESTINATION, (wanted.destination,)
    if wanted.uid:
        uid, end = wanted.uid.lower(), f"{wanted.uid.lower()}~"
        yield sql.OF_UID, (uid, end, uid, end)
    if wanted.plan:
        yield sql.OF_PLAN, (wanted.plan, wanted.plan)
    if wanted.scan is not None:
        yield sql.OF_NUMBER, (wanted.scan, wanted.scan)
    if wanted.text and wanted.day:
        condition, arguments = _by_name(wanted.text)
        yield f"AND ({condition} {sql.OR_THAT_DAY})", (*arguments, *wanted.day)
    elif wanted.text:
        yield _with_text(wanted.text)


def _experiments(name: str) -> tuple[bytes, bytes]:
    """Return both names that an experiment may be meant by."""
    return os.fsencode(name), os.fsencode(f"RB{name}")


def _with_text(text: str) -> Condition:
    digest = text.rpartition(":")[2].lower()
    if not digest or not _HEX.issuperset(digest):
        condition, arguments = _by_name(text)
        return f"AND ({condition})", arguments
    if len(digest) >= _SURELY_A_DIGEST:
        return f"AND {sql.BY_DIGEST}", (digest, f"{digest}g", f"%:{digest}%")
    condition, arguments = _by_name(text)
    return f"AND ({condition} {sql.OR_CHECKSUM})", (*arguments, f"{digest}*", f"%:{digest}%")


def _by_name(text: str) -> Condition:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = os.fsencode(f"%{escaped}%")
    if os.sep in text:
        return sql.BY_NAME, (pattern, os.sep, pattern)
    return sql.BY_PART, (pattern, pattern, pattern)

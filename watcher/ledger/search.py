"""What a person types, as a condition on the history."""

from __future__ import annotations

import os

from watcher.ledger import sql

_HEX = frozenset("0123456789abcdef")
_SURELY_A_DIGEST = 32
"""Hexadecimal digits that no name has by chance (md5 has so many); these are found by index."""


def matching(text: str) -> tuple[str, tuple[object, ...]]:
    """Return the condition for rows that `text` finds, and its arguments."""
    if not text:
        return "", ()
    digest = text.rpartition(":")[2].lower()
    if not digest or not _HEX.issuperset(digest):
        return f"AND ({sql.BY_NAME})", _names(text)
    if len(digest) >= _SURELY_A_DIGEST:
        return f"AND {sql.BY_DIGEST}", (digest, f"{digest}g", f"%:{digest}%")
    return f"AND ({sql.BY_NAME} {sql.OR_CHECKSUM})", (*_names(text), f"{digest}*", f"%:{digest}%")


def _names(text: str) -> tuple[object, ...]:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = os.fsencode(f"%{escaped}%")
    return pattern, os.sep, pattern

"""What a scan's text file says of its scan, read from its first lines. Pure: nothing is opened.

The producer writes a line `key: value` for each word of bluesky's start document, then an empty
line. A fit and a plot say nothing themselves; their names share the start time with the text's.
"""

from __future__ import annotations

import ast
import os
import re

from watcher.model import Scan

READ = 64 << 10
"""Bytes at the beginning of a file that may hold its header."""
_KEYS = frozenset({"uid", "scan_id", "plan_name", "motors", "start_time"})
_LONGEST = 200
_STAMP = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(?:Z_\d+)?(?!\d)")
"""With the number that tells scans of the same second apart, where the name has one."""


def stamp_of(name: str) -> str:
    """Return the start time that a file's name tells; empty if it tells none."""
    stamps = _STAMP.findall(os.path.basename(name))
    return stamps[-1] if stamps else ""


def scan_of(start: bytes) -> Scan | None:
    """Read the header.

    Args:
        start: the first bytes of a file.

    Returns:
        What it says; None if it is no header of a scan.

    """
    if b"uid: " not in start:  # most files have no header
        return None
    found: dict[str, str] = {}
    for line in start[:READ].split(b"\n"):
        if not line.strip():
            break
        key, _, value = line.partition(b": ")
        word = key.decode("ascii", "replace")
        if word in _KEYS and word not in found:
            found[word] = value.strip().decode("utf-8", "replace")[:_LONGEST]
    if not found.get("uid"):
        return None
    return Scan(
        uid=found["uid"],
        scan_id=_number(found.get("scan_id", "")),
        plan_name=found.get("plan_name", ""),
        motors=_names(found.get("motors", "")),
        start_time=found.get("start_time", ""),
    )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,18}", text) else None


def _names(text: str) -> tuple[str, ...]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()

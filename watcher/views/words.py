"""Plain words for times, sizes and names. A name is data: it is shown, never interpreted (R13)."""

from __future__ import annotations

import re
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from watcher.platform import system

MINUTE, HOUR, DAY = 60, 3600, 86400
KILO = 1000
KEPT = 512
"""How many words are kept for the next drawing, which mostly says the same."""
_EPOCH, _CENTURY = datetime(1970, 1, 1, tzinfo=UTC), 100 * 365.25 * DAY
UNITS = ("kB", "MB", "GB", "TB")

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Control, format (right-to-left marks too), surrogate, private, and separators of lines."""


@lru_cache(maxsize=KEPT)
def visible(text: str, encoding: str = "utf-8") -> str:
    """Escape all that a terminal or a log would obey, hide, or could not print."""
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(_escaped(c) if unicodedata.category(c) in _UNSEEN else c for c in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8, as Python carries it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]


def path_name(path: str, encoding: str = "utf-8") -> str:
    """Show a path as a person writes it."""
    return visible(system.plain(path), encoding)


def quoted(path: str) -> str:
    """Show a path as a shell takes it for one word, if it is of an ordinary kind."""
    return path if re.fullmatch(r"[\w.,:/\\+=@~-]+", path) else f'"{path}"'


@lru_cache(maxsize=KEPT)
def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """Cut the middle out of what is wider than `width` cells; the end tells more than the start."""
    if cell_len(text) <= width:
        return text
    room = max(0, width - cell_len(ellipsis))
    tail = _tail(text, room - room // 3)
    return _head(text, room - cell_len(tail)) + ellipsis[:width] + tail


def sentence(text: str, width: int, ellipsis: str = "…") -> str:
    """Cut the end off what is wider than `width` cells."""
    if cell_len(text) <= width:
        return text
    return _head(text, max(0, width - cell_len(ellipsis))) + ellipsis[: max(0, width)]


def _head(text: str, width: int) -> str:
    return text[:width] if text.isascii() else set_cell_size(text, width)


def _tail(text: str, width: int) -> str:
    if text.isascii():
        return text[len(text) - width :]
    while cell_len(text) > width:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return text


def duration(seconds: float) -> str:
    """Say how long, with the two units that matter: `64 ms`, `3.2 s`, `4 min`, `3 h 12 min`."""
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return about(seconds)


def about(seconds: float) -> str:
    """Say how long in whole units, for clocks that should not flicker."""
    whole = max(0, int(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    for unit, name, smaller, small in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name} {rest} {small}" if rest else f"{whole // unit} {name}"
    return f"{whole // MINUTE} min"


def size(number: float) -> str:
    """Say how many bytes: `512 B`, `12 kB`, `3.4 MB`."""
    if number < KILO:
        return f"{number:.0f} B"
    for unit in UNITS:
        number /= KILO
        if number < KILO - 0.5:
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"  # noqa: PLR2004
    return f"{number:,.0f} {UNITS[-1]}"


def count(number: int, noun: str) -> str:
    """Say how many: `1 file`, `1,284 files`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def clock(moment: float, now: float) -> str:
    """Say when: the time of day, with the date where it was another day."""
    then = _local(moment)
    return f"{then:%H:%M}" if then.date() == _local(now).date() else f"{then:%d %b %H:%M}"


@lru_cache(maxsize=KEPT)
def exactly(moment: float) -> str:
    """Say at which second of the day."""
    return f"{_local(moment):%H:%M:%S}"


def dated(moment: float) -> str:
    """Say at which second of which day."""
    return plainly(iso(moment))


def iso(moment: float) -> str:
    """Write a time for programs: ISO 8601, local, with its offset."""
    return _local(moment).isoformat(timespec="milliseconds")


def moment(iso: str | None) -> float:
    """Read a time that stands in a status, in seconds since the epoch; now if it is none."""
    try:
        return datetime.fromisoformat(iso or "").timestamp()
    except (OSError, OverflowError, ValueError):
        return time.time()


def plainly(iso: str | None) -> str:
    """Show a time that stands in a status, to the second."""
    return iso[:19].replace("T", " ") if iso else "now"


def _local(moment: float) -> datetime:
    try:
        return datetime.fromtimestamp(moment).astimezone()
    except (OSError, OverflowError, ValueError):  # Windows knows no local time before 1970
        return _EPOCH + timedelta(seconds=max(-_CENTURY, min(moment, _CENTURY)))

"""Dates, durations and shares as a person types them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

import typer

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([smhdw])")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?%")


def age(text: str) -> float:
    """Read a duration, such as 12h or 30d, in seconds.

    Raises:
        typer.BadParameter: it is none.

    """
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is no duration; write such as 12h, 30d or 4w")
    return float(found[1]) * _UNITS[found[2]]


def span(text: str, now: float) -> tuple[float, float]:
    """Read a date, a date with a time, or how long ago, in seconds since the epoch.

    Returns:
        When it begins and ends: a date is a day long, all else an instant.

    Raises:
        typer.BadParameter: it is none of them.

    """
    text = text.strip()
    if _AGE.fullmatch(text):
        return (now - age(text),) * 2
    try:
        begin = datetime.fromisoformat(text)
        end = begin + timedelta(days=_is_date(text))
        return begin.timestamp(), end.timestamp()
    except (ValueError, OverflowError, OSError):
        wanted = "write such as 2026-07-01, 2026-07-01T15:15 or 7d"
        raise typer.BadParameter(f"{text!r} is no date; {wanted}") from None


def day(text: str) -> tuple[float, float] | None:
    """Read a text as a day, from when until when, if that is what it looks like."""
    if not _DAY.fullmatch(text.strip()):
        return None
    try:
        return span(text, 0.0)
    except typer.BadParameter:  # such as 2026-13-13: it may be part of a name
        return None


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def share(text: str) -> float:
    """Read a percentage as a fraction above 0.

    Raises:
        typer.BadParameter: it is none, or not between 0 % and 100 %.

    """
    found = _SHARE.fullmatch(text.strip())
    fraction = float(found[1]) / 100 if found else 0.0
    if not 0 < fraction <= 1:
        raise typer.BadParameter(f"{text!r} is no share; write such as 5%, up to 100%")
    return fraction

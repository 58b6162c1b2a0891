"""`watcher check`: one line for Nagios."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.options import ConfigFile
from watcher.cli.printing import say

if TYPE_CHECKING:
    from watcher.views.check import Room

_UNITS = {"": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_ROOM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(%|B|kB|MB|GB|TB|)")
_LONGEST = 3650 * 86400.0


def check(
    config: ConfigFile = None,
    backlog_age_warning: Annotated[
        str, typer.Option(metavar="TIME", help="Warn when the oldest file waits for so long.")
    ] = "10m",
    backlog_age_critical: Annotated[
        str, typer.Option(metavar="TIME", help="Critical when it waits for so long.")
    ] = "1h",
    free_warning: Annotated[
        str,
        typer.Option(
            metavar="ROOM",
            help="Warn when a data root's disk has less room: 5GB, or 10%, or the lesser of both.",
        ),
    ] = "5GB,5%",
    free_critical: Annotated[
        str, typer.Option(metavar="ROOM", help="Critical when it has less room than this.")
    ] = "1GB,1%",
    full_warning: Annotated[
        str, typer.Option(metavar="TIME", help="Warn when it is full so soon at this rate.")
    ] = "24h",
    full_critical: Annotated[
        str, typer.Option(metavar="TIME", help="Critical when it is full so soon.")
    ] = "2h",
    silent: Annotated[
        str, typer.Option(metavar="TIME", help="Critical when it hasn't said a word for so long.")
    ] = "2m",
) -> int:
    """Tell in one line whether all is well: a plug-in for Nagios, Icinga and their kin.

    Ends with 0 if it is; with 1 for a warning; with 2 if it is critical: a destination can't be
    reached, a file waits for a person, no watcher runs; with 3 if that can't be told.

    Example: watcher check --backlog-age-warning 10m --free-warning 10%
    """
    from watcher import report
    from watcher.config import load
    from watcher.lock import is_running
    from watcher.views import check as view

    thresholds = view.Thresholds(
        _seconds("--backlog-age-warning", backlog_age_warning),
        _seconds("--backlog-age-critical", backlog_age_critical),
        _room("--free-warning", free_warning),
        _room("--free-critical", free_critical),
        _seconds("--full-warning", full_warning),
        _seconds("--full-critical", full_critical),
        _seconds("--silent", silent),
    )
    loaded = load(config)
    found = report.status(loaded)
    if found is None and is_running(loaded.state_dir):
        code, line = view.unknown("a watcher runs, but its status can't be read")
    else:
        code, line = view.check(found, thresholds, time.time())
    say(line)
    return code


def _seconds(option: str, text: str) -> float:
    from watcher.config.values import duration

    number = re.fullmatch(r"[0-9]{1,9}", text)
    try:
        return duration(0.0, _LONGEST)(float(text) if number else text)
    except ValueError:
        raise typer.BadParameter(
            f"{option}: found {text!r}, expected a duration, such as 30s, 10m, 24h"
        ) from None


def _room(option: str, text: str) -> Room:
    from watcher.views.check import Room

    size = share = math.inf
    for part in text.split(","):
        match = _ROOM.fullmatch(part.strip())
        if match is None:
            raise typer.BadParameter(
                f"{option}: found {text!r}, expected free space, such as 500MB, 5GB, 10% or 5GB,5%"
            )
        if match[2] == "%":
            share = min(share, float(match[1]) / 100)
        else:
            size = min(size, float(match[1]) * _UNITS[match[2]])
    return Room(size, share)

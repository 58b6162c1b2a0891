"""How a watcher stands, as rows for a person, the most important first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from watcher.views import words
from watcher.views.health import (
    FAULTY_MEND,
    STRANDED_MEND,
    STYLES,
    Level,
    space_level,
    space_text,
    unreadable_mend,
)

Row = tuple[str, str, str]
"""A label, what there is to say, and its style."""
SHOWN = 5
"""How many of each kind are named."""
NOT_KNOWN = "not known"
"""What is said where nobody has ever looked."""


def oldest_for(status: Mapping[str, Any], now: float) -> float:
    """Return how long the oldest file waits now; it has grown older since that was written."""
    age: float | None = status["oldest_backlog_s"]
    if age is None or not status["backlog"]:
        return 0.0
    return age + max(0.0, now - words.moment(status["written_at"]))


def rows(status: Mapping[str, Any], now: float, encoding: str = "utf-8") -> Iterator[Row]:
    """Tell a status to a person, the most important first.

    Args:
        status: what a watcher said.
        now: the time, in seconds since the epoch.
        encoding: what the terminal can print; anything else is escaped.

    Yields:
        A label, what there is to say, and its style.

    """
    for label, value, style in _rows(status, now):
        yield label, words.visible(value, encoding), style


def text(status: Mapping[str, Any], now: float) -> str:
    """Tell a status as plain lines."""
    lines = (f"{label:<13}{value}".rstrip() for label, value, _ in rows(status, now))
    return "\n".join(lines)


def _rows(status: Mapping[str, Any], now: float) -> Iterator[Row]:
    state = Level(status["health"]["level"])
    yield "health", f"{state.upper()}: {status['health']['text']}", STYLES[state]
    yield "watcher", _running(status, now), ""
    for name, destination in status["destinations"].items():
        yield name, *_destination_line(destination, is_now=status["running"])
    yield "backlog", _counted(status, _backlog_line(status, now)), ""
    for batch in status["in_flight"]:
        yield "  on the way", _batch_line(batch), ""
    yield "archived", _archived_line(status), ""
    yield "left behind", _counted(status, _left_line(status)), ""
    yield from _left_lines(status)
    for root, space in status["space"].items():
        figures = space["free_bytes"], space["total_bytes"], space["seconds_left"]
        yield "disk", space_text(root, *figures), STYLES[space_level(*figures)]
    for file in status["last_files"][:SHOWN]:
        took = words.duration(file["took_s"])
        yield "  last", f"{words.plainly(file['archived_at'])}  {file['source']} (in {took})", ""
    for label in ("log_file", "config_file"):
        if path := status.get(label):
            yield label.removesuffix("_file"), path, ""


def _left_lines(status: Mapping[str, Any]) -> Iterator[Row]:
    """Name the first of what stays behind, each with what could be done."""
    for held in status["held"][:SHOWN]:
        where = f"{held['destination']}: " if held["destination"] else ""
        yield from _item("held", held["source"], where + held["reason"], held["mend"])
    for clash in status["last_conflicts"][:SHOWN]:
        kept = f"{clash['destination']} holds another; kept as {clash['path']}"
        command = f"watcher resolve {words.quoted(clash['source'])}"
        yield from _item("conflict", clash["source"], kept, f"compare the two, then: {command}")
    if status["faulty"]:
        files = words.count(status["faulty"], "archived file")
        yield from _item("verify", "", f"{files} missing or altered", FAULTY_MEND)
    for file in status["stranded_files"][:SHOWN]:
        since = f"never finished, untouched since {words.plainly(file['modified_at'])}"
        yield from _item("stranded", file["path"], since, STRANDED_MEND)
    for error in status["rescan"]["errors"][:SHOWN]:
        yield from _item("unreadable", "", error, unreadable_mend(error))
    if len(status["warnings"]) > SHOWN:
        yield "  warnings", f"the last {SHOWN}; `status --json` has more, the log has all", ""
    for told in status["warnings"][-SHOWN:]:
        yield from _item("warning", "", told["text"], told["mend"])


def _item(label: str, name: str, reason: str, mend: str) -> Iterator[Row]:
    yield f"  {label}", f"{name}: {reason}" if name else reason, "yellow"
    if mend:
        yield "", f"-> {mend}", ""


def _running(status: Mapping[str, Any], now: float) -> str:
    version = f", version {status['version']}" if status["version"] else ""
    who = f"{status['instrument']}{version}"
    if not status["running"]:
        return f"not running ({who})"
    up = words.about(now - words.moment(status.get("started_at")))
    after = status["next_rescan"]
    next_one = f"in {words.about(words.moment(after) - now)}" if after else "under way"
    return f"running for {up} (process {status['pid']}, {who}), next rescan {next_one}"


def _destination_line(destination: Mapping[str, Any], *, is_now: bool) -> tuple[str, str]:
    if destination["error"] == NOT_KNOWN:
        return NOT_KNOWN, ""
    line = f"{destination['state']} since {words.plainly(destination['since'])}"
    for more in (destination["error"], destination["mend"]):
        line += f"; {more}" if more else ""
    if not is_now:
        return f"was {line}", ""
    return line, "green" if destination["state"] == "online" else "yellow"


def _backlog_line(status: Mapping[str, Any], now: float) -> str:
    if not status["backlog"]:
        return "nothing waits"
    oldest = status["oldest_backlog_s"] is not None
    age = f", the oldest for {words.about(oldest_for(status, now))}" if oldest else ""
    files = words.count(status["backlog"], "file")
    return f"{files}, {words.size(status['backlog_bytes'])}{age}"


def _counted(status: Mapping[str, Any], line: str) -> str:
    """Say when that was so, where nobody counts any more, or never has."""
    if status["running"]:
        return line
    return f"{line}, as of {words.plainly(status['written_at'])}" if status["pid"] else NOT_KNOWN


def _batch_line(batch: Mapping[str, Any]) -> str:
    more = f" and {batch['files'] - 1:,} more" if batch["files"] > 1 else ""
    amount = f"{words.size(batch['done'])} of {words.size(batch['size'])}"
    return f"{batch['name']}{more} to {batch['destination']}, {amount}"


def _archived_line(status: Mapping[str, Any]) -> str:
    files = words.count(status["archived"], "file")
    return f"{files}, {words.size(status['archived_bytes'])} since it started"


def _left_line(status: Mapping[str, Any]) -> str:
    return (
        f"{status['failed']} held back, {status['mismatches']} mismatched, "
        f"{words.count(status['conflicts'], 'conflict')}, {status['stranded']} stranded, "
        f"{status['missed_by_events']} missed by hints"
    )

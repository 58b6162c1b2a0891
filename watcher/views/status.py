"""What `watcher status` tells from another console: a small file beside the ledger, and its text.

The file is written aside and renamed, so that a reader sees one state or the next, never half of
one. Times are ISO 8601 with the local offset; durations are seconds and say so (`_s`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from watcher.activity import DestinationView, Snapshot, SpaceMeasured
from watcher.model import HeldBack, Receipt, Stranded
from watcher.platform import system
from watcher.views import words
from watcher.views.health import (
    STRANDED_MEND,
    UNREADABLE_MEND,
    Finding,
    Health,
    Level,
    Matter,
    health,
    space_level,
    space_text,
)

Status = dict[str, Any]

NAME = "status.json"
EVERY = 1.0
"""It is written no more often than this, in seconds."""
HEARTBEAT = 30.0
"""It is written at least this often, in seconds: an older one is from a watcher that is gone."""
NAMED = 100
"""How many files a list in it names at most; the counts are always whole."""
LAST = 20
"""How many of the last files it names."""
SHOWN = 5
"""How many of each kind its text names."""

STYLES = {Level.OK: "green", Level.WAITING: "yellow", Level.ATTENTION: "bold red"}


def status_of(snapshot: Snapshot, now: float, *, running: bool = True) -> Status:
    """Tell the state as plain data, for programs.

    Args:
        snapshot: what is known.
        now: the time, in seconds since the epoch.
        running: False for the last word of a watcher that ends.

    """
    return {
        "running": running,
        **_who(snapshot),
        "written_at": words.iso(now),
        "health": _health(health(snapshot, now)),
        **_backlog(snapshot, now),
        **_archived(snapshot),
        **_left_behind(snapshot),
        "destinations": {n: _destination(v) for n, v in snapshot.destinations.items()},
        **_rescan(snapshot),
        "space": {system.plain(s.root): _space(s) for s in snapshot.space.values()},
        "in_flight": [
            {**asdict(b), "name": system.plain(b.name), "began_at": words.iso(b.began_at)}
            for b in snapshot.in_flight.values()
        ],
        "stopping": snapshot.stopping,
    }


def _who(snapshot: Snapshot) -> Status:
    who = snapshot.started
    if who is None:
        return {"pid": os.getpid(), "instrument": "", "version": "", "started_at": None}
    return {
        "pid": who.pid,
        "instrument": who.instrument,
        "version": who.version,
        "started_at": words.iso(snapshot.started_at),
        "data_roots": [system.plain(root) for root in who.data_roots],
        "config_file": system.plain(who.config_file) if who.config_file else "",
        "log_file": system.plain(who.log_file) if who.log_file else "",
    }


def _health(state: Health) -> Status:
    findings = [{key: str(value) for key, value in asdict(f).items()} for f in state.findings]
    told = {"level": state.level.value, "text": state.text, "reasons": list(state.reasons)}
    return {**told, "findings": findings}


def _space(space: SpaceMeasured) -> Status:
    left = space.seconds_left
    rounded = None if left is None else round(left)
    return {"free_bytes": space.free, "total_bytes": space.total, "seconds_left": rounded}


def _backlog(snapshot: Snapshot, now: float) -> Status:
    oldest = snapshot.oldest
    return {
        "backlog": snapshot.backlog,
        "backlog_bytes": snapshot.backlog_size,
        "oldest_backlog_s": None if oldest is None else round(max(0.0, now - oldest), 3),
        "as_of": words.iso(snapshot.counted_at) if snapshot.counted_at else None,
    }


def _archived(snapshot: Snapshot) -> Status:
    last = [_file(receipts) for receipts in snapshot.recent[:LAST]]
    return {
        "archived": snapshot.archived,
        "archived_bytes": snapshot.archived_size,
        "last_archived": last[0] if last else None,
        "last_files": last,
    }


def _file(receipts: tuple[Receipt, ...]) -> Status:
    last = max(receipts, key=lambda r: r.archived_at)
    return {
        "source": system.plain(last.source),
        "archived_at": words.iso(last.archived_at),
        "took_s": round(last.seconds, 3),
        "bytes": last.fingerprint.size,
        "checksum": str(last.checksum),
        "conflict": any(r.conflict for r in receipts),
        "paths": {r.destination: system.plain(r.path) for r in receipts},
    }


def _left_behind(snapshot: Snapshot) -> Status:
    return {
        "failed": len(snapshot.held),
        "mismatches": snapshot.mismatches,
        "held": [_held(h) for h in list(snapshot.held.values())[:NAMED]],
        "conflicts": snapshot.conflicts,
        "last_conflicts": [
            {**asdict(c), "source": system.plain(c.source), "path": system.plain(c.path)}
            for c in snapshot.last_conflicts[:LAST]
        ],
        "stranded": snapshot.rescan.stranded_count,
        "stranded_files": [_stranded(s) for s in snapshot.rescan.stranded[:NAMED]],
        "missed_by_events": snapshot.missed,
    }


def _held(held: HeldBack) -> Status:
    source = system.plain(held.source)
    return {**asdict(held), "source": source, "since": words.iso(held.since)}


def _stranded(file: Stranded) -> Status:
    modified = words.iso(file.modified_at)
    return {"path": system.plain(file.path), "bytes": file.size, "modified_at": modified}


def _destination(view: DestinationView) -> Status:
    return {
        "state": view.state.value,
        "since": words.iso(view.since),
        "error": view.error,
        "mend": view.mend,
    }


def _rescan(snapshot: Snapshot) -> Status:
    walk, after = snapshot.rescan, snapshot.next_rescan_at
    return {
        "rescan": {
            "running": snapshot.rescanning,
            "finished": walk.finished,
            "unfinished": walk.unfinished,
            "folders": walk.folders,
            "took_s": round(walk.seconds, 3),
            "errors": list(walk.errors[:NAMED]),
        },
        "next_rescan": words.iso(after) if after else None,
    }


class StatusFile:
    """The file that tells other processes what this one does."""

    def __init__(self, path: str) -> None:
        """Write to `path`, in a folder that exists."""
        self._path = path
        self._written: Snapshot | None = None
        self._written_at = -HEARTBEAT
        self.error = ""
        """Why it could not be written the last time; empty if it could."""

    def write(self, snapshot: Snapshot, *, last: bool = False) -> bool:
        """Write if it is time; never raises, for nothing waits for this file.

        Args:
            snapshot: what is known.
            last: write at once, and say that this watcher ends.

        Returns:
            Whether it was written.

        """
        if not last and not self._is_time(snapshot):
            return False
        self._written, self._written_at = snapshot, time.monotonic()
        try:
            _replace(self._path, status_of(snapshot, time.time(), running=not last))
        except OSError as error:
            self._written, self.error = None, str(error)
            return False
        self.error = ""
        return True

    def shows(self, snapshot: Snapshot) -> bool:
        """Tell whether that is what was written last."""
        return self._written is snapshot

    def _is_time(self, snapshot: Snapshot) -> bool:
        waited = time.monotonic() - self._written_at
        return waited >= HEARTBEAT or (snapshot is not self._written and waited >= EVERY)


def _replace(path: str, status: Status) -> None:
    aside = f"{path}.new"
    with open(aside, "w", encoding="ascii") as file:  # escapes keep names that are no UTF-8
        json.dump(status, file, indent=1)
        file.write("\n")
    os.replace(aside, path)


def read(path: str) -> Status | None:
    """Read what a watcher wrote; None if there is nothing, or nothing of that kind."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return found if _is_status(found) else None


def _is_status(found: object) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("running"), bool):
        return False
    wanted = status_of(Snapshot(), 0.0)
    return all(isinstance(found.get(k), type(v)) for k, v in wanted.items() if v is not None)


def ended(status: Mapping[str, Any]) -> Status:
    """Correct a status whose watcher is gone: since when, and whether it took its leave."""
    at = plainly(status["written_at"])
    if status["running"]:
        text = f"no watcher runs: the last one ended without a word after {at}"
        return gone({**status, "running": False}, text)
    why = f" ({status['stopping']})" if status["stopping"] else ""
    return gone(status, f"no watcher runs since {at}{why}")


def gone(status: Mapping[str, Any], text: str) -> Status:
    """Tell a status that is worth nothing any more, for the reason `text`."""
    health = Health(Level.ATTENTION, (Finding(Level.ATTENTION, Matter.GONE, text),))
    return {**status, "health": _health(health), "in_flight": []}


def oldest_for(status: Mapping[str, Any], now: float) -> float:
    """Return how long the oldest file waits now; it has grown older since that was written."""
    age: float | None = status["oldest_backlog_s"]
    if age is None or not status["backlog"]:
        return 0.0
    return age + max(0.0, now - moment(status["written_at"]))


def moment(iso: str | None) -> float:
    """Read a time that stands in a status, in seconds since the epoch; now if it is none."""
    try:
        return datetime.fromisoformat(iso or "").timestamp()
    except (OSError, OverflowError, ValueError):
        return time.time()


def rows(
    status: Mapping[str, Any], now: float, encoding: str = "utf-8"
) -> Iterator[tuple[str, str, str]]:
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


def _rows(status: Mapping[str, Any], now: float) -> Iterator[tuple[str, str, str]]:
    state = Level(status["health"]["level"])
    yield "health", f"{state.upper()}: {status['health']['text']}", STYLES[state]
    yield "watcher", _running(status, now), ""
    for name, destination in status["destinations"].items():
        yield name, *_destination_line(destination, is_now=status["running"])
    yield "backlog", _backlog_line(status, now), ""
    for batch in status["in_flight"]:
        yield "  on the way", _batch_line(batch), ""
    yield "archived", _archived_line(status), ""
    yield "left behind", _left_line(status), ""
    yield from _left_lines(status)
    for root, space in status["space"].items():
        figures = space["free_bytes"], space["total_bytes"], space["seconds_left"]
        yield "disk", space_text(root, *figures), STYLES[space_level(*figures)]
    for file in status["last_files"][:SHOWN]:
        took = words.duration(file["took_s"])
        yield "  last", f"{plainly(file['archived_at'])}  {file['source']} (in {took})", ""
    for label in ("log_file", "config_file"):
        if path := status.get(label):
            yield label.removesuffix("_file"), path, ""


def _left_lines(status: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name the first of what stays behind, each with what could be done."""
    for held in status["held"][:SHOWN]:
        where = f"{held['destination']}: " if held["destination"] else ""
        yield from _item("held", held["source"], where + held["reason"], held["mend"])
    for clash in status["last_conflicts"][:SHOWN]:
        kept = f"{clash['destination']} holds another; kept as {clash['path']}"
        command = f"watcher resolve {words.quoted(clash['source'])}"
        yield from _item("conflict", clash["source"], kept, f"compare the two, then: {command}")
    for file in status["stranded_files"][:SHOWN]:
        since = f"never finished, untouched since {plainly(file['modified_at'])}"
        yield from _item("stranded", file["path"], since, STRANDED_MEND)
    for error in status["rescan"]["errors"][:SHOWN]:
        yield from _item("unreadable", "", error, UNREADABLE_MEND)


def _item(label: str, name: str, reason: str, mend: str) -> Iterator[tuple[str, str, str]]:
    yield f"  {label}", f"{name}: {reason}" if name else reason, "yellow"
    if mend:
        yield "", f"-> {mend}", ""


def _running(status: Mapping[str, Any], now: float) -> str:
    who = f"{status['instrument']}, version {status['version']}"
    if not status["running"]:
        return f"not running ({who})"
    up = words.about(now - moment(status.get("started_at")))
    after = status["next_rescan"]
    next_one = f"in {words.about(moment(after) - now)}" if after else "under way"
    return f"running for {up} (process {status['pid']}, {who}), next rescan {next_one}"


def _destination_line(destination: Mapping[str, Any], *, is_now: bool) -> tuple[str, str]:
    line = f"{destination['state']} since {plainly(destination['since'])}"
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


def plainly(iso: str | None) -> str:
    """Show a time that stands in a status, to the second."""
    return iso[:19].replace("T", " ") if iso else "now"

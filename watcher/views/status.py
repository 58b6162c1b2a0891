"""What `watcher status` tells from another console: a small file beside the ledger, and its text.

The file is written aside and renamed, so that a reader sees one state or the next, never half of
one. Times are ISO 8601 with the local offset; durations are seconds and say so (`_s`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from watcher.activity import DestinationView, Snapshot, SpaceMeasured
from watcher.errors import ConfigurationError
from watcher.model import HeldBack, Receipt, Stranded
from watcher.platform import system
from watcher.views import words
from watcher.views.health import (
    Finding,
    Health,
    Level,
    Matter,
    health,
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
        **_warnings(snapshot),
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


def _warnings(snapshot: Snapshot) -> Status:
    """Tell what an operator was told last, but for what is only good to know."""
    return {"warnings": [asdict(notice) for notice in snapshot.notices]}


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
        "failed": snapshot.held_count,
        "mismatches": snapshot.mismatches,
        "held": [_held(h) for h in snapshot.held_in_order[:NAMED]],
        "conflicts": snapshot.conflicts,
        "last_conflicts": [
            {**asdict(c), "source": system.plain(c.source), "path": system.plain(c.path)}
            for c in snapshot.last_conflicts[:LAST]
        ],
        "faulty": snapshot.faulty,
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

    def __init__(self, path: str, on_trouble: Callable[[str], None] = lambda _text: None) -> None:
        """Write to `path`, in a folder that exists.

        Args:
            path: the file.
            on_trouble: told why it can't be written, when that is new.

        """
        self._path = path
        self._on_trouble = on_trouble
        self._trouble = ""
        self._written: Snapshot | None = None
        self._written_at = -HEARTBEAT

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
            self._written = None
            trouble = f"the status can't be written to {self._path}: {error.strerror}"
            if trouble != self._trouble:
                self._on_trouble(trouble)
            self._trouble = trouble
            return False
        self._trouble = ""
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
    """Read what a watcher wrote; None if there is nothing, or nothing of that kind.

    Raises:
        ConfigurationError: this account may not read it.

    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except PermissionError as error:
        raise ConfigurationError(
            f"what the watcher says can't be read: {error.strerror}",
            path=system.plain(path),
            mend="run this as the watcher's account, or let yours read what is in its state folder",
        ) from error
    except (OSError, ValueError, RecursionError):
        return None
    return found if _is_status(found) else None


def _is_status(found: object) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("running"), bool):
        return False
    wanted = status_of(Snapshot(), 0.0)
    return all(isinstance(found.get(k), type(v)) for k, v in wanted.items() if v is not None)


def is_fresh(status: Mapping[str, Any], now: float) -> bool:
    """Tell whether whoever wrote it says that he runs, and would have written again if not."""
    age = now - words.moment(status["written_at"])
    return bool(status["running"]) and age < 2 * HEARTBEAT


def ended(status: Mapping[str, Any]) -> Status:
    """Correct a status whose watcher is gone: since when, and whether it took its leave."""
    at = words.plainly(status["written_at"])
    if status["running"]:
        text = f"no watcher runs: the last one ended without a word after {at}"
        return gone({**status, "running": False}, text)
    why = f" ({status['stopping']})" if status["stopping"] else ""
    return gone(status, f"no watcher runs since {at}{why}")


def doubted(status: Status, now: float) -> Status:
    """Correct a status that a watcher which runs should have written anew long ago."""
    if not status["running"] or is_fresh(status, now):
        return status
    since = words.plainly(status["written_at"])
    return gone(status, f"the watcher has not said a word since {since}: it hangs, or can't write")


def gone(status: Mapping[str, Any], text: str) -> Status:
    """Tell a status that is worth nothing any more, for the reason `text`."""
    health = Health(Level.ATTENTION, (Finding(Level.ATTENTION, Matter.GONE, text),))
    return {**status, "health": _health(health), "in_flight": []}

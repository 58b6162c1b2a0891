"""What a watcher last said of itself, for another console; it needs little, so it comes quickly."""

from __future__ import annotations

import os
import time
from typing import Any

from watcher.activity import DestinationView, Snapshot
from watcher.config import Config
from watcher.lock import is_running
from watcher.platform import system
from watcher.views import status as status_view
from watcher.views.standing import NOT_KNOWN


def status(config: Config) -> dict[str, Any] | None:
    """Return what the watcher of this configuration last said; None if there is nothing to read."""
    running = is_running(config.state_dir)
    said = status_view.read(os.path.join(config.state_dir, status_view.NAME))
    if said is None or running:
        return said
    return status_view.ended(said)


def nothing(config: Config) -> dict[str, Any]:
    """Return a status, with all its keys, where there is nothing to read."""
    now, running = time.time(), is_running(config.state_dir)
    unknown = DestinationView(since=now, error=NOT_KNOWN)
    empty = Snapshot(destinations={d.name: unknown for d in config.destinations})
    told = status_view.status_of(empty, now, running=running)
    told = {**told, "pid": None, "instrument": config.instrument}
    if running:
        return status_view.gone(told, "a watcher runs, but what it says can't be read")
    return status_view.gone(told, f"no watcher has run on {system.plain(config.state_dir)} yet")

"""The destinations: whether files can be published there, and what may deceive."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Iterator

from watcher.checksums.stream import STREAMLESS, Stream
from watcher.config import Config
from watcher.destination import PartNames
from watcher.diagnosis.finding import CLOCK_OFF, Found
from watcher.errors import WatcherError
from watcher.ledger import Ledger
from watcher.outage import within, words_of
from watcher.platform import system
from watcher.reach import Reach
from watcher.transfer import Depot
from watcher.views import words
from watcher.views.health import space_text
from watcher.wiring import LEDGER_NAME, depots_of


def of_destinations(config: Config) -> Iterator[Found]:
    """Look at each destination; nothing stays behind there."""
    parts = PartNames(platform.node(), f"{os.path.abspath(config.state_dir)}\0doctor")
    mounts = _mounts(config)
    for name, depot in depots_of(config, parts).items():
        depot.reach.mount = mounts.get(name, "")
        yield from _destination(name, depot, config.retry.stalled_after)


def _destination(name: str, depot: Depot, patience: float) -> Iterator[Found]:
    what = f"destination {name}"
    try:
        within(patience, lambda: depot.reach.probe(True))
        folder = depot.reach.trial_folder
        safe = "writable, and files are published there without replacing any"
        yield Found(what, f"{safe}: {words.path_name(folder)}")
        if isinstance(record := depot.record, Stream):
            yield _streams(what, within(patience, lambda: record.survive_in(folder)))
        yield from within(patience, lambda: _clock(what, depot, folder))
        yield Found(what, within(patience, lambda: _room(folder)))
        yield from _mount(what, depot.reach)
    except (OSError, WatcherError) as error:
        text, mend = words_of(error)
        yield Found(what, text, mend or "look at it by hand")


def _streams(what: str, survive: bool) -> Found:
    if survive:
        return Found(what, "keeps streams")
    return Found(what, "streams don't survive there: sidecar files are written instead", STREAMLESS)


def _clock(what: str, depot: Depot, folder: str) -> list[Found]:
    """Compare the clock of the server with ours, by a file that is made there."""
    path = os.path.join(folder, depot.parts.new())
    try:
        os.close(system.create_part(path))
        off = os.stat(path).st_mtime - time.time()
    finally:
        with contextlib.suppress(OSError):
            system.remove_part(path)
    if abs(off) <= CLOCK_OFF:
        return []
    ahead = "ahead" if off > 0 else "behind"
    return [Found(what, f"its clock is {words.about(abs(off))} {ahead}")]


def _mounts(config: Config) -> dict[str, str]:
    """Return where destinations were seen to be mounted."""
    with contextlib.suppress(WatcherError):  # said already
        if ledger := Ledger.peek(os.path.join(config.state_dir, LEDGER_NAME)):
            with contextlib.closing(ledger):
                return {d.name: ledger.last_mount(d.name) for d in config.destinations}
    return {}


def _mount(what: str, reach: Reach) -> Iterator[Found]:
    """Say what tells a share from the bare folder that it hides."""
    if reach.mount and not reach.cycles:
        text = (
            f"mounted at {words.path_name(reach.mount)}; only the ledger tells the bare folder "
            "below from it: a `marker` would do so for certain"
        )
        yield Found(what, text)


def _room(folder: str) -> str:
    usage = shutil.disk_usage(folder)
    return space_text(folder, usage.free, usage.total, None)

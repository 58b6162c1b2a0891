"""A test file of its own goes all the way through, and is cleaned up.

If a watcher runs, it is the one that is tried: the file is put into an experiment of its own in
the first data root, and must be where it belongs before long. If none runs, one pass is made with
the same destinations, but a data root that holds this one file, and a ledger of its own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from watcher.activity import Activity
from watcher.config import AfterArchiving, Config, LogConfig, MetricsConfig
from watcher.daemon import Watcher
from watcher.destination import PartNames
from watcher.diagnosis import Found
from watcher.errors import WatcherError
from watcher.inspection import inspect
from watcher.lock import is_running, locked
from watcher.model import SCAN_FOLDER, FinishedFile
from watcher.outage import within, words_of
from watcher.platform import system
from watcher.transfer import Depot
from watcher.views import words
from watcher.wiring import depots_of

NAME = ".watcher-doctor-"
"""What the name of the experiment begins with."""
PATIENCE = 30.0
"""Seconds that a running watcher has for it, besides its rescan interval."""
_PAUSE = 0.05
_LET_GO = 10.0
"""Seconds that others may still look at what is to be removed."""

Moved = Callable[[int, int], None]
"""Told how many steps are done, of how many."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """The test file, and where it must come to."""

    config: Config
    top: str
    """The folder in the data root that is ours, and goes with all that is in it."""
    file: FinishedFile
    content: bytes
    depots: dict[str, Depot]
    moved: Moved

    @property
    def places(self) -> dict[str, str]:
        return {
            name: depot.template.place(self.file, next(iter(depot.reach.cycles), None)).path
            for name, depot in self.depots.items()
        }


def live(config: Config, moved: Moved) -> Iterator[Found]:
    """Send a test file through.

    Args:
        config: the configuration.
        moved: told of progress.

    Yields:
        What became of it at each destination, and of the source.

    """
    depots = depots_of(config, PartNames(platform.node(), f"{config.state_dir}\0doctor"))
    if lacking := [n for n, d in depots.items() if "{experiment}" not in d.template.segments]:
        mend = "try it with a real scan: a test file would lie among the others there"
        yield Found("live", f"{lacking[0]} has no {{experiment}} in its path", mend)
        return
    for name, depot in depots.items():
        try:
            within(config.retry.stalled_after, functools.partial(depot.reach.probe, True))
        except (OSError, WatcherError) as error:
            text, mend = words_of(error)
            yield Found("live", f"{name}: {text}", mend or "mend the destination first")
            return
    trial = _prepared(config, depots, moved)
    left: list[str] = []
    try:
        yield from _sent(trial)
    finally:
        left = _clean_up(trial)
    if left:
        yield Found("live", f"can't be cleaned up: {words.path_name(left[0])}", "remove it by hand")
    else:
        yield Found("live", "the test file and its folders are gone again")


def _prepared(config: Config, depots: dict[str, Depot], moved: Moved) -> _Trial:
    experiment = NAME + secrets.token_hex(4)
    root = system.native(config.data_roots[0])
    top = os.path.join(root, experiment)
    if not is_running(config.state_dir):
        root = top  # a data root for this file alone: the others wait for a real watcher
    folder = os.path.join(root, experiment, SCAN_FOLDER)
    path = os.path.join(folder, "watcher-doctor.txt")
    content = f"a test file of watcher doctor: {secrets.token_hex(16)}\n".encode("ascii")
    try:
        os.makedirs(folder)
        with open(path, "xb") as file:
            file.write(content)
        os.chmod(path, stat.S_IREAD | stat.S_IRGRP | stat.S_IROTH)
        found = inspect(root, path, os.lstat(path))
    except BaseException:
        _remove(top)
        raise
    assert isinstance(found, FinishedFile), found
    return _Trial(config, top, found, content, depots, moved)


def _sent(trial: _Trial) -> Iterator[Found]:
    began = time.monotonic()
    if is_running(trial.config.state_dir):
        _wait(trial)
        who = "by the watcher that runs"
    else:
        _pass(trial)
        who = "by a pass of its own"
    took = words.duration(time.monotonic() - began)
    mend = "the log tells why; `watcher why FILE` tells it for a real file"
    for name, path in trial.places.items():
        shown = words.path_name(path)
        if _is_there(path, trial.content):
            yield Found("live", f"{name}: there and the same after {took}, {who}: {shown}")
        else:
            yield Found("live", f"{name}: not there after {took}, {who}: {shown}", mend)
    if not _is_through(trial):
        yield Found("live", "the source did not go when its copies were there", mend)


def _wait(trial: _Trial) -> None:
    """Wait until the running watcher is through with it, within reason."""
    deadline = time.monotonic() + trial.config.rescan_interval + PATIENCE
    while time.monotonic() < deadline and not _is_through(trial):
        _tell(trial)
        time.sleep(_PAUSE)


def _pass(trial: _Trial) -> None:
    """Make one pass over a data root that holds this file alone, while no watcher may start."""
    with locked(trial.config.state_dir), tempfile.TemporaryDirectory(prefix="watcher-") as state:
        changes = {
            "data_roots": (trial.top,),
            "exclude": (),
            "state_dir": state,
            "metrics": MetricsConfig(),
            "log": LogConfig(),
        }
        watcher = Watcher(trial.config.model_copy(update=changes), Activity())
        over = threading.Event()
        telling = threading.Thread(target=_tell_until, args=(trial, over), daemon=True)
        telling.start()
        try:
            watcher.run_once()
        finally:
            over.set()
            watcher.stop("the trial is over")
            telling.join(1.0)


def _tell_until(trial: _Trial, over: threading.Event) -> None:
    while not over.wait(_PAUSE):
        _tell(trial)


def _tell(trial: _Trial) -> None:
    done = [os.path.lexists(path) for path in trial.places.values()]
    trial.moved(sum(done) + (not os.path.lexists(trial.file.path)), len(done) + 1)


def _is_through(trial: _Trial) -> bool:
    if not all(_is_there(path, trial.content) for path in trial.places.values()):
        return False
    keeps = trial.config.after_archiving is AfterArchiving.KEEP
    return keeps or not os.path.lexists(trial.file.path)


def _is_there(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() == content and system.is_marked(os.fstat(file.fileno()))
    except OSError:
        return False


def _clean_up(trial: _Trial) -> list[str]:
    """Remove what lies below the experiment of our own, here and at the destinations.

    Returns:
        What could not be removed.

    """
    experiment = os.path.basename(trial.top)
    ours = [trial.top]
    for path in trial.places.values():
        before, found, _ = path.partition(os.sep + experiment + os.sep)
        ours += [os.path.join(before, experiment)] if found else []
    return [top for top in ours if not _remove(top)]


def _remove(top: str) -> bool:
    """Remove a folder of ours; Windows keeps one for as long as another program is in it."""
    deadline = time.monotonic() + _LET_GO
    while os.path.lexists(top):
        _try_to_remove(top)
        if time.monotonic() > deadline:
            return not os.path.lexists(top)
        time.sleep(_PAUSE)
    return True


def _try_to_remove(top: str) -> None:
    for folder, folders, names in os.walk(top, topdown=False):
        for name in names:
            with contextlib.suppress(OSError):
                system.remove_part(os.path.join(folder, name))
        for name in folders:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(folder, name))
    with contextlib.suppress(OSError):
        os.rmdir(top)

"""Everything that could go wrong at the next boot: a line each, with its mend.

Nothing is guessed that can be tried: what is written is a temporary file of its own name, removed
at once. A call that hangs is left alone after a while, and said.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from watcher import startup
from watcher.config import Config
from watcher.destination import PartNames
from watcher.errors import WatcherError
from watcher.ledger import Ledger
from watcher.lock import is_running
from watcher.model import WalkResult
from watcher.outage import words_of
from watcher.platform import system
from watcher.reach import Reach
from watcher.sources.rescan import Rescan
from watcher.transfer import Depot
from watcher.views import words
from watcher.views.health import Level, space_level, space_text
from watcher.wiring import LEDGER_NAME, depots_of, ground_of

T = TypeVar("T")

_WATCHES = "/proc/sys/fs/inotify/max_user_watches"
_FILES_A_THREAD = 4
_FILES_BESIDES = 64
_CLOCK_OFF = 60.0
_BORN = 1_750_000_000.0
"""A clock before the middle of 2025 was never set."""
_FREE_SPACE = "free some space there: scans are written there, and wait there during an outage"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at."""

    what: str
    text: str
    mend: str = ""
    """What to do; empty if there is nothing to do."""


class Hangs(WatcherError):  # noqa: N818 - a state
    """Something gave no answer in time."""


def within(seconds: float, action: Callable[[], T]) -> T:
    """Do something in a thread of its own and wait for it.

    Raises:
        Hangs: it took longer than `seconds`; the thread is left behind.

    """
    results: list[T] = []
    errors: list[BaseException] = []

    def act() -> None:
        try:
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - passed on to who waits
            errors.append(error)

    thread = threading.Thread(target=act, name="doctor", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise Hangs(f"no answer for {seconds:.0f} s", mend="check the network and the server")
    return results[0]


def diagnose(config: Config) -> Iterator[Found]:
    """Look at everything; nothing stays behind.

    Yields:
        What was found, as it is found; what hangs is told after `retry.stalled_after` seconds.

    """
    yield Found("configuration", system.plain(config.file) or "given")
    yield _python()
    yield _clock()
    yield _state_folder(config)
    yield _ledger(config)
    yield _other(config)
    yield _log(config)
    yield _startup(config)
    yield from _metrics(config)
    for root in ground_of(config).roots:
        yield _root(root)
        yield _space(root)
    walk = _walk(config)
    yield _unreadable(walk)
    yield from _watches(walk)
    yield _descriptors(config)
    parts = PartNames(platform.node(), f"{os.path.abspath(config.state_dir)}\0doctor")
    mounts = _mounts(config)
    for name, depot in depots_of(config, parts).items():
        depot.reach.mount = mounts.get(name, "")
        yield from _destination(name, depot, config.retry.stalled_after)
        yield from _mount(name, depot.reach)


def _python() -> Found:
    which = f"{platform.python_version()}, {sys.maxsize.bit_length() + 1} bit, {sys.executable}"
    return Found("Python", which)


def _clock() -> Found:
    """Compare the clock with that of the file system it writes to."""
    with tempfile.TemporaryFile() as file:
        file.write(b"\0")
        file.flush()
        off = os.fstat(file.fileno()).st_mtime - time.time()
    if time.time() < _BORN or abs(off) > _CLOCK_OFF:
        mend = "set the clock; names of scans, ages and cycles go by it"
        return Found("clock", time.strftime("it says %Y-%m-%d %H:%M:%S"), mend)
    return Found("clock", time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _state_folder(config: Config) -> Found:
    folder = config.state_dir
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if error := _write_error(folder):
        mend = "set state_dir to a folder that this account may write to"
        return Found("state folder", f"{error}: {folder}", mend)
    there = "writable" if folder == config.state_dir else "will be made"
    return Found("state folder", f"{there}: {config.state_dir}")


def _write_error(folder: str) -> str:
    """Try to write in a folder; returns why that fails."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".watcher-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return str(error.strerror)
    return ""


def _ledger(config: Config) -> Found:
    path = os.path.join(config.state_dir, LEDGER_NAME)
    try:
        ledger = Ledger.peek(path)
        waiting = ledger.waiting() if ledger else 0
    except WatcherError as error:
        return Found("ledger", str(error), error.mend or f"look at {path}")
    if ledger is None:
        return Found("ledger", "none yet, it will be made")
    with contextlib.closing(ledger):
        return Found("ledger", f"readable, {words.count(waiting, 'file')} waiting: {path}")


def _other(config: Config) -> Found:
    if is_running(config.state_dir):
        return Found("watcher", "one runs on this state folder; `watcher status` shows it")
    return Found("watcher", "none runs now; `watcher run` starts one")


def _log(config: Config) -> Found:
    folder = os.path.dirname(config.log.file) if config.log.file else ""
    if not folder:
        return Found("log", "goes to the state folder")
    if error := _write_error(folder):
        return Found("log", f"{error}: {folder}", "make that folder, or set log.file to another")
    return Found("log", f"goes to {config.log.file}")


def _startup(config: Config) -> Found:
    what, mend = "startup", "`watcher startup install` writes it anew"
    for all_users in (False, True):
        try:
            command = startup.read(all_users)
        except WatcherError as error:
            return Found(what, str(error), mend)
        if command is None:
            continue
        if missing := startup.problems(command):
            return Found(what, "; ".join(missing), mend)
        if command.config_file != config.file:
            return Found(what, f"it is started with {command.config_file}, not with this one", mend)
        return Found(what, f"it is started at log-on: {startup.kind().path(all_users)}")
    return Found(what, "it is not started at log-on; `watcher startup install` would see to that")


def _metrics(config: Config) -> Iterator[Found]:
    if config.metrics.textfile:
        folder = os.path.dirname(config.metrics.textfile)
        error = _write_error(folder)
        mend = "make that folder, or set metrics.textfile to another" if error else ""
        yield Found("metrics file", f"{error or 'writable'}: {folder}", mend)
    if config.metrics.http:
        yield _port(config.metrics.http, config.state_dir)


def _port(address: str, state_dir: str) -> Found:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    with socket.socket(family) as trial:
        if not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # there it would let us take a used port
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host.strip("[]"), int(port)))
        except OSError as error:
            if is_running(state_dir):
                return Found("metrics port", f"{address} is in use, by the watcher most likely")
            mend = "set metrics.http to a free port"
            return Found("metrics port", f"{address}: {error.strerror}", mend)
    return Found("metrics port", f"{address} is free")


def _root(root: str) -> Found:
    what, shown = "data root", words.path_name(root)
    try:
        with os.scandir(root) as entries:
            next(entries, None)
    except OSError as error:
        mend = "make it, correct data_roots, or give this account the right to read it"
        return Found(what, f"{error.strerror}: {shown}", mend)
    if not system.is_local(root):
        return Found(what, f"{shown} is no local disk: hints may fail, only the rescan is sure")
    return Found(what, f"local and readable: {shown}")


def _space(root: str) -> Found:
    try:
        usage = shutil.disk_usage(root)
    except OSError as error:
        return Found("free space", f"{error.strerror}: {words.path_name(root)}", _FREE_SPACE)
    level = space_level(usage.free, usage.total, None)
    text = space_text(root, usage.free, usage.total, None)
    return Found("free space", text, "" if level is Level.OK else _FREE_SPACE)


def _walk(config: Config) -> WalkResult:
    ground = ground_of(config)
    walk = Rescan(ground.roots, ground.is_excluded, config.unfinished_after)
    return walk.walk(lambda _files: None, lambda: False)


def _unreadable(walk: WalkResult) -> Found:
    if walk.errors:
        more = f" and {len(walk.errors) - 1} more" if len(walk.errors) > 1 else ""
        mend = "give this account the right to read it"
        return Found("folders", f"can't be read: {walk.errors[0]}{more}", mend)
    finished = words.count(walk.finished, "finished file")
    took = f"in {words.duration(walk.seconds)}"
    return Found("folders", f"{words.count(walk.folders, 'folder')} read {took}, {finished}")


def _watches(walk: WalkResult) -> Iterator[Found]:
    """Compare the folders with what the system lets one user watch, where it has such a limit."""
    try:
        with open(_WATCHES, encoding="ascii") as file:
            limit = int(file.read())
    except (OSError, ValueError):
        return
    text = f"{limit:,} folders may be watched, {walk.folders:,} are there"
    need = 2 * walk.folders + 1000
    mend = f"sysctl fs.inotify.max_user_watches={need}; until then only the rescan finds all"
    yield Found("watches", text, mend if limit < walk.folders + walk.folders // 4 else "")


def _descriptors(config: Config) -> Found:
    """Open as many files as a busy watcher may have open."""
    wanted = config.workers * len(config.destinations) * _FILES_A_THREAD + _FILES_BESIDES
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(wanted):
                stack.enter_context(open(os.devnull, "rb"))
    except OSError as error:
        mend = f"raise the limit of open files to {2 * wanted} (ulimit -n), or lower `workers`"
        return Found("open files", f"{wanted} are too many: {error.strerror}", mend)
    return Found("open files", f"{wanted} at once are possible")


def _destination(name: str, depot: Depot, patience: float) -> Iterator[Found]:
    what = f"destination {name}"
    try:
        within(patience, lambda: depot.reach.probe(True))
        folder = depot.reach.trial_folder
        yield Found(what, f"writable: {words.path_name(folder)}")
        yield Found(what, within(patience, lambda: _publishing(depot, folder)))
        yield Found(what, within(patience, lambda: _room(folder)))
    except NotImplementedError as error:
        mend = "use a share or a file system that can rename without replacing, or make links"
        yield Found(what, str(error), mend)
    except (OSError, WatcherError) as error:
        text, mend = words_of(error)
        yield Found(what, text, mend or "look at it by hand")


def _publishing(depot: Depot, folder: str) -> str:
    """Publish a part, and try to put a second one in its place."""
    paths = [os.path.join(folder, depot.parts.new()) for _ in range(3)]
    target, *parts = paths
    try:
        for part in parts:
            _part(part)
        system.publish(parts[0], target)
        off = os.stat(target).st_mtime - time.time()
        try:
            system.publish(parts[1], target)
        except FileExistsError:
            return "publishes without replacing anything" + _off(off)
        raise NotImplementedError(f"a file was replaced by another at {system.plain(folder)}")
    finally:
        for path in paths:
            with contextlib.suppress(OSError):
                system.remove_part(path)


def _off(seconds: float) -> str:
    if abs(seconds) <= _CLOCK_OFF:
        return ""
    return f"; its clock is {words.about(abs(seconds))} {'ahead' if seconds > 0 else 'behind'}"


def _part(path: str) -> None:
    descriptor = system.create_part(path)
    try:
        os.write(descriptor, b"watcher doctor\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    system.mark(path)


def _mounts(config: Config) -> dict[str, str]:
    """Return where destinations were seen to be mounted."""
    with contextlib.suppress(WatcherError):  # said already
        if ledger := Ledger.peek(os.path.join(config.state_dir, LEDGER_NAME)):
            with contextlib.closing(ledger):
                return {d.name: ledger.last_mount(d.name) for d in config.destinations}
    return {}


def _mount(name: str, reach: Reach) -> Iterator[Found]:
    """Say what tells a share from the bare folder that it hides."""
    if reach.mount and not reach.cycles:
        text = (
            f"mounted at {words.path_name(reach.mount)}; only the ledger tells the bare folder "
            "below from it: a `marker` would do so for certain"
        )
        yield Found(f"destination {name}", text)


def _room(folder: str) -> str:
    usage = shutil.disk_usage(folder)
    return space_text(folder, usage.free, usage.total, None)

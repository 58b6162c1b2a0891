"""The computer that the watcher runs on, and what it keeps there."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Iterator

from watcher import startup
from watcher.config import Config
from watcher.diagnosis.finding import CLOCK_OFF, Found
from watcher.errors import WatcherError
from watcher.ledger import Ledger
from watcher.lock import is_running
from watcher.platform import system
from watcher.views import words
from watcher.wiring import LEDGER_NAME

_FILES_A_THREAD = 4
_FILES_BESIDES = 64
_BORN = 1_750_000_000.0
"""A clock before the middle of 2025 was never set."""
_NO_TEMPORARY = "free some space in the folder for temporary files, or set TMPDIR to another"


def of_computer(config: Config) -> Iterator[Found]:
    """Look at all that doesn't depend on where files come from and go to."""
    yield Found("configuration", system.plain(config.file) or "given")
    yield _python()
    yield _clock()
    yield _state_folder(config)
    yield _ledger(config)
    yield _other(config)
    yield _log(config)
    yield _startup(config)
    yield from _metrics(config)
    yield _descriptors(config)


def _python() -> Found:
    which = f"{platform.python_version()}, {sys.maxsize.bit_length() + 1} bit, {sys.executable}"
    return Found("Python", which)


def _clock() -> Found:
    """Compare the clock with that of the file system it writes to."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"\0")
            file.flush()
            off = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        return Found("clock", f"nothing to compare it with: {error.strerror}", _NO_TEMPORARY)
    if time.time() < _BORN or abs(off) > CLOCK_OFF:
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
    try:
        runs = is_running(config.state_dir)
    except WatcherError as error:
        return Found("watcher", f"{error.path}: {error.what}", error.mend)
    if runs:
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
            with contextlib.suppress(WatcherError):
                if is_running(state_dir):
                    what = f"{address} is in use, by the watcher most likely"
                    return Found("metrics port", what)
            mend = "set metrics.http to a free port"
            return Found("metrics port", f"{address}: {error.strerror}", mend)
    return Found("metrics port", f"{address} is free")


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

"""The state folder's lock: one watcher a state folder, and whether there is one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import filelock

from watcher.errors import AlreadyRunning, ConfigurationError
from watcher.platform import system
from watcher.platform.locking import is_locked
from watcher.views import status

LOCK_NAME = "watcher.lock"


@contextlib.contextmanager
def locked(state_dir: str) -> Iterator[None]:
    """Hold the state folder's lock, making the folder if it is missing.

    Raises:
        AlreadyRunning: another watcher holds it.
        ConfigurationError: the folder can't be made or written to.

    """
    path = os.path.join(state_dir, LOCK_NAME)
    lock = filelock.FileLock(path)
    try:
        os.makedirs(state_dir, exist_ok=True)
        _acquire(lock, path)
    except filelock.Timeout as error:
        raise AlreadyRunning(
            "another watcher already runs on this state folder",
            path=state_dir,
            mend="`watcher status` shows it; stop it first, or give this one another state_dir",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"the state folder can't be used: {error.strerror}",
            path=state_dir,
            mend="let this account change what is in it, or set state_dir to another folder",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, path: str) -> None:
    """Acquire it; on Windows, what another account won't let us open looks like a lock it holds."""
    try:
        lock.acquire(timeout=1.0)  # who asks holds it for an instant
    except filelock.Timeout:
        os.close(os.open(path, os.O_RDWR))
        raise


def is_running(state_dir: str) -> bool:
    """Tell whether a watcher holds the state folder's lock; creates nothing.

    Where the lock can't be asked, it is whether a watcher has said so lately.

    Raises:
        ConfigurationError: this account may look at neither.

    """
    try:
        return is_locked(os.path.join(state_dir, LOCK_NAME))
    except OSError as error:
        if system.is_absent(error):
            return False
    said = status.read(os.path.join(state_dir, status.NAME))
    return said is not None and status.is_fresh(said, time.time())

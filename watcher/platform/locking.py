"""Locks on files that other processes of ours respect."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator

_PATIENCE_S = 10.0
_PAUSE_S = 0.002
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK, 0}
"""What a lock held by another gives; some C runtimes for Windows leave `errno` at 0."""

if sys.platform == "win32":
    import msvcrt

    _FAR = 0x7FFF_FFFE
    """Locks keep others from reading there too, so it lies beyond all that is written; `locking`
    counts in 31 bits."""

    def _try(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _release(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

    def _share(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # it knows no shared ones

else:
    import fcntl

    def _try(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _share(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_locked(path: str) -> bool:
    """Tell whether somebody has locked a file from its start; takes no right to write it.

    Raises:
        OSError: it can't be asked.

    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _share(descriptor)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return True
    finally:
        os.close(descriptor)  # which releases it
    return False


@contextlib.contextmanager
def locked(descriptor: int, path: str) -> Iterator[bool]:
    """Hold the lock of an open file; moves its position.

    Yields:
        Whether it is locked: some network file systems have no locks.

    Raises:
        TimeoutError: another process held it all the time.

    """
    holds = _taken(descriptor, path)
    try:
        yield holds
    finally:
        if holds:
            with contextlib.suppress(OSError):  # closing the file releases it in any case
                _release(descriptor)


def _taken(descriptor: int, path: str) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            _try(descriptor)
        except OSError as error:
            if error.errno not in _BUSY:
                return False
        else:
            return True
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "another process keeps it locked", path)
        time.sleep(_PAUSE_S)

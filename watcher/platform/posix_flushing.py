"""Flushing: one file, a part of one, or all that waits on the volumes of many."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import sys
from collections.abc import Collection

from watcher.platform import posix_folders

assert sys.platform != "win32"

_libc = ctypes.CDLL(None, use_errno=True)
_WRITE_AND_WAIT = 7
"""SYNC_FILE_RANGE_WAIT_BEFORE, WRITE and WAIT_AFTER."""
_TO_THE_END = 0
_EXT4 = 0xEF53
"""EXT4_SUPER_MAGIC of linux/magic.h.

ext4 flushes the device's cache even where its journal has nothing to commit; xfs and btrfs don't
promise that, and what a share makes of it nobody can tell.
"""
_TELLS_ERRORS = (5, 17)
"""The first Linux whose syncfs(2) returns what goes wrong in the file system's own part of it."""
_FEW = 8
"""Files that are flushed as soon one by one, several at a time."""
_OTHERS = 64 << 20
"""Bytes of others that may have to be written first: a good part of a second for a disk."""
_WAITING = re.compile(rb"^(?:Dirty|Writeback): +(\d+) kB", re.MULTILINE)
_NUMBER = re.compile(r"\d+")


def flush_range(descriptor: int, start: int, size: int) -> bool:
    """Wait for the data alone, which costs no journal's commit; then drop it from memory."""
    try:
        _wait_for(descriptor, start, size)
    except OSError:  # flushing the whole file tells
        return False
    os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)
    return True


def flush(descriptor: int, *, alone: bool) -> None:
    """fsync(2); or, once its volume was flushed, ask the file whether its data was lost."""
    if alone:
        os.fsync(descriptor)
    else:
        _wait_for(descriptor, 0, _TO_THE_END)


def flush_volumes(folders: Collection[str], files: int, size: int) -> bool:
    """syncfs(2), where it does all that fsync(2) does, and little else has to be waited for.

    It takes as long as flushing a few files, however many there are.
    """
    if files <= _FEW or not _can_flush_volumes():
        return False
    volumes = {}
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        for folder in folders:
            descriptor = posix_folders.open_folder(folder)
            opened.callback(os.close, descriptor)
            volumes[os.fstat(descriptor).st_dev] = descriptor
        if _waiting() > size + _OTHERS or not all(map(_is_ext4, volumes.values())):
            return False
        for descriptor in volumes.values():
            _call("syncfs", descriptor)
        return True
    return False


def _can_flush_volumes() -> bool:
    release = tuple(map(int, _NUMBER.findall(os.uname().release)[:2]))
    return sys.platform == "linux" and release >= _TELLS_ERRORS


def _waiting() -> int:
    """Return how many bytes wait to be written, on whatever disks."""
    with open("/proc/meminfo", "rb") as told:
        return sum(int(size) << 10 for size in _WAITING.findall(told.read()))


def _is_ext4(descriptor: int) -> bool:
    room = (ctypes.c_long * 32)()  # struct statfs begins with the type
    _call("fstatfs", descriptor, room)
    return room[0] == _EXT4


def _wait_for(descriptor: int, start: int, size: int) -> None:
    """sync_file_range(2), which raises what went wrong with this file's data, now or before."""
    begin, length = ctypes.c_int64(start), ctypes.c_int64(size)
    _call("sync_file_range", descriptor, begin, length, _WRITE_AND_WAIT)


def _call(name: str, *arguments: object) -> None:
    function = getattr(_libc, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

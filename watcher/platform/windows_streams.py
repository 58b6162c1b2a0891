"""Alternate data streams: which a file has, and whether a volume keeps any."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from ctypes import wintypes

from watcher.platform import windows_api as api

assert sys.platform == "win32"

_LONGEST = 260 + 36
_KIND = ":$DATA"
_NO_MORE = {38, api.ERROR_FILE_NOT_FOUND}
"""ERROR_HANDLE_EOF; what some file servers say instead."""
_NAMED_STREAMS = 0x00040000

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)


class _FindStreamData(ctypes.Structure):
    _fields_ = (("size", wintypes.LARGE_INTEGER), ("name", wintypes.WCHAR * _LONGEST))


_DATA = ctypes.POINTER(_FindStreamData)
_kernel32.FindFirstStreamW.restype = wintypes.HANDLE
_kernel32.FindFirstStreamW.argtypes = (wintypes.LPCWSTR, ctypes.c_int, _DATA, wintypes.DWORD)
_kernel32.FindNextStreamW.restype = wintypes.BOOL
_kernel32.FindNextStreamW.argtypes = (wintypes.HANDLE, _DATA)
_kernel32.FindClose.restype = wintypes.BOOL
_kernel32.FindClose.argtypes = (wintypes.HANDLE,)
_INVALID_HANDLE = wintypes.HANDLE(-1).value


def names(path: str) -> Iterator[str]:
    """Yield the names of a file's streams but for its content; none where there are no streams.

    Raises:
        OSError: the file can't be asked.

    """
    data = _FindStreamData()
    search = _kernel32.FindFirstStreamW(path, 0, ctypes.byref(data), 0)
    if search == _INVALID_HANDLE:
        if ctypes.get_last_error() in _NO_MORE | api.NOT_OFFERED:
            return
        raise api.last_error(path)
    try:
        while True:
            if name := plain_name(data.name):
                yield name
            if not _kernel32.FindNextStreamW(search, ctypes.byref(data)):
                if ctypes.get_last_error() in _NO_MORE:
                    return
                raise api.last_error(path)
    finally:
        _kernel32.FindClose(search)


def plain_name(full: str) -> str:
    """Take the colons and the kind off a stream's name; empty for a file's content."""
    return full.removeprefix(":").removesuffix(_KIND)


def are_kept(path: str) -> bool:
    """Tell whether the volume that holds `path` keeps streams, as it says itself."""
    return bool(api.volume_flags(api.volume_top(path)) & _NAMED_STREAMS)

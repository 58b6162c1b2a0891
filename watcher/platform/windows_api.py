"""The calls of kernel32 that the standard library doesn't offer, each as one plain function.

Files are C descriptors, as everywhere else in the program. A call that fails raises `OSError` with
its `winerror`, which the C run-time library would have hidden behind an `errno`.
"""

from __future__ import annotations

import ctypes
import msvcrt
import os
import sys
from ctypes import wintypes

assert sys.platform == "win32"

GENERIC_READ = 0x80000000
GENERIC_WRITE = 0x40000000
DELETE = 0x00010000
FILE_READ_ATTRIBUTES = 0x0080

SHARE_READ = 1
SHARE_WRITE = 2
SHARE_DELETE = 4

CREATE_NEW = 1
OPEN_EXISTING = 3
ATTRIBUTE_READONLY = 0x1
ATTRIBUTE_HIDDEN = 0x2
ATTRIBUTE_SYSTEM = 0x4
ATTRIBUTE_ARCHIVE = 0x20
ATTRIBUTE_NORMAL = 0x80
FLAG_OPEN_REPARSE_POINT = 0x00200000
FLAG_BACKUP_SEMANTICS = 0x02000000
FLAG_SEQUENTIAL_SCAN = 0x08000000
FLAG_NO_BUFFERING = 0x20000000
FLAG_WRITE_THROUGH = 0x80000000

ERROR_INVALID_FUNCTION = 1
ERROR_FILE_NOT_FOUND = 2
ERROR_PATH_NOT_FOUND = 3
ERROR_ACCESS_DENIED = 5
ERROR_SHARING_VIOLATION = 32
ERROR_NOT_SUPPORTED = 50
ERROR_INVALID_PARAMETER = 87
ERROR_CALL_NOT_IMPLEMENTED = 120
NOT_OFFERED = {
    ERROR_INVALID_FUNCTION,
    ERROR_NOT_SUPPORTED,
    ERROR_INVALID_PARAMETER,
    ERROR_CALL_NOT_IMPLEMENTED,
}
"""What file systems say of what they don't have."""

_LONGEST = 32768
_EPOCH = 116_444_736_000_000_000  # 1970 in units of 100 ns since 1601
_NAME_INFO, _RENAME_INFO, _DISPOSITION_INFO = 2, 3, 4
_ATTRIBUTE_TAG_INFO, _DISPOSITION_INFO_EX = 9, 21
_DELETE_AT_ONCE_THOUGH_READONLY = 0x1 | 0x2 | 0x10
_CSTR_EQUAL = 2
_DRIVE_FIXED = 3
_MOVEFILE_WRITE_THROUGH = 8
_SEM_FAILCRITICALERRORS = 1

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)


class _TagInfo(ctypes.Structure):
    _fields_ = (("attributes", wintypes.DWORD), ("tag", wintypes.DWORD))


class _NameInfo(ctypes.Structure):
    _fields_ = (("length", wintypes.DWORD), ("name", wintypes.WCHAR * _LONGEST))


class _RenameInfo(ctypes.Structure):
    _fields_ = (
        ("replace", wintypes.DWORD),
        ("folder", wintypes.HANDLE),
        ("length", wintypes.DWORD),
        ("name", wintypes.WCHAR * _LONGEST),
    )


_SIGNATURES = {
    "CreateFileW": (
        wintypes.HANDLE,
        (
            wintypes.LPCWSTR,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.LPVOID,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.HANDLE,
        ),
    ),
    "CloseHandle": (wintypes.BOOL, (wintypes.HANDLE,)),
    "FlushFileBuffers": (wintypes.BOOL, (wintypes.HANDLE,)),
    "SetFileTime": (wintypes.BOOL, (wintypes.HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 3)),
    "SetFileAttributesW": (wintypes.BOOL, (wintypes.LPCWSTR, wintypes.DWORD)),
    "MoveFileExW": (wintypes.BOOL, (wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.DWORD)),
    "GetFileInformationByHandleEx": (
        wintypes.BOOL,
        (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD),
    ),
    "SetFileInformationByHandle": (
        wintypes.BOOL,
        (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD),
    ),
    "CompareStringOrdinal": (
        ctypes.c_int,
        (wintypes.LPCWSTR, ctypes.c_int, wintypes.LPCWSTR, ctypes.c_int, wintypes.BOOL),
    ),
    "GetVolumePathNameW": (wintypes.BOOL, (wintypes.LPCWSTR, wintypes.LPWSTR, wintypes.DWORD)),
    "GetDriveTypeW": (wintypes.UINT, (wintypes.LPCWSTR,)),
    "GetVolumeInformationW": (
        wintypes.BOOL,
        (
            wintypes.LPCWSTR,
            wintypes.LPWSTR,
            wintypes.DWORD,
            wintypes.LPDWORD,
            wintypes.LPDWORD,
            wintypes.LPDWORD,
            wintypes.LPWSTR,
            wintypes.DWORD,
        ),
    ),
    "SetErrorMode": (wintypes.UINT, (wintypes.UINT,)),
}
for _name, (_result, _arguments) in _SIGNATURES.items():
    _call = getattr(_kernel32, _name)
    _call.restype, _call.argtypes = _result, _arguments

_INVALID_HANDLE = wintypes.HANDLE(-1).value


def last_error(path: str | None = None, other: str | None = None) -> OSError:
    """Return the last call's error, of the class that Python itself would choose for it."""
    number = ctypes.get_last_error()
    return OSError(0, ctypes.FormatError(number).strip(), path, number, other)


def open_file(
    path: str, access: int, share: int, flags: int = 0, creation: int = OPEN_EXISTING
) -> int:
    """Open or create a file (or, with FLAG_BACKUP_SEMANTICS, open a folder)."""
    handle = _kernel32.CreateFileW(path, access, share, None, creation, flags, None)
    if handle == _INVALID_HANDLE:
        raise last_error(path)
    mode = os.O_RDWR if access & GENERIC_WRITE else os.O_RDONLY
    try:
        return msvcrt.open_osfhandle(handle, mode | os.O_BINARY | os.O_NOINHERIT)
    except BaseException:
        _kernel32.CloseHandle(handle)
        raise


def flush(descriptor: int) -> None:
    """Flush data and metadata to the disk."""
    if not _kernel32.FlushFileBuffers(msvcrt.get_osfhandle(descriptor)):
        raise last_error()


def set_times(descriptor: int, accessed_ns: int, modified_ns: int) -> None:
    """Set both times, to 100 ns; what is written later through this descriptor leaves them."""
    times = [_file_time(ns) for ns in (accessed_ns, modified_ns)]
    if not _kernel32.SetFileTime(msvcrt.get_osfhandle(descriptor), None, *times):
        raise last_error()


def _file_time(ns: int) -> wintypes.FILETIME:
    units = ns // 100 + _EPOCH
    return wintypes.FILETIME(units & 0xFFFFFFFF, units >> 32)


def set_attributes(path: str, attributes: int) -> None:
    """Replace all attributes of a file at once."""
    if not _kernel32.SetFileAttributesW(path, attributes):
        raise last_error(path)


def move(old: str, new: str) -> None:
    """Rename on one volume, never replacing; returns when the disk has it."""
    if not _kernel32.MoveFileExW(old, new, _MOVEFILE_WRITE_THROUGH):
        raise last_error(old, new)


def rename(descriptor: int, new: str) -> None:
    """Rename an open file (opened with DELETE) on its volume, never replacing."""
    length = len(new.encode("utf-16-le", "surrogatepass"))
    _set(descriptor, _RENAME_INFO, _RenameInfo(length=length, name=new), new)


def delete(descriptor: int) -> None:
    """Take an open file's name away at once, though it be marked read-only (NTFS)."""
    _set(descriptor, _DISPOSITION_INFO_EX, wintypes.DWORD(_DELETE_AT_ONCE_THOUGH_READONLY))


def delete_on_close(descriptor: int) -> None:
    """Remove an open, writable file when it is closed (every file system)."""
    _set(descriptor, _DISPOSITION_INFO, ctypes.c_ubyte(True))


def _set(descriptor: int, kind: int, value: ctypes._CData, path: str | None = None) -> None:
    handle = msvcrt.get_osfhandle(descriptor)
    if not _kernel32.SetFileInformationByHandle(
        handle, kind, ctypes.byref(value), ctypes.sizeof(value)
    ):
        raise last_error(path)


def _get(descriptor: int, kind: int, value: ctypes.Structure) -> None:
    handle = msvcrt.get_osfhandle(descriptor)
    if not _kernel32.GetFileInformationByHandleEx(
        handle, kind, ctypes.byref(value), ctypes.sizeof(value)
    ):
        raise last_error()


def reparse_tag(descriptor: int) -> int:
    """Return what kind of reparse point was opened; 0 for a file that is none."""
    info = _TagInfo()
    _get(descriptor, _ATTRIBUTE_TAG_INFO, info)
    return int(info.tag)


def name_on_volume(descriptor: int) -> str:
    """Return the path from its volume on where an open file really is, whatever links led there.

    `GetFinalPathNameByHandleW` would name the volume too, but not every volume has a name, nor
    does it take long paths on every system.
    """
    info = _NameInfo()
    _get(descriptor, _NAME_INFO, info)
    return str(info.name)


def same_name(one: str, other: str) -> bool:
    """Compare as NTFS does: by code units, each turned to upper case by the system's table."""
    return bool(_kernel32.CompareStringOrdinal(one, -1, other, -1, True) == _CSTR_EQUAL)


def volume_top(path: str) -> str:
    """Return the top folder of the volume that holds `path`, with a backslash at its end."""
    top = ctypes.create_unicode_buffer(_LONGEST)
    if not _kernel32.GetVolumePathNameW(path, top, _LONGEST):
        raise last_error(path)
    return top.value


def is_fixed_drive(top: str) -> bool:
    """Tell whether a volume, given by its top folder, is a disk that stays in this computer."""
    return bool(_kernel32.GetDriveTypeW(top) == _DRIVE_FIXED)


def file_system(top: str) -> str:
    """Return the name of the file system of a volume, given by its top folder."""
    name = ctypes.create_unicode_buffer(_LONGEST)
    if not _kernel32.GetVolumeInformationW(top, None, 0, None, None, None, name, _LONGEST):
        raise last_error(top)
    return name.value


def volume_flags(top: str) -> int:
    """Return what a volume, given by its top folder, says that its file system can do."""
    flags = wintypes.DWORD()
    if not _kernel32.GetVolumeInformationW(top, None, 0, None, None, flags, None, 0):
        raise last_error(top)
    return int(flags.value)


def no_dialogs() -> None:
    """Let a missing drive be an error, not a window that waits for a click."""
    _kernel32.SetErrorMode(_kernel32.SetErrorMode(0) | _SEM_FAILCRITICALERRORS)

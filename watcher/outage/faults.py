"""What an error from a destination means, and what to do about it."""

from __future__ import annotations

import enum
import errno

from watcher.destination import without_part
from watcher.errors import DestinationDown, SourceBusy, WatcherError


class Fault(enum.Enum):
    """What kind of trouble an error means."""

    OUTAGE = enum.auto()
    """It can't be reached."""
    FULL = enum.auto()
    DENIED = enum.auto()
    BUSY = enum.auto()
    """Another program has it open."""
    UNKNOWN = enum.auto()


_WINERRORS = {
    Fault.OUTAGE: {
        *(3, 15, 20, 21, 22, 23, 31, 1005, 1006, 1117, 1167, 1392, 1393),  # the drive, or its disk
        *(51, 53, 54, 55, 56, 57, 58, 59, 60, 64, 66, 67, 68, 69, 70, 71, 88),  # the share
        *(109, 121, 170, 231, 233, 240, 258, 1130, 1450, 1460, 2404),  # no answer, no means
        *(1203, 1208, 1214, 1219, 1220, 1222, 1225, 1226, 1229, 2250),  # the connection
        *(*range(1231, 1238), 10050, 10051, 10053, 10054, 10060, 10061, 10064, 10065),  # the way
        *(1265, 1311, 1326, 1355, 1786, 1787, 1788, 1789, 1790, 1792),  # logging on to the server
    },
    Fault.FULL: {39, 112, 1295},
    Fault.DENIED: {5, 19, 65, 86, 1240, 1244, 1307, 1314, *range(1327, 1332), 1385, 1907, 1909},
    Fault.BUSY: {32, 33, 36, 303},
}
"""The numbers of winerror.h that a file on a disk or on a share can end with."""
_ERRNOS = {
    Fault.OUTAGE: {
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ECONNREFUSED),
        *(errno.ECONNABORTED, errno.EPIPE, errno.ENXIO, errno.ENODEV),
        *(getattr(errno, n) for n in ("EHOSTDOWN", "EREMOTEIO") if hasattr(errno, n)),
    },
    Fault.FULL: {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)},
    Fault.DENIED: {errno.EACCES, errno.EPERM, errno.EROFS},
    Fault.BUSY: {errno.EBUSY, errno.ETXTBSY, errno.EAGAIN},
}


def fault_of(error: BaseException) -> Fault:
    """Say what kind of trouble an error from a destination means."""
    if isinstance(error, SourceBusy):
        return Fault.BUSY
    if isinstance(error, DestinationDown) and isinstance(error.__cause__, OSError):
        return fault_of(error.__cause__)
    if isinstance(error, DestinationDown):
        return Fault.OUTAGE
    if not isinstance(error, OSError):
        return Fault.UNKNOWN
    number = getattr(error, "winerror", None)
    if number is None and error.errno == errno.EINVAL and hasattr(error, "winerror"):
        return Fault.OUTAGE  # what Windows' C library makes of a number that it doesn't know
    table, value = (_WINERRORS, number) if number else (_ERRNOS, error.errno)
    return next((fault for fault, values in table.items() if value in values), Fault.UNKNOWN)


def words_of(error: BaseException) -> tuple[str, str]:
    """Say an error in plain words, and what to do about it."""
    if isinstance(error, WatcherError):
        place = f": {error.path}" if error.path and error.path not in error.what else ""
        return f"{error.what}{place}", error.mend
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}", "please report this; the file is kept"
    fault = fault_of(error)
    place = without_part(str(error.filename2 or error.filename or ""))
    number = getattr(error, "winerror", None)
    detail = f"{error.strerror} (Windows error {number})" if number else f"{error.strerror}"
    return f"{detail}{f': {place}' if place else ''}", _MENDS[fault]


_MENDS = {
    Fault.OUTAGE: "check the network and the server; it goes on by itself",
    Fault.FULL: "free some space there; it goes on by itself",
    Fault.DENIED: "give the account that runs the watcher the right to write there",
    Fault.BUSY: "close the program that has it open; it goes on by itself",
    Fault.UNKNOWN: "it is tried again; look at the path by hand if this stays",
}

"""Single values: what each kind of key accepts. Each message says what was expected.

Paths are judged by their looks, not by the running system, so that an instrument's configuration
can be checked on any computer: a drive letter or a share makes a Windows path. No value goes
through pydantic's own text type, which refuses names that are no Unicode.
"""

from __future__ import annotations

import enum
import ipaddress
import math
import ntpath
import posixpath
import re
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from watcher.checksums.algorithms import is_known, known
from watcher.config.complaints import close_to
from watcher.destination import Template, looks_like_windows

E = TypeVar("E", bound=enum.StrEnum)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?) ?(ms|s|m|h|d)")
_DAY = 86400.0
_LAST_PORT = 65535
_NOT_IN_WINDOWS_NAMES = re.compile(r'[<>"|?*:\x00-\x1f]')
_NOT_IN_NAMES = re.compile(r'[\\/{}<>:"|?*\x00-\x1f]')
_DESTINATION_NAME = re.compile(r"\w(?:[\w .-]{0,62}[\w.-])?")
_EXTRAS = ("blake3",)
_ABSOLUTE = r"an absolute path, such as C:\Data, \\server\share\folder or /data"


def duration(shortest: float, longest: float = 30 * _DAY) -> Callable[[object], float]:
    """Make what accepts a duration and returns seconds.

    Args:
        shortest: in seconds.
        longest: in seconds; waiting on a lock for more than 49 days is an error on Windows.

    """
    wanted = f"a duration from {_spoken(shortest)} to {_spoken(longest)}"

    def parse(value: object) -> float:
        seconds = math.nan
        if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
            seconds = float(match[1]) * _UNITS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        if not shortest <= seconds <= longest:
            raise ValueError(f"{wanted}: a number of seconds, or such as 500ms, 30s, 5m, 24h, 7d")
        return seconds

    return parse


def _spoken(seconds: float) -> str:
    unit = next((u for u in ("d", "h", "m", "s") if seconds and not seconds % _UNITS[u]), "ms")
    return f"{seconds / _UNITS[unit]:g}{unit}"


def whole(lowest: int, highest: int) -> Callable[[object], int]:
    """Make what accepts a whole number within bounds, and neither text nor true or false."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return value

    return check


def one_of(kind: type[E]) -> Callable[[object], E]:
    """Make what accepts one word of an enumeration."""
    words = [member.value for member in kind]

    def check(value: object) -> E:
        if value not in words:
            hint = close_to(value, words) if isinstance(value, str) else ""
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}{hint}")
        return kind(value)

    return check


def listed(value: object) -> tuple[object, ...]:
    """Accept a list."""
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ValueError("a list: [...], or lines that begin with a dash")


def section(value: object) -> object:
    """Accept a section; one without any key in it has its defaults."""
    return {} if value is None else value


def flavour(path: str) -> ModuleType:
    """Return the rules that `path` is written by: those of Windows, or of everything else."""
    return ntpath if looks_like_windows(path) else posixpath


def is_absolute(path: str) -> bool:
    """Tell whether a path means the same place from everywhere."""
    if flavour(path) is posixpath:
        return path.startswith("/")
    drive, rest = ntpath.splitdrive(path)
    return bool(drive and rest[:1] in {"\\", "/"}) or _is_share(drive)


def _is_share(drive: str) -> bool:
    return bool(re.fullmatch(r"[\\/]{2}[^\\/]+[\\/][^\\/]+", drive))


def absolute(value: object) -> str:
    """Accept an absolute path; returned without a separator at its end."""
    path = _full(value)
    if ".." in segments(path):
        raise ValueError(f"{_ABSOLUTE}, without '..'")
    return str(flavour(path).normpath(path))


def template(value: object) -> str:
    """Accept a destination's path, in which placeholders may stand."""
    path = _full(value)
    try:
        # What {instrument} stands for doesn't matter for whether a path is right.
        drive = segments(Template.parse(path, "instrument").text)[0]
    except ValueError as error:
        raise ValueError(f"a destination's path; {error}") from None
    if "{" in drive:
        raise ValueError("a server and a share without any placeholder but {instrument}")
    return path


def _full(value: object) -> str:
    if isinstance(value, str):
        _check_characters(value)
        if is_absolute(value):
            return value
    raise ValueError(_ABSOLUTE)


def _check_characters(path: str) -> None:
    r"""Refuse what can't stand in a path: `"C:\temp"` in double quotes has a tab in it."""
    bad = "\x00" in path
    if flavour(path) is ntpath:
        plain = _without_prefix(path)
        bad = bool(_NOT_IN_WINDOWS_NAMES.search(re.sub(r"^[A-Za-z]:", "", plain)))
    if bad:
        raise ValueError(
            "a path without characters that no name can have "
            r"(write Windows paths in single quotes: 'C:\Data')"
        )


def segments(path: str) -> tuple[str, ...]:
    r"""Split a path into its anchor and names, alike for all ways to write the same place.

    Windows paths are compared without regard to case, to `/` or `\`, and to `\\?\`.
    """
    if flavour(path) is posixpath:
        return ("/", *(s for s in path.split("/") if s not in {"", "."}))
    drive, rest = ntpath.splitdrive(_without_prefix(path).replace("/", "\\").lower())
    return (drive, *(s for s in rest.split("\\") if s not in {"", "."}))


def _without_prefix(path: str) -> str:
    path = re.sub(r"^[\\/]{2}\?[\\/]UNC[\\/]", r"\\\\", path, flags=re.IGNORECASE)
    return re.sub(r"^[\\/]{2}\?[\\/]", "", path)


def below(value: object) -> str:
    """Accept a path that stays below the folder that it starts from."""
    names = [n for n in re.split(r"[\\/]", value) if n] if isinstance(value, str) else []
    odd = {".", ".."} & set(names) or "\x00" in "".join(names)
    if not isinstance(value, str) or not names or odd or is_absolute(value) or value[0] in "\\/":
        raise ValueError("a relative path, without '..'")
    if looks_like_windows(value):
        raise ValueError("a relative path, without a drive")
    return value


def prom_file(value: object) -> str:
    """Accept the absolute path of a file that an exporter reads."""
    path = absolute(value)
    if not path.endswith(".prom"):
        raise ValueError("a file whose name ends in .prom; exporters read no other")
    return path


def folder_name(value: object) -> str:
    """Accept what can be the name of one folder on any system."""
    if not isinstance(value, str) or not value.strip(" .") or _NOT_IN_NAMES.search(value):
        raise ValueError('a plain name without any of \\ / { } < > : " | ? *')
    if value != value.strip() or value.endswith("."):
        raise ValueError("a plain name without a space at its ends or a dot at its end")
    return value


def cycle(value: object) -> str:
    """Accept `latest`, or the name of a cycle's folder."""
    try:
        return folder_name(value)
    except ValueError:
        raise ValueError("latest, or the name of one folder, such as cycle_26_2") from None


def destination_name(value: object) -> str:
    """Accept a short name that needs no quoting anywhere."""
    if not isinstance(value, str) or not _DESTINATION_NAME.fullmatch(value):
        raise ValueError("a name of at most 64 letters, digits, spaces, or _ - .")
    return value


def algorithm(value: object) -> str:
    """Accept the name of a checksum that can be computed here."""
    if isinstance(value, str) and is_known(value):
        return value
    if value in _EXTRAS:
        raise ValueError(f"one that is installed: for {value}, install watcher[{value}]")
    words = sorted({*known(), *_EXTRAS})
    hint = close_to(value, words) if isinstance(value, str) else ""
    raise ValueError(f"one of {', '.join(words)}{hint}")


def loopback(value: object) -> str:
    """Accept an address and a port that only this computer can reach."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([^:]+)):([0-9]{1,5})", str(value))
    if match and 1 <= int(match[3]) <= _LAST_PORT and _is_loopback(match[1] or match[2]):
        return str(value)
    raise ValueError("an address of this computer alone with a port, such as 127.0.0.1:9464")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

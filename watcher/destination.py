"""Where a finished file goes: templates, cycles, conflict names. Pure: nothing is looked up."""

from __future__ import annotations

import difflib
import functools
import hashlib
import itertools
import ntpath
import os
import posixpath
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from watcher.model import PART, ArchivePath, Checksum, FinishedFile, is_part
from watcher.platform import system

WORDS = ("instrument", "experiment", "cycle", "year")
"""The words that may stand in braces in a destination's path."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CYCLE = re.compile(r"cycle_(\d\d)_(\d+)", re.IGNORECASE)
_LONGEST_NAME = 255
"""Bytes that a file name may have, on all file systems that matter here."""
_LONGEST_SUFFIX = 64
"""Bytes of a suffix that a conflict name keeps; the longest digest and a stem fit beside it."""
_LAST_SECOND = 32_503_679_999
"""The end of the year 2999: Windows' C library knows no local time after 3000."""


def looks_like_windows(path: str) -> bool:
    """Tell whether a path is written as Windows writes it: with a drive letter or a share."""
    return bool(re.match(r"[A-Za-z]:|[\\/]{2}", path))


@dataclass(frozen=True, slots=True)
class Template:
    """A destination's path with its placeholders, `{instrument}` written out.

    Everything is worked out when it is made, so that placing a file costs next to nothing.
    """

    text: str
    anchor: str
    segments: tuple[str, ...]
    _first: int = field(init=False, repr=False)
    _cycle: int | None = field(init=False, repr=False)
    _has_year: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find where the placeholders stand."""
        first = next((i for i, s in enumerate(self.segments) if "{" in s), len(self.segments))
        cycle = self.segments.index("{cycle}") if "{cycle}" in self.segments else None
        object.__setattr__(self, "_first", first)
        object.__setattr__(self, "_cycle", cycle)
        object.__setattr__(self, "_has_year", any("{year}" in s for s in self.segments))

    @classmethod
    def parse(cls, text: str, instrument: str) -> Template:
        """Read a destination's path.

        Args:
            text: the path as it stands in the configuration.
            instrument: what `{instrument}` stands for.

        Raises:
            ValueError: a word or its place is wrong; the message says which and what is expected.

        """
        for word in _PLACEHOLDER.findall(text):
            if word not in WORDS:
                close = difflib.get_close_matches(word, WORDS, n=1)
                known = ", ".join(f"{{{w}}}" for w in WORDS)
                hint = f", did you mean {{{close[0]}}}?" if close else ""
                raise ValueError(f"{{{word}}} is not one of {known}{hint}")
        if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
            raise ValueError("a brace has no partner")
        written = text.replace("{instrument}", instrument)
        flavour = ntpath if looks_like_windows(text) else posixpath
        drive, rest = flavour.splitdrive(written)
        separators = r"[\\/]" if flavour is ntpath else "/"
        if not re.match(separators, rest) and not (drive and not rest):
            raise ValueError("the path must be absolute")
        segments = tuple(s for s in re.split(separators, rest) if s)
        _check_segments(segments)
        return cls(written, drive + flavour.sep, segments)

    @property
    def has_cycle(self) -> bool:
        """Whether `{cycle}` stands in it."""
        return self._cycle is not None

    @property
    def fixed(self) -> str:
        """The part before the first placeholder, which is never created."""
        return self._join(self.segments[: self._first])

    @property
    def cycles(self) -> str:
        """The folder in which the cycles' folders stand.

        Raises:
            LookupError: the template has no `{cycle}`.

        """
        if self._cycle is None:
            raise LookupError(f"{self.text} has no {{cycle}}")
        return self._join(self.segments[: self._cycle])

    def base(self, cycle: str | None) -> str | None:
        """Return the deepest folder that all experiments share; None where they share none yet."""
        varying = ("{experiment}", "{year}")
        shared = [i for i, s in enumerate(self.segments) if any(w in s for w in varying)]
        end = shared[0] if shared else len(self.segments)
        if self._cycle is not None and cycle is None:
            return None
        return self._join(cycle or "" if s == "{cycle}" else s for s in self.segments[:end])

    def place(self, file: FinishedFile, cycle: str | None) -> ArchivePath:
        """Work out where `file` goes.

        Args:
            file: the file.
            cycle: the folder that `{cycle}` stands for; may be None where the template has none.

        """
        if self._cycle is not None and cycle is None:
            raise LookupError(f"no cycle is known for {self.text}")
        year = _year(file) if self._has_year else ""
        fixed, folder = _written_out(self, file.experiment, cycle or "", year)
        return ArchivePath(fixed, folder, file.relative)

    def written_out(self, experiment: str, cycle: str, year: str) -> tuple[str, str]:
        """Return the part that is never created, and the experiment's folder."""
        values = {"{experiment}": experiment, "{cycle}": cycle}
        written = [values.get(s, s.replace("{year}", year)) for s in self.segments]
        folder = self._join(s for s in written if s)
        return (
            self.fixed if self._cycle is None else self._join(written[: self._cycle + 1])
        ), folder

    def _join(self, segments: Iterable[str]) -> str:
        return system.native(os.path.join(self.anchor, *segments))


@functools.lru_cache(maxsize=1024)
def _written_out(template: Template, experiment: str, cycle: str, year: str) -> tuple[str, str]:
    """Remember it: thousands of files share an experiment."""
    return template.written_out(experiment, cycle, year)


def _year(file: FinishedFile) -> str:
    """Return the year of its modification; times out of any calendar count as its nearest end."""
    seconds = file.fingerprint.mtime_ns // 10**9
    return str(time.localtime(min(max(seconds, 0), _LAST_SECOND)).tm_year)


def _check_segments(segments: tuple[str, ...]) -> None:
    for word in ("{experiment}", "{cycle}"):
        if any(word in s and s != word for s in segments):
            raise ValueError(f"{word} must be a whole segment of the path")
        if segments.count(word) > 1:
            raise ValueError(f"{word} may stand there only once")
    if any(s in {".", ".."} for s in segments):
        raise ValueError("the path must not hold '.' or '..'")
    before = segments[: segments.index("{cycle}")] if "{cycle}" in segments else ()
    if any("{" in s for s in before):
        raise ValueError("{cycle} must stand before {experiment} and {year}")


def cycles_in(names: Iterable[str]) -> list[str]:
    """Return those names that are cycles, the newest first, by year and number."""
    matches = [match for name in names if (match := _CYCLE.fullmatch(name))]
    matches.sort(key=lambda m: (int(m[1]), int(m[2])), reverse=True)
    return [match[0] for match in matches]


def conflict_names(name: str, checksum: Checksum) -> Iterator[str]:
    """Yield the names to keep a newcomer under whose own name is taken, each with more digits."""
    for digits in (8, 16, 32, len(checksum.digest)):
        yield _with_digits(name, checksum.digest[:digits])


def _with_digits(name: str, digits: str) -> str:
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    while len(os.fsencode(f"{stem}.{digits}{suffix}")) > _LONGEST_NAME:
        stem = stem[:-1]
    return f"{stem}.{digits}{suffix}"


class PartNames:
    """Names of temporary files, which tell whose they are: `.watcher-<owner>-<unique>.part`."""

    def __init__(self, host: str, state_folder: str) -> None:
        """Begin to name.

        Args:
            host: this computer; with the state folder, whose lock one watcher holds, the owner.
            state_folder: the state folder.

        """
        owner = hashlib.sha256(os.fsencode(f"{host}\0{state_folder}")).hexdigest()[:12]
        self._start = f"{PART[0]}{owner}-"
        self._unique = f"{self._start}{secrets.token_hex(4)}-"
        self._numbers = itertools.count()

    def new(self) -> str:
        """Return a name that nobody has used."""
        return f"{self._unique}{next(self._numbers):x}{PART[1]}"

    def is_left_over(self, name: str) -> bool:
        """Tell whether an earlier life of this owner gave a name."""
        mine = name.startswith(self._start) and name.endswith(PART[1])
        return mine and not name.startswith(self._unique)


def without_part(path: str) -> str:
    """Return the folder of a temporary file, whose name is another at each attempt; else `path`."""
    folder, name = os.path.split(path)
    return folder if is_part(name) else path

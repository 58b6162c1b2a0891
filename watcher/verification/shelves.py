"""What lies at a destination, and what the records there say of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from watcher.checksums import Manifest, known
from watcher.checksums.sidecar import is_sidecar, told
from watcher.checksums.stream import own_stream
from watcher.model import SCAN_FOLDER, Checksum, Fingerprint, FinishedFile, is_part
from watcher.platform import system
from watcher.transfer import Depot
from watcher.verification.copies import Copy, Finding, State

_FIRST_YEAR = 2000
_EXPERIMENT = "{experiment}"


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder on the way down: what its manifests and the ledger say of what lies below it."""

    folder: str
    lines: dict[str, Checksum]
    recorded: set[str]


class Shelves:
    """Walks what one destination holds."""

    def __init__(
        self,
        depot: Depot,
        roots: Sequence[str],
        recorded: Callable[[str], set[str]],
        lacking: Callable[[str], None],
        moved: Callable[[], None],
    ) -> None:
        """Make it ready.

        Args:
            depot: the destination, looked at before.
            roots: the data roots, native.
            recorded: tells which paths below an experiment's folder the ledger has.
            lacking: told of each folder whose manifests lack some of them.
            moved: called between looks: it may be long until there is something to yield.

        """
        self._depot = depot
        self._roots = roots
        self._recorded = recorded
        self._lacking = lacking
        self._moved = moved
        self._algorithms = tuple(dict.fromkeys((*depot.algorithms, *known())))
        """What may be on record from earlier years too; the first that is found counts."""
        segments = depot.template.segments
        place = segments.index(_EXPERIMENT) if _EXPERIMENT in segments else len(segments)
        self._tail = segments[place + 1 :]
        tops = (*self._bases(), depot.template.fixed)
        self._starts = [os.path.join(top, "") for top in tops]

    def tops(self, experiment: str | None) -> list[str]:
        """Return the folders to walk: all there is, or those of an experiment."""
        template, found = self._depot.template, self._bases()
        if experiment is not None:
            found = [
                template.place(_of(experiment, year), cycle).folder
                for cycle in self._cycles()
                for year in _years(template.text)
            ]
        return [folder for folder in dict.fromkeys(found) if self._is_there(folder)]

    def _is_there(self, folder: str) -> bool:
        self._moved()
        return os.path.isdir(folder)

    def _cycles(self) -> Sequence[str | None]:
        return self._depot.reach.cycles if self._depot.template.has_cycle else (None,)

    def _bases(self) -> list[str]:
        template = self._depot.template
        return [template.base(cycle) or template.fixed for cycle in self._cycles()]

    def sizes(self, tops: Sequence[str]) -> Iterator[int]:
        """Yield the bytes of the files in each folder."""
        for top in tops:
            for folder, _, names in os.walk(top):
                yield sum(self._size(os.path.join(folder, name)) for name in names)

    def _size(self, path: str) -> int:
        self._moved()
        try:
            return os.lstat(path).st_size
        except OSError:
            return 0

    def below(self, top: str) -> Iterator[Copy | Finding]:
        """Yield what the ledger doesn't know: copies to be read, and what needs no reading."""
        waiting: list[tuple[str, tuple[_Level, ...]]] = [(top, ())]
        while waiting:
            folder, above = waiting.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
                level = self._level(folder, {entry.name for entry in entries})
            except OSError as error:
                copy = Copy(self._depot.name, folder, "", None)
                reason = error.strerror or str(error)
                yield Finding(copy, State.UNREADABLE, time.time(), reason)
                continue
            levels = (*above, level)
            files = [e for e in entries if e.is_file(follow_symlinks=False)]
            yield from self._absent(level, {e.name for e in entries})
            yield from self._present(folder, files, levels)
            folders = [e for e in entries if e.is_dir(follow_symlinks=False)]
            waiting += [(e.path, levels) for e in reversed(folders) if _is_plain_folder(e)]

    def _level(self, folder: str, names: set[str]) -> _Level:
        lines: dict[str, Checksum] = {}
        recorded, is_lacking = self._recorded(folder), False
        for algorithm in reversed(self._algorithms):
            there = f"checksums.{algorithm}" in names
            found = Manifest([algorithm]).read(folder, algorithm) if there else {}
            is_lacking |= algorithm in self._depot.algorithms and not found.keys() >= recorded
            lines |= found
        if is_lacking:
            self._lacking(folder)
        return _Level(folder, lines, recorded)

    def _absent(self, level: _Level, there: set[str]) -> Iterator[Finding]:
        """Find the lines whose file isn't there."""
        for name in level.lines.keys() - there - level.recorded:
            self._moved()
            path, checksum = os.path.join(level.folder, name), level.lines[name]
            if not os.path.lexists(path):
                yield self._gone(path, checksum)

    def _present(
        self, folder: str, entries: Sequence[os.DirEntry[str]], levels: Sequence[_Level]
    ) -> Iterator[Copy | Finding]:
        if not self._is_in_place(folder):
            return
        beside = self._beside(folder, [entry.name for entry in entries])
        for entry in entries:
            if is_part(entry.name) or _is_manifest(entry.name) or _is_known(entry.path, levels):
                continue
            checksum = self._checksum(entry.path, levels) or beside.get(entry.name)
            if checksum is not None:
                yield self._copy(entry.path, checksum, entry.stat(follow_symlinks=False).st_size)
            elif not is_sidecar(entry.path):
                yield Finding(self._copy(entry.path, None), State.UNRECORDED, time.time())
        for name in beside.keys() - {entry.name for entry in entries}:
            path = os.path.join(folder, name)
            if not _is_known(path, levels):
                yield self._gone(path, beside[name])

    def _gone(self, path: str, checksum: Checksum) -> Finding:
        """Tell what never came, or was archived by a life of which nothing is known, from loss."""
        copy = self._copy(path, checksum)
        waits = bool(copy.source) and os.path.lexists(system.native(copy.source))
        return Finding(copy, State.PENDING if waits else State.MISSING, time.time())

    def _checksum(self, path: str, levels: Sequence[_Level]) -> Checksum | None:
        for level in reversed(levels):
            if level.lines and (found := level.lines.get(_below(level, path))):
                return found
        return own_stream(path, self._depot.algorithms[0])

    def _beside(self, folder: str, names: Sequence[str]) -> dict[str, Checksum]:
        """Return what the sidecars in a folder say."""
        found: dict[str, Checksum] = {}
        for algorithm in reversed(self._algorithms):
            for name in names:
                self._moved()
                if name.endswith(f".{algorithm}") and not _is_manifest(name):
                    found |= told(os.path.join(folder, name), algorithm)
        return found

    def _is_in_place(self, folder: str) -> bool:
        """Tell whether the template could have put it there: others may write beside it."""
        if not self._tail:
            return True
        segments = folder.split(os.sep)
        length = len(self._tail)
        windows = (segments[i : i + length] for i in range(len(segments) - length + 1))
        return any(tuple(window) == self._tail for window in windows)

    def _copy(self, path: str, checksum: Checksum | None, size: int | None = None) -> Copy:
        experiment, relative = self._origin(path)
        scan = os.path.join(experiment, SCAN_FOLDER, relative)
        sources = [os.path.join(root, scan) for root in self._roots]
        if len(sources) > 1:
            sources.sort(key=os.path.lexists, reverse=True)
        source = system.plain(sources[0]) if sources else ""
        return Copy(self._depot.name, path, source, checksum, size, experiment=experiment)

    def _origin(self, path: str) -> tuple[str, str]:
        """Tell the experiment and the path below the scan folder, as far as the path shows."""
        start = next((start for start in self._starts if path.startswith(start)), "")
        segments = path[len(start) :].split(os.sep)
        length = len(self._tail)
        if not length:
            return segments[0] if len(segments) > 1 else "", os.sep.join(segments[1:])
        for i in range(len(segments) - length):
            if tuple(segments[i : i + length]) == self._tail:
                return os.sep.join(segments[:i]), os.sep.join(segments[i + length :])
        return "", os.sep.join(segments)


def _is_manifest(name: str) -> bool:
    stem, _, algorithm = name.partition(".")
    return stem.casefold() == "checksums" and algorithm.casefold() in known()


def _below(level: _Level, path: str) -> str:
    return path[len(level.folder) :].lstrip(os.sep)


def _is_known(path: str, levels: Sequence[_Level]) -> bool:
    """Tell whether the ledger has it."""
    return any(_below(one, path) in one.recorded for one in levels if one.recorded)


def _is_plain_folder(entry: os.DirEntry[str]) -> bool:
    return system.is_plain_folder(entry.stat(follow_symlinks=False))


def _of(experiment: str, year: int) -> FinishedFile:
    """Make a file of an experiment up, to see where it would go."""
    modified = time.mktime((year, 7, 1, 12, 0, 0, 0, 0, -1))
    return FinishedFile("", experiment, SCAN_FOLDER, "x", Fingerprint(0, int(modified * 1e9), "0"))


def _years(text: str) -> range:
    now = time.localtime().tm_year
    return range(_FIRST_YEAR, now + 2) if "{year}" in text else range(now, now + 1)

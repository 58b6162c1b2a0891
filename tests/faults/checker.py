"""Says what became of the files: lost, partial, overwritten, double, left over. Knows no program.

What is known here is what was made (content and mark), the rules of the paths, and how coreutils
write a checksum line. Nothing is imported from the program.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "checksums.sha256"
SCANS = "bluesky_scans"
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


@dataclass(frozen=True)
class Made:
    """A source as its producer left it."""

    experiment: str
    relative: str
    content: bytes
    is_marked: bool = True

    @property
    def path(self) -> str:
        """Where it was made, from the data root."""
        return "/".join(filter(None, [self.experiment, SCANS, self.relative]))


@dataclass
class Verdict:
    """What was found; all empty is 0/0/0."""

    lost: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    """At the end: leftovers, sources without a rule, records that are wrong."""

    def __bool__(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.lost or self.partial or self.overwritten or self.double or self.rest)

    def __str__(self) -> str:
        """Say the numbers, then what is wrong."""
        wrong = len(self.overwritten) + len(self.double)
        lines = [f"{len(self.lost)}/{len(self.partial)}/{wrong}"]
        for name in ("lost", "partial", "overwritten", "double", "rest"):
            lines += [f"{name}: {text}" for text in getattr(self, name)]
        return "\n  ".join(lines)


class Trees:
    """The data root, and each destination's folder for an experiment."""

    def __init__(self, root: Path, destinations: Mapping[str, Path]) -> None:
        """Name the folders.

        Args:
            root: the data root.
            destinations: by name, the folder of the one experiment there.

        """
        self.root = root
        self.destinations = dict(destinations)
        self.before = {name: _files(folder) for name, folder in self.destinations.items()}

    def judge(
        self,
        made: list[Made],
        *,
        is_end: bool = False,
        is_kept: bool = False,
        may_be_absent: tuple[str, ...] = (),
    ) -> Verdict:
        """Look at everything.

        Args:
            made: all sources there ever were.
            is_end: nothing is under way or left to do: all must be in its place.
            is_kept: sources stay.
            may_be_absent: destinations whose copies others may have removed.

        """
        verdict = Verdict()
        found = {name: _files(folder) for name, folder in self.destinations.items()}
        contents = {name: set(files.values()) for name, files in found.items()}
        for one in made:
            self._judge_source(one, contents, verdict, is_end, is_kept, may_be_absent)
        for name, files in found.items():
            self._judge_copies(name, files, made, verdict)
            if is_end:
                _judge_manifest(self.destinations[name], files, set(self.before[name]), verdict)
        if is_end:
            for folder in (self.root, *self.destinations.values()):
                verdict.rest += [f"left over: {p}" for p in _parts(folder)]
        return verdict

    def _judge_source(
        self,
        one: Made,
        found: Mapping[str, set[bytes]],
        verdict: Verdict,
        is_end: bool,
        is_kept: bool,
        may_be_absent: tuple[str, ...],
    ) -> None:
        path = self.root / one.path
        is_there = _is_intact(path, one)
        copies = {name for name, contents in found.items() if one.content in contents}
        has_all = set(found) <= copies | set(may_be_absent)
        if not is_there and not (one.is_marked and has_all):
            verdict.lost.append(f"{one.path}: no source, copies at {sorted(copies)}")
        if not is_end:
            return
        if one.is_marked and not has_all:
            verdict.rest.append(f"{one.path}: not archived, copies at {sorted(copies)}")
        if one.is_marked and not is_kept and os.path.lexists(path):
            verdict.rest.append(f"{one.path}: the source is still there")

    def _judge_copies(
        self, name: str, files: Mapping[str, bytes], made: list[Made], verdict: Verdict
    ) -> None:
        before = self.before[name]
        for path, content in before.items():
            if path != MANIFEST and files.get(path) != content:
                verdict.overwritten.append(f"{name}: {path}")
        copies = {p: c for p, c in files.items() if _is_copy(p)}
        wanted = Counter(m.content for m in made if m.is_marked)
        for path, content in copies.items():
            if path not in before and content not in wanted:
                verdict.partial.append(f"{name}: {path} ({len(content)} bytes)")
            is_marked = not os.lstat(self.destinations[name] / path).st_mode & 0o222
            if path not in before and not is_marked:
                verdict.partial.append(f"{name}: {path} is not marked")
        places = Counter(content for _, content in {(m.relative, m.content) for m in made})
        for content, number in Counter(copies.values()).items():
            if number > max(1, places[content]) and content in wanted:
                verdict.double.append(f"{name}: {[p for p, c in copies.items() if c == content]}")


HIDDEN = ".fuse_hidden"
"""How FUSE renames what is removed before its closing has come through; a share that is cut at
that very moment keeps it. None of ours is called so."""


def _is_intact(path: Path, one: Made) -> bool:
    try:
        look = path.lstat()
        return (
            stat.S_ISREG(look.st_mode)
            and (not look.st_mode & 0o222) == one.is_marked
            and path.read_bytes() == one.content
        )
    except OSError:
        return False


def _files(folder: Path) -> dict[str, bytes]:
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                found[os.path.relpath(path, folder)] = Path(path).read_bytes()
    return found


def _is_copy(path: str) -> bool:
    name = os.path.basename(path)
    return name != MANIFEST and not is_part(name) and not name.startswith(HIDDEN)


def is_part(name: str) -> bool:
    """Tell whether a name is one that only temporary files have."""
    return name.startswith(".watcher-") and name.endswith(".part")


def _parts(folder: Path) -> list[str]:
    return [
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if is_part(name)
    ]


def _lines(raw: bytes) -> list[tuple[str, str]]:
    """Read a manifest as coreutils do."""
    lines = []
    for line in raw.split(b"\n")[:-1]:
        digest, _, name = line.removeprefix(b"\\").partition(b" *")
        if line.startswith(b"\\"):
            name = re.sub(rb"\\([nr\\])", lambda match: _ESCAPED[match[1]], name)
        lines.append((os.fsdecode(name), digest.decode("ascii", "replace")))
    return lines


def _judge_manifest(
    folder: Path, files: Mapping[str, bytes], earlier: set[str], verdict: Verdict
) -> None:
    """Hold a manifest to one line a copy; what lay there before need not have one."""
    raw = files.get(MANIFEST, b"")
    lines = _lines(raw)
    named = {name for name, _ in lines}
    copies = {
        path: hashlib.sha256(content).hexdigest()
        for path, content in files.items()
        if _is_copy(path) and (path in named or path not in earlier)
    }
    if sorted(lines) != sorted(copies.items()) or (not raw.endswith(b"\n") and raw):
        verdict.rest.append(f"{folder.name}: manifest {lines} for {copies}")
    if lines and (tool := shutil.which("sha256sum")):
        done = subprocess.run(
            [tool, "--check", "--strict", "--quiet", MANIFEST],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            verdict.rest.append(f"{folder.name}: sha256sum says {done.stdout + done.stderr!r}")

"""Checksums that a producer leaves beside its files: which names they have, what they say.

Two forms are known for `scan.txt`: `scan.txt.sha256` and `scan.sha1.txt`, with any algorithm that
can be made here. Nothing in this module touches a disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

from watcher.checksums.algorithms import digest_length, known, spelled
from watcher.checksums.lines import parsed
from watcher.model import Checksum

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def digests_beside(names: Collection[str], name: str) -> list[tuple[str, str]]:
    """Return which of the names in a folder may be checksums of a file there.

    Args:
        names: the names in the folder, best a set.
        name: the file's name.

    Returns:
        Pairs of a checksum file's name and its algorithm.

    """
    stem, extension = os.path.splitext(name)
    found = []
    for algorithm in known():
        for suffix in (f".{algorithm}", f".{algorithm.upper()}"):
            forms = dict.fromkeys((f"{name}{suffix}", f"{stem}{suffix}{extension}"))
            found += [(form, algorithm) for form in forms if form in names]
    return found


def subjects(name: str) -> list[tuple[str, str]]:
    """Return the files that a file may be a checksum of, by its name, with the algorithm."""
    stem, last = os.path.splitext(name)
    inner, middle = os.path.splitext(stem)
    forms = ((stem, last), (inner + last, middle))
    meant = ((subject, spelled(suffix.removeprefix("."))) for subject, suffix in forms)
    return [(subject, algorithm) for subject, algorithm in meant if algorithm and subject]


def digest_in(content: bytes, algorithm: str, name: str) -> Checksum | None:
    """Read the one digest that a checksum file gives for a file.

    Args:
        content: the checksum file's bytes: coreutils' or BSD lines, or a bare digest on a line.
        algorithm: what the checksum file's name says.
        name: the file's name; lines about other files say nothing.

    Returns:
        The checksum; None if there is none, or several that differ: then the file is data.

    """
    if content.startswith(_UTF_16):  # what PowerShell's `>` writes
        content = content.decode("utf-16", errors="replace").encode()
    found = set(_digests(content, algorithm, name))
    return found.pop() if len(found) == 1 else None


def _digests(content: bytes, algorithm: str, name: str) -> Iterator[Checksum]:
    bare = re.compile(rb"[0-9A-Fa-f]{%d}" % digest_length(algorithm))
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        read = parsed(line, algorithm)
        if read and _is_about(read.name, name):
            yield read.checksum
        elif bare.fullmatch(line.strip()):
            yield Checksum(algorithm, line.strip().decode("ascii").lower())


def _is_about(path: str, name: str) -> bool:
    """Compare a line's path, which may come from another system or standard input, with a name."""
    lasts = {os.path.basename(path), re.split(r"[\\/]", path)[-1]}
    return path == "-" or os.path.normcase(name) in map(os.path.normcase, lasts)

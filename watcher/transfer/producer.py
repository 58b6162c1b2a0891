"""The producer's own checksums: what lies finished beside a source, or in its stream, must be true.

They are compared with what is read from the source anyway, before anything is published.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from watcher.checksums import known
from watcher.checksums.algorithms import usual
from watcher.checksums.lines import parsed
from watcher.checksums.producer import digest_in, digests_beside, subjects
from watcher.checksums.sidecar import small
from watcher.checksums.stream import STREAM
from watcher.errors import FileFault, ProducerMismatch
from watcher.model import Checksum, FinishedFile
from watcher.platform import system
from watcher.transfer.source import Moved, hash_source, unreadable

Accepts = Callable[[FinishedFile, Checksum], bool]
"""Tells whether a person took a file as it is, though this is what its producer promised."""


@functools.cache
def _suffix(rest: str = "") -> re.Pattern[str]:
    """Match the suffix of a checksum file, and `rest`."""
    return re.compile(rf"\.(?:{'|'.join(known())}){rest}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Promise:
    """A checksum that a producer left."""

    checksum: Checksum
    where: str
    """The file or stream that holds it, as a person would name it."""


def accepts_none(_file: FinishedFile, _promised: Checksum) -> bool:
    """Accept nothing."""
    return False


def names_beside(folder: str) -> frozenset[str]:
    """Return the names in a source's folder that may be those of checksum files.

    Raises:
        FileFault: it can't be looked for them; what they say must not be passed over.

    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        if system.is_absent(error):
            return frozenset()  # whoever opens the source will tell
        raise FileFault(
            f"it can't be looked for its checksum in its folder: {error.strerror}",
            path=system.plain(folder),
            mend="give the account that runs the watcher the right to list it, or check the disk",
        ) from error
    if not _suffix().search("\0".join(names)):  # one search, not thousands: mostly there are none
        return frozenset()
    looks = _suffix(r"(?:\.[^.]*)?$").search
    return frozenset(name for name in names if looks(name))


def promises(file: FinishedFile, names: Collection[str]) -> tuple[Promise, ...]:
    """Return what a file's producer says of it.

    Args:
        file: the file.
        names: those of `names_beside` its folder.

    Raises:
        SourceChanged: it is gone.
        FileFault: it, or what it is said to be, can't be read.

    """
    folder, name = os.path.split(file.path)
    found = [_in_stream(file)]
    for beside, algorithm in digests_beside(names, name) if names else ():
        content = _finished(os.path.join(folder, beside))
        checksum = digest_in(content, algorithm, name) if content else None
        found.append(Promise(checksum, beside) if checksum else None)
    return tuple(one for one in found if one is not None)


def hold_to(
    kept: Sequence[Promise], file: FinishedFile, made: Collection[Checksum], accepts: Accepts
) -> None:
    """Compare what was read with what was promised.

    Raises:
        ProducerMismatch: it differs, and nobody has accepted that.

    """
    for promise in kept:
        if promise.checksum not in made and not accepts(file, promise.checksum):
            own = next(c for c in made if c.algorithm == promise.checksum.algorithm)
            raise ProducerMismatch(
                f"it differs from its producer's checksum: it is {own}, "
                f"{promise.where} says {promise.checksum}",
                path=system.plain(file.path),
                mend="look at both; `watcher resolve FILE --accept` archives it as it is",
            )


def algorithms_for(wanted: Sequence[str], kept: Sequence[Promise]) -> tuple[str, ...]:
    """Return what must be computed: the wanted ones first, then what was promised beside them."""
    return tuple(dict.fromkeys((*wanted, *(p.checksum.algorithm for p in kept))))


def vouched(
    file: FinishedFile, algorithms: Sequence[str], accepts: Accepts, moved: Moved
) -> tuple[Checksum, ...]:
    """Read a source and compare it with its producer's checksums.

    Raises:
        ProducerMismatch: it differs, and nobody has accepted that.
        FileFault: it can't be read, or is not what it was.

    """
    kept = promises(file, names_beside(os.path.dirname(file.path)))
    made = hash_source(file, algorithms_for(algorithms, kept), moved)
    hold_to(kept, file, made, accepts)
    return made[: len(algorithms)]


def vouches_for(file: FinishedFile) -> str | None:
    """Return the file beside this one whose checksum it holds, as long as that is there."""
    folder, name = os.path.split(file.path)
    for subject, algorithm in subjects(name):
        path = os.path.join(folder, subject)
        content = _finished(file.path) if os.path.lexists(path) else None
        if content and digest_in(content, algorithm, subject):
            return path
    return None


def _finished(path: str) -> bytes | None:
    """Read a checksum file that its producer has marked."""
    try:
        return small(path) if system.is_marked(os.lstat(path)) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileFault(
            f"its checksum file can't be read: {error.strerror}",
            path=system.plain(path),
            mend="give the account that runs the watcher the right to read it, or check the disk",
        ) from error


def _in_stream(file: FinishedFile) -> Promise | None:
    try:
        text = system.read_stream(file.path, STREAM)
    except OSError as error:
        raise unreadable(file, error) from error
    found = re.search(rb"\b(?:[0-9A-Fa-f]{2}){16,64}\b", text or b"")
    algorithm = usual(len(found[0])) if found else None
    if not text or not found or not algorithm:
        return None
    line = parsed(text, algorithm)
    digest = line.checksum.digest if line else found[0].decode("ascii").lower()
    return Promise(Checksum(algorithm, digest), f"its stream {STREAM}")

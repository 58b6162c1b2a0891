"""The words of the contract as frozen types; nothing here touches a disk.

Sizes are in bytes, durations in seconds, times of files in nanoseconds since the epoch as the
system gives them, all other times in seconds since the epoch.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

SCAN_FOLDER = "bluesky_scans"
"""The name of a scan folder."""

PART = (".watcher-", ".part")
"""How the names of all temporary files begin and end."""
REMOVING = f"{PART[0]}removing-"
"""How the name begins of a source on its way out, whose receipts are all in."""

MISSING_ROOT = "the data root isn't there"
"""How what is said of a folder that can't be read ends, if it is a data root that is missing."""


def is_part(name: str) -> bool:
    """Tell whether a temporary file is called so; such a file is never a finished one."""
    return name.startswith(PART[0]) and name.endswith(PART[1])


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one version of a file from another without reading it.

    The device is left out: its number may change when the computer starts again, and the
    path that a fingerprint goes with already tells the volume.
    """

    size: int
    mtime_ns: int
    identity: str
    """The inode or file id, in hexadecimal (it may not fit in 64 bits)."""

    @classmethod
    def of(cls, stat: os.stat_result) -> Fingerprint:
        """Take the fingerprint that a look at a file shows."""
        return cls(stat.st_size, stat.st_mtime_ns, f"{stat.st_ino:x}")

    def is_of(self, stat: os.stat_result) -> bool:
        """Tell whether a look at a file shows this fingerprint."""
        return (
            self.size == stat.st_size
            and self.mtime_ns == stat.st_mtime_ns
            and self.identity == f"{stat.st_ino:x}"
        )


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A file below a scan folder that its producer has marked read-only."""

    root: str
    """The data root it was found below."""
    experiment: str
    """The path from the data root to the scan folder; may be empty, or several folders deep."""
    scan_folder: str
    """The scan folder's name as it is written on this disk."""
    relative: str
    """The path from the scan folder to the file."""
    fingerprint: Fingerprint
    path: str = field(init=False, repr=False, compare=False)
    """The full local path; written out once, since it is asked for a dozen times."""

    def __post_init__(self) -> None:
        """Write the path out."""
        path = os.path.join(self.root, self.experiment, self.scan_folder, self.relative)
        object.__setattr__(self, "path", path)


@dataclass(frozen=True, slots=True)
class Checksum:
    """A digest and the name of its algorithm, both in lower case."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        """Show it as `sha256:01ab...`."""
        return f"{self.algorithm}:{self.digest}"


@dataclass(frozen=True, slots=True)
class ArchivePath:
    """A place at a destination; a type of its own, so that it is never taken for a source."""

    fixed: str
    """The folder that must be there already, or the place counts as unreachable: the template's
    fixed part, with the cycle's folder where the template names one."""
    folder: str
    """Where the template has been written out: the experiment's folder, home of its manifest."""
    relative: str
    """The path from `folder` to the file."""
    path: str = field(init=False, repr=False, compare=False)
    """The full path."""
    parent: str = field(init=False, repr=False, compare=False)
    """The folder that holds the file."""

    def __post_init__(self) -> None:
        """Write the paths out."""
        path = os.path.join(self.folder, self.relative)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "parent", os.path.dirname(path))

    def renamed(self, name: str) -> ArchivePath:
        """Return the place beside this one with another file name."""
        relative = os.path.join(os.path.dirname(self.relative), name)
        return ArchivePath(self.fixed, self.folder, relative)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan's text file says of its scan; texts are as they stand there."""

    uid: str
    scan_id: int | None = None
    plan_name: str = ""
    motors: tuple[str, ...] = ()
    start_time: str = ""
    """In UTC, as the producer writes it: `2026-07-01_15-15-07`."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A finished file on its way to one destination."""

    file: FinishedFile
    destination: str
    place: ArchivePath
    earlier: tuple[ArchivePath, ...] = ()
    """Places in earlier cycles where a life before a lost ledger may have put it already."""

    def received(
        self,
        place: ArchivePath,
        checksums: Iterable[Checksum],
        manner: Manner,
        scan: Scan | None = None,
    ) -> Arrival:
        """Say that a verified, durable copy is at `place`."""
        return Arrival(self, place, tuple(checksums), manner, scan)


class Manner(enum.StrEnum):
    """How a copy came to its place."""

    COPIED = "copied"
    ADOPTED = "adopted"
    """The same content was there already."""
    RENAMED = "renamed"
    """The source itself was moved into place."""
    UNFLUSHED = "unflushed"
    """Renamed, where the system can't flush a read-only file; another copy is the flushed one."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A verified copy at a destination that no receipt tells of yet."""

    transfer: Transfer
    place: ArchivePath
    checksums: tuple[Checksum, ...]
    manner: Manner
    scan: Scan | None = None
    """What the file said of its scan, if it was read and said anything."""

    @property
    def is_conflict(self) -> bool:
        """Whether it had to be kept beside another file of its name."""
        planned = (self.transfer.place, *self.transfer.earlier)
        return os.path.basename(self.place.path) not in {os.path.basename(p.path) for p in planned}


@dataclass(frozen=True, slots=True)
class Proof:
    """When a copy was last read again, and what it was like then: `ok`, `altered`..."""

    at: float
    state: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof that one destination holds a verified copy."""

    source: str
    experiment: str
    fingerprint: Fingerprint
    destination: str
    path: str
    folder: str
    """The experiment's folder at the destination, which the path of a manifest line starts from."""
    checksums: tuple[Checksum, ...]
    archived_at: float
    seconds: float
    """From the mark (or, where the system doesn't tell, the first look) to this receipt."""
    attempts: int
    manner: Manner
    conflict: bool = False
    void: bool = False
    """The copy was there and is gone; it proves nothing any more, but is history."""
    scan: Scan | None = field(default=None, compare=False)
    """What the file said of its scan, where that is known; no part of the proof."""
    proof: Proof | None = field(default=None, compare=False)
    """None if it was not read again since it was made."""

    @property
    def checksum(self) -> Checksum:
        """The checksum that counts: the first."""
        return self.checksums[0]

    @property
    def relative(self) -> str:
        """The path from the experiment's folder; the whole one, where it lies elsewhere."""
        return self.path.removeprefix(os.path.join(self.folder, ""))


class DestinationState(enum.StrEnum):
    """What a destination is like now."""

    ONLINE = "online"
    OFFLINE = "offline"
    FULL = "full"
    STALLED = "stalled"


class WaitsFor(enum.IntEnum):
    """What a file that stays behind waits for; what is greater is named sooner."""

    TIME = 0
    """It is tried again by itself."""
    PERSON = 1
    """Somebody has to do what is said with its reason."""
    DECISION = 2
    """It differs from its producer's checksum: somebody has to say what is right."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The one reason why a file stays behind, and what can be done about it."""

    source: str
    reason: str
    mend: str
    since: float
    destination: str | None = None
    mismatch: bool = False
    """Whether it differs from its producer's checksum, and waits for `watcher resolve`."""

    @property
    def waits_for(self) -> WaitsFor:
        """What it takes; whoever held it back has said what a person can do, if one can."""
        if self.mismatch:
            return WaitsFor.DECISION
        return WaitsFor.PERSON if self.mend else WaitsFor.TIME


@dataclass(frozen=True, slots=True)
class Stranded:
    """An unfinished file that nobody has touched for a long time."""

    path: str
    size: int
    modified_at: float


@dataclass(frozen=True, slots=True)
class WalkResult:
    """What one rescan found."""

    finished: int = 0
    """Finished files; where sources are kept, those that are archived too."""
    unfinished: int = 0
    stranded: tuple[Stranded, ...] = ()
    """The first of the stranded files, oldest first."""
    stranded_count: int = 0
    folders: int = 0
    seconds: float = 0.0
    errors: tuple[str, ...] = field(default=())
    """Folders that could not be read, each with its reason."""

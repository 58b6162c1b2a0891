"""What happened: one frozen type for each kind of news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.model import DestinationState, HeldBack, Receipt, WaitsFor, WalkResult


@dataclass(frozen=True, slots=True)
class Started:
    """The watcher runs."""

    instrument: str
    version: str
    pid: int
    data_roots: tuple[str, ...]
    destinations: tuple[str, ...]
    config_file: str = ""
    log_file: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """It was asked to stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class DestinationChanged:
    """A destination's state is another than before, or its error is."""

    name: str
    state: DestinationState
    error: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class BatchBegan:
    """A worker took files; told again as it moves on, with more bytes `done`."""

    worker: str
    destination: str
    name: str
    """The first file's path."""
    files: int
    size: int
    done: int = 0
    began_at: float = 0.0
    """When the worker took them; the fold knows, who tells it need not."""


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A worker is through with its files."""

    worker: str


@dataclass(frozen=True, slots=True)
class Archived:
    """Every destination holds these files; one tuple of receipts a file."""

    files: tuple[tuple[Receipt, ...], ...]


@dataclass(frozen=True, slots=True)
class ConflictKept:
    """A destination held another file of that name; the newcomer was kept beside it."""

    source: str
    destination: str
    path: str


@dataclass(frozen=True, slots=True)
class ConflictsUnseen:
    """Which conflicts nobody has looked at, as the ledger has it; told when their number changes.

    Some are from earlier runs, and somebody may mark one as seen meanwhile.
    """

    count: int
    last: tuple[ConflictKept, ...]
    """The last of them, newest first."""


@dataclass(frozen=True, slots=True)
class FaultyCounted:
    """How many files have a copy that `verify` found missing or altered, as the ledger has it."""

    files: int


@dataclass(frozen=True, slots=True)
class FileHeldBack:
    """A file stays behind; told when its reason changes, not each time it is tried."""

    held: HeldBack


@dataclass(frozen=True, slots=True)
class FileReleased:
    """Whatever held a file back is over."""

    source: str


@dataclass(frozen=True, slots=True)
class HeldCounted:
    """Which files stay behind, as the ledger has it; told when that is another number.

    Some are of earlier runs, and more than can be named at a time.
    """

    counts: Mapping[WaitsFor, int]
    last: tuple[HeldBack, ...]
    """The last of them; those that wait for somebody come first."""


@dataclass(frozen=True, slots=True)
class BacklogChanged:
    """How many finished files wait, told by those who take them in and settle them."""

    files: int
    size: int
    oldest: float | None
    """When the oldest was modified, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class RescanBegan:
    """A walk of the data roots starts."""


@dataclass(frozen=True, slots=True)
class RescanEnded:
    """A walk of the data roots is done; the next begins at `next_at`."""

    result: WalkResult
    next_at: float


@dataclass(frozen=True, slots=True)
class HintsMissed:
    """The rescan found files that a hint should have told of (R9)."""

    files: int
    example: str


@dataclass(frozen=True, slots=True)
class SpaceMeasured:
    """How much room there is on the volume of a data root; told when it has changed enough."""

    root: str
    free: int
    """Bytes that this account may still write."""
    total: int
    seconds_left: float | None
    """How long it lasts if it goes on as in the last hour; None if it doesn't get less."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Anything else an operator should know: `level` is a name of `logging`."""

    level: str
    text: str
    mend: str = ""


News = (
    Started
    | Stopping
    | DestinationChanged
    | BatchBegan
    | BatchEnded
    | Archived
    | ConflictKept
    | ConflictsUnseen
    | FaultyCounted
    | FileHeldBack
    | FileReleased
    | HeldCounted
    | BacklogChanged
    | RescanBegan
    | RescanEnded
    | HintsMissed
    | SpaceMeasured
    | Notice
)

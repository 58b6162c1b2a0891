"""Errors that an operator reads: what happened, to which file, why, and what to do.

WatcherError
├── ConfigurationError   the configuration can't be used        (exit code 2)
├── AlreadyRunning       another watcher has this state folder  (exit code 3)
├── DestinationDown      a destination can't be used as a whole
└── FileFault            one file can't go on as it is
├── SourceChanged    it is not the file that was looked at (R6)
├── SourceBusy       somebody still has it open for writing
├── ProducerMismatch it is not what its producer's checksum says
└── CopyDiffers      what was read back is not what was written (R2)
"""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Return an error that is to be kept without the calls that it came through.

    They hold all that they had in hand, such as what was read of a file; and where what they are
    about keeps the error, nothing of that is freed until somebody searches for rings (R12).
    """
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error


class WatcherError(Exception):
    """Something an operator should know."""

    def __init__(self, what: str, *, path: str = "", mend: str = "") -> None:
        """Say it.

        Args:
            what: what happened and why, in one sentence without a full stop.
            path: the file or folder that it happened to.
            mend: what the operator can do about it.

        """
        super().__init__(what)
        self.what = what
        self.path = path
        self.mend = mend

    def __str__(self) -> str:
        """Say it all on one line."""
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.what}{f'; {self.mend}' if self.mend else ''}"


class ConfigurationError(WatcherError):
    """The configuration can't be used."""


class AlreadyRunning(WatcherError):  # noqa: N818 - a state, not a defect
    """Another watcher runs on this state folder."""


class DestinationDown(WatcherError):  # noqa: N818
    """A destination can't be used as a whole: an outage, never a file's fault."""


class FileFault(WatcherError):  # noqa: N818
    """One file can't go on as it is; all others can."""


class SourceChanged(FileFault):
    """The source is not the file that was looked at (R6); it is looked at again."""


class SourceBusy(FileFault):
    """Somebody still has the source open for writing; it is tried again later."""


class ProducerMismatch(FileFault):
    """The source is not what its producer's checksum says; it waits for a person."""


class CopyDiffers(FileFault):
    """What was read back is not what was written; the copy is thrown away and made again."""

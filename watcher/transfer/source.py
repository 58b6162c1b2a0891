"""Reading a source: what is read is one version of a finished file, or it is an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from watcher.checksums import Hashing
from watcher.errors import FileFault, SourceChanged
from watcher.model import Checksum, FinishedFile
from watcher.platform import system

CHUNK = 256 << 10
"""Bytes to read at once."""
Moved = Callable[[int], None]
"""Told of progress: so many bytes more."""


class Source:
    """A source open for reading, to be used in a `with` statement and read once.

    Raises:
        SourceChanged: it is gone, or not the file that was looked at (R6).
        SourceBusy: somebody has it open for writing.
        FileFault: it can't be read.

    """

    def __init__(self, file: FinishedFile) -> None:
        """Name the file; entering opens it."""
        self._file = file
        self._descriptor = -1
        self.look: os.stat_result | None = None
        """The last look at it."""

    def __enter__(self) -> Self:
        """Open and look."""
        try:
            self._descriptor = system.open_source(self._file.root, self._file.path)
        except OSError as error:
            raise unreadable(self._file, error) from error
        try:
            self._look()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        os.close(self._descriptor)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content; look again at its end."""
        left = self._file.fingerprint.size
        while left:
            data = self._read(min(left, CHUNK))
            if not data:
                raise SourceChanged("is shorter now", path=self._file.path)
            left -= len(data)
            yield data
        self._look()  # which shows its size, too

    def _read(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError as error:
            raise unreadable(self._file, error) from error

    def _look(self) -> None:
        self.look = os.fstat(self._descriptor)
        if not is_still(self._file, self.look):
            raise SourceChanged("is not the file that was looked at", path=self._file.path)


def is_still(file: FinishedFile, stat: os.stat_result) -> bool:
    """Tell whether a look shows the file that was found finished, still marked (R6)."""
    return system.is_plain_file(stat) and system.is_marked(stat) and file.fingerprint.is_of(stat)


def unreadable(file: FinishedFile, error: OSError) -> FileFault:
    """Return what an error in reading a source means: it is gone, or its own fault."""
    if isinstance(error, FileNotFoundError) and system.is_absent(error):
        return SourceChanged("is gone", path=file.path)
    return FileFault(
        f"can't be read: {error.strerror}",
        path=file.path,
        mend="give the account that runs the watcher the right to read it, or check the disk",
    )


def hash_source(
    file: FinishedFile, algorithms: Sequence[str], moved: Moved
) -> tuple[Checksum, ...]:
    """Read a source once; raises SourceChanged if it is not the file that was looked at."""
    hashing = Hashing(algorithms)
    with Source(file) as source:
        for data in source:
            hashing.update(data)
            moved(len(data))
    return hashing.checksums()

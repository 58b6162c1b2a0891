"""What goes with a file besides its content: a producer's alternate data streams.

Where the destination keeps streams they are written into the copy before it is published. Where it
doesn't, each becomes a file beside the copy, named `NAME.STREAM.stream`, before the receipt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from watcher.checksums import Entry, Hashing, Record
from watcher.errors import CopyDiffers, FileFault
from watcher.model import ArchivePath, Checksum, FinishedFile
from watcher.platform import system
from watcher.transfer.places import candidates, hash_copy, may_hold
from watcher.transfer.source import Moved, unreadable

_SUFFIX = ".stream"


def put_inside(file: FinishedFile, part: str) -> None:
    """Write a source's streams into its copy, if they are kept there; compares what was written.

    Raises:
        OSError: the destination's fault.
        CopyDiffers: what was read back is something else.

    """
    found = _streams(file)
    if not found or not system.keeps_streams(os.path.dirname(part)):
        return
    for name, content in found.items():
        system.write_stream(part, name, content)
        if system.read_stream(part, name) != content:
            what = f"its stream {name} differs from what was written; it is copied again"
            raise CopyDiffers(what, path=file.path)


@dataclass(frozen=True, slots=True)
class Beside:
    """What it takes to publish a file's streams beside its copy."""

    record: Record
    algorithms: tuple[str, ...]
    new_part: Callable[[], str]
    moved: Moved

    def put(self, file: FinishedFile, copy: ArchivePath) -> list[Entry]:
        """Publish a source's streams beside its copy, if they are not kept there.

        Returns:
            What goes on record.

        Raises:
            OSError: the destination's fault.
            FileFault: it can't be done for this file.

        """
        found = _streams(file)
        if not found or system.keeps_streams(copy.parent):
            return []
        name = os.path.basename(copy.path)
        return [
            self._publish(file, content, copy.renamed(f"{name}.{stream}{_SUFFIX}"))
            for stream, content in found.items()
        ]

    def _publish(self, file: FinishedFile, content: bytes, place: ArchivePath) -> Entry:
        hashing = Hashing(self.algorithms)
        hashing.update(content)
        checksums = hashing.checksums()
        part = os.path.join(place.parent, self.new_part())
        try:
            system.write_part(part, content, (file.fingerprint.mtime_ns,) * 2)
            if hash_copy(part, self.algorithms, self.moved) != checksums:
                raise CopyDiffers("its stream differs from what was written", path=file.path)
            for candidate in candidates(self.record, place, checksums[0]):
                if self._take(part, candidate, len(content), checksums):
                    return Entry(candidate, checksums)
        finally:
            system.remove_part(part)
        raise FileFault("every name its stream could be kept under is taken", path=file.path)

    def _take(
        self, part: str, place: ArchivePath, size: int, checksums: tuple[Checksum, ...]
    ) -> bool:
        """Publish it, unless another content has that name; the same content will do."""
        try:
            system.publish(part, place.path)
        except FileExistsError:
            same = may_hold(place.path, size)
            return same and hash_copy(place.path, self.algorithms, self.moved) == checksums
        return True


def _streams(file: FinishedFile) -> dict[str, bytes]:
    """Read a source's streams; what can't be read is the source's fault, and never left out."""
    try:
        names = system.streams(file.path)
        contents = {name: system.read_stream(file.path, name) for name in names}
    except OSError as error:
        raise unreadable(file, error) from error
    return {name: content for name, content in contents.items() if content is not None}

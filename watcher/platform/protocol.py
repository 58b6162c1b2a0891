"""What every operating system must be able to do for the program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol


class System(Protocol):
    """One operating system; errors are `OSError`, with `winerror` where Windows gives one."""

    name: str

    def prepare(self) -> None:
        """Set up this process, once, in its main thread, before anything else is called."""

    def console_watched(self, asked: Callable[[str], None]) -> AbstractContextManager[None]:
        """While it lasts, call `asked` with the reason when the console asks the process to end.

        It is called in a thread of the system's. Where the process is ended once it has been told
        (Windows: window closed, logging off, shutting down), that waits for the context's end, a
        few seconds at the most. Elsewhere signals tell, and nothing is done here.
        """

    def wait(self, stop: threading.Event) -> None:
        """Wait in the main thread until an event is set; signals come through meanwhile."""

    # Names and paths

    def native(self, path: str) -> str:
        r"""Make a path absolute, fit for any length (`\\?\` on Windows); once, at the wiring."""

    def plain(self, path: str) -> str:
        """Undo `native`: the path as a person writes it, for screens, logs and records."""

    def same_name(self, one: str, other: str) -> bool:
        """Tell whether two names mean the same entry of a local folder."""

    # Looking

    def is_marked(self, stat: os.stat_result) -> bool:
        """Tell whether the read-only mark is set, from a stat alone, never from a failed open."""

    def is_plain_file(self, stat: os.stat_result) -> bool:
        """Tell whether this is a regular file: no link, junction, pipe or device."""

    def is_plain_folder(self, stat: os.stat_result) -> bool:
        """Tell whether this is a real folder: no link, no junction, no mount of elsewhere."""

    def is_absent(self, error: OSError) -> bool:
        """Tell whether an error says that something is not there, and not that nobody can tell.

        A share that doesn't answer makes Windows say much the same as a file that is missing.
        """

    def look(self, path: str) -> os.stat_result | None:
        """Look at whatever has a name; None if nothing has.

        Raises:
            OSError: nobody can tell.

        """
        try:
            return os.lstat(path)
        except OSError as error:
            if not self.is_absent(error):
                raise
            return None

    def marked_at(self, stat: os.stat_result) -> float | None:
        """Return when the file was marked, in seconds; None where a stat doesn't tell."""

    def volume(self, path: str) -> int:
        """Return the number of the volume that holds `path`."""

    def is_mount_point(self, path: str) -> bool:
        """Tell whether another file system is mounted at `path`."""

    def is_local(self, path: str) -> bool:
        """Tell whether it lies on a disk of this computer whose folders' times can be relied on.

        Network, FUSE and FAT volumes don't count, nor does what the system can't tell.
        """

    def counts_folders(self, path: str) -> bool:
        """Tell whether the folders of the file system at a path know how many are in them."""

    def has_no_folder(self, stat: os.stat_result) -> bool:
        """Tell whether this is a folder with none in it, where folders know that."""

    # Reading a source

    def open_source(self, root: str, path: str) -> int:
        """Open a file below `root` for reading, following no link on the way, waiting for nothing.

        Raises:
            SourceBusy: somebody has it open for writing, where the system can tell.
            OSError: any other reason; a link in the path counts as `ELOOP`.

        """

    def folders_kept(self) -> AbstractContextManager[None]:
        """While it lasts, this thread opens each folder on its way to sources only once.

        What is done to many sources together then costs one walk for each of their folders.
        """

    def open_for_reading(self, path: str) -> int:
        """Open a copy for reading, without following a link in its last segment."""

    def forget_cached(self, descriptor: int) -> None:
        """Start write-back of the file and drop what is cached of it, where the system allows."""

    def fetch_early(self, descriptor: int) -> None:
        """Let the disk begin to read the file, where the system can be told; never waits."""

    def flush_range(self, descriptor: int, start: int, size: int) -> bool:
        """Wait until bytes of a file are on the disk, and drop what is cached of them.

        It makes nothing durable: the file's own size and place are flushed with the file.

        Returns:
            False where the system can't: what is read then may come from memory.

        """

    # Writing a copy

    def create_part(self, path: str) -> int:
        """Create a temporary file for writing: exclusive, private, hidden on Windows."""

    def streams(self, path: str) -> tuple[str, ...]:
        """Return the names of the alternate data streams of a file (Windows); raises OSError."""

    def keeps_streams(self, folder: str) -> bool:
        """Tell whether files in a folder can have alternate data streams; raises OSError."""

    def dress(self, path: str, look: os.stat_result) -> None:
        """Give a marked copy what else its source shows: hidden, system (Windows)."""

    def write_stream(self, path: str, name: str, content: bytes) -> None:
        """Write what goes with a file under a name of its own, and flush it where it is a file.

        An alternate data stream on Windows, an extended attribute elsewhere.

        Raises:
            OSError: the file is marked, or its file system has no such thing.

        """

    def read_stream(self, path: str, name: str) -> bytes | None:
        """Return what goes with a file under that name; None if there is nothing.

        Raises:
            OSError: the file is not there, or can't be read.

        """

    def prepare_part(self, descriptor: int, times_ns: tuple[int, int]) -> None:
        """Set what is to be flushed with the content, and let the disk begin; never waits."""

    def flush_volumes(self, folders: Collection[str], files: int, size: int) -> bool:
        """Flush all that waits on the volumes that hold some folders, where that is sooner.

        Whose data was lost it can't tell: `flush_part` and `flush_file` do, when they are told that
        the file is not flushed alone.

        Args:
            folders: where the files lie.
            files: how many there are.
            size: how many bytes all of them have together.

        Returns:
            False where it was not done, or failed: each file is to be flushed alone.

        """

    def flush_part(self, descriptor: int, *, alone: bool = True) -> None:
        """Wait until all of it is on the disk; with its volume flushed just now, see if it is.

        Raises:
            OSError: it is not. After that it must not be flushed again: only one answer tells.

        """

    def close_part(self, descriptor: int, path: str, times_ns: tuple[int, int]) -> None:
        """Close it, with its times and its mark set; it is closed even on an error."""

    def finish_part(self, descriptor: int, path: str, times_ns: tuple[int, int]) -> None:
        """Do these three, one after the other; it is closed even on an error."""
        try:
            self.prepare_part(descriptor, times_ns)
            self.flush_part(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self.close_part(descriptor, path, times_ns)

    def write_part(self, path: str, content: bytes, times_ns: tuple[int, int]) -> None:
        """Make one that holds `content`, and finish it; it is closed even on an error."""
        descriptor = self.create_part(path)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except BaseException:
            os.close(descriptor)
            raise
        self.finish_part(descriptor, path, times_ns)

    def mark(self, path: str) -> None:
        """Set the read-only mark (and, on Windows, show a file that was hidden as a part)."""

    def publish(self, part: str, path: str) -> None:
        """Rename without ever replacing.

        Raises:
            FileExistsError: `path` is taken.
            NotImplementedError: this file system has no safe way; the message says why.

        """

    def flush_file(self, path: str, *, alone: bool = True) -> bool:
        """Do so for a read-only file; returns False where the system can't (Windows)."""

    def flush_folder(self, path: str) -> None:
        """Make the names in a folder durable, where the system has such a thing."""

    def remove_part(self, path: str) -> None:
        """Remove a temporary file of ours, marked or not; it is no error if it is gone."""

    # The end of a source

    def remove_source(
        self, root: str, path: str, is_same: Callable[[os.stat_result], bool]
    ) -> None:
        """Remove a read-only file that never passes through a writable state under its own name.

        Args:
            root: the data root; no link is followed below it.
            path: the file.
            is_same: shown the last look at the file; False stops the removal.

        Raises:
            SourceChanged: the last look showed another file.
            OSError: it could not be removed.

        """

    def move_source(
        self, root: str, path: str, target: str, is_same: Callable[[os.stat_result], bool]
    ) -> None:
        """Rename a source into place, replacing nothing; if it is another, it is put back.

        Raises:
            SourceChanged: it was another file than `is_same` accepts.
            FileExistsError: `target` is taken.
            OSError: it could not be moved (`EXDEV`: not on one volume after all).

        """

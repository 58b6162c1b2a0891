"""Windows: NTFS first, then what file servers and FAT can do."""

from __future__ import annotations

import contextlib
import errno
import ntpath
import os
import secrets
import stat as st
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager

from watcher.errors import SourceBusy, SourceChanged
from watcher.model import PART, REMOVING
from watcher.platform import windows_api as api
from watcher.platform import windows_console, windows_streams
from watcher.platform.protocol import System

assert sys.platform == "win32"

_LONG = "\\\\?\\"
_LONG_SHARE = "\\\\?\\UNC\\"
_SHARE_ALL = api.SHARE_READ | api.SHARE_WRITE | api.SHARE_DELETE
_SHARE_BUT_WRITING = api.SHARE_READ | api.SHARE_DELETE
_NAME_SURROGATE = 0x20000000
"""The bit of a reparse tag that says: this name stands for another (links, junctions)."""
_NO_FILES = {0x80000023, 0x80000024, 0x80000025, 0x80000026}
"""Reparse tags of sockets, and of WSL's pipes and devices."""
_GONE = {api.ERROR_FILE_NOT_FOUND, api.ERROR_PATH_NOT_FOUND}
_NO_STREAM = {errno.ENOENT, errno.EINVAL}
"""What Python's own `open` says of a stream that isn't there, or of a volume that keeps none."""
_TO_END = api.DELETE | api.FILE_READ_ATTRIBUTES
_SLICE = 0.5
"""Seconds for which the main thread waits without looking for signals."""
_LOCAL_FILE_SYSTEMS = {"NTFS", "ReFS"}


class Windows(System):
    """Windows, behind `watcher.platform.System`."""

    name = "windows"

    def prepare(self) -> None:
        """Let a missing drive be an error, not a dialog box."""
        api.no_dialogs()

    def console_watched(self, asked: Callable[[str], None]) -> AbstractContextManager[None]:
        """Set a handler for the console's events."""
        return windows_console.console_watched(asked)

    def wait(self, stop: threading.Event) -> None:
        """Wait in slices: nothing interrupts a long one."""
        while not stop.wait(_SLICE):
            pass

    def native(self, path: str) -> str:
        r"""Put `\\?\` before it, which also keeps trailing dots and spaces, and names like NUL.

        So it must not go through `os.path.abspath`, which drops them.
        """
        if path.startswith(_LONG):
            return path
        full = os.path.join(os.getcwd(), path)
        if not os.path.isabs(full):  # relative to the current folder of another drive
            full = os.path.abspath(path)
        full = ntpath.normpath(full)
        if full.startswith(_LONG):
            return full
        return _LONG_SHARE + full[2:] if full.startswith("\\\\") else _LONG + full

    def plain(self, path: str) -> str:
        r"""Take `\\?\` away, but for what can't be written without it (`\\?\Volume{...}`)."""
        if path[: len(_LONG_SHARE)].upper() == _LONG_SHARE:
            return "\\\\" + path[len(_LONG_SHARE) :]
        rest = path.removeprefix(_LONG)
        return rest if rest[1:2] == ":" else path

    def same_name(self, one: str, other: str) -> bool:
        """Compare as NTFS does, without case."""
        return api.same_name(one, other)

    def is_marked(self, stat: os.stat_result) -> bool:
        """Look at the read-only attribute."""
        return bool(stat.st_file_attributes & api.ATTRIBUTE_READONLY)

    def is_plain_file(self, stat: os.stat_result) -> bool:
        """Tell whether this is a regular file; deduplicated and cloud files are."""
        return st.S_ISREG(stat.st_mode) and _is_its_own(stat.st_reparse_tag)

    def is_plain_folder(self, stat: os.stat_result) -> bool:
        """Tell whether this is a folder; one that a cloud keeps in step is."""
        return st.S_ISDIR(stat.st_mode) and _is_its_own(stat.st_reparse_tag)

    def is_absent(self, error: OSError) -> bool:
        """Go by Windows' number: 53, 67 and others of a lost share come as FileNotFoundError too.

        A path of which more than the last segment is missing may be that of a lost drive or share,
        and what Python's own `open` says has no number: both are asked for.
        """
        if error.winerror == api.ERROR_FILE_NOT_FOUND:
            return True
        path = os.fsdecode(error.filename or "")
        if error.winerror == api.ERROR_PATH_NOT_FOUND:
            return not path or _answers(os.path.splitdrive(path)[0])
        if error.winerror or error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            return False
        try:
            os.lstat(path)
        except OSError as second:
            return bool(second.winerror) and self.is_absent(second)
        return error.errno == errno.ENOTDIR

    def marked_at(self, stat: os.stat_result) -> None:
        """Return None: a stat doesn't show when attributes changed."""

    def volume(self, path: str) -> int:
        """Return the volume's serial number."""
        return os.stat(path).st_dev

    def is_mount_point(self, path: str) -> bool:
        """Tell whether it is the top of a drive or share, or a volume mounted in a folder."""
        return os.path.ismount(path)

    def is_local(self, path: str) -> bool:
        """Tell whether it lies on a disk of this computer whose times and ids can be relied on."""
        try:
            top = api.volume_top(path)
            return api.is_fixed_drive(top) and api.file_system(top) in _LOCAL_FILE_SYSTEMS
        except OSError:
            return False

    def counts_folders(self, path: str) -> bool:
        """Say no."""
        return False

    def has_no_folder(self, stat: os.stat_result) -> bool:
        """Say no: nothing is known."""
        return False

    def open_source(self, root: str, path: str) -> int:
        """Open it, sharing with all but writers, then ask the handle where it really is."""
        return _open_below(root, path, api.GENERIC_READ, api.FLAG_SEQUENTIAL_SCAN)

    def folders_kept(self) -> AbstractContextManager[None]:
        """Do nothing: a handle is asked where it is, whatever way led to it."""
        return contextlib.nullcontext()

    def open_for_reading(self, path: str) -> int:
        """Open it unbuffered for a moment, which flushes and drops what is cached of it.

        The cache can't be dropped through a descriptor that reads with it; see `forget_cached`.
        """
        os.close(_open_no_link(path, api.GENERIC_READ, _SHARE_ALL, api.FLAG_NO_BUFFERING))
        return _open_no_link(path, api.GENERIC_READ, _SHARE_ALL, api.FLAG_SEQUENTIAL_SCAN)

    def forget_cached(self, descriptor: int) -> None:
        """Do nothing: `open_for_reading` has done it."""

    def fetch_early(self, descriptor: int) -> None:
        """Do nothing: a file that is read from its beginning on is read ahead anyway."""

    def flush_range(self, descriptor: int, start: int, size: int) -> bool:
        """Say no: only whole files are flushed."""
        return False

    def create_part(self, path: str) -> int:
        """Create it hidden; others (virus scanners) may read it, not write, rename or remove it."""
        access = api.GENERIC_READ | api.GENERIC_WRITE
        return api.open_file(path, access, api.SHARE_READ, api.ATTRIBUTE_HIDDEN, api.CREATE_NEW)

    def streams(self, path: str) -> tuple[str, ...]:
        """List all but the content itself."""
        return tuple(windows_streams.names(path))

    def keeps_streams(self, folder: str) -> bool:
        """Ask the volume."""
        return windows_streams.are_kept(folder)

    def dress(self, path: str, look: os.stat_result) -> None:
        """Set the same attributes once more, with those that the source has besides."""
        if more := look.st_file_attributes & (api.ATTRIBUTE_HIDDEN | api.ATTRIBUTE_SYSTEM):
            api.set_attributes(path, api.ATTRIBUTE_READONLY | api.ATTRIBUTE_ARCHIVE | more)

    def write_stream(self, path: str, name: str, content: bytes) -> None:
        """Write the alternate data stream `path:name`; the part may be open, it is shared apart."""
        with open(f"{path}:{name}", "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def read_stream(self, path: str, name: str) -> bytes | None:
        """Read the alternate data stream `path:name`."""
        try:
            with open(f"{path}:{name}", "rb") as stream:
                return stream.read()
        except OSError as error:
            os.lstat(path)
            if error.errno in _NO_STREAM:
                return None
            raise

    def prepare_part(self, descriptor: int, times_ns: tuple[int, int]) -> None:
        """Do nothing: a share's client may send data after the times, which changes them."""

    def flush_volumes(self, folders: Collection[str], files: int, size: int) -> bool:
        """Say no: only an administrator may flush a volume."""
        return False

    def flush_part(self, descriptor: int, *, alone: bool = True) -> None:
        """FlushFileBuffers."""
        api.flush(descriptor)

    def close_part(self, descriptor: int, path: str, times_ns: tuple[int, int]) -> None:
        """Set the times, close, mark.

        Times and mark are as durable as the name: the write-through rename comes after both.
        """
        try:
            api.set_times(descriptor, *times_ns)
        finally:
            os.close(descriptor)
        self.mark(path)

    def mark(self, path: str) -> None:
        """Set read-only and clear hidden in one step."""
        api.set_attributes(path, api.ATTRIBUTE_READONLY | api.ATTRIBUTE_ARCHIVE)

    def publish(self, part: str, path: str) -> None:
        """Rename with write-through, which on Windows never replaces unless asked to."""
        api.move(part, path)

    def flush_file(self, path: str, *, alone: bool = True) -> bool:
        """Say no: flushing needs the right to write, which nobody has on a read-only file."""
        return False

    def flush_folder(self, path: str) -> None:
        """Do nothing: NTFS logs names in order, and `publish` waits until its own is on disk."""

    def remove_part(self, path: str) -> None:
        """Delete it, after clearing its mark if there is one."""
        try:
            os.unlink(path)
        except OSError as error:
            if error.winerror in _GONE:
                return
            if error.winerror != api.ERROR_ACCESS_DENIED:
                raise
            api.set_attributes(path, api.ATTRIBUTE_NORMAL)
            os.unlink(path)

    def remove_source(
        self, root: str, path: str, is_same: Callable[[os.stat_result], bool]
    ) -> None:
        """Look and delete through one handle that no writer can share."""
        with _last_look(root, path, is_same, "removed") as descriptor:
            try:
                api.delete(descriptor)
            except OSError as error:
                if error.winerror not in api.NOT_OFFERED:
                    raise
                _remove_renamed(descriptor, path)

    def move_source(
        self, root: str, path: str, target: str, is_same: Callable[[os.stat_result], bool]
    ) -> None:
        """Look, rename and look again through one handle that no writer can share."""
        with _last_look(root, path, is_same, "moved") as descriptor:
            api.rename(descriptor, target)
            if not is_same(os.fstat(descriptor)):
                api.rename(descriptor, path)
                raise SourceChanged("was changed while it was moved", path=path)


def _answers(drive: str) -> bool:
    """Tell whether the top folder of a drive or share is there."""
    try:
        os.stat(drive + "\\")
    except OSError:
        return False
    return True


def _is_its_own(tag: int) -> bool:
    return not tag & _NAME_SURROGATE and tag not in _NO_FILES


@contextlib.contextmanager
def _closed_on_error(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _open_no_link(path: str, access: int, share: int, flags: int) -> int:
    """Open without following a link in the last segment.

    A deduplicated or cloud file is a reparse point too, but one whose content only its own driver
    can read: it is opened again, through the driver.
    """
    descriptor = api.open_file(path, access, share, flags | api.FLAG_OPEN_REPARSE_POINT)
    with _closed_on_error(descriptor):
        tag = api.reparse_tag(descriptor)
        if not _is_its_own(tag):
            raise OSError(errno.ELOOP, "is a link", path)
    if not tag:
        return descriptor
    os.close(descriptor)
    return api.open_file(path, access, share, flags)


def _open_below(root: str, path: str, access: int, flags: int) -> int:
    """Open a file that no writer has open, and that really is below `root`."""
    try:
        descriptor = _open_no_link(path, access, _SHARE_BUT_WRITING, flags)
    except OSError as error:
        if error.winerror == api.ERROR_SHARING_VIOLATION:
            raise SourceBusy("is still open in another program", path=path) from error
        raise
    with _closed_on_error(descriptor):
        _refuse_detour(descriptor, root, path)
    return descriptor


def _refuse_detour(descriptor: int, root: str, path: str) -> None:
    """See to it that there is no link on the way from `root`; the root itself may be one."""
    flags = api.FLAG_BACKUP_SEMANTICS
    anchor = api.open_file(root, api.FILE_READ_ATTRIBUTES, _SHARE_ALL, flags)
    try:
        expected = os.path.join(api.name_on_volume(anchor), path[len(root) :].lstrip("\\"))
        volume = os.fstat(anchor).st_dev
    finally:
        os.close(anchor)
    if not (
        api.same_name(path[: len(root)], root)
        and os.fstat(descriptor).st_dev == volume
        and _same_place(api.name_on_volume(descriptor), expected)
    ):
        raise OSError(errno.ELOOP, "a link leads away from the data root", path)


def _same_place(one: str, other: str) -> bool:
    """Compare without the dots and spaces at the end, which some look-alikes of Windows drop.

    Nothing is lost by that: a link in the last segment is found by its tag.
    """
    return api.same_name(one.rstrip(". "), other.rstrip(". "))


@contextlib.contextmanager
def _last_look(
    root: str, path: str, is_same: Callable[[os.stat_result], bool], deed: str
) -> Iterator[int]:
    descriptor = _open_below(root, path, _TO_END, api.FLAG_WRITE_THROUGH)
    try:
        if not is_same(os.fstat(descriptor)):
            raise SourceChanged(f"changed before it could be {deed}", path=path)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_renamed(descriptor: int, path: str) -> None:
    """Remove where read-only files can't be: under a name of ours, so that no rule misses it.

    What is renamed and deleted is the handle that was looked at. What fails is undone.
    """
    name = f"{REMOVING}{secrets.token_hex(4)}{PART[1]}"
    part = os.path.join(os.path.dirname(path), name)
    attributes = os.fstat(descriptor).st_file_attributes
    api.rename(descriptor, part)
    try:
        api.set_attributes(part, api.ATTRIBUTE_NORMAL)
        api.delete_on_close(descriptor)
    except OSError:
        api.set_attributes(part, attributes)
        api.rename(descriptor, path)
        raise

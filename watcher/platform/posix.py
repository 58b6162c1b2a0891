"""Linux and its kin."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import resource
import signal
import stat as st
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager

from watcher.errors import SourceBusy, SourceChanged
from watcher.platform import posix_flushing, posix_folders
from watcher.platform.protocol import System

assert sys.platform != "win32"

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_SUCH_FLAG = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_MARKED = 0o444
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

_KEEPS_TIMES = frozenset(
    b"bcachefs btrfs ext2 ext3 ext4 f2fs jfs overlay ramfs tmpfs xfs zfs".split()
)
"""File systems of this computer that change a folder's times with each change of its names."""
_COUNTS_FOLDERS = frozenset(b"ext2 ext3 ext4 ramfs tmpfs xfs".split())
"""Those of them where a folder's links are its name, its own dot, and a dot-dot for each folder
in it; ext4 gives up counting at one, not at two."""
_NO_FOLDER_INSIDE = 2
_MOUNTS = "/proc/self/mounts"

_folders = posix_folders.Folders()


def _file_system(path: str) -> bytes:
    """Return the type of the file system at a path without links: the longest mount point's."""
    place, best, kind = os.fsencode(path) + b"/", b"", b""
    with open(_MOUNTS, "rb") as mounts:
        for line in mounts:
            _, point, new, *_ = line.split(b" ")
            start = re.sub(rb"\\([0-7]{3})", _unescaped, point).rstrip(b"/") + b"/"
            if place.startswith(start) and len(start) >= len(best):
                best, kind = start, new
    return kind


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def _rename(old: str, new: str, old_folder: int | None, new_folder: int | None) -> None:
    """Call renameat2(2), which the standard library doesn't offer."""
    call = getattr(_libc, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), new)
    where = [_AT_FDCWD if folder is None else folder for folder in (old_folder, new_folder)]
    if call(where[0], os.fsencode(old), where[1], os.fsencode(new), _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old, None, new)


def _move(old: str, new: str, old_folder: int | None = None, new_folder: int | None = None) -> None:
    """Rename without replacing; where a file system doesn't know how, link and unlink."""
    try:
        _rename(old, new, old_folder, new_folder)
        return
    except OSError as error:
        if error.errno not in _NO_SUCH_FLAG:
            raise
    try:
        os.link(old, new, src_dir_fd=old_folder, dst_dir_fd=new_folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.EPERM, *_NO_SUCH_FLAG}:
            raise NotImplementedError(
                f"neither renaming without replacing nor linking works at {new}"
            ) from error
        raise
    os.unlink(old, dir_fd=old_folder)


class Posix(System):
    """Linux and its kin, behind `watcher.platform.System`."""

    name = "posix"

    def prepare(self) -> None:
        """Ignore SIGIO, which breaking a lease sends, and allow as many open files as may be."""
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def console_watched(self, asked: Callable[[str], None]) -> AbstractContextManager[None]:
        """Do nothing: a signal tells."""
        return contextlib.nullcontext()

    def wait(self, stop: threading.Event) -> None:
        """Just wait: a signal interrupts it."""
        stop.wait()

    def native(self, path: str) -> str:
        """Make a path absolute."""
        return os.path.abspath(path)

    def plain(self, path: str) -> str:
        """Return it as it is."""
        return path

    def same_name(self, one: str, other: str) -> bool:
        """Compare byte for byte."""
        return one == other

    def is_marked(self, stat: os.stat_result) -> bool:
        """No write bit at all."""
        return not stat.st_mode & 0o222

    def is_plain_file(self, stat: os.stat_result) -> bool:
        """Tell whether this is a regular file."""
        return st.S_ISREG(stat.st_mode)

    def is_plain_folder(self, stat: os.stat_result) -> bool:
        """Tell whether this is a folder."""
        return st.S_ISDIR(stat.st_mode)

    def is_absent(self, error: OSError) -> bool:
        """ENOENT and ENOTDIR."""
        return error.errno in {errno.ENOENT, errno.ENOTDIR}

    def marked_at(self, stat: os.stat_result) -> float:
        """Return when mode or content changed last."""
        return stat.st_ctime

    def volume(self, path: str) -> int:
        """Return the device number."""
        return os.stat(path).st_dev

    def is_mount_point(self, path: str) -> bool:
        """Compare it with what is above it, in two looks: `os.path.ismount` takes one a segment."""
        try:
            stat, above = os.lstat(path), os.lstat(os.path.join(path, os.pardir))
        except OSError:  # it may be denied to go through it
            return os.path.ismount(path)
        is_top = (stat.st_dev, stat.st_ino) == (above.st_dev, above.st_ino)
        return st.S_ISDIR(stat.st_mode) and (is_top or stat.st_dev != above.st_dev)

    def is_local(self, path: str) -> bool:
        """Tell whether the file system's type is one that is known to keep its folders' times."""
        try:
            return _file_system(os.path.realpath(path)) in _KEEPS_TIMES
        except OSError:
            return False

    def counts_folders(self, path: str) -> bool:
        """Tell whether the file system's type is one that is known to do so."""
        try:
            return _file_system(os.path.realpath(path)) in _COUNTS_FOLDERS
        except OSError:
            return False

    def has_no_folder(self, stat: os.stat_result) -> bool:
        """Count the links."""
        return stat.st_nlink == _NO_FOLDER_INSIDE and st.S_ISDIR(stat.st_mode)

    def open_source(self, root: str, path: str) -> int:
        """Walk down by descriptors; a read lease tells whether anyone has it open for writing.

        Where leases don't exist (network and FUSE file systems, another user's file) nobody can
        tell, and the fingerprint taken before and after the copy is all there is.
        """
        with _folders.below(root, os.path.dirname(path)) as folder:
            descriptor = os.open(os.path.basename(path), _FILE, dir_fd=folder)
        try:
            _refuse_writers(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def folders_kept(self) -> AbstractContextManager[None]:
        """Keep their descriptors; a folder that is moved meanwhile stays the one it was."""
        return _folders.kept()

    def open_for_reading(self, path: str) -> int:
        """Open without following a link or waiting for a pipe."""
        return os.open(path, _FILE)

    def forget_cached(self, descriptor: int) -> None:
        """POSIX_FADV_DONTNEED starts write-back of dirty pages and drops clean ones."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def fetch_early(self, descriptor: int) -> None:
        """POSIX_FADV_WILLNEED starts reading ahead."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)

    def flush_range(self, descriptor: int, start: int, size: int) -> bool:
        """Do so by sync_file_range(2)."""
        return posix_flushing.flush_range(descriptor, start, size)

    def create_part(self, path: str) -> int:
        """Create it exclusively, private to this user."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def streams(self, path: str) -> tuple[str, ...]:
        """None: extended attributes are the file system's own business here."""
        return ()

    def keeps_streams(self, folder: str) -> bool:
        """Say no."""
        return False

    def dress(self, path: str, look: os.stat_result) -> None:
        """Do nothing: there is nothing else."""

    def write_stream(self, path: str, name: str, content: bytes) -> None:
        """Set the extended attribute `user.<name>`; flushed with the file."""
        if not hasattr(os, "setxattr"):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)
        os.setxattr(path, f"user.{name}", content, follow_symlinks=False)

    def read_stream(self, path: str, name: str) -> bytes | None:
        """Read the extended attribute `user.<name>`."""
        if not hasattr(os, "getxattr"):
            return None
        try:
            return os.getxattr(path, f"user.{name}", follow_symlinks=False)
        except OSError as error:
            if error.errno in {errno.ENODATA, errno.EPERM, *_NO_SUCH_FLAG}:
                return None
            raise

    def prepare_part(self, descriptor: int, times_ns: tuple[int, int]) -> None:
        """Set the times and the mark before flushing, so that they are durable too."""
        os.utime(descriptor, ns=times_ns)
        os.fchmod(descriptor, _MARKED)
        self.forget_cached(descriptor)

    def flush_volumes(self, folders: Collection[str], files: int, size: int) -> bool:
        """Do so by syncfs(2), where that is known to do as much as fsync(2)."""
        return posix_flushing.flush_volumes(folders, files, size)

    def flush_part(self, descriptor: int, *, alone: bool = True) -> None:
        """fsync(2), unless its volume was flushed."""
        posix_flushing.flush(descriptor, alone=alone)

    def close_part(self, descriptor: int, path: str, times_ns: tuple[int, int]) -> None:
        """Close; nothing is left to be set."""
        os.close(descriptor)

    def mark(self, path: str) -> None:
        """Readable by all, writable by none, as the producer marks its files."""
        os.chmod(path, _MARKED)

    def publish(self, part: str, path: str) -> None:
        """Rename with RENAME_NOREPLACE, else link and unlink."""
        _move(part, path)

    def flush_file(self, path: str, *, alone: bool = True) -> bool:
        """Flush a file through a descriptor that can only read."""
        descriptor = os.open(path, _FILE)
        try:
            posix_flushing.flush(descriptor, alone=alone)
        finally:
            os.close(descriptor)
        return True

    def flush_folder(self, path: str) -> None:
        """Flush the names in a folder; some network file systems have no such thing."""
        descriptor = posix_folders.open_folder(path)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_SUCH_FLAG:
                raise
        finally:
            os.close(descriptor)

    def remove_part(self, path: str) -> None:
        """Unlink."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def remove_source(
        self, root: str, path: str, is_same: Callable[[os.stat_result], bool]
    ) -> None:
        """Look through the folder's descriptor, unlink through the same descriptor."""
        name = os.path.basename(path)
        with _folders.below(root, os.path.dirname(path)) as folder:
            if not is_same(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                raise SourceChanged("changed before it could be removed", path=path)
            os.unlink(name, dir_fd=folder)

    def move_source(
        self, root: str, path: str, target: str, is_same: Callable[[os.stat_result], bool]
    ) -> None:
        """Rename through the descriptors of both folders, then look at what was moved."""
        name, new = os.path.basename(path), os.path.basename(target)
        with (
            _folders.below(root, os.path.dirname(path)) as folder,
            _folders.at(os.path.dirname(target)) as destination,
        ):
            if not is_same(os.stat(name, dir_fd=folder, follow_symlinks=False)):
                raise SourceChanged("changed before it could be moved", path=path)
            _move(name, new, folder, destination)
            if not is_same(os.stat(new, dir_fd=destination, follow_symlinks=False)):
                _move(new, name, destination, folder)
                raise SourceChanged("was replaced while it was moved", path=path)


def _refuse_writers(descriptor: int, path: str) -> None:
    """Take a read lease and give it back: the kernel refuses it while anyone may write."""
    if not st.S_ISREG(os.fstat(descriptor).st_mode):
        raise SourceChanged("is no regular file any more", path=path)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise SourceBusy("still open for writing in another program", path=path) from error
        return
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

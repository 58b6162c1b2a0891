"""Linux: watchdog's parts for inotify, put together so that nothing waits and no loss is silent.

watchdog hands an event from thread to thread, and holds each back for half a second while it waits
for the other half of a rename out of a watched folder; we rename sources away all day. So the
first half is never asked for (what is moved in arrives at once, and watchdog watches a folder that
arrives so), and the thread that reads from the kernel tells the data root itself.
"""

from __future__ import annotations

import ctypes
import errno
import os

from watchdog.observers.inotify import InotifyWatchGroup
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
    inotify_rm_watch,
)
from watchdog.observers.inotify_move_event_grouper import (
    GroupedInotifyEvent,
    InotifyMoveEventGrouper,
    PathedInotifyEvent,
)

from watcher.platform import system
from watcher.sources.observer.protocol import Root

_MASK = Mask(
    InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_ONLYDIR
)
"""What can make a finished file. Writing can't, until the file is closed: it isn't asked for,
because a large file has one such event for each buffer."""


class _Kernel(InotifyFD):
    """The inotify instance, and the one thread that reads from it.

    All its watches belong to one tree, so that nothing is kept here of each: folders are many.
    """

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._root = root
        self._tree: WatchCallback | None = None

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, _id: CallbackId
    ) -> WatchDescriptor:
        """Watch a folder; watchdog goes on without those that raise."""
        if self._root.is_left_out(os.fsdecode(path)):
            raise OSError(errno.EPERM, "is excluded")
        self._tree = callback
        watch = inotify_add_watch(self._inotify_fd, path, mask)
        if watch == -1:
            number = ctypes.get_errno()
            if number == errno.ENOSPC:
                self._root.limited()
            raise OSError(number, os.strerror(number), os.fsdecode(path))
        return watch

    def remove_callbacks(self, callbacks: list[tuple[WatchDescriptor, CallbackId]]) -> None:
        """Watch some folders no more."""
        for watch, _ in callbacks:
            inotify_rm_watch(self._inotify_fd, watch)

    def handle_event(self, event: InotifyEvent) -> None:
        """Pass an event to the tree."""
        if self._tree is None:
            return
        if event.is_queue_overflow:
            self._tree.on_queue_overflow()
        elif event.is_ignored:
            self._tree.on_watch_deleted(event.wd)
        else:
            self._tree.on_event(event)

    def run(self) -> None:
        """Read events; never end without a word."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001
            self._root.died(error)


class _Straight(InotifyMoveEventGrouper):
    """Stands where watchdog collects events for another thread: tells them as they come."""

    def __init__(self, path: bytes, root: Root) -> None:
        super().__init__()
        self._path = path
        self._root = root

    def put_event(self, event: GroupedInotifyEvent) -> None:
        """Tell an event; the first halves of renames, with which some are grouped, never come."""
        if not isinstance(event, PathedInotifyEvent):
            return
        if not event.ev.is_delete_self:
            self._root.happened(os.fsdecode(event.path), is_folder=event.ev.is_directory)
        elif event.path == self._path:
            self._root.died(FileNotFoundError("the data root was removed"))

    def get_queued_moved_from_event(self, cookie: int) -> PathedInotifyEvent | None:
        """Know of none."""
        return None


class _Tree(InotifyWatchGroup):
    """All folders of a data root; an error in watchdog's book-keeping doesn't end the thread."""

    def __init__(self, kernel: _Kernel, path: str, root: Root) -> None:
        """Watch them."""
        self._root = root
        self._counts = system.counts_folders(path)
        self._device = os.stat(path).st_dev
        super().__init__(kernel, os.fsencode(path), _MASK, is_recursive=True)

    def __post_init__(self) -> None:
        """Tell events straight on from the first."""
        self._move_event_grouper = _Straight(self.path, self._root)
        super().__post_init__()

    def on_event(self, event: InotifyEvent) -> None:
        """Take an event from the kernel."""
        try:
            super().on_event(event)
        except Exception as error:  # noqa: BLE001
            self._root.died(error)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a folder, unless that was done when its watch was taken away."""
        try:
            if wd in self._active_callbacks_by_watch:
                super().on_watch_deleted(wd)
        except Exception as error:  # noqa: BLE001
            self._root.died(error)

    def on_queue_overflow(self) -> None:
        """Tell it when all is watched again: a rescan from then on misses nothing."""
        try:
            super().on_queue_overflow()
        except Exception as error:  # noqa: BLE001
            self._root.died(error)
        self._root.overflowed()

    def _add_all_callbacks(self, path: bytes) -> None:
        """Watch a folder and all below it: first the watch, then the look for what is inside."""
        self._add_callback(path)
        deeper = [path]
        while deeper:
            for folder in self._folders_in(deeper.pop()):
                self._add_callback(folder)
                if folder in self._active_callbacks_by_path:
                    deeper.append(folder)

    def _folders_in(self, path: bytes) -> list[bytes]:
        """Return the folders in a folder, which needn't be listed if it says that it has none."""
        try:
            if self._counts:
                stat = os.lstat(path)
                if system.has_no_folder(stat) and stat.st_dev == self._device:
                    return []
            with os.scandir(path) as entries:
                return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:  # gone, or denied: the rescan tells
            return []

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:
        """Make nothing up: whoever is told of a new folder looks below it."""
        return []


class Backend:
    """Watches one root with an inotify instance of its own."""

    def __init__(self, root: Root, path: str) -> None:
        """Raises `OSError` where the system has no instance left."""
        self._root = root
        self._path = path
        self._kernel = _Kernel(root)
        self._tree: _Tree | None = None

    def start(self) -> None:
        """Read before anything is watched; `OSError` if the root can't be."""
        self._kernel.start()
        self._tree = _Tree(self._kernel, self._path, self._root)

    def end(self) -> None:
        """Watch nothing any more; its thread has ended when this returns."""
        if self._tree is not None:
            self._tree.deactivate()
        self._kernel.stop()
        if self._kernel.is_alive():
            self._kernel.join()

    def is_sound(self) -> bool:
        """Tell whether all that must run does."""
        return self._kernel.is_alive()

"""Linux: watchdog's parts for inotify, put together so that nothing waits and no loss is silent.

watchdog holds every event back for half a second while it waits for the other half of a rename
out of a watched folder, and we rename sources away all day. So the first half is never asked for:
what is moved in arrives as created, at once, and watchdog watches a folder that arrives so.
"""

from __future__ import annotations

import errno
import os

from watchdog.events import FileSystemEvent
from watchdog.observers.api import BaseObserver, EventQueue, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

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


class _Guard(WatchCallback):
    """Stands before watchdog's book-keeping of one root: an error in it doesn't end the thread.

    It is small, too: watchdog formats the whole of what it guards into a warning, again and again.
    """

    def __init__(self, guarded: WatchCallback, root: Root) -> None:
        self._guarded = guarded
        self._root = root

    def on_event(self, event: InotifyEvent) -> None:
        try:
            self._guarded.on_event(event)
        except Exception as error:  # noqa: BLE001
            self._root.died(error)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        try:
            self._guarded.on_watch_deleted(wd)
        except Exception as error:  # noqa: BLE001
            self._root.died(error)

    def on_queue_overflow(self) -> None:
        """Tell it when all is watched again: a rescan from then on misses nothing."""
        try:
            self._guarded.on_queue_overflow()
        except Exception as error:  # noqa: BLE001
            self._root.died(error)
        self._root.overflowed()


class _Kernel(InotifyFD):
    """The inotify instance."""

    def __init__(self, root: Root) -> None:
        super().__init__()
        self._root = root
        self._guards: dict[CallbackId, _Guard] = {}

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a folder; watchdog goes on without those that raise."""
        if self._root.is_left_out(os.fsdecode(path)):
            raise OSError(errno.EPERM, "is excluded")
        guard = self._guards.setdefault(id_, _Guard(callback, self._root))
        try:
            return super().add_callback(path, mask, guard, id_)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._root.limited()
            raise

    def run(self) -> None:
        """Read events; never end without a word."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001
            self._root.died(error)


class _Emitter(InotifyEmitter):
    """Turns what the kernel tells into events."""

    def __init__(
        self,
        event_queue: EventQueue,
        watch: ObservedWatch,
        *,
        timeout: float,
        event_filter: list[type[FileSystemEvent]] | None,
        kernel: _Kernel,
        root: Root,
    ) -> None:
        super().__init__(
            event_queue, watch, timeout=timeout, event_filter=event_filter, inotify_fd=kernel
        )
        self._root = root

    def get_event_mask_from_filter(self) -> Mask:
        """Ask for what can make a finished file, and not for the first half of a rename."""
        return _MASK

    def run(self) -> None:
        """Pass events on; never end without a word."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001
            self._root.died(error)


class Backend(BaseObserver):
    """Watches one root with an inotify instance of its own."""

    def __init__(self, root: Root) -> None:
        """Raises `OSError` where the system has no instance left."""
        self._kernel = _Kernel(root)
        super().__init__(_Emitter, kernel=self._kernel, root=root)

    def is_sound(self) -> bool:
        """Tell whether all that must run does."""
        threads = [self, self._kernel, *self.emitters]
        return bool(self.emitters) and all(thread.is_alive() for thread in threads)

    def on_thread_start(self) -> None:
        """Read before anything is watched."""
        self._kernel.start()
        super().on_thread_start()

    def on_thread_stop(self) -> None:
        """End in the opposite order."""
        super().on_thread_stop()
        self._kernel.stop()
        if self._kernel.is_alive():
            self._kernel.join()

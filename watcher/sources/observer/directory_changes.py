"""Windows: watchdog's reader of ReadDirectoryChangesW, so that nothing waits and no loss is silent.

watchdog collects what it reads until nothing has come for a while, and only then hands it on; while
anything is written, that is never. Here the thread that reads tells the data root itself, at once.
And it asks for little: for names and attributes, which can make a finished file. Writing can't, so
that others may write as much as they like: the system doesn't even tell of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time

if sys.platform == "win32":
    from ctypes import wintypes

    from watchdog.observers import winapi

    from watcher.sources.observer.notes import read_notes
    from watcher.sources.observer.protocol import Root

    _WHAT = (
        winapi.FILE_NOTIFY_CHANGE_FILE_NAME
        | winapi.FILE_NOTIFY_CHANGE_DIR_NAME
        | winapi.FILE_NOTIFY_CHANGE_ATTRIBUTES
    )
    _ARRIVED = (winapi.FILE_ACTION_CREATED, winapi.FILE_ACTION_RENAMED_NEW_NAME)
    _LOST = (1022, 997)
    """What some systems say of an overflow, where others return an empty buffer; what Wine says
    of a call that was cut short."""
    _PATIENCE = 5.0
    """Seconds to wait for the reading thread to end."""

    class Backend(winapi.DirectoryChangeReader):
        """Watches one root in a thread that reads what Windows tells of it and all below it."""

        def __init__(self, root: Root, path: str) -> None:
            """Watch nothing yet."""
            super().__init__(path, recursive=True)
            self._root = root
            self._has_begun = threading.Event()

        def start(self) -> None:
            """Return when the system takes note of everything, which its first call brings about.

            That call ends when something happens, or is called off here; notes are taken from
            then on, between two calls too.
            """
            super().start()
            deadline = time.monotonic() + _PATIENCE
            while not self._has_begun.wait(0.005) and time.monotonic() < deadline:
                self._call_off()

        def is_sound(self) -> bool:
            """Tell whether it reads."""
            return self._reader_thread is not None and self._reader_thread.is_alive()

        def end(self) -> None:
            """Call the thread off until it has ended.

            Once isn't enough: a call that comes just before the thread begins to wait is lost.
            """
            with self._lock:
                self._should_stop = True
                thread, self._reader_thread = self._reader_thread, None
            deadline = time.monotonic() + _PATIENCE
            while thread is not None and thread.is_alive() and time.monotonic() < deadline:
                self._call_off()
                thread.join(0.02)

        def _call_off(self) -> None:
            """End the call that the thread waits in, if it does."""
            with self._lock, contextlib.suppress(OSError):
                if self._handle is not None:
                    winapi.CancelIoEx(self._handle, None)

        def _run(self) -> None:
            """Never end without a word: a share that drops out ends it."""
            try:
                super()._run()
            except Exception as error:  # noqa: BLE001
                self._root.died(error)

        def _run_inner(
            self,
            handle: wintypes.HANDLE,
            event_buffer: ctypes.Array[ctypes.c_char],
            nbytes: wintypes.DWORD,
        ) -> None:
            """Wait for the next buffer, and tell what is in it."""
            try:
                winapi.ReadDirectoryChangesW(
                    *(handle, ctypes.byref(event_buffer), len(event_buffer), True, _WHAT),
                    *(ctypes.byref(nbytes), None, None),
                )
            except OSError as error:
                if error.winerror == winapi.ERROR_OPERATION_ABORTED:
                    self._has_begun.set()
                    return
                if error.winerror not in _LOST:
                    raise
                nbytes.value = 0
            if not nbytes.value and self._has_begun.is_set() and not self._should_stop:
                self._root.overflowed()
            self._has_begun.set()
            for action, name in read_notes(event_buffer.raw[: nbytes.value]):
                self._tell(action, os.path.join(self._path, name))

        def _tell(self, action: int, path: str) -> None:
            """Tell what can be a finished file, or hold some."""
            if action in _ARRIVED:
                is_folder = not self._root.is_left_out(path) and os.path.isdir(path)
                self._root.happened(path, is_folder=is_folder)
            elif action == winapi.FILE_ACTION_MODIFIED:
                self._root.happened(path, is_folder=False)

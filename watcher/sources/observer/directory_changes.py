"""Windows: watchdog's parts for ReadDirectoryChangesW, so that nothing waits and no loss is silent.

watchdog hands events on once none has come for a while; while anything is written, that is never.
Here every buffer that the system fills is handed on at once. An overflow arrives as an empty
buffer, which watchdog drops; here it is told.
"""

from __future__ import annotations

import contextlib
import sys
import time

if sys.platform == "win32":
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver, EventQueue, ObservedWatch
    from watchdog.observers.read_directory_changes import WindowsApiEmitter
    from watchdog.observers.winapi import CancelIoEx, DirectoryChangeReader

    from watcher.sources.observer.buffers import Buffers
    from watcher.sources.observer.events import WANTED, Listener
    from watcher.sources.observer.protocol import Root

    _TIMEOUT = 0.5
    """Seconds that stopping may take: how often an idle thread looks whether it should end."""

    _PATIENCE = 5.0
    """Seconds to wait for a reading thread to end."""

    class _Reader(DirectoryChangeReader):
        """Reads what Windows tells."""

        def __init__(self, path: str, root: Root) -> None:
            super().__init__(path, recursive=True)
            self._buf_queue = Buffers(root.overflowed)
            self._root = root

        def is_sound(self) -> bool:
            return self._reader_thread is not None and self._reader_thread.is_alive()

        def stop(self) -> None:
            """Call the reading thread off until it has ended.

            Once isn't enough: a call that comes just before the thread begins to wait is lost.
            """
            with self._lock:
                self._should_stop = True
                thread, self._reader_thread = self._reader_thread, None
            deadline = time.monotonic() + _PATIENCE
            while thread is not None and thread.is_alive() and time.monotonic() < deadline:
                with self._lock, contextlib.suppress(OSError):
                    if self._handle is not None:
                        CancelIoEx(self._handle, None)
                thread.join(0.02)

        def _run(self) -> None:
            """Never end without a word: a share that drops out ends it."""
            try:
                super()._run()
            except Exception as error:  # noqa: BLE001
                self._root.died(error)

    class _Emitter(WindowsApiEmitter):
        """Turns what Windows tells into events."""

        def __init__(
            self,
            event_queue: EventQueue,
            watch: ObservedWatch,
            *,
            timeout: float,
            event_filter: list[type[FileSystemEvent]] | None,
            root: Root,
        ) -> None:
            super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter)
            self._root = root

        def on_thread_start(self) -> None:
            """Read with a reader of ours."""
            reader = _Reader(self.watch.path, self._root)
            with self._lock:
                self._reader = reader
            reader.start()

        def is_sound(self) -> bool:
            reader = self._reader
            return self.is_alive() and isinstance(reader, _Reader) and reader.is_sound()

        def run(self) -> None:
            """Pass events on; never end without a word."""
            try:
                super().run()
            except Exception as error:  # noqa: BLE001
                self._root.died(error)

    class Backend(BaseObserver):
        """Watches one root."""

        def __init__(self, root: Root, path: str) -> None:
            """Watch nothing yet."""
            super().__init__(_Emitter, timeout=_TIMEOUT, root=root)
            self.schedule(Listener(path, root), path, recursive=True, event_filter=WANTED)

        def end(self) -> None:
            """Watch nothing any more; its threads have ended when this returns."""
            self.stop()
            if self.is_alive():
                self.join()

        def is_sound(self) -> bool:
            """Tell whether all that must run does."""
            emitters = [emitter for emitter in self.emitters if isinstance(emitter, _Emitter)]
            return self.is_alive() and bool(emitters) and all(e.is_sound() for e in emitters)

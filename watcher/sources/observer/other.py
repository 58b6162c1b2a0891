"""Other systems: whatever watchdog has for them, but never its polling, which sees no marks."""

from __future__ import annotations

import sys

if sys.platform != "win32" and not sys.platform.startswith("linux"):
    from watchdog.observers import Observer
    from watchdog.observers.polling import PollingObserver

    from watcher.sources.observer.events import WANTED, Listener
    from watcher.sources.observer.protocol import Root

    class Backend(Observer):  # type: ignore[valid-type, misc]
        """Watches one root."""

        def __init__(self, root: Root, path: str) -> None:
            """Raises `NotImplementedError` where there is only polling."""
            if isinstance(self, PollingObserver):
                raise NotImplementedError("this system tells nothing; the rescan finds all files")
            super().__init__()
            self.schedule(Listener(path, root), path, recursive=True, event_filter=WANTED)

        def end(self) -> None:
            """Watch nothing any more; its threads have ended when this returns."""
            self.stop()
            if self.is_alive():
                self.join()

        def is_sound(self) -> bool:
            """Tell whether all that must run does."""
            return bool(self.emitters) and all(e.is_alive() for e in (self, *self.emitters))

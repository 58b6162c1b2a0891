"""What watchdog's own observers tell, put plainly to a data root."""

from __future__ import annotations

import os

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

from watcher.sources.observer.protocol import Root

WANTED: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""All but opened and closed unwritten: those are echoes of our own reading."""


class Listener(FileSystemEventHandler):
    """Takes events for a data root."""

    def __init__(self, path: str, root: Root) -> None:
        """Take them for the root that is watched under this path."""
        self._path = path
        self._root = root

    def dispatch(self, event: FileSystemEvent) -> None:
        """Tell an event; what came with a folder is found by looking below it."""
        if event.is_synthetic:
            return
        path = os.fsdecode(event.dest_path or event.src_path)
        if not isinstance(event, DirDeletedEvent):
            self._root.happened(path, is_folder=event.is_directory)
        elif path == self._path:
            self._root.died(FileNotFoundError("the data root was removed"))

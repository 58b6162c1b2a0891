"""Defects that are sown into the program in a child, to see that the suite catches each.

Only the server's children import this; what is patched here is the program.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Any


def copying_in_place() -> None:
    """Write under the final name at once, and publish by doing nothing."""
    from watcher.platform import system  # noqa: PLC0415

    real = system.publish

    def publish(part: str, path: str) -> None:
        if part != path:  # so it is not what was written in place
            real(part, path)

    from watcher.transfer import steps  # noqa: PLC0415

    prepare = steps.prepare

    def prepared(batch: Any, shipment: Any) -> None:
        prepare(batch, shipment)
        if not os.path.lexists(shipment.transfer.place.path):
            shipment.part = shipment.transfer.place.path

    steps.prepare = prepared
    _patch(system, "publish", publish)


def no_flush() -> None:
    """Flush no file."""
    from watcher.platform import system  # noqa: PLC0415

    _patch(system, "flush_volumes", lambda folders, files, size: True)
    _patch(system, "flush_part", lambda descriptor, **how: None)
    _patch(system, "forget_cached", lambda descriptor: None)


def no_folder_flush() -> None:
    """Flush no folder."""
    from watcher.platform import system  # noqa: PLC0415

    _patch(system, "flush_folder", lambda path: None)


def look_then_rename() -> None:
    """Look whether the name is free, then rename over whatever came meanwhile."""
    from watcher.platform import system  # noqa: PLC0415

    def publish(part: str, path: str) -> None:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(part, path)

    _patch(system, "publish", publish)


def shared_temporary_name() -> None:
    """Give every temporary file the same name, for any watcher."""
    from watcher.destination import PartNames  # noqa: PLC0415
    from watcher.platform import system  # noqa: PLC0415

    def create_part(path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    new = PartNames.new

    def shared(self: PartNames) -> str:
        """Name what is copied so, not what only probes."""
        is_copy = sys._getframe(2).f_globals["__name__"] == "watcher.transfer"
        is_copy |= sys._getframe(1).f_globals["__name__"] == "watcher.transfer"
        return ".watcher-shared.part" if is_copy else new(self)

    PartNames.new = shared  # type: ignore[method-assign]
    _patch(system, "create_part", create_part)


def opening_by_path() -> None:
    """Open a source by its path, links to folders followed."""
    from watcher.platform import system  # noqa: PLC0415

    _patch(system, "open_source", lambda root, path: os.open(path, os.O_RDONLY | os.O_NOFOLLOW))


def exists_on_an_error() -> None:
    """Take a name that is there after an error for success, whatever it holds."""
    from watcher.transfer import steps  # noqa: PLC0415

    steps.has = lambda batch, place, shipment: os.path.exists(place.path)  # type: ignore[assignment]


def a_handler_that_dies() -> None:
    """Let the thread that hands hints over end with an error, once."""
    from watcher.sources.observer.root import WatchedRoot  # noqa: PLC0415

    real = WatchedRoot.happened

    def happened(self: WatchedRoot, path: str, *, is_folder: bool) -> None:
        WatchedRoot.happened = real  # type: ignore[method-assign]
        sys.exit()

    WatchedRoot.happened = happened  # type: ignore[method-assign]


def a_thread_that_is_deaf() -> None:
    """Hand no hint over until it is started anew, with all threads alive."""
    from watcher.sources.observer.root import WatchedRoot  # noqa: PLC0415

    real, attach, attached = WatchedRoot.happened, WatchedRoot.attach, []

    def happened(self: WatchedRoot, path: str, *, is_folder: bool) -> None:
        if len(attached) > 1:
            real(self, path, is_folder=is_folder)

    def counted(self: WatchedRoot) -> str:
        attached.append(self)
        return attach(self)

    WatchedRoot.happened = happened  # type: ignore[method-assign]
    WatchedRoot.attach = counted  # type: ignore[method-assign]


SEEDS: dict[str, Callable[[], None]] = {
    "copying in place": copying_in_place,
    "no flush": no_flush,
    "no folder flush": no_folder_flush,
    "look, then rename": look_then_rename,
    "a shared temporary name": shared_temporary_name,
    "opening by path": opening_by_path,
    "exists() on an error": exists_on_an_error,
}


BREAKDOWNS: dict[str, Callable[[], None]] = {
    "a handler that dies": a_handler_that_dies,
    "a thread that is deaf": a_thread_that_is_deaf,
}
"""What may break in a thread of ours, and must be noticed: no defect of the program."""


def sow(name: str) -> None:
    """Patch a defect into this process."""
    (SEEDS | BREAKDOWNS)[name]()


def _patch(target: Any, name: str, value: Any) -> None:
    with contextlib.suppress(AttributeError):
        setattr(target, name, value)
        return
    setattr(type(target), name, staticmethod(value))

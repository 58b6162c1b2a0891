"""What lies between the thread that reads from Windows and the one that hands events on."""

from __future__ import annotations

import queue
from collections.abc import Callable

Buffer = tuple[bytes, bool]


class Buffers(queue.Queue[Buffer]):
    """A queue that hands over one buffer at a time, and notices an overflow.

    watchdog collects buffers until none has come for a while, and only then hands their events on;
    while anything is written, that is never. So after each buffer this queue says once that it is
    empty.

    Args:
        overflowed: called when Windows had more to tell than fits: it tells nothing then.

    """

    def __init__(self, overflowed: Callable[[], None]) -> None:
        """Begin empty; the first buffer that comes is watchdog's own mark that it has started."""
        super().__init__()
        self._overflowed = overflowed
        self._has_started = False
        self._has_handed_over = False

    def put(self, item: Buffer, block: bool = True, timeout: float | None = None) -> None:
        """Take a buffer; an empty one is an overflow."""
        super().put(item, block, timeout)
        if self._has_started and not item[0]:
            self._overflowed()
        self._has_started = True

    def get(self, block: bool = True, timeout: float | None = None) -> Buffer:
        """Return a buffer, or say that there is none: after each one, and when none comes."""
        if self._has_handed_over:
            self._has_handed_over = False
            raise queue.Empty
        item = super().get(block, timeout)
        self._has_handed_over = True
        return item

"""Shows the snapshot until it is told to stop.

A terminal may stop taking output at any time, for ever: a click into a Windows console does it, or
Ctrl-S. So all that writes to it is done by one thread that nobody waits for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from rich.console import Console

from watcher.activity import Activity, Snapshot
from watcher.views.dashboard.frame import screen
from watcher.views.dashboard.summary import summary
from watcher.views.painting import Painter

FRAME = 0.25
"""It is drawn no more often than this, in seconds."""
SLICE = 0.5
"""How long Ctrl-C may go unnoticed on Windows, where a wait can't be interrupted."""
PATIENCE = 1.0
"""How long the terminal may take to be put back as it was, in seconds."""


def run_dashboard(
    activity: Activity,
    console: Console,
    stop: threading.Event,
    finish: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
) -> bool:
    """Show the dashboard until `stop` is set, or Ctrl-C sets it, and all is over; then a summary.

    Args:
        activity: whose snapshot is shown.
        console: where; nothing else may write there meanwhile.
        stop: ends it.
        finish: called then; what happens meanwhile is still shown, and is in the summary.
        patience: how long to wait at the end for the terminal, in seconds.

    Returns:
        False if the terminal takes no output: a thread is lost in it then, and the process must
        end without flushing the standard streams (`os._exit`).

    """
    # A daemon thread: one that is stuck in a write can't be ended, only left.
    over = threading.Event()
    thread = threading.Thread(
        target=_show, args=(activity, console, over), name="dashboard", daemon=True
    )
    thread.start()
    try:
        while not stop.wait(SLICE):
            pass
    except KeyboardInterrupt:
        stop.set()
    try:
        finish()
    finally:
        over.set()
    thread.join(patience)
    return not thread.is_alive()


def _show(activity: Activity, console: Console, over: threading.Event) -> None:
    with suppress(OSError, ValueError):  # the terminal is gone: there is nobody left to tell
        with console.screen(hide_cursor=True):
            _draw_until(activity, console, over)
        told = summary(activity.snapshot, time.time(), console.encoding)
        console.print(told, soft_wrap=True)


def _draw_until(activity: Activity, console: Console, over: threading.Event) -> None:
    shown: tuple[Snapshot, object, int] | None = None
    painter = Painter(console)
    while not over.is_set():
        snapshot, size, now = activity.snapshot, console.size, time.time()
        if shown is None or snapshot is not shown[0] or (size, int(now)) != shown[1:]:
            shown = snapshot, size, int(now)
            painter.paint(screen(snapshot, size, now, console.encoding))
        over.wait(FRAME)

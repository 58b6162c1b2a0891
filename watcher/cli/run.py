"""`watcher run`: watch until stopped."""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Exit, leave
from watcher.cli.logs import PATIENCE, log_file_of, logged
from watcher.cli.options import ConfigFile
from watcher.cli.progress import is_terminal

if TYPE_CHECKING:
    from watcher.activity import Activity
    from watcher.config import Config

_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")


def run(
    config: ConfigFile = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Log lines instead of the dashboard.")
    ] = False,
) -> None:
    """Watch until stopped: with a live dashboard on a terminal, with log lines elsewhere.

    Stop it with Ctrl-C. What is under way then is found and finished by the next start.

    Example: watcher run --headless --config watcher.yaml
    """
    from watcher.config import load
    from watcher.lock import locked

    loaded, stop = load(config), threading.Event()
    with asked_to_end(stop) as reasons, locked(loaded.state_dir):
        is_clean = watch(loaded, stop, reasons, headless=headless)
    if not is_clean:
        leave(Exit.DONE, PATIENCE)


@contextlib.contextmanager
def asked_to_end(stop: threading.Event) -> Iterator[list[str]]:
    """Let signals and the console's end set an event, from before anything begins to its end.

    A signal may come while the main thread holds the event's lock, or is about to tell another
    signal; so its handler only puts a word into a queue that needs no lock, for a thread.

    Args:
        stop: the event.

    Yields:
        Who asked, in order; empty if nobody did.

    """
    from watcher.platform import system

    reasons: list[str] = []
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def caught(number: int, _frame: object) -> None:
        asked.put(signal.Signals(number).name)

    def listen() -> None:
        while reason := asked.get():
            reasons.append(reason)
            stop.set()

    listener = threading.Thread(target=listen, name="asked to end", daemon=True)
    listener.start()
    try:
        with system.console_watched(asked.put):
            for number in _signals_to_catch():
                signal.signal(number, caught)
            yield reasons
    finally:
        asked.put("")
        listener.join()


def _signals_to_catch() -> list[signal.Signals]:
    """Leave out what whoever started it wants ignored, as `nohup` does."""
    there = [signal.Signals[name] for name in _SIGNALS if hasattr(signal, name)]
    return [number for number in there if signal.getsignal(number) is not signal.SIG_IGN]


def watch(config: Config, stop: threading.Event, reasons: Sequence[str], *, headless: bool) -> bool:
    """Run a watcher until it is stopped; the state folder's lock is held.

    Args:
        config: what is wanted.
        stop: ends it.
        reasons: who asked for that, when it is set.
        headless: no dashboard, even on a terminal.

    Returns:
        Whether all that was said was taken by the terminal and the log.

    """
    from watcher.activity import Activity
    from watcher.daemon import Watcher
    from watcher.platform import system

    activity = Activity()
    live = not headless and is_terminal(sys.stdout)
    with logged(config, activity, console=not live) as ending:
        watcher = Watcher(config, activity, log_file=log_file_of(config), stop=stop)

        def finish() -> None:
            watcher.stop(reasons[0] if reasons else "it was told to")

        watcher.start()
        if live:
            shown = _show(activity, watcher.stop_event, finish)
            ending.is_clean = shown and ending.is_clean
        else:
            system.wait(watcher.stop_event)
            finish()
    return ending.is_clean


def _show(activity: Activity, stop: threading.Event, finish: Callable[[], None]) -> bool:
    from rich.console import Console

    from watcher.views.dashboard import run_dashboard

    return run_dashboard(activity, Console(), stop, finish)

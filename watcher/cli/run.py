"""`watcher run`: watch until stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.logs import log_file_of, logged
from watcher.cli.options import ConfigFile

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
    """
    from watcher.config import load
    from watcher.daemon import locked

    loaded = load(config)
    with locked(loaded.state_dir):
        is_clean = watch(loaded, headless=headless)
    if not is_clean:
        # A thread is in a call to a share that hangs; nothing ends it but the end of the process.
        os._exit(0)


def watch(config: Config, *, headless: bool, stop: threading.Event | None = None) -> bool:
    """Run a watcher until it is stopped; the state folder's lock is held.

    Args:
        config: what is wanted.
        headless: no dashboard, even on a terminal.
        stop: ends it, as a signal does.

    Returns:
        Whether everything ended.

    """
    from watcher.activity import Activity
    from watcher.daemon import Watcher

    activity = Activity()
    live = not headless and sys.stdout is not None and sys.stdout.isatty()
    with logged(config, activity, console=not live):
        watcher = Watcher(config, activity, log_file=log_file_of(config), stop=stop)
        reasons = stop_on_signals(watcher.stop_event)
        watcher.start()
        if live:
            _show(activity, watcher.stop_event)
        while not watcher.stop_event.wait(0.5):  # in slices: Windows can't interrupt a long one
            pass
        return watcher.stop(reasons[0] if reasons else "the dashboard was left")


def stop_on_signals(stop: threading.Event) -> list[str]:
    """Let every signal that asks for an end set the event; returns who asked, as it happens."""
    reasons: list[str] = []

    def asked(number: int, _frame: object) -> None:
        reasons.append(signal.Signals(number).name)
        stop.set()

    for name in _SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), asked)
    return reasons


def _show(activity: Activity, stop: threading.Event) -> None:
    from rich.console import Console

    from watcher.views.dashboard import run_dashboard

    run_dashboard(activity, Console(), stop)

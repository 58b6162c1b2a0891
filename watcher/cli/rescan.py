"""`watcher rescan`: one pass over the data roots, then the end."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.logs import log_file_of, logged
from watcher.cli.options import ConfigFile

if TYPE_CHECKING:
    from watcher.config import Config


def rescan(
    config: ConfigFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would go where; touch nothing.")
    ] = False,
) -> int:
    """Archive what is finished now, then end: for a scheduled task.

    Ends with 0 if nothing was left behind, with 1 otherwise.

    Example: watcher rescan --dry-run
    """
    from watcher.config import load
    from watcher.lock import locked

    loaded = load(config)
    if dry_run:
        return _tell(loaded)
    with locked(loaded.state_dir):
        code, is_clean = _once(loaded)
    if not is_clean:
        os._exit(code)
    return code


def _once(config: Config) -> tuple[int, bool]:
    from watcher.activity import Activity
    from watcher.cli.run import call_on_signals
    from watcher.daemon import Watcher
    from watcher.platform import system

    activity, stop = Activity(), threading.Event()

    def asked(_reason: str) -> None:
        stop.set()

    with system.console_watched(asked), logged(config, activity, console=True) as ending:
        watcher = Watcher(config, activity, log_file=log_file_of(config), stop=stop)
        call_on_signals(asked)
        ended = watcher.run_once()
        ending.is_clean = watcher.stop("the pass is done")
    archived = activity.snapshot.archived
    typer.echo(f"archived {archived}, left behind {ended.left}")
    left = ended.left or ended.result.errors
    return (Exit.LEFT_BEHIND if left else Exit.DONE), ending.is_clean


def _tell(config: Config) -> int:
    from watcher.cli.printing import say
    from watcher.inquiry import preview

    for line in preview(config):
        say(line)
    return Exit.DONE

"""`watcher rescan`: one pass over the data roots, then the end."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Exit, leave
from watcher.cli.logs import PATIENCE, log_file_of, logged
from watcher.cli.options import ConfigFile
from watcher.cli.printing import say
from watcher.cli.progress import Moved, bar, is_terminal
from watcher.cli.run import asked_to_end

if TYPE_CHECKING:
    from watcher.activity import Snapshot
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
    stop = threading.Event()
    with asked_to_end(stop), locked(loaded.state_dir):
        code, is_clean = _once(loaded, stop)
    if not is_clean:
        leave(code, PATIENCE)
    return code


def _once(config: Config, stop: threading.Event) -> tuple[int, bool]:
    """Make one pass: log lines as it goes or, on a terminal, a bar and a summary."""
    from watcher.activity import Activity
    from watcher.daemon import Watcher

    activity, live = Activity(), is_terminal(sys.stdout)
    with logged(config, activity, console=not live) as ending:
        watcher = Watcher(config, activity, log_file=log_file_of(config), stop=stop)
        with bar("archiving") as moved:
            activity.listen(lambda _news: _show(activity.snapshot, moved))
            ended = watcher.run_once()
        watcher.stop("the pass is done")
    archived = activity.snapshot.archived
    if live:
        _sum_up(activity.snapshot)
    say(f"archived {archived}, left behind {ended.left}")
    left = ended.left or ended.result.errors
    return (Exit.LEFT_BEHIND if left else Exit.DONE), ending.is_clean


def _show(snapshot: Snapshot, moved: Moved) -> None:
    found = snapshot.rescan.finished  # 0 until the walk is over
    moved(snapshot.archived, max(found, snapshot.archived) if found else 0)


def _sum_up(snapshot: Snapshot) -> None:
    from rich.console import Console

    from watcher.views.dashboard import summary

    console = Console()
    console.print(summary(snapshot, time.time(), console.encoding), soft_wrap=True)


def _tell(config: Config) -> int:
    from watcher.inquiry import preview

    lines = preview(config)
    with bar("looking"):
        first = next(lines)  # it comes when all has been looked at
    for line in itertools.chain([first], lines):
        say(line)
    return Exit.DONE

"""`watcher status`: what runs, what waits, from another console."""

from __future__ import annotations

import json as json_module
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile, Json
from watcher.cli.progress import is_terminal

if TYPE_CHECKING:
    from rich.table import Table

    from watcher.config import Config

_EVERY = 1.0
"""Seconds between two looks of `--watch`."""


def status(
    config: ConfigFile = None,
    json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")
    ] = False,
) -> int:
    """Tell what runs, the backlog, the destinations, what stays behind, the last files.

    Example: watcher status --watch
    """
    from watcher.config import load

    live = is_terminal(sys.stdout)
    if watch and (json or not live):
        raise typer.BadParameter("--watch is for a terminal; programs ask again and again")
    loaded = load(config)
    if json:
        typer.echo(json_module.dumps(_told(loaded), indent=2))  # all ASCII
    elif live:
        _show(loaded, again=watch)
    else:
        _print(loaded)
    return Exit.DONE


def _print(config: Config) -> None:
    from watcher.cli.printing import say
    from watcher.views import standing

    for line in standing.text(_told(config), time.time()).splitlines():
        say(line)


def _show(config: Config, *, again: bool) -> None:
    from rich.console import Console

    from watcher.views import standing
    from watcher.views.painting import grid, watch

    console = Console()

    def look() -> Table:
        return grid(standing.rows(_told(config), time.time(), console.encoding))

    if again:
        watch(console, look, lambda: time.sleep(_EVERY))
    else:
        console.print(look())


def _told(config: Config) -> dict[str, Any]:
    from watcher import report
    from watcher.views.status import doubted

    said = report.status(config)
    return doubted(said, time.time()) if said else report.nothing(config)

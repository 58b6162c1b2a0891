"""`watcher status`: what runs, what waits, from another console."""

from __future__ import annotations

import json as json_module
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile, Json

if TYPE_CHECKING:
    from rich.text import Text

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
    from watcher import inquiry
    from watcher.config import load

    loaded = load(config)
    if watch:
        _watch(loaded, json=json)
    elif json:
        told = inquiry.status(loaded) or inquiry.nothing(loaded)
        typer.echo(json_module.dumps(told, indent=2))  # all ASCII
    else:
        _tell(loaded)
    return Exit.DONE


def _tell(config: Config) -> None:
    from watcher.cli.printing import say

    if sys.stdout is None or not sys.stdout.isatty():
        for line in _text(config, "utf-8").plain.splitlines():
            say(line)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_text(config, console.encoding), soft_wrap=True)


def _watch(config: Config, *, json: bool) -> None:
    if json or sys.stdout is None or not sys.stdout.isatty():
        raise typer.BadParameter("--watch is for a terminal; programs ask again and again")
    from rich.console import Console

    from watcher.views.painting import watch

    console = Console()
    watch(console, lambda: _text(config, console.encoding), lambda: time.sleep(_EVERY))


def _text(config: Config, encoding: str) -> Text:
    from watcher import inquiry
    from watcher.views import status as view

    told = inquiry.status(config) or inquiry.nothing(config)
    return view.text(told, time.time(), encoding)

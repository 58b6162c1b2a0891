"""`watcher status`: what runs, what waits, from another console."""

from __future__ import annotations

import json as json_module

import typer

from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile, Json
from watcher.cli.printing import say


def status(config: ConfigFile = None, json: Json = False) -> int:
    """Tell what runs, the backlog, the destinations, stranded files, the last files."""
    from watcher import inquiry
    from watcher.config import load
    from watcher.views import status as view

    loaded = load(config)
    found = inquiry.status(loaded)
    if json:
        typer.echo(json_module.dumps(found or inquiry.nothing(loaded), indent=2))  # all ASCII
    elif found is None:
        say(f"no watcher has run on the state folder {loaded.state_dir} yet")
    else:
        for line in view.text(found).plain.splitlines():
            say(line)
    return Exit.DONE

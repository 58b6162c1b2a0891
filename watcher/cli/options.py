"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; else $WATCHER_CONFIG, ./watcher.yaml, or the user's own.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]

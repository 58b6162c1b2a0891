"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Sequence
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


def refuse_unknown(destination: str | None, names: Sequence[str]) -> None:
    """Refuse the name of a destination that is none.

    Raises:
        typer.BadParameter: it is not one of `names`.

    """
    if destination not in {None, *names}:
        raise typer.BadParameter(
            f"--destination: found {destination!r}, expected one of {', '.join(names)}"
        )

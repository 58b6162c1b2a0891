"""`watcher why`: what holds a file back, or where it went."""

from __future__ import annotations

from typing import Annotated

import typer

from watcher.cli.options import ConfigFile


def why(
    file: Annotated[str, typer.Argument(help="A file, where bluesky wrote it.")],
    config: ConfigFile = None,
) -> None:
    r"""Tell the one rule that holds a file back, or where it went and when.

    Example: watcher why "C:\Data\RB123456\bluesky_scans\scan.txt"
    """
    from watcher import inquiry
    from watcher.cli.printing import say
    from watcher.config import load

    for line in inquiry.why(load(config), file):
        say(line)

"""`watcher resolve`: what waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile


def resolve(
    file: Annotated[str, typer.Argument(help="The file, where bluesky wrote it.")],
    config: ConfigFile = None,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Take it as it is; both checksums are put on record."),
    ] = False,
) -> int:
    r"""Look again at a file that differs from its producer's checksum, or take it as it is.

    Conflicts of the file are marked as seen. Ends with 1 while it still differs, and
    for what no watcher archives.

    Example: watcher resolve "C:\Data\RB123456\bluesky_scans\scan.txt" --accept
    """
    from watcher import resolution
    from watcher.cli.printing import notify, say
    from watcher.config import load

    lines, is_settled = resolution.resolve(load(config), file, accept=accept, tell=notify)
    for line in lines:
        say(line)
    return Exit.DONE if is_settled else Exit.LEFT_BEHIND

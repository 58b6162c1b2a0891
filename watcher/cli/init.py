"""`watcher init`: a configuration to start from."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from watcher.cli.printing import say
from watcher.errors import ConfigurationError


def init(
    file: Annotated[str, typer.Argument(help="Where to write it.")] = "watcher.yaml",
) -> None:
    """Write a commented configuration to start from; an existing file is never overwritten.

    Example: watcher init watcher.yaml
    """
    from watcher.config import commented
    from watcher.platform import system

    try:
        with open(file, "x", encoding="utf-8", newline="\n") as target:
            target.write(commented(system.name == "windows"))
    except FileExistsError as error:
        raise ConfigurationError(
            "is there already and is not overwritten", path=file, mend="name another file"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"can't be written: {error.strerror}", path=file) from error
    say(f"wrote {os.path.abspath(file)}: edit it, then try `watcher rescan --dry-run`")

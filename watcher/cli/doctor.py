"""`watcher doctor`: everything that could go wrong at the next boot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile
from watcher.cli.printing import say

if TYPE_CHECKING:
    from watcher.config import Config
    from watcher.diagnosis import Found


def doctor(
    config: ConfigFile = None,
    live: Annotated[
        bool, typer.Option("--live", help="Send a test file all the way through, and clean it up.")
    ] = False,
) -> int:
    """Look at everything that could go wrong at the next boot: a line each, with its mend.

    Ends with 0 if there is nothing to mend, else with 1.

    Example: watcher doctor --live
    """
    from watcher.config import load
    from watcher.diagnosis import diagnose

    loaded = load(config)
    to_mend = _tell(diagnose(loaded))
    if live:
        to_mend += _live(loaded)
    say(f"{to_mend} to mend" if to_mend else "nothing to mend")
    return Exit.LEFT_BEHIND if to_mend else Exit.DONE


def _tell(found: Iterable[Found]) -> int:
    """Print what was found as it comes; returns how much there is to mend."""
    to_mend = 0
    for one in found:
        say(f"{'MEND' if one.mend else 'ok':<5} {one.what}: {one.text}")
        if one.mend:
            say(f"      -> {one.mend}")
            to_mend += 1
    return to_mend


def _live(config: Config) -> int:
    from watcher.cli.progress import bar
    from watcher.trial import live

    with bar("a test file goes through") as moved:
        found = list(live(config, moved))
    return _tell(found)

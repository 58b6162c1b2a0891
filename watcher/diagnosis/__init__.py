"""Everything that could go wrong at the next boot: a line each, with its mend.

Nothing is guessed that can be tried: what is written is a temporary file of its own name, removed
at once. A call that hangs is left alone after a while, and said.
"""

from __future__ import annotations

from collections.abc import Iterator

from watcher.config import Config
from watcher.diagnosis.computer import of_computer
from watcher.diagnosis.destinations import of_destinations
from watcher.diagnosis.finding import Found
from watcher.diagnosis.roots import of_roots

__all__ = ["Found", "diagnose"]


def diagnose(config: Config) -> Iterator[Found]:
    """Look at everything; nothing stays behind.

    Yields:
        What was found, as it is found; what hangs is told after `retry.stalled_after` seconds.

    """
    yield from of_computer(config)
    yield from of_roots(config)
    yield from of_destinations(config)

"""How quickly a command is there: what it needs is imported when it needs it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from tests.benchmarks.measure import Options, Row, ratio_of
from tests.harness import Instrument

COMMANDS = (("--version",), ("status",), ("check",))
TURNS = 3
"""Turns a round: they are short."""


def measure(options: Options) -> Iterator[Row]:
    """Run commands, and Python doing nothing, in turn."""
    with Instrument(options.folder) as instrument:
        ours: dict[tuple[str, ...], list[float]] = {words: [] for words in COMMANDS}
        theirs: list[float] = []
        for _ in range(TURNS * options.rounds):
            theirs.append(run(instrument, sys.executable, "-c", "pass"))
            for words, seconds in ours.items():
                command = instrument.command(*words)
                seconds.append(run(instrument, *(command[:4] if "--version" in words else command)))
        for words, seconds in ours.items():
            row = ratio_of(f"watcher {words[0]}", seconds, "s", "python -c pass", theirs)
            milliseconds = row.figure * 1000, (row.theirs or 0.0) * 1000
            yield Row(
                row.work, milliseconds[0], "ms", row.rival, milliseconds[1], row.note, row.paired
            )


def run(instrument: Instrument, *command: str) -> float:
    """Return the seconds that a command takes; what it says of a watcher that isn't there is so."""
    began = time.perf_counter()
    subprocess.run(
        command,
        cwd=instrument.folder,
        env=instrument.environment(),
        capture_output=True,
        check=False,
    )
    return time.perf_counter() - began

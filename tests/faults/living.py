"""A watcher that goes on running, in a process of its own, with a fault or a defect in it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.faults.victim import Plan
from tests.harness import Instrument, Watcher
from tests.rules.evidence import log_lines


def start(
    instrument: Instrument,
    *,
    before: tuple[str, ...] = (),
    seed: str = "",
    plan: Plan | None = None,
    library: Path | None = None,
    **environment: str,
) -> Watcher:
    """Start a watcher, and return when it has looked at all there is.

    Args:
        instrument: what it works for.
        before: a command that is to start it.
        seed: the defect that it gets.
        plan: the fault that it gets; needs the library.
        library: what counts and fails its calls.
        environment: variables that it gets.

    """
    command = instrument.command("run", "--headless")
    if seed or plan:
        arguments = ["run", "--headless", "--config", str(instrument.config_file)]
        request = {"arguments": arguments, "seed": seed}
        request["plan"] = plan.wire(instrument.folder) if plan else None
        command = [sys.executable, "-m", "tests.faults.server", json.dumps(request)]
    variables = instrument.environment() | environment
    if library:
        variables["LD_PRELOAD"] = str(library)
    (instrument.state / "status.json").unlink(missing_ok=True)
    watcher = instrument.watcher = Watcher([*before, *command], variables, instrument.folder)
    instrument.wait_until(lambda: reported(instrument).get("next_rescan"))
    return watcher


def reported(instrument: Instrument) -> dict[str, Any]:
    """Return what the running watcher last wrote of itself; nothing if it hasn't yet."""
    try:
        found: dict[str, Any] = json.loads((instrument.state / "status.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def state(instrument: Instrument, destination: str = "archive") -> str:
    """Return the state of a destination."""
    destinations = reported(instrument).get("destinations", {})
    return str(destinations.get(destination, {}).get("state", ""))


def told(instrument: Instrument, *words: str) -> list[str]:
    """Return the log's lines that have one of these words in them."""
    return [line for line in log_lines(instrument) if any(word in line for word in words)]


def descriptors(pid: int) -> int:
    """Count a process's open files."""
    return len(os.listdir(f"/proc/{pid}/fd"))

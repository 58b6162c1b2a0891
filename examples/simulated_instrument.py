"""A simulated instrument: real bluesky scans, written by the real ibex_bluesky_core callbacks.

Three files a scan appear below `OUTPUT/RB<n>/bluesky_scans` (`OUTPUT/Unknown RB/bluesky_scans`
without an RB number): the points as text, a fit as text, a plot as PNG. Each is marked read-only
when its scan ends, which is what the watcher waits for. Nothing else is needed: the motor and the
detector are soft signals.

    pip install 'watcher[instrument]'
    python examples/simulated_instrument.py --output /tmp/data --scans 3 --rb 123456
"""

from __future__ import annotations

import argparse
import math
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import matplotlib as mpl
from bluesky.run_engine import RunEngine
from bluesky.utils import MsgGenerator
from matplotlib.figure import Figure
from ophyd_async.core import soft_signal_rw
from ophyd_async.plan_stubs import ensure_connected

# Read when ibex_bluesky_core is imported, and then made; its default is a folder on C:
os.environ["IBEX_BLUESKY_CORE_LOGS"] = os.environ.get(
    "IBEX_BLUESKY_CORE_LOGS", os.path.join(tempfile.gettempdir(), "ibex_bluesky_core_logs")
)

from ibex_bluesky_core.callbacks import (  # type: ignore[import-untyped]
    HumanReadableFileCallback,
    LiveFit,
    LiveFitLogger,
    LivePlot,
    PlotPNGSaver,
)
from ibex_bluesky_core.fitting import Gaussian  # type: ignore[import-untyped]

FEWEST_POINTS = 4  # a Gaussian has four parameters
DIED = 70

motor = soft_signal_rw(float, name="motor", units="mm", precision=3)
counts = soft_signal_rw(float, name="counts", precision=1)


def file_callbacks(postfix: str) -> list[Callable[..., Any]]:
    """Make the callbacks that write one scan's files.

    Args:
        postfix: ends the names of the files, which tell scans apart by the second only.

    """
    axes = Figure().subplots()
    fit = LiveFit(Gaussian.fit(), y="counts", x="motor", update_every=None)
    return [
        HumanReadableFileCallback(["motor", "counts"], output_dir=None, postfix=postfix),
        fit,
        LiveFitLogger(fit, y="counts", x="motor", postfix=f"{postfix}_fit", output_dir=None),
        LivePlot(y="counts", x="motor", ax=axes),
        PlotPNGSaver(x="motor", y="counts", ax=axes, postfix=postfix),
    ]


def scan(positions: Sequence[float], dies: bool = False) -> MsgGenerator[None]:
    """Move the motor through a peak and count at each position.

    Args:
        positions: where to count, in mm.
        dies: end the process half-way, as a crash or a power cut would. (After an exception
            the run engine would still end the run, and its files would be marked.)

    """
    yield from ensure_connected(motor, counts)
    yield from bps.open_run({"motors": ("motor",)})
    for number, position in enumerate(positions):
        if dies and number == len(positions) // 2:
            os._exit(DIED)
        yield from bps.mv(motor, position, counts, 10 + 100 * math.exp(-(position**2) / 2))
        yield from bps.trigger_and_read([motor, counts])
    yield from bps.close_run()


def show_files(output: Path) -> None:
    """Print every file that there is, and whether its producer has finished it."""
    for path in sorted(p for p in output.rglob("*") if p.is_file()):
        print("unfinished" if path.stat().st_mode & stat.S_IWUSR else "finished  ", path)


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", required=True, type=Path, help="the data root, made if missing")
    parser.add_argument("--scans", type=int, default=3, help="how many scans (default: 3)")
    parser.add_argument("--points", type=int, default=5, help="points of a scan, at least 4")
    parser.add_argument("--rb", help="RB number, as in 123456; none: 'Unknown RB'")
    parser.add_argument(
        "--die-in-scan", action="store_true", help=f"die in one more scan (exit code {DIED})"
    )
    options = parser.parse_args(arguments)
    if options.points < FEWEST_POINTS:
        parser.error(f"a fit needs --points {FEWEST_POINTS} or more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scans; returns the exit code."""
    options = read_arguments(arguments)
    mpl.use("agg")
    output = options.output.resolve()
    os.environ["IBEX_BLUESKY_CORE_OUTPUT"] = str(output)
    metadata = {"rb_number": options.rb} if options.rb else {}
    positions = [6 * i / (options.points - 1) - 3 for i in range(options.points)]

    engine = RunEngine()  # an instrument has get_run_engine(), which also wants a Kafka server
    for number in range(options.scans):
        engine(scan(positions), file_callbacks(f"_{number + 1}"), **metadata)
    show_files(output)
    if options.die_in_scan:
        print("dying in the middle of a scan", flush=True)
        engine(scan(positions, dies=True), file_callbacks("_died"), **metadata)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures the watcher against named tools: `python -m tests.benchmarks`, or `make bench`.

Figures depend on the machine and on what else it does; ratios less so. Nothing here ever fails
for being slow.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

import watcher
from tests.benchmarks import (
    burst,
    command,
    drain,
    flood,
    hints,
    latency,
    rescan,
    standing,
    throughput,
    verify,
)
from tests.benchmarks.measure import Options, Row, machine
from tests.harness import PROJECT

BENCHMARKS: Mapping[str, Callable[[Options], Iterator[Row]]] = {
    "command": command.measure,
    "latency": latency.measure,
    "hints": hints.measure,
    "rescan": rescan.measure,
    "standing": standing.measure,
    "flood": flood.measure,
    "burst": burst.measure,
    "small": throughput.small,
    "medium": throughput.medium,
    "large": throughput.large,
    "drain": drain.measure,
    "verify": verify.measure,
}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--marks", type=int, default=200, help="files taken one by one")
    parser.add_argument("--files", type=int, default=10_000, help="files dropped in at once")
    parser.add_argument("--size", type=int, default=4096, help="bytes of a file")
    parser.add_argument("--rounds", type=int, default=5, help="turns of ours and the rivals'")
    parser.add_argument("--tree", type=int, default=1_000_000, help="files of a full data root")
    parser.add_argument("--receipts", type=int, default=1_000_000, help="receipts of a long life")
    parser.add_argument("--idle", type=float, default=180.0, help="seconds of doing nothing")
    parser.add_argument("--flood", type=int, default=50_000, help="files marked at once")
    parser.add_argument("--folder", type=Path, help="work here, on the file system that counts")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "bench.json")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(BENCHMARKS)}")
    return chosen


def measure_all(chosen: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield what is measured as it comes; what fails is told, and the others go on."""
    for name in chosen.names or BENCHMARKS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        place = folder / name
        wanted = {field.name for field in fields(Options)} - {"folder"}
        options = Options(place, **{key: vars(chosen)[key] for key in wanted})
        place.mkdir()
        try:
            yield from BENCHMARKS[name](options)
        except Exception as error:  # noqa: BLE001
            print(f"{name} failed: {error!r:.2000}", file=sys.stderr, flush=True)
            yield Row(f"{name} failed", float("nan"), "")


def show(rows: list[Row], about: Mapping[str, object]) -> None:
    table = Table(title=", ".join(f"{key} {value}" for key, value in about.items()))
    for heading in ("work", "watcher", "against", "theirs", "ratio"):
        table.add_column(heading, justify="left" if heading in {"work", "against"} else "right")
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:,.1f} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.work, f"{row.figure:,.1f} {row.unit}", row.rival, theirs, ratio)
    console = Console()
    console.width = max(console.width, 140)
    console.print(table)


def keep(rows: list[Row], about: Mapping[str, object], output: Path) -> None:
    kept = {"watcher": watcher.__version__, "machine": about, "rows": [r.as_json() for r in rows]}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    chosen = read_arguments()
    if chosen.folder:
        chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench", dir=chosen.folder) as folder:
        about = machine(Path(folder))
        rows: list[Row] = []
        for row in measure_all(chosen, Path(folder)):
            rows.append(row)
            keep(rows, about, chosen.output)
    show(rows, about)
    print(f"written to {chosen.output}")


if __name__ == "__main__":
    main()

"""What a benchmark tells: figures with their rival beside them, and the machine they hold for."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured."""

    folder: Path
    marks: int
    files: int
    size: int
    rounds: int
    tree: int
    receipts: int
    idle: float
    flood: int


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; never a verdict."""

    work: str
    figure: float
    unit: str
    rival: str = ""
    theirs: float | None = None
    note: str = ""
    paired: float | None = None
    """The median ratio of pairs that were measured in turn."""

    @property
    def ratio(self) -> float | None:
        """Our figure over the rival's, where there is one."""
        return self.paired or (self.figure / self.theirs if self.theirs else None)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        names = ("work", "figure", "unit", "rival", "theirs", "ratio", "note")
        return {name: getattr(self, name) for name in names}


def ratio_of(
    work: str, ours: Sequence[float], unit: str, rival: str, theirs: Sequence[float]
) -> Row:
    """Return a row of medians; its ratio is the median of the pairs', which holds better."""
    if not theirs:
        return Row(work, statistics.median(ours), unit, rival)
    pairs = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Row(
        work,
        statistics.median(ours),
        unit,
        rival,
        statistics.median(theirs),
        f"ratios of {len(pairs)} pairs: {min(pairs):.2f} to {max(pairs):.2f}",
        statistics.median(pairs),
    )


def percentile(samples: Sequence[float], share: int) -> float:
    """Return what `share` percent of the samples don't exceed."""
    if share == 50 or len(samples) < 2:
        return statistics.median(samples)
    return statistics.quantiles(samples, n=100, method="inclusive")[share - 1]


def resident(pid: int, field: str = "VmRSS") -> float | None:
    """Return a process's memory in MiB (`VmRSS`: now, `VmHWM`: its peak); None where unknown."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(found[0]) / 1024 if found else None


def forget_peak(pid: int) -> None:
    """Let `VmHWM` start again from what the process uses now, where the system can do that."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def machine(folder: Path) -> dict[str, Any]:
    """Tell what the figures were taken on."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "file_system": _file_system(folder),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _file_system(folder: Path) -> str:
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    where = {fields[1]: fields[2] for fields in map(str.split, mounts)}
    above = [str(p) for p in (folder.resolve(), *folder.resolve().parents)]
    return next((where[place] for place in above if place in where), "unknown")

"""What was tried and what came of it: the table that the suite prints at its end.

A test tells what it tried with `tally`; what it told travels with its report, so that the table is
the same however many processes the tests run in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from tests.faults.victim import Victims

T = TypeVar("T")


@dataclass
class Row:
    """One kind of fault."""

    text: str
    least: int
    """Cases without which the whole suite has failed."""
    said: str = "0/0/0"
    """What is said of it if nothing was wrong."""
    cases: int = 0
    wrong: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        """Say what came of it."""
        if not self.cases:
            return "not run here"
        if self.wrong:
            return f"{self.wrong} WRONG"
        if self.cases < self.least:
            return f"ONLY {self.cases} of {self.least}"
        return "; ".join([self.said, *self.notes])


def rows() -> dict[str, Row]:
    """Return an empty table, in the order in which it is printed."""
    return {
        "kills": Row("killed before, after and in the middle of every call", 500),
        "once": Row("each call fails once, with each of 8 errors", 1000),
        "on": Row("each call fails from then on", 300, "0/0/0, no busy loop"),
        "lie": Row("done, but an error comes back", 200, "converges, no conflict"),
        "power": Row("power cut: what was not flushed is lost, on two disks", 200),
        "lost": Row("a disk loses what it was given to write", 2, "0/0/0, heals when mended"),
        "flips": Row("bit flips, dropped and short writes, flips at read-back", 30, "each found"),
        "hangs": Row("the archive hangs, at each kind of operation", 10, "told, others go on"),
        "network": Row("a real share: reset, refused, slow, stalled", 10, "0/0/0, heals by itself"),
        "bare": Row("the mount is gone, a bare folder in its place, at each step", 60),
        "full": Row("full, or no inodes: archive, cache, state disk", 8, "heals when freed"),
        "denied": Row("denied or immutable", 8, "one report each, not copied again"),
        "source": Row("a source changes before, during and after its copy", 24, "no mixture"),
        "taken": Row("the name is taken", 7, "adopted or kept beside"),
        "race": Row("two publishers, two watchers on one root", 1000, "one winner, none partial"),
        "hints": Row("hints are lost", 11, "within one rescan, told, mended"),
        "clock": Row("the clock jumps", 5, "no stall, no early removal"),
        "names": Row("names", 200, "archived, or one reason"),
        "links": Row("links, pipes, sockets, devices", 10, "not followed, not waited for"),
        "swaps": Row("a folder swapped for a link while we walk", 100_000, "nothing leaks"),
        "random": Row("random kills and faults", 200),
        "long": Row("faults in one life, with 20,000 files", 1000, "nothing grows"),
        "sown": Row("negative controls: a defect sown into the program", 7, "each caught"),
    }


_told: list[dict[str, Any]] = []


def tally(fault: str, cases: int, wrong: int = 0, *, note: str = "") -> None:
    """Add to a row of the table."""
    _told.append({"fault": fault, "cases": cases, "wrong": wrong, "note": note})


def told() -> list[dict[str, Any]]:
    """Return what was told since the last call."""
    lines = list(_told)
    _told.clear()
    return lines


def add(table: dict[str, Row], line: dict[str, Any], seconds: float) -> None:
    """Add what a test has told to the table."""
    row = table[line["fault"]]
    row.cases += line["cases"]
    row.wrong += line["wrong"]
    row.seconds += seconds
    if line["note"]:
        row.notes.append(line["note"])


def markdown(table: dict[str, Row]) -> list[str]:
    """Return the table's lines."""
    lines = [f"| {r.text} | {r.cases:,} | {r.result} | {r.seconds:.0f} |" for r in table.values()]
    return ["| fault | cases | result | seconds |", "|---|---:|---|---:|", *lines]


def sweep(
    fault: str,
    crews: list[Victims],
    cases: Iterable[T],
    one: Callable[[Victims, T], str],
) -> list[str]:
    """Try all cases, as many at once as there are crews, and count them.

    Args:
        fault: the row of the table.
        crews: who runs the program; each has one case at a time.
        cases: what is tried.
        one: tries a case and returns what was wrong with it, or nothing.

    Returns:
        What was wrong, each with its case.

    """
    free: SimpleQueue[Victims] = SimpleQueue()
    for crew in crews:
        free.put(crew)

    def tried(case: T) -> str:
        crew = free.get()
        try:
            return one(crew, case)
        finally:
            free.put(crew)

    wanted = list(cases)
    with ThreadPoolExecutor(len(crews)) as pool:
        wrong = [f"{c}: {w}" for c, w in zip(wanted, pool.map(tried, wanted), strict=True) if w]
    tally(fault, len(wanted), len(wrong))
    return wrong


def said(wrong: list[str], most: int = 5) -> str:
    """Return the first few complaints, for an assertion."""
    return f"{len(wrong)} wrong\n" + "\n".join(wrong[:most])

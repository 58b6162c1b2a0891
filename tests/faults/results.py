"""What was tried and what came of it: the table that the suite prints at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

from tests.faults.victim import Victims

T = TypeVar("T")


@dataclass
class Row:
    """One kind of fault."""

    cases: int = 0
    wrong: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


ROWS: dict[str, Row] = {}
"""By the kind of fault, in the order in which they were tried."""


def tally(fault: str, cases: int, wrong: int = 0, *, note: str = "", seconds: float = 0.0) -> None:
    """Add to a row of the table."""
    row = ROWS.setdefault(fault, Row())
    row.cases += cases
    row.wrong += wrong
    row.seconds += seconds
    if note and note not in row.notes:
        row.notes.append(note)


def table() -> list[str]:
    """Return the table, as Markdown."""
    lines = ["| fault | cases | result |", "|---|---|---|"]
    for fault, row in ROWS.items():
        notes = "; ".join(row.notes)
        said = f"{row.wrong} of {row.cases} wrong" if row.wrong else notes or "0/0/0"
        lines.append(f"| {fault} | {row.cases} | {said} |")
    return lines


def sweep(
    fault: str,
    crews: list[Victims],
    cases: Iterable[T],
    one: Callable[[Victims, T], str],
    *,
    note: str = "",
) -> list[str]:
    """Try all cases, as many at once as there are crews, and count them.

    Args:
        fault: the row of the table.
        crews: who runs the program; each has one case at a time.
        cases: what is tried.
        one: tries a case and returns what was wrong with it, or nothing.
        note: said of this row if nothing was wrong.

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

    began, wanted = time.monotonic(), list(cases)
    with ThreadPoolExecutor(len(crews)) as pool:
        wrong = [f"{c}: {w}" for c, w in zip(wanted, pool.map(tried, wanted), strict=True) if w]
    tally(fault, len(wanted), len(wrong), note=note, seconds=time.monotonic() - began)
    return wrong


def said(wrong: list[str], most: int = 5) -> str:
    """Return the first few complaints, for an assertion."""
    return f"{len(wrong)} wrong\n" + "\n".join(wrong[:most])

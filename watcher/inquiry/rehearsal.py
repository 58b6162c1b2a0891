"""What a rescan would do: what would go where, and why the rest stays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from watcher.config import AfterArchiving, Config
from watcher.destination import PartNames
from watcher.errors import DestinationDown
from watcher.inquiry.record import ledger_of
from watcher.inspection import Verdict
from watcher.ledger import Ledger
from watcher.model import FinishedFile
from watcher.outage import words_of
from watcher.platform import system
from watcher.sources.rescan import Rescan
from watcher.transfer import Depot
from watcher.wiring import depots_of, ground_of


def preview(config: Config) -> Iterator[str]:
    """Tell what a rescan would do: what would go where, and why the rest stays.

    Yields:
        Lines for a person, once all has been looked at; whoever prints them makes control
        characters in names visible.

    """
    with ledger_of(config) as ledger:
        yield from _previewed(config, ledger)


def _previewed(config: Config, ledger: Ledger | None) -> Iterator[str]:
    ground = ground_of(config)
    depots = depots_of(config, PartNames("", ""))
    files: list[FinishedFile] = []
    walk = Rescan(ground.roots, ground.is_excluded, unfinished_after=0.0)
    result = walk.walk(files.extend, lambda: False)
    yield from _reachable(depots)
    keeps = config.after_archiving is AfterArchiving.KEEP
    done = ledger.archived(files, list(depots)) if ledger and keeps else set()
    for file in files:
        if file.path not in done:
            yield system.plain(file.path)
            yield from (f"    {line}" for line in _ways(file, depots, ledger))
    for unfinished in result.stranded:
        yield f"{system.plain(unfinished.path)}"
        yield f"    stays: {Verdict.UNFINISHED.value}"
    yield from (f"can't be read: {line}" for line in result.errors)
    waiting = len(files) - len(done)
    yield f"{waiting} finished would be archived, {result.unfinished} unfinished would stay"


def _reachable(depots: Mapping[str, Depot]) -> Iterator[str]:
    for name, depot in depots.items():
        if not os.path.isdir(depot.template.fixed) and depot.reach.makes_fixed:
            continue
        try:
            depot.reach.look()
        except (OSError, DestinationDown) as error:
            reason, mend = words_of(error)
            yield f"{name} is offline: {reason}; {mend}"


def _ways(file: FinishedFile, depots: Mapping[str, Depot], ledger: Ledger | None) -> Iterator[str]:
    known = ledger.recall([file]).get(file.path) if ledger else None
    for name, depot in depots.items():
        cycles = dict(known.cycles) if known else {}
        last = ledger.last_cycle(name) if ledger else None
        cycle = cycles.get(name) or next(iter(depot.reach.cycles), None) or last
        if depot.template.has_cycle and cycle is None:
            yield f"{name}: waits until a cycle can be read"
        else:
            yield f"{name}: {system.plain(depot.template.place(file, cycle).path)}"

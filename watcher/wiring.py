"""From the configuration to what it names: the ground that is watched, the destinations."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator

from watcher.activity import Notice
from watcher.checksums import Entry, record_for
from watcher.config import Config, DestinationConfig
from watcher.destination import PartNames, Template
from watcher.ledger import Ledger
from watcher.model import ArchivePath
from watcher.platform import system
from watcher.reach import Reach
from watcher.sources.ground import Ground
from watcher.transfer import Depot, accepts_none

LEDGER_NAME = "ledger.sqlite"


def ground_of(config: Config) -> Ground:
    """Return what is watched, in native paths; destinations are always excluded (R7)."""
    roots = tuple(system.native(root) for root in config.data_roots)
    excluded = [os.path.join(root, name) for root in roots for name in config.exclude]
    fixed = [Template.parse(d.path, config.instrument).fixed for d in config.destinations]
    return Ground.of(roots, [*excluded, *fixed])


def depots_of(
    config: Config,
    parts: PartNames,
    tell: Callable[[Notice], None] = lambda _: None,
    ledger: Ledger | None = None,
) -> dict[str, Depot]:
    """Make the destinations, by name.

    Args:
        config: what is wanted.
        parts: names for temporary files.
        tell: told what an operator should know of the checksum records.
        ledger: has the receipts that a manifest is rebuilt from, and knows which files a person
            took against their producer's checksum.

    """

    def warn(what: str, mend: str) -> None:
        tell(Notice("warning", what, mend))

    def recorded(destination: str, folder: str) -> Iterator[Entry]:
        for receipt in ledger.receipts_below(destination, folder) if ledger else ():
            place = ArchivePath(folder, folder, receipt.relative)
            yield Entry(place, receipt.checksums)

    depots = {}
    ground, checksums = ground_of(config), config.checksums
    for wanted in config.destinations:
        template = Template.parse(wanted.path, config.instrument)
        of_this = functools.partial(recorded, wanted.name)
        depots[wanted.name] = Depot(
            wanted.name,
            template,
            _reach_of(config, wanted, template, ground, parts),
            record_for(checksums.record, checksums.algorithms, parts.new, warn, of_this),
            checksums.algorithms,
            parts,
            wanted.cleaned_by_others,
            ledger.accepted if ledger else accepts_none,
        )
    return depots


def _reach_of(
    config: Config,
    wanted: DestinationConfig,
    template: Template,
    ground: Ground,
    parts: PartNames,
) -> Reach:
    return Reach(
        template,
        parts,
        cycle=config.cycle,
        marker=wanted.marker,
        below_root=next((r for r in ground.roots if template.fixed.startswith(r + os.sep)), None),
        is_watched=ground.leads_in,
    )

"""What stands at the destinations now: nothing is made there, and what hangs is left alone."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from watcher.config import Config
from watcher.destination import PartNames
from watcher.errors import WatcherError
from watcher.inspection import below
from watcher.ledger import Ledger
from watcher.model import Receipt
from watcher.outage import Hangs, within, words_of
from watcher.platform import system
from watcher.transfer import Depot
from watcher.views import words
from watcher.wiring import depots_of

T = TypeVar("T")
_FIRST_YEAR = 2000


class Stand(NamedTuple):
    """What stands now where a receipt tells of a copy."""

    order: int
    """By how much use it is to who looks for the file, the best first."""
    words: str


_THERE = Stand(0, "")
_CLEANED = Stand(2, "gone from there now, as expected: others clean that place")
_GONE = Stand(2, "gone from there now")
_ANOTHER = Stand(2, "another file of its name is there now")


class Sites:
    """The destinations, as who only asks sees them."""

    def __init__(self, config: Config, ledger: Ledger | None) -> None:
        """Look at nothing yet."""
        self.depots = depots_of(config, PartNames("", ""), ledger=ledger)
        self._patience = config.retry.stalled_after
        self._hanging: dict[str, Hangs] = {}
        for name, depot in self.depots.items():
            depot.reach.mount = ledger.last_mount(name) if ledger else ""

    def asked(self, name: str, action: Callable[[], T]) -> T:
        """Do something at a destination, but not for ever; once it hangs it is not asked again.

        Raises:
            Hangs: it gave no answer.

        """
        if name in self._hanging:
            raise self._hanging[name]
        try:
            return within(self._patience, action)
        except Hangs as error:
            self._hanging[name] = error
            raise

    def look(self, name: str) -> None:
        """Look whether a destination is there; one that is made where it's missing always is.

        Raises:
            DestinationDown: it is not what it should be.
            OSError: it can't be reached.

        """
        depot = self.depots.get(name)
        if depot and not (depot.reach.makes_fixed and not os.path.isdir(depot.template.fixed)):
            depot.reach.look()

    def stands(self, receipts: Sequence[Receipt]) -> list[tuple[Receipt, Stand]]:
        """Tell what stands where copies were: first those that are there, and that stay there."""
        seen = [(receipt, self._stand(receipt)) for receipt in receipts]
        return sorted(seen, key=lambda one: (one[1].order, self._is_cleaned(one[0].destination)))

    def unrecorded(self, experiment: str, relative: str) -> Iterator[tuple[str, str, str]]:
        """Yield what stands where a file would have gone, in any cycle or year, by destination.

        Yields:
            The destination, the path, and what can be said of it; without a path, why the
            destination can't be looked at.

        """
        for name, depot in self.depots.items():
            try:
                found = self.asked(name, partial(self._found, depot, experiment, relative))
            except (OSError, WatcherError) as error:
                yield name, "", unseen(error)
            else:
                yield from ((name, path, words) for path, words in found)

    def _found(self, depot: Depot, experiment: str, relative: str) -> list[tuple[str, str]]:
        self.look(depot.name)
        return [
            (path, f"{words.size(stat.st_size)}, last changed {words.dated(stat.st_mtime)}")
            for folder in _folders(depot, experiment)
            if (stat := system.look(path := os.path.join(folder, relative)))
        ]

    def owner_of(self, path: str) -> str:
        """Return the destination that keeps its files where a path lies; empty if none does."""
        for name, depot in self.depots.items():
            with contextlib.suppress(OSError, WatcherError):  # then its cycles aren't known
                self.asked(name, partial(self.look, name))
            shared = [depot.template.base(cycle) for cycle in depot.reach.cycles or (None,)]
            if any(below(folder or depot.template.fixed, path) for folder in shared):
                return name
        return ""

    def _stand(self, receipt: Receipt) -> Stand:
        if receipt.void:
            return _GONE
        try:
            return self.asked(receipt.destination, lambda: self._seen(receipt))
        except (OSError, WatcherError) as error:
            return Stand(1, unseen(error))

    def _seen(self, receipt: Receipt) -> Stand:
        stat = system.look(system.native(receipt.path))
        if stat is None:
            self.look(receipt.destination)  # where a share dropped out, nothing is there
            return _CLEANED if self._is_cleaned(receipt.destination) else _GONE
        is_it = system.is_plain_file(stat) and stat.st_size == receipt.fingerprint.size
        return _THERE if is_it else _ANOTHER

    def _is_cleaned(self, name: str) -> bool:
        return name in self.depots and self.depots[name].cleaned_by_others


def unseen(error: OSError | WatcherError) -> str:
    """Say that something can't be looked at, and why."""
    return f"can't be looked at now: {said(error)}"


def said(error: OSError | WatcherError) -> str:
    """Say an error and what to do about it, on one line."""
    return "; ".join(filter(None, words_of(error)))


def _folders(depot: Depot, experiment: str) -> Iterator[str]:
    """Yield an experiment's folders, of all the cycles there are and all years."""
    template = depot.template
    years = range(_FIRST_YEAR, time.localtime().tm_year + 2) if "{year}" in template.text else [0]
    for cycle in depot.reach.cycles if template.has_cycle else [""]:
        yield from (template.written_out(experiment, cycle, str(year))[1] for year in years)

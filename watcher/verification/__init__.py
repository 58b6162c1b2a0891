"""Whether the copies still are what was recorded: read again, and compared.

copies   what is to be read, and what came of it
reading  several at once, from the disk
shelves  what lies at a destination, and what the records there say of it

The ledger's copies come first: those that were never read again, then the oldest check. Then what
lies at the destinations that the ledger doesn't know is compared with the records there, which is
all there is to compare with where the ledger is gone.

Whatever touches a destination may hang with it, and is done by a thread that is left alone then.
What was found is judged and kept by who waits for it, and goes on with the next destination.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from watcher.activity import Notice
from watcher.checksums import Manifest
from watcher.config import Config
from watcher.destination import PartNames
from watcher.errors import DestinationDown, WatcherError
from watcher.ledger import Check, Checks, Ledger, Wanted
from watcher.outage import Attended, Hangs, words_of
from watcher.platform import system
from watcher.transfer import Depot
from watcher.verification.copies import Copy, Finding, State, Tally
from watcher.verification.reading import Reader
from watcher.verification.shelves import Shelves
from watcher.wiring import LEDGER_NAME, depots_of, ground_of

__all__ = ["Asked", "Copy", "Finding", "State", "Tally", "verify"]

T = TypeVar("T")

_THREADS = max(4, min(8, os.cpu_count() or 4))
_KEPT_TOGETHER = 5000
_KEPT_EVERY = 2.0
"""Seconds after which results go to the ledger, so that an interruption loses little."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be verified; what is None excludes nothing."""

    destination: str | None = None
    experiment: str | None = None
    older_than: float | None = None
    """Only copies that were neither archived nor read again for so many seconds."""
    share: float | None = None
    """Only so much of the copies, as a fraction."""


def verify(config: Config, asked: Asked, tally: Tally) -> Generator[Finding, None, None]:
    """Read copies again and compare them with what is on record.

    To interrupt it, close the generator: what was found so far is kept.

    Args:
        config: the configuration.
        asked: which copies.
        tally: filled as it goes on.

    """
    told: list[Notice] = []
    ledger = _ledger(config, tally, told.append)
    try:
        parts = PartNames("", "")
        depots = depots_of(config, parts, lambda one: tally.remarks.append(one.text), ledger)
        wanted = [d for n, d in depots.items() if asked.destination in {None, n}]
        rounds = [_Round(config, depot, asked, tally, ledger) for depot in wanted]
        reached = [one for one in rounds if one.begin()]
        if len(reached) == len(rounds) and not _is_known(asked.experiment, reached, ledger):
            tally.nowhere = [one.place for one in rounds]
            return
        for one in reached:
            yield from one.run()
    finally:
        if ledger is not None:
            tally.unkept = tally.unkept or ledger.trouble
            ledger.close()
        if not tally.unkept:  # which tells of trouble in its own words
            tally.remarks += ("; ".join(filter(None, (n.text, n.mend))) for n in told)


def _ledger(config: Config, tally: Tally, tell: Callable[[Notice], None]) -> Ledger | None:
    """Open the ledger: for writing where that can be, never creating one."""
    path = os.path.join(config.state_dir, LEDGER_NAME)
    try:
        found = Ledger.peek(path)
    except WatcherError as error:
        tally.unkept = error.what
        return None
    if found is None or not os.access(path, os.W_OK):
        tally.unkept = "" if found is None else "the ledger can't be written to"
        return found
    found.close()
    ledger = Ledger.open(path, tell)
    if not ledger.trouble:
        return ledger
    tally.unkept = ledger.trouble
    ledger.close()
    return Ledger.peek(path)


def _is_known(experiment: str | None, rounds: Sequence[_Round], ledger: Ledger | None) -> bool:
    """Tell whether an experiment has a folder anywhere, or is on record."""
    if experiment is None or any(one.tops for one in rounds):
        return True
    return ledger is not None and any(ledger.history(Wanted(experiment=experiment), 1))


class _Round:
    """One destination."""

    def __init__(
        self, config: Config, depot: Depot, asked: Asked, tally: Tally, ledger: Ledger | None
    ) -> None:
        self._depot = depot
        self._asked = asked
        self._tally = tally
        self._ledger = ledger
        before = time.time() - (asked.older_than or 0.0)
        self._checks = Checks(depot.name, before, asked.experiment)
        self._count: int | None = None
        self._roots = ground_of(config).roots
        self.place = f"{depot.name} ({system.plain(depot.template.fixed)})"
        self.tops: list[str] = []
        """The folders to walk, once it was looked at."""
        self._patience = config.retry.stalled_after
        self._attended: Attended[Any] = Attended(self._patience)
        self._lock = threading.Lock()
        self._kept: list[tuple[int, float, str]] = []
        self._kept_at = time.monotonic()

    @functools.cached_property
    def _shelves(self) -> Shelves:
        """What it holds, once it was looked at."""
        return Shelves(self._depot, self._roots, self._recorded, self._restore, self._beat)

    def begin(self) -> bool:
        """Look at it, and add to the tally what there is to read; False if that can't be."""
        for size in self._attend(self._sizes()):
            self._tally.size += int(size * (self._asked.share or 1.0))
        return self._depot.name not in self._tally.unreachable

    def run(self) -> Iterator[Finding]:
        """Yield what is found."""
        try:
            with contextlib.closing(self._attend(self._groups())) as groups:
                for group in groups:
                    yield from self._told(group)
        finally:
            self._keep(at_once=True)

    def _attend(self, work: Generator[T, None, None]) -> Generator[T, None, None]:
        """Yield what work at the destination yields, or note why it could not be done."""
        self._attended = Attended(self._patience)
        try:
            yield from self._attended.results(work)
        except (OSError, DestinationDown, Hangs) as error:
            self._tally.unreachable[self._depot.name] = words_of(error)[0]

    def _sizes(self) -> Generator[int, None, None]:
        self._depot.reach.look()
        self.tops = self._shelves.tops(self._asked.experiment)
        if not self._tally.is_shown and self._asked.share is None:
            return
        copies, size = self._ledger.to_check(self._checks) if self._ledger else (0, 0)
        if self._asked.share is not None:
            self._count = math.ceil(copies * self._asked.share)
        if not copies and self._asked.older_than is None:
            yield from self._shelves.sizes(self.tops)
        yield size

    def _groups(self) -> Generator[list[Finding], None, None]:
        recorded = itertools.islice(self._recorded_copies(), self._count)
        for copies in (recorded, self._unknown()):
            for group in Reader(_THREADS, self._moved).findings(copies):
                if any(finding.state is State.MISSING for finding in group):
                    self._depot.reach.look()  # where it dropped out, nothing is there any more
                yield group

    def _recorded_copies(self) -> Iterator[Copy]:
        for check in self._ledger.checks(self._checks) if self._ledger else ():
            yield _copy(self._depot.name, check)

    def _unknown(self) -> Iterator[Copy | Finding]:
        """Look at what the ledger doesn't know."""
        for top in self.tops:
            for one in self._shelves.below(top):
                self._beat()
                if isinstance(one, Finding) or self._is_in_sample():
                    yield one

    def _is_in_sample(self) -> bool:
        return self._asked.share is None or random.random() < self._asked.share

    def _told(self, findings: list[Finding]) -> Iterator[Finding]:
        for finding in findings:
            told = self._judged(finding)
            self._tally.add(told)
            if told.copy.number is not None:
                self._kept.append((told.copy.number, told.at, told.state.value))
            yield told
        self._keep()

    def _judged(self, finding: Finding) -> Finding:
        if finding.state is State.MISSING and self._depot.cleaned_by_others:
            return replace(finding, state=State.CLEANED)
        return finding

    def _keep(self, *, at_once: bool = False) -> None:
        is_due = time.monotonic() - self._kept_at > _KEPT_EVERY
        if self._kept and (at_once or is_due or len(self._kept) >= _KEPT_TOGETHER):
            kept, self._kept, self._kept_at = self._kept, [], time.monotonic()
            if self._ledger is not None and not self._tally.unkept:
                self._ledger.checked(kept)

    def _recorded(self, folder: str) -> set[str]:
        self._beat()
        return self._ledger.names_below(self._depot.name, folder) if self._ledger else set()

    def _restore(self, folder: str) -> None:
        """Write again what a folder's manifest lacks, or say that it can't be written."""
        if isinstance(record := self._depot.record, Manifest):
            try:
                record.restore(folder)
            except OSError as error:
                what = f"the manifest in {system.plain(folder)} lacks lines and can't be written"
                self._tally.remarks.append(f"{what}: {error.strerror}")

    def _moved(self, size: int) -> None:
        self._beat()
        with self._lock:
            self._tally.done += size

    def _beat(self) -> None:
        self._attended.moved()


_native = functools.lru_cache(maxsize=64)(system.native)
"""For the experiments' folders, which thousands of copies share."""


def _copy(destination: str, check: Check) -> Copy:
    return Copy(
        destination,
        os.path.join(_native(check.folder), check.name),
        check.source,
        check.checksum,
        check.size,
        check.number,
        check.experiment,
    )

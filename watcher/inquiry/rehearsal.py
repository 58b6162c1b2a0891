"""What a rescan would do: what would go where, and why the rest stays."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from watcher.config import AfterArchiving, Config
from watcher.errors import FileFault, WatcherError
from watcher.inquiry.record import ledger_of
from watcher.inquiry.sites import Sites, said, unseen
from watcher.inspection import Verdict
from watcher.ledger import Ledger
from watcher.model import ArchivePath, Checksum, FinishedFile
from watcher.platform import system
from watcher.sources.rescan import Rescan
from watcher.transfer import (
    Depot,
    accepts_none,
    candidates,
    hash_source,
    is_taken,
    may_hold,
    vouches_for,
)
from watcher.transfer.producer import algorithms_for, hold_to, names_beside, promises
from watcher.wiring import ground_of


def preview(config: Config) -> Iterator[str]:
    """Tell what a rescan would do: what would go where, and why the rest stays.

    Yields:
        Lines for a person, once all has been looked at; whoever prints them makes control
        characters in names visible.

    """
    with ledger_of(config) as ledger:
        yield from _Rehearsal(config, ledger).lines()


class _Rehearsal:
    """One pass that moves nothing."""

    def __init__(self, config: Config, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._sites = Sites(config, ledger)
        self._ground = ground_of(config)
        self._keeps = config.after_archiving is AfterArchiving.KEEP
        self._accepts = ledger.accepted if ledger else accepts_none
        self._beside = functools.lru_cache(maxsize=64)(names_beside)

    def lines(self) -> Iterator[str]:
        files: list[FinishedFile] = []
        walk = Rescan(self._ground.roots, self._ground.is_excluded, unfinished_after=0.0)
        result = walk.walk(files.extend, lambda: False)
        down = list(self._unreachable())
        yield from down
        if self._ledger and self._keeps:
            done = self._ledger.archived(files, self._sites.depots)
            files = [file for file in files if file.path not in done]
        staying = self._staying(files)
        for file in files:
            yield system.plain(file.path)
            yield from (f"    {line}" for line in self._told(file, staying))
        for unfinished in result.stranded:
            yield f"{system.plain(unfinished.path)}"
            yield f"    stays: {Verdict.UNFINISHED.value}"
        yield from (f"can't be read: {line}" for line in result.errors)
        stay = len(files if down else staying)
        yield (
            f"{len(files) - stay} finished would be archived, "
            f"{stay} finished and {result.unfinished} unfinished would stay"
        )

    def _unreachable(self) -> Iterator[str]:
        for name in self._sites.depots:
            try:
                self._sites.asked(name, partial(self._sites.look, name))
            except (OSError, WatcherError) as error:
                yield f"{name} is offline: {said(error)}"

    def _staying(self, files: Sequence[FinishedFile]) -> dict[str, str]:
        """Return why files stay that can't go on as they are, by their path."""
        staying = {file.path: why for file in files if (why := self._fault(file))}
        going = {file.path for file in files} - staying.keys()
        for file in files if not self._keeps else ():
            subject = vouches_for(file) if file.path in going else None
            if subject and subject not in going:
                why = f"holds the checksum of {system.plain(subject)}, and goes when that has gone"
                staying[file.path] = why
        return staying

    def _fault(self, file: FinishedFile) -> str:
        """Hold a file to its producer's checksum, if there is one."""
        try:
            kept = promises(file, self._beside(os.path.dirname(file.path)))
            if kept:
                made = hash_source(file, algorithms_for((), kept), _unwatched)
                hold_to(kept, file, made, self._accepts)
        except FileFault as error:
            return "; ".join(filter(None, (error.what, error.mend)))
        return ""

    def _told(self, file: FinishedFile, staying: Mapping[str, str]) -> Iterator[str]:
        if file.path in staying:
            yield f"stays: {staying[file.path]}"
            return
        known = self._ledger.recall([file]).get(file.path) if self._ledger else None
        for name, depot in self._sites.depots.items():
            last = self._ledger.last_cycle(name) if self._ledger else None
            newest = next(iter(depot.reach.cycles), None)
            cycle = (known.cycles.get(name) if known else None) or newest or last
            if depot.template.has_cycle and cycle is None:
                yield f"{name}: waits until a cycle can be read"
            else:
                yield f"{name}: {self._place(file, depot, depot.template.place(file, cycle))}"

    def _place(self, file: FinishedFile, depot: Depot, planned: ArchivePath) -> str:
        """Tell the place it would get; what is there of the same size may be the same."""
        try:
            if self._sites.asked(depot.name, partial(_is_open, depot, planned, file)):
                return system.plain(planned.path)
            (checksum,) = hash_source(file, depot.algorithms[:1], _unwatched)
            place = self._sites.asked(depot.name, partial(_free, depot, planned, file, checksum))
        except (OSError, WatcherError) as error:
            return f"{system.plain(planned.path)}, which {unseen(error)}"
        return f"{system.plain(place.path)}, beside another file of its name"


def _is_open(depot: Depot, place: ArchivePath, file: FinishedFile) -> bool:
    if depot.record.reserves(place):
        return False
    return not is_taken(place) or may_hold(place.path, file.fingerprint.size)


def _free(
    depot: Depot, planned: ArchivePath, file: FinishedFile, checksum: Checksum
) -> ArchivePath:
    places = candidates(depot.record, planned, checksum)
    return next((place for place in places if _is_open(depot, place, file)), planned)


def _unwatched(_size: int) -> None:
    """Progress that nobody watches."""

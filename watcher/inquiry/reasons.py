"""What holds a file back, or where it went and what stands there now."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from watcher.config import AfterArchiving, Config
from watcher.errors import WatcherError
from watcher.inquiry.record import ledger_of
from watcher.inquiry.sites import Sites
from watcher.inspection import Verdict, inspect, is_stranded, scan_folder_in
from watcher.ledger import Ledger
from watcher.lock import is_running
from watcher.model import FinishedFile, HeldBack, Receipt
from watcher.outage import Hangs, within
from watcher.platform import system
from watcher.views import status as status_view
from watcher.views import words
from watcher.views.health import STRANDED_MEND
from watcher.wiring import ground_of

_ABSENT = "there is no such file, and no record of one that went from there or came there"
_TO_COMPARE = "`watcher verify` compares it with the checksum that is recorded beside it"


def why(config: Config, path: str) -> Iterator[str]:
    """Tell the one rule that holds a file back, or where it went and when.

    Args:
        config: the configuration.
        path: the file as a person gives it: where it was written, as a full path or from a data
            root on, or where it went.

    """
    with contextlib.ExitStack() as stack:
        ledger = None
        try:
            ledger = stack.enter_context(ledger_of(config))
        except WatcherError as error:  # the files on disk still tell the rest (R10)
            yield str(error)
        yield from _reasons(config, path, ledger)


def _reasons(config: Config, path: str, ledger: Ledger | None) -> Iterator[str]:
    ground = ground_of(config)
    native = ground.meant(path)
    receipts = ledger.receipts_of(system.plain(native)) if ledger else []
    sites = Sites(config, ledger)
    root = ground.root_of(native)
    is_excluded = root is not None and ground.is_excluded(native)
    found = _look(root, native, config.retry.stalled_after)
    if isinstance(found, FinishedFile) and not is_excluded:
        yield from _waits(config, found, receipts, ledger, sites)
    elif receipts:
        yield from _went(receipts, sites)
        yield from _decided(ledger, system.plain(native))
    elif source := _source_of(config, ledger, native):
        yield f"it is a copy of {source}"
        yield from _went(ledger.receipts_of(source) if ledger else [], sites)
    elif not isinstance(found, str) and (name := sites.owner_of(native)):
        yield f"it lies in the destination {name}, without a record of how it came there"
        yield _TO_COMPARE
    elif is_excluded:
        yield "it lies in an excluded folder, or in a destination: those are never read"
    else:
        yield f"{system.plain(native)}: {found.value if isinstance(found, Verdict) else found}"
        if found is Verdict.UNFINISHED:
            yield from _stranded(config, native)
        elif found == _ABSENT:
            yield from _astray(root, native, ledger, sites)


def _source_of(config: Config, ledger: Ledger | None, path: str) -> str:
    """Return what a copy at a destination was made of; empty if it is none on record."""
    for destination in config.destinations:
        if ledger and (receipt := ledger.receipt_at(destination.name, path)):
            return receipt.source
    return ""


def _look(root: str | None, path: str, patience: float) -> FinishedFile | Verdict | str:
    try:
        stat = within(patience, lambda: os.lstat(path))
    except Hangs as error:
        return f"it can't be looked at: {error}"
    except OSError as error:
        if system.is_absent(error):
            return _ABSENT
        return f"it can't be looked at: {error.strerror}"
    return Verdict.OUTSIDE if root is None else inspect(root, path, stat)


def _astray(root: str | None, path: str, ledger: Ledger | None, sites: Sites) -> Iterator[str]:
    """Tell what can be found of a file that is neither there nor on record under that path."""
    place = scan_folder_in(root, path) if root else None
    found = list(sites.unrecorded(place[0], place[2])) if place else []
    for name, copy, said in found:
        yield f"{name}: {system.plain(copy) or said}"
        if copy:
            yield f"    it is there without a record: {said}"
    if any(copy for _, copy, _ in found):
        yield _TO_COMPARE
        return
    name = os.path.basename(path)
    known = "files" if ledger and any(ledger.history(name, limit=1)) else "no files"
    yield f"{known} of that name are on record; `watcher history {words.quoted(name)}` tells which"


def _stranded(config: Config, path: str) -> Iterator[str]:
    if is_stranded(os.lstat(path), time.time(), config.unfinished_after):
        yield "nobody has touched it for long: its scan died before it could mark it"
        yield STRANDED_MEND


def _waits(
    config: Config,
    file: FinishedFile,
    receipts: list[Receipt],
    ledger: Ledger | None,
    sites: Sites,
) -> Iterator[str]:
    destinations = {d.name for d in config.destinations}
    there = [r for r in receipts if r.fingerprint == file.fingerprint]
    if _keeps(config) and destinations <= {r.destination for r in there}:
        yield "it is archived, and the source is kept as `after_archiving: keep` says"
        yield from _went(there, sites)
        return
    held = ledger.held(system.plain(file.path)) if ledger else None
    if held is not None:
        yield from _held(held)
    elif not is_running(config.state_dir):
        yield "it is finished and waits for a watcher: none runs on this state folder"
        yield "start one with `watcher run`"
    else:
        yield from _on_its_way(config, destinations - {r.destination for r in there})
    yield from _went(there, sites)


def _held(held: HeldBack) -> Iterator[str]:
    where = f" from {held.destination}" if held.destination else ""
    yield f"it is held back{where} since {words.dated(held.since)}: {held.reason}"
    if held.mend:
        yield held.mend


def _on_its_way(config: Config, missing: set[str]) -> Iterator[str]:
    status = status_view.read(os.path.join(config.state_dir, status_view.NAME)) or {}
    views = status.get("destinations", {})
    down = {n: v for n, v in views.items() if n in missing and v["state"] != "online"}
    for name, view in down.items():
        yield f"it waits for {name}, which is {view['state']} since {words.plainly(view['since'])}"
        yield "; ".join(filter(None, (view["error"], view["mend"])))
    if not down:
        yield "it is finished and on its way"


def _decided(ledger: Ledger | None, source: str) -> Iterator[str]:
    for promised, actual, at in ledger.resolutions(source) if ledger else ():
        yield f"accepted {words.dated(at)}: it is {actual}, its producer's checksum was {promised}"


def _went(receipts: list[Receipt], sites: Sites) -> Iterator[str]:
    for receipt, stand in sites.stands(receipts):
        took = f"{words.duration(receipt.seconds)} after its mark"
        conflict = ", beside another file of its name" if receipt.conflict else ""
        yield f"{receipt.destination}: {receipt.path}"
        if stand.words:
            yield f"    {stand.words}"
        yield f"    {receipt.manner} {words.dated(receipt.archived_at)}, {took}{conflict}"
        yield f"    {receipt.checksum}"
        if proof := receipt.proof:
            yield f"    read again {words.dated(proof.at)}: {proof.state}"


def _keeps(config: Config) -> bool:
    return config.after_archiving is AfterArchiving.KEEP

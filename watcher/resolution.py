"""What a person decides: a file that isn't what its producer promised, a conflict that was seen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from watcher.activity import Notice
from watcher.config import Config
from watcher.errors import FileFault, WatcherError
from watcher.inspection import Verdict, inspect
from watcher.ledger import Ledger
from watcher.lock import is_running
from watcher.model import FinishedFile
from watcher.platform import system
from watcher.transfer import hash_source
from watcher.transfer.producer import Promise, algorithms_for, names_beside, promises
from watcher.wiring import LEDGER_NAME, ground_of


def resolve(
    config: Config, path: str, *, accept: bool, tell: Callable[[Notice], None]
) -> tuple[list[str], bool]:
    """Look at a file again, or take it as it is; mark its conflicts as seen.

    Args:
        config: the configuration.
        path: the file as a person gives it, where it was written.
        accept: take it as it is.
        tell: told what an operator should know of the ledger, such as that it was set aside.

    Returns:
        Lines for a person, and whether nothing is left to decide.

    Raises:
        WatcherError: the decision can't be recorded.

    """
    native = ground_of(config).meant(path)
    with _Decisions(config, tell) as ledger:
        seen = ledger.mark_conflict_seen(system.plain(native))
        lines = [f"marked as seen: {seen} conflict{'s' * (seen != 1)}"] if seen else []
        file = _copy(config, native, ledger) or _finished(config, native)
        if not isinstance(file, FinishedFile):
            return lines or [file], bool(seen)
        more, is_settled = _looked_at(config, file, ledger, accept=accept)
        _check(ledger)
        return [*lines, *more], is_settled


class _Decisions:
    """The ledger, open for writing; a watcher may use it at the same time."""

    def __init__(self, config: Config, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        self._told: list[Notice] = []
        path = os.path.join(config.state_dir, LEDGER_NAME)
        self._ledger = Ledger.open(path, self._told.append)

    def __enter__(self) -> Ledger:
        try:
            _check(self._ledger)
        except WatcherError:
            self._ledger.close()
            raise
        return self._ledger

    def __exit__(self, *_: object) -> None:
        self._ledger.close()
        for notice in self._told if not self._ledger.trouble else ():  # trouble is an error
            self._tell(notice)


def _check(ledger: Ledger) -> None:
    if ledger.trouble:
        raise WatcherError(
            f"the decision can't be recorded: {ledger.trouble}",
            mend="run it as the account that runs the watcher",
        )


def _copy(config: Config, path: str, ledger: Ledger) -> str:
    """Say what a file is that is never read for sources; empty if it may be one."""
    if not ground_of(config).is_excluded(path):
        return ""
    for destination in config.destinations:
        if receipt := ledger.receipt_at(destination.name, path):
            return f"there is nothing to decide: it is a copy of {receipt.source}"
    return "there is nothing to decide: excluded folders and destinations are never read"


def _finished(config: Config, path: str) -> FinishedFile | str:
    try:
        stat = os.lstat(path)
    except OSError as error:
        return f"there is nothing to decide: {error.strerror}"
    root = ground_of(config).root_of(path)
    found = Verdict.OUTSIDE if root is None else inspect(root, path, stat)
    return found.value if isinstance(found, Verdict) else found


def _looked_at(
    config: Config, file: FinishedFile, ledger: Ledger, *, accept: bool
) -> tuple[list[str], bool]:
    try:
        kept = promises(file, names_beside(os.path.dirname(file.path)))
        broken = list(_broken(config, file, kept, ledger, accept=accept)) if kept else []
    except FileFault as error:
        return [str(error)], False
    if not kept:
        return ["its producer left no checksum that is finished", _next(config)], True
    if not broken:
        return [f"it matches what {kept[0].where} says", _next(config)], True
    last = _next(config) if accept else "`--accept` archives it as it is"
    return [*broken, last], accept


def _broken(
    config: Config, file: FinishedFile, kept: tuple[Promise, ...], ledger: Ledger, *, accept: bool
) -> Iterator[str]:
    """Compare, and record what is accepted."""
    algorithms = algorithms_for(config.checksums.algorithms, kept)
    made = {c.algorithm: c for c in hash_source(file, algorithms, lambda _: None)}
    for promise in kept:
        own = made[promise.checksum.algorithm]
        if own == promise.checksum:
            continue
        if accept:
            ledger.accept(file, promise.checksum, own, time.time())
        deed = "accepted" if accept else "it differs"
        yield f"{deed}: its content is {own}, {promise.where} says {promise.checksum}"


def _next(config: Config) -> str:
    if is_running(config.state_dir):
        return f"the watcher tries it again within {config.retry.maximum:g} s"
    return "the next `watcher run` or `watcher rescan` takes it"

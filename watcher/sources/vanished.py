"""Waiting files that are gone: they leave the backlog, the ledger and every screen."""

from __future__ import annotations

import os
from dataclasses import dataclass

from watcher.activity import Activity, FileReleased
from watcher.backlog import Backlog
from watcher.ledger import Ledger
from watcher.platform import system
from watcher.sources.ground import Ground

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Vanished:
    """Forgets what is no longer there, or no longer finished."""

    ground: Ground
    ledger: Ledger
    backlog: Backlog
    activity: Activity
    keeps: bool
    """Whether sources stay: a walk finds archived files too then, and its count tells nothing."""

    def forget(self, found: int) -> None:
        """Forget them, if there must be some since a walk has found no more finished files."""
        after = ""
        if self.ledger.waiting() <= found and not self.keeps:
            return
        while page := self.ledger.waiting_versions(after, _PAGE):
            after = page[-1][0]
            gone = [version for version in page if self._is_gone(system.native(version[0]))]
            self.ledger.forget(gone)
            for source, _ in gone:
                self.backlog.drop_path(system.native(source))
                if source in self.activity.snapshot.held:
                    self.activity.tell(FileReleased(source))

    def _is_gone(self, path: str) -> bool:
        """Tell whether a file is gone, and not only its whole data root for a while."""
        root = self.ground.root_of(path)
        return root is None or (os.path.isdir(root) and not _is_finished(path))


def _is_finished(path: str) -> bool:
    try:
        stat = os.lstat(path)
    except OSError as error:
        return not system.is_absent(error)
    return system.is_plain_file(stat) and system.is_marked(stat)

"""Waiting files that are gone: they leave the backlog, the ledger and every screen."""

from __future__ import annotations

import os
from dataclasses import dataclass

from watcher.activity import Activity, FileReleased
from watcher.backlog import Backlog
from watcher.ledger import Ledger
from watcher.platform import system
from watcher.reach import mount_above
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
        after, here = "", self._roots_here()
        if self.ledger.waiting() <= found and not self.keeps:
            return
        while page := self.ledger.waiting_versions(after, _PAGE):
            after = page[-1][0]
            gone = [v for v in page if not self._waits(system.native(v[0]))]
            here &= self._roots_here()  # after the looks: a volume may go at any time
            gone = [v for v in gone if self.ground.root_of(system.native(v[0])) in {None, *here}]
            self.ledger.forget(gone)
            for source, _ in gone:
                self.backlog.drop_path(system.native(source))
                if source in self.activity.snapshot.held:
                    self.activity.tell(FileReleased(source))

    def _waits(self, path: str) -> bool:
        """Tell whether a finished file is there that is to be archived."""
        if self.ground.is_excluded(path):
            return False
        try:
            stat = os.lstat(path)
        except OSError as error:
            return not system.is_absent(error)
        return system.is_plain_file(stat) and system.is_marked(stat)

    def _roots_here(self) -> set[str]:
        """Return the data roots that are there; of others nothing is gone, only out of sight.

        Where a volume was mounted, whichever life saw that, a bare folder doesn't count.
        """
        here = set()
        for root in filter(os.path.isdir, self.ground.roots):
            mount = mount_above(root, self.ledger.last_mount(root))
            if mount is not None:
                self.ledger.remember_mount(root, mount)
                here.add(root)
        return here

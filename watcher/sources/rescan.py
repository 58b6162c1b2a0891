"""The walk of the data roots: whatever the hints missed, this finds (R9)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from watcher.inspection import below
from watcher.model import MISSING_ROOT, WalkResult
from watcher.platform import system
from watcher.sources.descent import SLICES, Descent, Known, Stopping, scan_folder_of
from watcher.sources.findings import Findings, Found
from watcher.sources.folders import descend, open_root


class Rescan:
    """Walks all data roots.

    Args:
        roots: the data roots, made by `System.native`.
        is_excluded: tells by its full path whether a folder is or lies in one that is never
            entered; asked when its parent is listed.
        unfinished_after: seconds after which an unfinished file counts as stranded.
        sweep: remove sources that a crash left on their way out; else nothing is ever changed.

    """

    def __init__(
        self,
        roots: Sequence[str],
        is_excluded: Callable[[str], bool],
        unfinished_after: float,
        *,
        sweep: bool = False,
    ) -> None:
        """Remember nothing yet: the first walk lists everything."""
        self._roots = tuple(roots)
        self._is_excluded = is_excluded
        self._unfinished_after = unfinished_after
        self._sweep = sweep
        self._known: dict[str, Known] = {}
        self._turn = 0

    def walk(self, found: Found, stopping: Stopping) -> WalkResult:
        """Walk all data roots once; one thread at a time.

        Args:
            found: is given finished files, up to 500 at a time, while the walk goes on.
            stopping: asked often; the walk ends early once it returns True.

        Returns:
            What there was. What could not be read is a line in `errors`, and never an exception.

        """
        findings = Findings(found, self._unfinished_after, sweep=self._sweep)
        for root in self._roots:
            known = self._known.get(root)
            if known is None or not system.is_local(root):
                known = self._known[root] = Known()
            self._walk_root(root, known, findings, stopping)
        self._turn = (self._turn + 1) % SLICES
        return findings.result()

    def walk_below(self, folder: str, found: Found, stopping: Stopping) -> WalkResult:
        """Walk one folder below a data root, as `walk` would, and remember nothing; any thread."""
        findings = Findings(found, self._unfinished_after, sweep=self._sweep)
        for root in self._roots:
            if below(root, folder) is not None:
                self._walk_down_to(root, folder, findings, stopping)
        return findings.result()

    def _walk_root(self, root: str, known: Known, findings: Findings, stopping: Stopping) -> None:
        try:
            folder = open_root(root)
        except FileNotFoundError:
            findings.complain(f"{system.plain(root)}: {MISSING_ROOT}")
        except OSError as error:
            findings.failed(root, error)
        else:
            self._descent(root, findings, stopping).walk(folder, root, known)

    def _walk_down_to(self, root: str, path: str, findings: Findings, stopping: Stopping) -> None:
        """Go down to a folder as a walk would, then walk what is in it."""
        if self._is_excluded(path):
            return
        try:
            top = open_root(root)
            try:
                folder = descend(top, (below(root, path) or "").split(os.sep))
            finally:
                top.close()
        except OSError as error:
            if not system.is_absent(error):  # gone already
                findings.failed(path, error)
            return
        self._descent(root, findings, stopping).walk(
            folder, path, Known(), scan_folder_of(root, path)
        )

    def _descent(self, root: str, findings: Findings, stopping: Stopping) -> Descent:
        return Descent(root, self._is_excluded, findings, stopping, self._turn)

"""A data root and real destinations beside it, for tests of what happens between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from watcher.checksums import record_for
from watcher.destination import PartNames, Template
from watcher.inspection import inspect
from watcher.model import Arrival, FinishedFile, Transfer
from watcher.platform import system
from watcher.reach import Reach
from watcher.transfer import Depot, carry

CYCLE = "cycle_26_2"
MANIFEST = "checksums.sha256"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def nothing(_size: int) -> None:
    """Progress that nobody watches."""


class Ground:
    """A data root."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "data"
        self.root.mkdir()

    def finished(
        self, name: str = "scan.txt", content: bytes = b"1 2 3\n", experiment: str = "RB1"
    ) -> FinishedFile:
        path = self.root / experiment / "bluesky_scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(1_750_000_000_123_456_700, 1_750_000_000_123_456_700))
        path.chmod(0o444)
        return self.look(str(path))

    def look(self, path: str) -> FinishedFile:
        found = inspect(system.native(str(self.root)), system.native(path), os.lstat(path))
        assert isinstance(found, FinishedFile)
        return found


def rewrite(path: str, content: bytes) -> None:
    """Give a file another content, and its mark back."""
    os.chmod(path, 0o644)
    Path(path).write_bytes(content)
    os.chmod(path, 0o444)


class Store:
    """A destination: `folder/<cycle>/<experiment>/...`, or without the cycle."""

    def __init__(  # noqa: PLR0913
        self,
        folder: Path,
        name: str = "archive",
        *,
        below: str = "{cycle}/{experiment}",
        record: str = "manifest",
        algorithms: Sequence[str] = ("sha256",),
        cleaned_by_others: bool = False,
        marker: str | None = None,
        below_root: str | None = None,
        life: str = "state",
    ) -> None:
        self.folder = folder / name
        if not below_root:
            (self.folder / (CYCLE if "{cycle}" in below else "")).mkdir(parents=True, exist_ok=True)
        self.template = Template.parse(os.path.join(self.folder, *below.split("/")), "NDX")
        self.parts = PartNames("host", life)
        self.reach = Reach(self.template, self.parts, marker=marker, below_root=below_root)
        made = record_for(record, algorithms, self.parts.new)
        self.depot = Depot(
            name, self.template, self.reach, made, tuple(algorithms), self.parts, cleaned_by_others
        )

    def transfer(
        self, file: FinishedFile, cycle: str = CYCLE, earlier: Sequence[str] = ()
    ) -> Transfer:
        places = tuple(self.template.place(file, c) for c in earlier)
        return Transfer(file, self.depot.name, self.template.place(file, cycle), places)

    def carry(self, *files: FinishedFile, moved=nothing) -> list[Arrival | Exception]:
        return carry([self.transfer(f) for f in files], self.depot, moved)

    def home(self, experiment: str = "RB1", cycle: str = CYCLE) -> Path:
        return self.folder / cycle / experiment

    def files(self) -> dict[str, bytes]:
        """Return all plain files but manifests: the path from the destination, and the content."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != MANIFEST
        }

    def lines(self, experiment: str = "RB1", cycle: str = CYCLE) -> dict[str, str]:
        """Return what the manifest says: name to digest."""
        manifest = self.home(experiment, cycle) / MANIFEST
        lines = manifest.read_bytes().splitlines() if manifest.exists() else []
        return {os.fsdecode(line[66:]): line[:64].decode() for line in lines}

"""A whole watcher in this process: the real parts, with a way to look inside.

with Inside(tmp_path) as inside:
    inside.finish("RB1/bluesky_scans/scan.txt")
    inside.until(lambda: inside.archived("RB1/scan.txt").exists())
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

from tests.harness import wait_until
from watcher.activity import Activity, News, Snapshot
from watcher.config import Config, load
from watcher.daemon import Watcher
from watcher.lock import locked
from watcher.platform import system

T = TypeVar("T")
N = TypeVar("N")
CYCLE = "cycle_26_2"


class Inside:
    """Data root, archive with cycles, cache below the data root; the watcher starts on entering."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        """Make the folders and the configuration; `changes` replace keys of it."""
        self.folder = folder
        self.root = folder / "data"
        self.share = folder / "share"
        self.state = folder / "state"
        self.cache = self.root / "Export only"
        self.cycle = CYCLE
        (self.share / CYCLE).mkdir(parents=True, exist_ok=True)
        self.root.mkdir(exist_ok=True)
        self.state.mkdir(exist_ok=True)
        archive = {"name": "archive", "path": str(self.share / "{cycle}" / "{experiment}")}
        self.settings: dict[str, Any] = {
            "instrument": "NDXTEST",
            "data_roots": [str(self.root)],
            "rescan_interval": "1h",
            "destinations": [archive, self.cached()],
            "retry": {"initial": "100ms", "maximum": "500ms", "stalled_after": "30s"},
            "state_dir": str(self.state),
            **changes,
        }
        self.news: list[News] = []
        self.capacity: int | None = None
        self.prepare: Callable[[Watcher], None] = lambda _: None

    def cached(self) -> dict[str, Any]:
        """Return the cache's part of the configuration."""
        path = str(self.cache / "{experiment}" / "bluesky_scans")
        return {"name": "cache", "path": path, "cleaned_by_others": True}

    def config(self) -> Config:
        """Write the configuration as YAML and load it."""
        path = self.folder / "watcher.yaml"
        path.write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        return load(str(path))

    # The files

    def finish(self, relative: str, content: bytes = b"1 2 3\n", root: Path | None = None) -> Path:
        """Write a file below the data root and mark it."""
        path = self.write(relative, content, root)
        system.mark(str(path))
        return path

    def write(self, relative: str, content: bytes = b"1 2 3\n", root: Path | None = None) -> Path:
        """Write a file below the data root, unfinished."""
        path = (root or self.root) / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def archived(self, relative: str) -> Path:
        """Return where a file of an experiment stands in the archive's newest cycle."""
        return self.share / self.cycle / relative

    def leave(self) -> None:
        """Take the share away."""
        self.share.rename(self.folder / "away")

    def come_back(self) -> None:
        """Bring the share back."""
        (self.folder / "away").rename(self.share)

    # The watcher

    def start(self) -> Watcher:
        """Build and start a watcher."""
        self._lock = locked(str(self.state))
        self._lock.__enter__()
        self.activity = Activity()
        self.activity.listen(self.news.append)
        self.watcher = Watcher(self.config(), self.activity)
        if self.capacity is not None:
            self.watcher._backlog._capacity = self.capacity
        self.prepare(self.watcher)
        self.watcher.start()
        return self.watcher

    def stop(self) -> bool:
        """Stop it, and give the lock back."""
        try:
            return self.watcher.stop()
        finally:
            self._lock.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """Start; returns when the first walk is done."""
        self.start()
        self.until(lambda: self.shown.next_rescan_at is not None)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    # What is to be seen

    @property
    def shown(self) -> Snapshot:
        """The state as a view sees it."""
        return self.activity.snapshot

    def status(self) -> dict[str, Any]:
        """Return what stands in status.json."""
        try:
            text = (self.state / "status.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        status: dict[str, Any] = json.loads(text)
        return status

    def told(self, kind: type[N]) -> list[N]:
        """Return the news of one kind."""
        return [news for news in list(self.news) if isinstance(news, kind)]

    def until(self, predicate: Callable[[], T], seconds: float = 20.0) -> T:
        """Wait for something; if it doesn't come, say how everything is."""
        return wait_until(predicate, seconds, self.describe)

    def describe(self) -> str:
        """Tell all there is to know when a test has failed."""
        files = [os.path.join(top, n) for top, _, names in os.walk(self.folder) for n in names]
        news = [str(n) for n in self.news[-40:]]
        threads = [thread.name for thread in threading.enumerate()]
        return "\n".join([*news, *sorted(files), str(self.shown), str(threads)])

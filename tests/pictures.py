"""Takes the pictures of the dashboard that README shows, from real runs: `make pictures`.

It takes some minutes: a calm that has just begun looks like nothing.
"""

from __future__ import annotations

import dataclasses
import io
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.harness import wait_until
from watcher.activity import Activity
from watcher.config import load
from watcher.daemon import Watcher
from watcher.lock import locked
from watcher.views.dashboard import render

PICTURES = Path(__file__).resolve().parent.parent / "examples" / "pictures"
WIDTH, HEIGHT = 100, 27
CALM, AWAY = 240.0, 75.0
"""Seconds that pass until the pictures of the calm and of the outage are taken."""
CONFIG = """\
instrument: NDXLARMOR
data_roots: ['{top}/data']
destinations:
  - name: archive
    path: '{top}/inst/{{instrument}}/Instrument/data/{{cycle}}/autoreduced/bluesky/{{experiment}}'
  - name: cache
    path: '{top}/data/Export only/{{experiment}}/bluesky_scans'
    cleaned_by_others: true
retry: {{initial: 200ms, maximum: 1s}}
state_dir: '{top}/var/lib/watcher'
"""


def from_the_root(value: Any, top: str) -> Any:
    """Return a snapshot as if the temporary folder were the computer's own root."""
    if type(value) is str:  # and no state, which is a word too
        return value.replace(top, "")
    if isinstance(value, Mapping):
        return {from_the_root(k, top): from_the_root(v, top) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(from_the_root(each, top) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        changed = {name: from_the_root(getattr(value, name), top) for name in names}
        return dataclasses.replace(value, **changed)
    return value


class Scene:
    """An instrument in a folder, with a watcher in this process."""

    def __init__(self, top: Path) -> None:
        """Make the folders; the archive is there."""
        self.top = top
        self.share = top / "inst"
        self.cycle = self.share / "NDXLARMOR" / "Instrument" / "data" / "cycle_26_2"
        for folder in (self.cycle, top / "data", top / "etc"):
            folder.mkdir(parents=True)
        file = top / "etc" / "watcher.yaml"
        file.write_text(CONFIG.format(top=top), encoding="utf-8")
        self.config = load(str(file))
        self.activity = Activity()
        log_file = f"{self.config.state_dir}/watcher.log"
        self.watcher = Watcher(self.config, self.activity, log_file=log_file)
        self._number = 0

    def finish(self, name: str, content: bytes) -> None:
        """Write a file and mark it finished."""
        path = self.top / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)

    def scan(self, lines: int = 2000) -> None:
        """Finish the three files of a scan."""
        self._number += 1
        now = time.strftime("%Y-%m-%d_%H-%M-%S", time.gmtime(time.time()))
        stem = f"RB26{self._number % 4:05}/bluesky_scans/NDXLARMOR_theta_{now}Z_{self._number}"
        for end, size in ((".txt", lines), ("_fit.txt", lines // 5), (".png", 4 * lines)):
            self.finish(stem + end, f"{self._number}{end}\n".encode() * size)

    def scans(self, seconds: float, pause: float) -> None:
        """Measure for so long, now faster, now slower."""
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            self.scan()
            time.sleep(pause * (1.5 + math.sin(now / 25)))

    def away(self) -> None:
        """Take the archive away."""
        self.share.rename(self.top / "away")

    def back(self) -> None:
        """Bring it back."""
        (self.top / "away").rename(self.share)

    def take(self, name: str, wanted: str = "") -> None:
        """Write down what the dashboard shows now, or as soon as some words are there."""
        console = wait_until(lambda: self._drawn(wanted), 120.0)
        svg = console.export_svg(title="watcher run", unique_id=name)
        (PICTURES / f"{name}.svg").write_text(svg, encoding="utf-8")

    def _drawn(self, wanted: str) -> Console | None:
        snapshot = from_the_root(self.activity.snapshot, str(self.top))
        console = Console(record=True, width=WIDTH, height=HEIGHT, file=io.StringIO())
        console.print(render(snapshot, (WIDTH, HEIGHT), time.time()))
        return console if wanted in console.export_text(clear=False) else None


def main() -> None:
    """Go through a calm, an outage, a drain and a conflict."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        with locked(scene.config.state_dir):
            scene.watcher.start()
            try:
                _play(scene)
            finally:
                scene.watcher.stop()


def _play(scene: Scene) -> None:
    scene.scans(CALM, 2.0)
    wait_until(lambda: not scene.activity.snapshot.backlog)
    time.sleep(3)
    scene.take("calm")
    scene.away()
    scene.scans(AWAY, 0.3)
    scene.take("outage")
    for _ in range(500):
        scene.scan(20_000)
    scene.back()
    scene.take("draining", "about ")
    wait_until(lambda: not scene.activity.snapshot.backlog, 300.0)
    name = "RB2600001/bluesky_scans/NDXLARMOR_theta_2026-11-21_11-00-01Z.txt"
    other = scene.cycle / "autoreduced/bluesky" / name.replace("/bluesky_scans", "")
    other.write_bytes(b"what somebody else has put there")
    scene.finish(name, b"the scan")
    wait_until(
        lambda: scene.activity.snapshot.conflicts == 1 and not scene.activity.snapshot.backlog
    )
    scene.take("conflict")


if __name__ == "__main__":
    main()

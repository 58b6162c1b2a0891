"""Takes the pictures of the dashboard that README shows, from real runs: `make pictures`."""

from __future__ import annotations

import io
import re
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.harness import wait_until
from watcher.activity import Activity
from watcher.config import load
from watcher.daemon import Watcher
from watcher.lock import locked
from watcher.views.dashboard import render

PICTURES = Path(__file__).resolve().parent.parent / "examples" / "pictures"
WIDTH, HEIGHT = 100, 26
CONFIG = """\
instrument: NDXLARMOR
data_roots: ['{top}/Data']
destinations:
  - name: archive
    path: '{top}/inst/{{instrument}}/Instrument/data/{{cycle}}/autoreduced/bluesky/{{experiment}}'
  - name: cache
    path: '{top}/Data/Export only/{{experiment}}/bluesky_scans'
    cleaned_by_others: true
retry: {{initial: 200ms, maximum: 1s}}
state_dir: '{top}/state'
"""


class Scene:
    """An instrument in a folder, with a watcher in this process."""

    def __init__(self, top: Path) -> None:
        """Make the folders; the archive is there."""
        self.top = top
        self.share = top / "inst"
        self.cycle = self.share / "NDXLARMOR" / "Instrument" / "data" / "cycle_26_2"
        self.cycle.mkdir(parents=True)
        (top / "Data").mkdir()
        file = top / "watcher.yaml"
        file.write_text(CONFIG.format(top=top), encoding="utf-8")
        self.config = load(str(file))
        self.activity = Activity()
        self.watcher = Watcher(self.config, self.activity, log_file=str(top / "state/watcher.log"))

    def finish(self, name: str, content: bytes) -> None:
        """Write a file and mark it finished."""
        path = self.top / "Data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)

    def scans(self, first: int, last: int, size: int = 2000) -> None:
        """Finish the three files of some scans."""
        for number in range(first, last):
            folder = f"RB25{number % 4:05}/bluesky_scans"
            stem = f"{folder}/NDXLARMOR_theta_2026-11-21_10-{number // 60:02}-{number % 60:02}Z"
            for end in (".txt", "_fit.txt", ".png"):
                self.finish(stem + end, f"{number}{end}\n".encode() * size)

    def away(self) -> None:
        """Take the archive away."""
        self.share.rename(self.top / "away")

    def back(self) -> None:
        """Bring it back."""
        (self.top / "away").rename(self.share)

    def archived(self) -> int:
        """Return how many files are archived."""
        return self.activity.snapshot.archived

    def take(self, name: str) -> None:
        """Write down what the dashboard shows now."""
        console = Console(record=True, width=WIDTH, height=HEIGHT, file=io.StringIO())
        console.print(render(self.activity.snapshot, (WIDTH, HEIGHT), time.time()))
        text = console.export_svg(title=f"watcher run: {name}").replace(str(self.top), "")
        text = re.sub(' textLength="[^"]*"', "", text)  # the lines are shorter now
        (PICTURES / f"{name}.svg").write_text(text, encoding="utf-8")


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
    scene.scans(0, 8)
    wait_until(lambda: scene.archived() == 24)
    scene.take("calm")
    scene.away()
    scene.scans(8, 400, size=20_000)
    snapshot = wait_until(lambda: _outage(scene))
    assert snapshot
    scene.take("outage")
    scene.back()
    wait_until(lambda: scene.archived() > 200)
    scene.take("draining")
    wait_until(lambda: scene.activity.snapshot.backlog == 0, 120.0)
    other = scene.cycle / "autoreduced/bluesky/RB2500001/NDXLARMOR_theta_2026-11-21_11-00-01Z.txt"
    other.write_bytes(b"what somebody else has put there")
    scene.finish("RB2500001/bluesky_scans/" + other.name, b"the scan")
    wait_until(
        lambda: scene.activity.snapshot.conflicts == 1 and not scene.activity.snapshot.backlog
    )
    scene.take("conflict")


def _outage(scene: Scene) -> bool:
    snapshot = scene.activity.snapshot
    down = snapshot.destinations["archive"].state.value == "offline"
    return down and snapshot.backlog == 392 * 3


if __name__ == "__main__":
    main()

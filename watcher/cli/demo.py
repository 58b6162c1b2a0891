"""`watcher demo`: a whole instrument in a temporary folder, with an outage in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.checksums import Manifest
from watcher.cli.exits import Exit

if TYPE_CHECKING:
    from watcher.config import Config

_CYCLE = "cycle_26_2"
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)
_CONFIG = """\
instrument: DEMO
data_roots: ['{data}']
destinations:
  - name: archive
    path: '{archive}'
  - name: cache
    path: '{cache}'
    cleaned_by_others: true
rescan_interval: 10s
retry: {{initial: 500ms, maximum: 3s}}
state_dir: '{state}'
"""


@dataclass(frozen=True, slots=True)
class _Instrument:
    """The folders of a simulated instrument."""

    top: Path

    @property
    def data(self) -> Path:
        return self.top / "Data"

    @property
    def share(self) -> Path:
        """The archive's fixed part; renamed away, it is an outage."""
        return self.top / "archive" / "DEMO"

    def configuration(self) -> Config:
        from watcher.config import load

        (self.share / _CYCLE).mkdir(parents=True)
        self.data.mkdir()
        places = {
            "data": self.data,
            "archive": self.top.joinpath(
                "archive", "{instrument}", "{cycle}", "autoreduced", "bluesky_scans", "{experiment}"
            ),
            "cache": self.data.joinpath("Export only", "{experiment}", "bluesky_scans"),
            "state": self.top / "state",
        }
        file = self.top / "watcher.yaml"
        file.write_text(_CONFIG.format(**places), encoding="utf-8")
        return load(str(file))


def demo(
    seconds: Annotated[float, typer.Option(min=1.0, help="How long it measures.")] = 60.0,
) -> int:
    """Show it at work: an instrument in a temporary folder, with simulated scans.

    In the middle the archive goes away for a while. At the end it tells what arrived where, each
    file verified against the checksums on record. Nothing outside the temporary folder is touched.

    Example: watcher demo --seconds 20
    """
    from watcher.cli.run import asked_to_end, watch
    from watcher.lock import locked

    top = Path(tempfile.mkdtemp(prefix="watcher-demo-"))
    instrument, stop = _Instrument(top), threading.Event()
    try:
        config = instrument.configuration()
        made: list[Path] = []
        with asked_to_end(stop) as reasons, locked(config.state_dir):
            with _measuring(instrument, seconds, made, stop):
                watch(config, stop, reasons, headless=False)
            _go_on(config, made)
        return _tell(instrument, made)
    finally:
        shutil.rmtree(top, onerror=_remove_marked)


@contextlib.contextmanager
def _measuring(
    instrument: _Instrument, seconds: float, made: list[Path], stop: threading.Event
) -> Iterator[None]:
    """Measure in a thread of its own for as long as it lasts; then stop everything."""

    def measure() -> None:
        ends = time.monotonic() + seconds
        away = threading.Thread(target=_outage, args=(instrument.share, seconds, stop))
        away.start()
        for number in itertools.count(1):
            if time.monotonic() > ends or stop.is_set():
                break
            made.extend(_scan(instrument.data, number, stop))
        away.join()
        _wait_until_gone(made, stop)
        stop.set()

    thread = threading.Thread(target=measure, name="instrument")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _outage(share: Path, seconds: float, stop: threading.Event) -> None:
    """Take the archive away for the middle fifth of the time."""
    stop.wait(0.4 * seconds)
    hidden = share.with_name("DEMO is away")
    share.rename(hidden)
    stop.wait(0.2 * seconds)
    hidden.rename(share)


def _scan(data: Path, number: int, stop: threading.Event) -> list[Path]:
    """Measure one scan: the text grows point by point; at its end all files are marked."""
    experiment = "Unknown RB" if number % 5 == 0 else f"RB26{number % 3:04}"
    folder = data / experiment / "bluesky_scans"
    folder.mkdir(parents=True, exist_ok=True)
    start = f"DEMO_theta_{time.strftime('%Y-%m-%d_%H-%M-%S', time.gmtime())}Z_{number}"
    text, fit, plot = (folder / f"{start}{end}" for end in (".txt", "_fit.txt", ".png"))
    text.write_text(f"uid: demo-{number}\nscan_id: {number}\nplan_name: scan\n\ntheta,counts\n")
    for point in range(5):
        with text.open("a") as file:
            file.write(f"{point / 10:.3f},{(point * number) % 97}\n")
        stop.wait(0.1)
    fit.write_text(f"[[Model]]\n    Model(gaussian)\n    centre: {number / 10}\n")
    plot.write_bytes(_PIXEL)
    for path in (text, fit, plot):
        path.chmod(0o444)
    return [text, fit, plot]


def _wait_until_gone(made: list[Path], stop: threading.Event) -> None:
    """Let the watcher bring the last files away, within reason."""
    patience = time.monotonic() + 30.0
    while any(path.exists() for path in made) and time.monotonic() < patience:
        if stop.wait(0.1):
            return


def _remove_marked(function: object, path: str, _error: object) -> None:
    """Remove what is read-only, which Windows refuses at first."""
    os.chmod(path, 0o700)
    if callable(function):
        function(path)


def _go_on(config: Config, made: list[Path]) -> None:
    """Do what a second start would do, if somebody ended the first too early."""
    from watcher.activity import Activity
    from watcher.daemon import Watcher

    if not any(path.exists() for path in made):
        return
    typer.echo("\nA second start goes on with what still waits.")
    watcher = Watcher(config, Activity())
    watcher.run_once()
    watcher.stop()


def _tell(instrument: _Instrument, made: list[Path]) -> int:
    """Read every copy again, compare it with the record beside it, and say what arrived where."""
    missing = [path for path in made if path.exists()]
    typer.echo(f"\nThe instrument made {len(made)} files in {len(made) // 3} scans.")
    archive = instrument.share / _CYCLE / "autoreduced" / "bluesky_scans"
    cache = instrument.data / "Export only"
    folders = {
        "archive": [p for p in archive.glob("*") if p.is_dir()],
        "cache": list(cache.glob("*/bluesky_scans")),
    }
    all_good = not missing
    for name, below in folders.items():
        verified = sum(_verified(folder) for folder in below)
        all_good = all_good and verified == len(made)
        typer.echo(f"  {name:8} {verified} of {len(made)} arrived, read again and verified")
    typer.echo(f"  {'source':8} {len(missing)} left on the instrument")
    typer.echo("Nothing was lost." if all_good else "Something is not where it should be!")
    return Exit.DONE if all_good else Exit.LEFT_BEHIND


def _verified(folder: Path) -> int:
    """Count the files in a folder whose content is what the manifest says."""
    recorded = Manifest(["sha256"]).read(str(folder), "sha256")
    return sum(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum.digest
        for name, checksum in recorded.items()
    )

"""What the tests of the rules look at: files on the disk, and records as coreutils see them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.harness import Instrument, Watcher, wait_until

MANIFEST = "checksums.sha256"
SCANS = "bluesky_scans"


def everything(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Look at all that lies below a folder, links not followed.

    Returns:
        For each path from there: mode, size and content of a file, and the times that any change
        to it moves.

    """
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = _look(path)
    return found


def _look(path: str) -> tuple[Any, ...]:
    look = os.lstat(path)
    times = (look.st_mtime_ns, look.st_ctime_ns)
    if stat.S_ISREG(look.st_mode):
        return (look.st_mode, *times, look.st_size, Path(path).read_bytes())
    if stat.S_ISLNK(look.st_mode):
        return (look.st_mode, *times, os.readlink(path))
    return (look.st_mode, *times)


def digest(content: bytes) -> str:
    """Return the SHA-256 of some content."""
    return hashlib.sha256(content).hexdigest()


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every regular file below a folder, by `/`-separated path from it.

    What goes while it is looked at, or is being written so that nobody may read it (Windows), is
    left out, as if the look had come a moment later or sooner.
    """
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError, PermissionError):
                found[os.path.relpath(path, folder).replace(os.sep, "/")] = path.read_bytes()
    return found


def line_of(name: str, content: bytes) -> bytes:
    """Return the manifest's line for a file, escaped as coreutils do it."""
    raw = os.fsencode(name)
    escaped = raw.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    start = b"\\" if escaped != raw else b""
    return start + digest(content).encode() + b" *" + escaped


def assert_exact(folder: Path, expected: Mapping[str, bytes]) -> None:
    """Hold an experiment's folder at a destination to what it must hold, no more and no less.

    Args:
        folder: where the manifest stands.
        expected: what must be there, by `/`-separated path from it.

    """
    found = files_of(folder)
    lines = found.pop(MANIFEST).splitlines()
    assert found == dict(expected)
    assert sorted(lines) == sorted(line_of(name, content) for name, content in expected.items())
    check_with_coreutils(folder)


def check_with_coreutils(folder: Path) -> None:
    """Let `sha256sum -c` judge a manifest, where there is one to do it."""
    if (tool := shutil.which("sha256sum")) is None:
        return
    done = subprocess.run(
        [tool, "--check", "--strict", "--quiet", MANIFEST],
        cwd=folder,
        stdin=subprocess.PIPE,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def leftovers(instrument: Instrument) -> list[str]:
    """Return all temporary files of a watcher, wherever they lie."""
    found = files_of(instrument.folder)
    return [name for name in found if name.rpartition("/")[2].startswith(".watcher-")]


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """Take a share away for as long as it lasts."""
    hidden = folder.with_name(f"{folder.name} is away")
    _rename(folder, hidden)
    try:
        yield
    finally:
        _rename(hidden, folder)


def _rename(one: Path, other: Path) -> None:
    wait_until(lambda: _renames(one, other), failure=lambda: f"{one} stays in use")


def _renames(one: Path, other: Path) -> bool:
    try:
        one.rename(other)
    except PermissionError:  # Windows, while somebody has a file in it open
        return False
    return True


def second_share(instrument: Instrument) -> tuple[Path, list[dict[str, str]]]:
    """Return another share, and the configuration of the archive and a copy on that share."""
    share = instrument.folder / "second"
    share.mkdir()
    archive = instrument.share / "{instrument}" / "Instrument" / "data" / "{cycle}"
    return share, [
        {
            "name": "archive",
            "path": str(archive / "autoreduced" / SCANS / "{experiment}"),
        },
        {"name": "second", "path": str(share / "{experiment}" / SCANS)},
    ]


def launch(instrument: Instrument, *before: str) -> Watcher:
    """Start a watcher that the instrument looks after, without waiting until it runs.

    Args:
        instrument: what it works for.
        before: a command that is to start it.

    """
    command = [*before, *instrument.command("run", "--headless")]
    instrument.watcher = Watcher(command, instrument.environment(), instrument.folder)
    return instrument.watcher


def destination(instrument: Instrument, name: str) -> str:
    """Return the state of a destination as `status` tells it."""
    state: str = instrument.status()["destinations"][name]["state"]
    return state


def stopped(instrument: Instrument) -> None:
    """End the watcher, cleanly."""
    assert instrument.stop() == 0


def log_lines(instrument: Instrument) -> list[str]:
    """Return what the log file holds."""
    return (instrument.state / "watcher.log").read_text(encoding="utf-8").splitlines()


def said(instrument: Instrument, text: str) -> Callable[[], bool]:
    """Ask whether the log has a line with this text."""
    return lambda: any(text in line for line in log_lines(instrument))

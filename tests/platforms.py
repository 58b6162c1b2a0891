"""Which system the tests run on, and what can't be asked of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness import IS_WINE, wait_until
from watcher.platform import system

WINDOWS = os.name == "nt"
on_windows = pytest.mark.skipif(not WINDOWS, reason="can only hold on Windows")
on_posix = pytest.mark.skipif(WINDOWS, reason="can only hold on POSIX")

HUMBLE = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""What begins a command that the modes of files are to count for, though root runs it."""


def humbly(command: list[str]) -> list[str]:
    """Return a command that the modes of files count for, whoever runs it."""
    if WINDOWS or os.geteuid():
        return command
    if not shutil.which(HUMBLE[0]):
        pytest.skip("root is denied nothing")
    return [*HUMBLE, *command]


def wine_excuses(reason: str) -> pytest.MarkDecorator:
    """Skip a test under Wine, where it differs from Windows as `reason` says."""
    return pytest.mark.skipif(IS_WINE, reason=f"Wine: {reason}")


def set_mark(path: str, marked: bool = True) -> None:
    """Set or clear the read-only mark, as the producer does."""
    os.chmod(path, stat.S_IREAD | 0o444 if marked else stat.S_IREAD | stat.S_IWRITE)


def remove_marked(path: str | os.PathLike[str]) -> None:
    """Remove a file, marked or not."""
    set_mark(os.fspath(path), False)
    os.unlink(path)


def remove_tree(folder: str) -> None:
    """Remove a folder and all in it, marked or not, however long its paths.

    Not with `rd /s`: Wine's removes other folders than it is told to where paths are long.
    """
    for parent, folders, files in os.walk(system.native(folder), topdown=False):
        for name in files:
            remove_marked(os.path.join(parent, name))
        for name in folders:
            os.rmdir(os.path.join(parent, name))
    os.rmdir(system.native(folder))


def link(target: str, path: str, *, folder: bool = False) -> None:
    """Make a symbolic link; skip the test where this account may not."""
    if IS_WINE:  # it can't make links, but follows those of the system below it
        _run_below_wine("/bin/ln", "-s", _below_wine(target), _below_wine(path))
        if os.path.exists(target):  # Wine shows no link that leads nowhere
            wait_until(lambda: os.path.lexists(path))  # it comes back before `ln` has run
        return
    try:
        os.symlink(target, path, target_is_directory=folder)
    except OSError as error:
        pytest.skip(f"this account can't make links: {error}")


@contextlib.contextmanager
def drive_for(folder: str, drive: str) -> Iterator[None]:
    """Let a drive stand for a folder, as `subst` does; Wine's `subst` makes none."""
    if not IS_WINE:
        subprocess.run(["subst", drive, folder], check=True)
    else:
        device = f"{os.environ['WINEPREFIX']}/dosdevices/{drive.lower()}"
        _run_below_wine("/bin/ln", "-s", _below_wine(folder), device)
        wait_until(lambda: os.path.exists(f"{drive}\\"))
    try:
        yield
    finally:
        if not IS_WINE:
            subprocess.run(["subst", drive, "/D"], check=False)
        else:
            _run_below_wine("/bin/rm", device)


def _run_below_wine(*command: str) -> None:
    start = ["start", "/wait", "/unix", *command]
    subprocess.run(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, check=True)


def _below_wine(path: str) -> str:
    drive, rest = os.path.splitdrive(path.removeprefix("\\\\?\\"))
    top = {"C:": os.environ["WINEPREFIX"] + "/drive_c", "Z:": ""}[drive.upper()]
    return top + rest.replace("\\", "/")

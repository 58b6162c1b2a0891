"""A journaled disk to measure on: ext4 in a file, written in full first, read and written directly.

The root file system of a test machine may have no journal, or a cache below it: flushing costs
next to nothing there, and figures mean little. Where an image can't be mounted (no root, no loop
devices) the folder is used as it is; the table names the file system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

TOOLS = ("mkfs.ext4", "losetup", "mount", "umount")
_BLOCK = bytes(4 << 20)


@contextlib.contextmanager
def journaled(folder: Path, size: int) -> Iterator[Path]:
    """Give a folder on a disk of its own, while the block lasts.

    Args:
        folder: where the image lies, and is mounted.
        size: its bytes.

    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, TOOLS)):
        yield folder
        return
    image, place = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        for _ in range(-(-size // len(_BLOCK))):
            file.write(_BLOCK)
        os.fsync(file.fileno())
    place.mkdir()
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    loop = _run("losetup", "--find", "--show", "--direct-io=on", str(image)).strip()
    try:
        _run("mount", "-o", "noatime", loop, str(place))
        try:
            yield place
        finally:
            _run("umount", str(place))
    finally:
        _run("losetup", "--detach", loop)
        image.unlink()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout

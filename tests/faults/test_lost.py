"""A disk that takes what it is given, and loses it: what wasn't written is not counted as kept.

Its image lies in a memory that is too small for it, so that the kernel learns only when it writes
back, long after the program's own calls were answered.
"""

import contextlib
import os
import shutil
import subprocess

import pytest

from tests.faults.results import tally
from tests.faults.stage import Stage
from tests.faults.test_power import DOZEN

pytestmark = pytest.mark.usefixtures("as_root")
ROOM = 150 << 10
"""Bytes that the disk can still take."""
LARGE = 100 << 10


def run(*command, check=True):
    subprocess.run([str(word) for word in command], check=check, capture_output=True)


@contextlib.contextmanager
def leaking(folder, place):
    """Mount a disk; yields what leaves it room for one file only, and what mends it."""
    if not shutil.which("mkfs.ext4") or not os.path.exists("/dev/loop-control"):
        pytest.skip("needs mkfs.ext4 and loop devices")
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64m", "none", folder)
    image, ballast = folder / "image", folder / "ballast"
    try:
        with open(image, "wb") as file:
            file.truncate(48 << 20)
        run("mkfs.ext4", "-q", "-O", "^resize_inode", "-E", "lazy_itable_init=0", image)
        run("mount", "-o", "loop", image, place)
        yield lambda: ballast.write_bytes(bytes(_free(folder) - ROOM)), lambda: _mend(image, place)
    finally:
        run("umount", "-l", place, check=False)
        run("umount", "-l", folder)


def _free(folder):
    found = os.statvfs(folder)
    return found.f_bfree * found.f_bsize


def _mend(image, place):
    (image.parent / "ballast").unlink()
    run("umount", place)
    run("e2fsck", "-fy", image, check=False)
    run("mount", "-o", "loop", image, place)


@pytest.mark.parametrize("number", [3, DOZEN])
def test_R2_what_a_disk_loses_does_not_count(crew, arena, number):
    """R2, R5: neither when each file is flushed, nor when many are flushed as one."""
    with Stage(crew, arena) as stage:
        share = stage.instrument.share
        with leaking(stage.folder / "memory", share) as (fill, mend):
            stage.instrument.cycle.mkdir(parents=True)
            for n in range(number):
                stage.finish(f"{n}.dat", b"%d" % n * LARGE)
            stage.ready()
            run("sync", "-f", share)
            fill()
            found = stage.rescan()
            assert not found.hung
            assert found.code == 1, found.output
            assert "Traceback" not in found.output, found.output
            run("sysctl", "vm.drop_caches=3")
            assert (verdict := stage.now()), str(verdict)
            mend()
            assert (verdict := stage.now()), f"after the disk was mended {verdict}"
            assert (end := stage.end()), str(end)
    tally("lost", 1)

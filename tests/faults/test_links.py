"""Links, pipes, sockets, devices: never followed, never waited for; nothing outside leaks (R13)."""

import contextlib
import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.results import tally
from tests.faults.stage import CONTENT, EXPERIMENT, Stage
from tests.harness import PROJECT
from tests.rules.evidence import SCANS, everything, files_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
SECRET = b"what lies outside"
SWAPS = 100_000
SECONDS = 12.0
"""How long it walks at least while folders are swapped."""
_EXCHANGE = 2


def outside(stage):
    """Make a tree that must not be touched, with finished files in it."""
    folder = stage.folder / "outside"
    for relative in ("scan.txt", f"{SCANS}/scan.txt", f"sub/{SCANS}/scan.txt"):
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SECRET)
        path.chmod(0o444)
    return folder


def sealed(path):
    """Open a socket's file for as long as the process lasts."""
    with socket.socket(socket.AF_UNIX) as unix:
        folder = os.open(path.parent, os.O_RDONLY)
        unix.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
    path.chmod(0o444)


ODDITIES = {
    "a link to a file": lambda path, other: path.symlink_to(other / "scan.txt"),
    "a link to a folder": lambda path, other: path.symlink_to(other),
    "a link to a scan folder": lambda path, other: path.symlink_to(other / SCANS),
    "a link that leads nowhere": lambda path, other: path.symlink_to(other / "nothing"),
    "a link to itself": lambda path, other: path.symlink_to(path),
    "a link to the root": lambda path, other: path.symlink_to(path.parents[2]),
    "a pipe": lambda path, other: os.mkfifo(path, 0o444),
    "a socket": lambda path, other: sealed(path),
    "a character device": lambda path, other: os.mknod(
        path, stat.S_IFCHR | 0o444, os.makedev(1, 5)
    ),
    "a block device": lambda path, other: os.mknod(path, stat.S_IFBLK | 0o444, os.makedev(7, 99)),
}


@pytest.mark.quick
@pytest.mark.parametrize("what", ODDITIES)
def test_R13_what_is_no_plain_file_is_left_alone(crew, arena, what):
    """R13: in a scan folder, in its place, and as an experiment."""
    with Stage(crew, arena) as stage:
        other = outside(stage)
        stage.finish()
        scans = stage.instrument.root / EXPERIMENT / SCANS
        (stage.instrument.root / "RB2").mkdir()
        places = [scans / "odd.txt", stage.instrument.root / "RB2" / SCANS]
        places.append(stage.instrument.root / "RB3")
        try:
            for place in places:
                ODDITIES[what](place, other)
        except PermissionError:
            pytest.skip("only root may make devices")
        stage.ready()
        before, odd = everything(other), [os.lstat(place) for place in places]
        end = stage.end()
        assert end, str(end)
        assert everything(other) == before
        for place, look in zip(places, odd, strict=True):
            assert os.lstat(place).st_ino == look.st_ino
            assert os.lstat(place).st_mode == look.st_mode
        assert os.listdir(stage.instrument.archive) == [EXPERIMENT]
        for found in (files_of(stage.instrument.archive), files_of(stage.instrument.cache)):
            assert SECRET not in found.values()
    tally("links", 1)


def swap(one, other, counter):
    """Exchange two names again and again: the body of a process of its own."""
    libc = ctypes.CDLL(None)
    names = [os.fsencode(name) for name in (one, other)]
    count, ended = 0, []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    while not ended or count % 2:
        if libc.renameat2(-100, names[0], -100, names[1], _EXCHANGE):
            break
        count += 1
    Path(counter).write_text(str(count))


@contextlib.contextmanager
def swapping(one, other, counter):
    """Swap for as long as it lasts; an even number of times, so that all is as it was."""
    script = "import sys; from tests.faults.test_links import swap; swap(*sys.argv[1:])"
    command = [sys.executable, "-c", script, str(one), str(other), str(counter)]
    process = subprocess.Popen(command, cwd=PROJECT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_R13_a_folder_swapped_for_a_link_while_we_walk(crew, arena):
    """R1, R13: through a link that comes at any moment nothing is read, taken or removed."""
    with Stage(crew, arena) as stage:
        other = stage.folder / "outside"
        for number in range(10):
            path = other / f"{number}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(SECRET)
            path.chmod(0o444)
        inside = stage.finish("sub/first.txt").parent
        link = inside.with_name("link")
        link.symlink_to(other)
        stage.ready()
        before = everything(other)
        counter, deadline, walks = stage.folder / "count", time.monotonic() + SECONDS, 0
        with swapping(inside, link, counter):
            while time.monotonic() < deadline:
                for number in range(5):
                    with contextlib.suppress(OSError):
                        name = f"{walks}-{number}.txt"
                        descriptor = os.open(
                            inside / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                        )
                        os.write(descriptor, CONTENT[:1000])
                        os.fchmod(descriptor, 0o444)
                        os.close(descriptor)
                run = stage.rescan()
                walks += 1
                assert "Traceback" not in run.output, run.output
                assert not run.hung
        swaps = int(counter.read_text())
        secret = {n: look for n, look in everything(other).items() if n in before}
        assert {n: look for n, look in before.items() if n != "."} == secret
        for found in (files_of(stage.instrument.archive), files_of(stage.instrument.cache)):
            assert SECRET not in found.values(), "a file from outside was taken"
        assert not link.exists() or not list(link.glob(".watcher-*"))
        assert stage.rescan().code in {0, 1}
    assert swaps >= SWAPS, f"only {swaps} swaps in {walks} walks"
    tally("swaps", swaps, note=f"{walks} walks")

"""A real share (sshfs) over a way that can be cut: all heals by itself (R2, R3, R8, R11)."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.faults import living
from tests.faults import share as shares
from tests.faults.checker import Made, Trees
from tests.faults.proxy import Proxy
from tests.faults.results import tally
from tests.harness import Instrument, wait_until
from tests.rules.evidence import SCANS

SERVER = "/usr/lib/openssh/sftp-server"
LARGE = os.urandom(3 << 20)
STALLED = 2.0
CUT = 3.0
"""Seconds that the way stays cut."""
HEALED = 60.0
"""Seconds in which everything must be archived again, on a busy machine."""
MOST_LINES = 40
"""Lines of the log that no cut may need."""


class SshShare:
    """A folder that is served by an sftp server, and mounted by sshfs through the proxy."""

    def __init__(self, folder, *options):
        self.backing, self.mount = folder / "backing", folder / "share"
        self.backing.mkdir()
        self._options = ",".join(options)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
        self._server = subprocess.Popen(
            ["socat", listen, f"EXEC:{SERVER}"], start_new_session=True, stderr=subprocess.DEVNULL
        )
        self.way = Proxy(port)
        self._sshfs = None
        self._number = None

    def attach(self):
        """Mount it; the server may need a moment."""
        place = f"127.0.0.1:{self.backing}"
        options = f"directport={self.way.port},dir_cache=no,{self._options}".rstrip(",")

        def mounted():
            if self._sshfs is None or self._sshfs.poll() is not None:
                command = ["sshfs", "-f", "-o", options, place, str(self.mount)]
                self._sshfs = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            return os.path.ismount(self.mount)

        self.mount.mkdir(exist_ok=True)
        wait_until(mounted, every=0.1)
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        self._number = next(int(m[2].split(":")[1]) for m in mounts if m[4] == str(self.mount))

    def is_gone(self):
        """Tell whether sshfs has ended."""
        return self._sshfs.poll() is not None

    def detach(self):
        if self._sshfs is not None and not self.is_gone():  # else another mount may have its number
            shares.abort(self._number)
        subprocess.run(["umount", "-l", self.mount], check=False, capture_output=True)
        if self._sshfs is not None:
            self._sshfs.kill()
            self._sshfs.wait()

    def end(self):
        self.way.switch("pass")
        self.detach()
        self.way.__exit__()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGTERM)
        self._server.wait()


@pytest.fixture(scope="module")
def fuse(as_root):
    if not shutil.which("sshfs") or not shutil.which("socat") or not os.path.exists(SERVER):
        pytest.skip("needs sshfs, socat and openssh-sftp-server")
    if not os.access("/dev/fuse", os.R_OK):
        pytest.skip("needs /dev/fuse")


class Case:
    """A watcher whose archive is on such a share, and what became of its files."""

    def __init__(self, instrument, share):
        self.instrument, self.share = instrument, share
        self.made = []
        cache = instrument.cache / "RB1" / SCANS
        backing = share.backing / instrument.archive.relative_to(instrument.share)
        self.trees = Trees(instrument.root, {"archive": backing / "RB1", "cache": cache})

    def finish(self, name, content):
        self.made.append(Made("RB1", name, content))
        self.instrument.finish(f"RB1/{SCANS}/{name}", content)

    def finish_small(self, name, count=30):
        for number in range(count):
            self.finish(f"{name} {number}.txt", f"{name} {number}".encode())

    def under_way(self, least=100_000):
        """Wait until so many bytes of a copy have come to the server."""
        folder = self.share.backing

        def parts():
            return [p for p in folder.rglob("*.part") if p.stat().st_size >= least]

        def some():
            with contextlib.suppress(FileNotFoundError):
                return parts()
            return []

        self.instrument.wait_until(some)

    def judge(self):
        verdict = self.trees.judge(self.made)
        assert verdict, str(verdict)

    def heals(self):
        """All arrives by itself, few words are said, and nothing is left over."""

        def archived():
            return not self.instrument.sources()

        try:
            self.instrument.wait_until(archived, HEALED)
            self.instrument.wait_until(lambda: living.state(self.instrument) == "online")
        finally:
            self.judge()
        lines = living.told(self.instrument, " WARNING ", " ERROR ")
        assert len(lines) <= MOST_LINES, "\n".join(lines)
        assert self.instrument.stop() == 0
        assert "Traceback" not in self.instrument.watcher.output
        verdict = self.trees.judge(self.made, is_end=True)
        assert verdict, str(verdict)


@contextlib.contextmanager
def case(folder, *options):
    share = SshShare(folder, *options)
    try:
        share.attach()
        retry = {"initial": "100ms", "maximum": "1s", "stalled_after": f"{STALLED:.0f}s"}
        with Instrument(folder, retry=retry, rescan_interval="5s") as instrument:
            one = Case(instrument, share)
            living.start(instrument)
            try:
                yield one
            finally:
                share.way.switch("pass")
    finally:
        share.end()


def reset_in_a_large_file(case):
    case.share.way.switch("slow")
    case.finish("large.dat", LARGE)
    case.under_way()
    case.share.way.switch("reset")


def reset_again_and_again(case):
    for number in range(5):
        case.finish_small(f"{number}")
        waiting = len(case.instrument.sources())
        case.instrument.wait_until(lambda most=waiting: len(case.instrument.sources()) < most)
        case.share.way.switch("reset")


def refused_in_a_large_file(case):
    case.share.way.switch("slow")
    case.finish("large.dat", LARGE)
    case.under_way()
    case.share.way.switch("refuse")
    case.instrument.wait_until(lambda: living.state(case.instrument) == "offline")
    case.judge()
    case.share.way.switch("pass")


def refused_before_anything(case):
    case.share.way.switch("refuse")
    case.finish_small("small")
    case.finish("large.dat", LARGE)
    case.instrument.wait_until(lambda: living.state(case.instrument) == "offline")
    case.judge()
    case.share.way.switch("pass")


def slow_with_a_large_file(case):
    case.share.way.switch("slow")
    case.finish("large.dat", LARGE)
    case.under_way(1 << 20)


def slow_with_small_files(case):
    case.share.way.switch("slow")
    case.finish_small("small", 10)


def stalled_in_a_large_file(case):
    case.share.way.switch("slow")
    case.finish("large.dat", LARGE)
    case.under_way()
    stall(case)
    case.share.way.switch("pass")


def stalled_with_small_files(case):
    case.share.way.switch("stall")
    case.finish_small("small")
    stall(case)
    case.share.way.switch("pass")


def stalled_then_reset(case):
    case.share.way.switch("slow")
    case.finish("large.dat", LARGE)
    case.under_way()
    stall(case)
    case.share.way.switch("reset")


def stall(case):
    """While nothing comes through it is told, and the cache goes on."""
    case.share.way.switch("stall")
    case.instrument.wait_until(lambda: living.state(case.instrument) == "stalled")
    threading.Event().wait(CUT)
    assert living.state(case.instrument) == "stalled"


CUTS = [
    *(reset_in_a_large_file, reset_again_and_again),
    *(refused_in_a_large_file, refused_before_anything),
    *(slow_with_a_large_file, slow_with_small_files),
    *(stalled_in_a_large_file, stalled_with_small_files, stalled_then_reset),
]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_R8_a_share_whose_way_is_cut(fuse, tmp_path, cut):
    """R2, R3, R8, R11: reset, refused, slow, stalled: nothing is lost, all heals by itself."""
    with case(tmp_path, "reconnect") as one:
        cut(one)
        one.heals()
    tally("network", 1)


def test_R2_a_share_whose_mount_ends(fuse, tmp_path):
    """R2: without `reconnect` sshfs ends, and the bare folder is there until it is mounted anew."""
    with case(tmp_path) as one:
        one.share.way.switch("slow")
        one.finish("large.dat", LARGE)
        one.under_way()
        one.share.way.switch("reset")
        wait_until(one.share.is_gone)
        one.share.detach()
        one.instrument.wait_until(lambda: living.state(one.instrument) == "offline")
        one.judge()
        assert not list(one.share.mount.iterdir()), "something was written into the bare folder"
        one.share.attach()
        one.heals()
    tally("network", 1)

"""An archive on a share that lies, hangs, and is gone."""

import errno
import itertools
import json
import os
import signal
import time

import pytest

from tests.faults import share as shares
from tests.faults.results import said, tally
from tests.faults.stage import Stage
from tests.harness import CYCLE, NAME, Instrument, wait_until
from tests.rules.evidence import files_of, leftovers

LARGE = os.urandom(2 << 20)
STALLED = 1.0
"""Seconds after which a destination counts as hanging, in these tests."""


@pytest.fixture(scope="module")
def fuse(as_root):
    if reason := shares.why_not():
        pytest.skip(reason)


@pytest.fixture
def share(fuse, arena):
    """An empty share; what one test leaves there doesn't reach the next."""
    number = len(list(arena.glob("share-*")))
    backing = arena / f"share-{number}"
    backing.mkdir()
    with shares.Share(backing, arena / f"mounted-{number}") as share:
        yield share


class OnShare(Stage):
    """A case whose archive lies on such a share."""

    def __init__(self, crew, arena, share, **settings):
        super().__init__(crew, arena, **settings)
        instrument = self.instrument
        instrument.share = share.mount / self.folder.name
        instrument.cycle = instrument.share / NAME / "Instrument" / "data" / CYCLE
        instrument.archive = instrument.cycle / "autoreduced" / "bluesky_scans"
        instrument.cycle.mkdir(parents=True)
        instrument.configure(retry={"initial": "10ms", "maximum": "40ms"}, workers=1, **settings)


LIES = [  # the first write is the one that tries the destination out
    *(("write", how, n, 1) for how in ("flip", "drop", "short") for n in range(1, 9)),
    *(("read", "flip", n, 1) for n in range(8)),
    *(("write", how, 1, 3) for how in ("flip", "drop")),
    ("read", "flip", 0, 3),
]


def test_R2_a_share_that_lies(crew, arena, share):
    """R2, R3: what is written or read back wrongly is found each time, never published."""
    wrong = []
    for op, how, skip, times in LIES:
        with OnShare(crew, arena, share) as stage:
            stage.finish("large.dat", LARGE)
            stage.ready()
            share.break_(op, how, skip=skip, times=times, name=".part")
            run = stage.rescan()
            struck = len(share.struck)
            share.restore()
            found = "read back differs" in run.output or how == "short"
            verdict = stage.now()
            if struck < times or not verdict or not found:
                wrong.append(f"{op} {how} {skip} {times}: {struck} {verdict}\n{run.output}")
            if not (end := stage.end()):
                wrong.append(f"{op} {how} {skip} {times}: at the end {end}\n{run.output}")
    tally("flips", len(LIES), len(wrong))
    assert not wrong, said(wrong)


def test_R2_a_flip_that_stays_is_never_published(crew, arena, share):
    """R2: while every write is wrong nothing is published; it is once they are right again."""
    with OnShare(crew, arena, share) as stage:
        stage.finish("large.dat", LARGE)
        stage.ready()
        share.break_("write", "flip", times=-1, name=".part")
        run = stage.rescan()
        assert run.code == 1
        assert not (stage.places["archive"] / "large.dat").exists()
        assert stage.now()
        share.restore()
        assert stage.end()


HANGING = (
    "stat",
    "open",
    "create",
    "read",
    "write",
    "flush",
    "fsync",
    "rename",
    "readdir",
    "mkdir",
)


@pytest.fixture
def running(share, tmp_path):
    """A watcher that keeps its sources, with its archive on the share."""
    with Instrument(tmp_path) as instrument:
        instrument.share = share.mount
        instrument.cycle = share.mount / NAME / "Instrument" / "data" / CYCLE
        instrument.archive = instrument.cycle / "autoreduced" / "bluesky_scans"
        instrument.cycle.mkdir(parents=True)
        retry = {"initial": "100ms", "maximum": "1s", "stalled_after": f"{STALLED:.0f}s"}
        instrument.configure(retry=retry, after_archiving="keep", rescan_interval="2s")
        try:
            yield instrument
        finally:
            share.restore()
            share.end()


@pytest.mark.parametrize("op", HANGING)
def test_R8_a_hang_holds_up_nobody_else(running, share, op):
    """R8: whatever it hangs in: told in time; cache and hints go on; it drains; it stops."""
    content = itertools.count()
    running.start()
    running.finish("RB1/bluesky_scans/before.txt", b"before")
    running.wait_until(lambda: running.archived("RB1", "before.txt").exists())
    share.break_(op, "hang", times=-1)
    began = time.monotonic()
    while not share.struck:  # a hint, until one reaches the operation that hangs
        name = f"RB{next(content)}/bluesky_scans/hung.txt"
        running.finish(name, name.encode())
        experiment = name.split("/", 1)[0]
        running.wait_until(lambda e=experiment: running.cached(e, "hung.txt").exists())
        assert time.monotonic() - began < 20
    running.wait_until(lambda: _state(running) == "stalled", STALLED + 10)
    told = time.monotonic() - began
    running.finish("RB77/bluesky_scans/meanwhile.txt", b"meanwhile")
    running.wait_until(lambda: running.cached("RB77", "meanwhile.txt").exists(), 10)
    answer = running.run("status", "--json")
    assert json.loads(answer.stdout)["running"]
    share.restore()
    back = time.monotonic()
    running.wait_until(lambda: running.archived("RB77", "meanwhile.txt").exists(), 30)
    running.wait_until(lambda: running.status()["backlog"] == 0, 30)
    drained = time.monotonic() - back
    share.break_(op, "hang", times=-1)
    running.finish("RB78/bluesky_scans/last.txt", b"last")
    running.wait_until(lambda: share.struck)
    began = time.monotonic()
    running.watcher.process.send_signal(signal.SIGTERM)

    def running_now():
        return running.status()["running"]

    wait_until(lambda: not running_now(), 15)
    stopping = time.monotonic() - began
    assert stopping <= 10, f"stopping took {stopping:.1f} s"
    share.restore()  # a process with a thread in a dead share can't be reaped before
    running.stop(15)
    done = running.run("rescan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert running.archived("RB78", "last.txt").read_bytes() == b"last"
    assert not leftovers(running)
    assert not [n for n in files_of(share.backing) if ".watcher-" in n]
    tally("hangs", 1)
    print(
        f"{op}: stalled told after {told:.1f} s, drained {drained:.1f} s, stopped {stopping:.1f} s"
    )


@pytest.mark.parametrize("op", ["write", "fsync", "read"])
def test_R8_many_threads_of_one_copy_that_hang_hold_up_nobody(running, share, op):
    """R8, R5: those that copy a batch together, and those that follow a large copy."""
    running.start()
    running.finish("RB1/bluesky_scans/before.txt", b"before")
    running.wait_until(lambda: running.archived("RB1", "before.txt").exists())
    share.break_(op, "hang", times=-1)
    names = [f"RB2/bluesky_scans/{number}.bin" for number in range(40)]
    for name in names:
        running.finish(name, name.encode() * 8000)
    running.finish("RB3/bluesky_scans/large.bin", b"large" * (8 << 20))
    running.wait_until(lambda: share.struck)
    running.wait_until(lambda: running.cached("RB3", "large.bin").exists())
    running.wait_until(lambda: _state(running) == "stalled", STALLED + 10)
    running.watcher.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    wait_until(lambda: not running.status()["running"], 15)
    assert time.monotonic() - began <= 10
    share.restore()  # a process with a thread in a dead share can't be reaped before
    running.stop(15)
    running.start()
    running.wait_until(lambda: running.status()["backlog"] == 0, 30)
    for name in names:
        copy = running.archived("RB2", name.rpartition("/")[2])
        assert copy.read_bytes() == name.encode() * 8000
    assert running.archived("RB3", "large.bin").read_bytes() == b"large" * (8 << 20)
    running.stop()
    assert not leftovers(running)
    assert not [n for n in files_of(share.backing) if ".watcher-" in n]


def _state(instrument):
    status = json.loads((instrument.state / "status.json").read_text())
    return status["destinations"]["archive"]["state"]


WAYS_TO_MISS = {
    "marker": {"marker": "THIS IS THE SHARE"},
    "cycle": {},
    "seen as a mount point": {},
}


@pytest.mark.parametrize("way", WAYS_TO_MISS)
def test_R2_a_bare_folder_in_place_of_the_mount(running, share, way):
    """R2: a mount that is gone is an outage; nothing is written into the folder that it hid."""
    data = share.mount / NAME / "Instrument" / "data"
    (data / "plain").mkdir()
    (data / "THIS IS THE SHARE").write_text("")
    shared = str(data / ("{cycle}" if way == "cycle" else "plain") / "{experiment}")
    cache = str(running.cache / "{experiment}" / "bluesky_scans")
    archive = {"name": "archive", "path": shared}
    if way == "marker":
        archive |= WAYS_TO_MISS[way]
        archive["path"] = str(data / "{experiment}")
    retry = {"initial": "100ms", "maximum": "500ms", "stalled_after": "30s"}
    both = [archive, {"name": "cache", "path": cache}]
    running.configure(destinations=both, retry=retry, rescan_interval="1s")
    running.start()
    running.finish("RB1/bluesky_scans/one.txt", b"one")
    running.wait_until(lambda: not running.sources())
    if way == "marker":  # nothing but the marker tells: it starts afresh on the bare folder
        running.stop()
    share.unmount()
    bare = share.mount / NAME / "Instrument" / "data" / "plain"
    bare.mkdir(parents=True)
    if way == "marker":
        running.start()
    running.finish("RB1/bluesky_scans/two.txt", b"two")
    running.wait_until(lambda: _state(running) == "offline")
    status, began = running.state / "status.json", time.time()
    wait_until(lambda: status.stat().st_mtime > began + 2)  # it has walked again
    assert "RB1/bluesky_scans/two.txt" in running.sources()
    assert files_of(share.mount) == {}, "something was written below the bare folder"
    tally("bare", 1)


def test_R2_the_mount_goes_at_each_step(crew, arena, share):
    """R2: the share is gone at each step: the source stays until it is back."""
    steps = (
        "stat",
        "create",
        "write",
        "fsync",
        "rename",
        "open",
        "read",
        "mkdir",
        "readdir",
        "chmod",
    )
    for op in steps:
        with OnShare(crew, arena, share) as stage:
            stage.finish()
            stage.ready()
            share.break_("any", "error", skip=0, times=0)
            share.break_(op, "error", times=-1, error=errno.ENOTCONN, name="autoreduced")
            run = stage.rescan()
            assert run.code == 1, run.output
            verdict = stage.now()
            assert verdict, f"{op}: {verdict}\n{run.output}"
            share.restore()
            assert (end := stage.end()), f"{op}: {end}"
    tally("bare", len(steps))

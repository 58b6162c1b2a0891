"""The instrument's side: what may be touched there, and when a source may go (R1, R2, R6, R7)."""

import os
import threading
from pathlib import Path
from typing import IO

import pytest

from tests.harness import Instrument, is_marked, wait_until
from tests.platforms import link
from tests.rules.evidence import (
    SCANS,
    assert_exact,
    away,
    destination,
    everything,
    files_of,
    leftovers,
    second_share,
    stopped,
)


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path, rescan_interval="1s") as instrument:
        yield instrument


def rescans(instrument, times=2):
    """Wait until so many walks have begun and ended from now on."""
    seen = set()

    def have_ended():
        seen.add(instrument.status()["next_rescan"])
        return len(seen - {None}) > times

    instrument.wait_until(have_ended)


FINISHED = {
    f"RB1/{SCANS}/scan.txt": b"1",
    f"RB1/{SCANS}/sub/deeper/scan.txt": b"2",
    f"Unknown RB/{SCANS}/plot.png": b"",
}
OTHERS = {
    "notes.txt": "not in a scan folder",
    "RB1/raw.nxs": "beside a scan folder",
    f"RB1/{SCANS}_old/scan.txt": "in a folder of almost that name",
    f"{SCANS}.txt": "a file of almost that name",
}
UNFINISHED = [f"RB1/{SCANS}/growing.txt", f"RB4/{SCANS}/growing.txt", f"RB1/{SCANS}/.hidden"]
FOREIGN_PART = f"RB1/{SCANS}/.watcher-0123456789ab-01234567-0.part"
EMPTY = [f"RB2/{SCANS}/empty", "RB3", f"RB1/{SCANS}/made a moment ago"]


def test_R1_nothing_but_finished_files_in_scan_folders_is_touched(instrument):
    """R1: unfinished and foreign files, links and empty folders stay as they are to the bit."""
    for name, content in FINISHED.items():
        instrument.finish(name, content)
    for name in OTHERS:
        instrument.finish(name, b"somebody else's")
    for name in [*UNFINISHED, FOREIGN_PART]:
        instrument.write(name, b"growing")
    for name in EMPTY:
        (instrument.root / name).mkdir(parents=True)
    instrument.cache.mkdir()
    before = everything(instrument.root)

    instrument.start()
    instrument.wait_until(lambda: not set(FINISHED) & set(instrument.sources()))
    rescans(instrument)
    stopped(instrument)

    after = {n: o for n, o in everything(instrument.root).items() if not is_cached(n)}
    gone = {name.replace("/", os.sep) for name in FINISHED}
    assert set(before) - set(after) == gone | {"Export only"}
    lost_one = {os.path.dirname(name) for name in gone}  # a folder tells that a file has left it
    for name, look in after.items():
        seen = slice(0, 1) if name in lost_one else slice(None)
        assert look[seen] == before[name][seen], name
    assert_exact(instrument.archive / "RB1", {"scan.txt": b"1", "sub/deeper/scan.txt": b"2"})
    assert_exact(instrument.archive / "Unknown RB", {"plot.png": b""})


def is_cached(name):
    return name.split(os.sep)[0] == "Export only"


def test_R1_a_copy_keeps_its_name_its_time_and_its_mark(instrument):
    """R1: what a copy shows is what the source showed."""
    path = instrument.write(f"RB1/{SCANS}/scan.txt")
    os.utime(path, ns=(1_500_000_000_000_000_000, 1_600_000_000_123_456_700))
    path.chmod(0o444)
    assert instrument.run("rescan").returncode == 0
    for copy in (instrument.archived("RB1", "scan.txt"), instrument.cached("RB1", "scan.txt")):
        assert is_marked(copy)
        assert copy.stat().st_mtime_ns == 1_600_000_000_123_456_700


class Spectator:
    """Watches without a pause whether a file is always where it must be (R2)."""

    def __init__(self, instrument, names):
        self.instrument, self.names, self.broken = instrument, names, []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.done.wait(0.001):
            for name in self.names:
                self.look(name)

    def look(self, name):
        archived = self.instrument.archived("RB1", name)
        cached = self.instrument.cached("RB1", name)
        source = self.instrument.root / "RB1" / SCANS / name
        if cached.exists() and not archived.exists():
            self.broken.append(f"{name} was in the cache before it was archived")
        if not source.exists() and not (archived.exists() and cached.exists()):
            self.broken.append(f"{name} was gone before all had it")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def test_R2_the_source_stays_until_every_destination_has_it(instrument):
    """R2: in an outage of the archive nothing moves; then both have it, then it goes."""
    names = [f"scan_{number}.txt" for number in range(30)]
    contents = {name: name.encode() * 100 for name in names}
    instrument.start()
    with away(instrument.share):
        for name, content in contents.items():
            instrument.finish(f"RB1/{SCANS}/{name}", content)
        instrument.wait_until(lambda: destination(instrument, "archive") == "offline")
        instrument.wait_until(lambda: instrument.status()["backlog"] == len(names))
        rescans(instrument)
        assert len(instrument.sources()) == len(names)
        assert not instrument.cache.exists() or not files_of(instrument.cache)
    with Spectator(instrument, names) as spectator:
        instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)
    assert spectator.broken == []
    assert_exact(instrument.archive / "RB1", contents)
    assert_exact(instrument.cache / "RB1" / SCANS, contents)
    assert leftovers(instrument) == []


def test_R2_a_copy_that_vanishes_before_the_source_goes_is_made_again(instrument):
    """R2: a receipt is not enough, the copy itself is looked at before the source goes."""
    share, destinations = second_share(instrument)
    instrument.configure(destinations=destinations)
    with away(share):
        instrument.start()
        instrument.finish(f"RB1/{SCANS}/scan.txt")
        copy = instrument.archived("RB1", "scan.txt")
        instrument.wait_until(copy.exists)
        instrument.wait_until(lambda: "archive:" in why(instrument, f"RB1/{SCANS}/scan.txt"))
        copy.chmod(0o600)
        copy.unlink()
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)
    assert_exact(instrument.archive / "RB1", {"scan.txt": b"1 2 3\n"})
    assert_exact(share / "RB1" / SCANS, {"scan.txt": b"1 2 3\n"})


def why(instrument, name):
    return instrument.run("why", str(instrument.root / name)).stdout


VERSIONS = 60
SIZE = 300_000


def rewrite(path: Path, versions: int) -> None:
    """Write one version after the other under one name, in pieces, each marked when it is whole."""
    for number in range(versions):
        letter = bytes([65 + number % 26])
        with wait_until(lambda: opened(path)) as file:
            for _ in range(10):
                file.write(letter * (SIZE // 10))
        try:
            path.chmod(0o444)
        except FileNotFoundError:  # the version before it was taken just now, and this one with it
            continue


def opened(path: Path) -> IO[bytes] | None:
    """Make a file writable and open it; None while it is read, where that keeps writers out."""
    try:
        path.chmod(0o644)
    except FileNotFoundError:
        path.touch()
    except PermissionError:
        return None
    try:
        return open(path, "wb", buffering=0)
    except PermissionError:
        return None


def test_R6_what_is_archived_is_always_one_whole_version(instrument):
    """R6: a file that is rewritten and marked again and again is never archived half and half."""
    instrument.start()
    path = instrument.write(f"RB1/{SCANS}/scan.txt", b"")
    producer = threading.Thread(target=rewrite, args=(path, VERSIONS))
    producer.start()
    wait_until(lambda: not producer.is_alive())
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)
    for folder in (instrument.archive / "RB1", instrument.cache / "RB1" / SCANS):
        found = {n: c for n, c in files_of(folder).items() if n != "checksums.sha256"}
        assert found
        for name, content in found.items():
            assert len(content) == SIZE, name
            assert len(set(content)) == 1, f"{name} is of several versions"
        assert_exact(folder, found)
    assert leftovers(instrument) == []


def test_R7_a_destination_below_the_root_is_never_a_source(instrument):
    """R7: finished files in a destination's scan folders stay there, excluded by name or not."""
    destinations = second_share(instrument)[1][:1]
    copies = instrument.root / "Copies"
    path = str(copies / "{experiment}" / SCANS)
    destinations.append({"name": "copies", "path": path})
    instrument.configure(destinations=destinations, exclude=[], rescan_interval="1s")
    old = instrument.finish(f"Copies/RB9/{SCANS}/old.txt", b"old")
    before = everything(copies)
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/scan.txt", b"new")
    instrument.wait_until((copies / "RB1" / SCANS / "scan.txt").exists)
    late = instrument.finish(f"Copies/RB9/{SCANS}/late.txt", b"late")
    rescans(instrument)
    assert instrument.status()["archived"] == 1
    stopped(instrument)
    after = everything(copies)
    name = str(old.relative_to(copies))
    assert after[name] == before[name]
    assert late.read_bytes() == b"late"
    assert sorted(os.listdir(instrument.archive)) == ["RB1"]


def test_R7_a_destination_that_is_the_source_itself_is_refused(instrument):
    """R7: where a link makes the copy and the source one file, the source is not lost."""
    alias = instrument.folder / "alias"
    link(str(instrument.root), str(alias), folder=True)
    destinations = second_share(instrument)[1][:1]
    destinations.append({"name": "alias", "path": str(alias / "{experiment}" / SCANS)})
    instrument.configure(destinations=destinations)
    source = instrument.finish(f"RB1/{SCANS}/scan.txt", b"all there is")
    done = instrument.run("rescan")
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert source.read_bytes() == b"all there is"
    assert is_marked(source)

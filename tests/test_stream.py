"""Streams: the line inside the copy, and what takes their place where there are none."""

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import Instrument, is_marked
from tests.platforms import wine_excuses
from watcher.checksums import Entry, record_for
from watcher.model import ArchivePath, Checksum
from watcher.platform import system

pytestmark = wine_excuses("no alternate data streams")
DIGEST = hashlib.sha256(b"1 2 3").hexdigest()
LINE = f"{DIGEST} *scan.txt\n".encode()


def stream_of(path: Path, name: str = "checksum") -> bytes:
    """Read it as a person would, without the program."""
    if os.name == "nt":
        with open(f"{path}:{name}", "rb") as stream:
            return stream.read()
    return os.getxattr(path, f"user.{name}")


def place(folder: Path, name: str = "scan.txt") -> ArchivePath:
    return ArchivePath(str(folder), str(folder), name)


def streams(warnings: list[str], *algorithms: str):
    numbers = itertools.count()
    return record_for(
        "stream",
        algorithms or ("sha256",),
        lambda: f".watcher-part-{next(numbers)}.part",
        lambda what, mend: warnings.append(what),
    )


def checksums(*algorithms: str) -> tuple[Checksum, ...]:
    names = algorithms or ("sha256",)
    return tuple(Checksum(a, hashlib.new(a, b"1 2 3").hexdigest()) for a in names)


@contextlib.contextmanager
def ramfs(folder: Path):
    """A real file system that keeps no extended attributes, while it lasts."""
    if os.name == "nt" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount")
    if subprocess.run(["mount", "-t", "ramfs", "none", folder], check=False).returncode:
        pytest.skip("no ramfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def without_streams(monkeypatch):
    """A file system that has none."""

    def refuse(path: str, name: str, content: bytes) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)

    monkeypatch.setattr(type(system), "write_stream", staticmethod(refuse))


def test_the_line_is_in_the_copy_at_every_destination(tmp_path):
    """With `stream` nothing is filled by rename, so all have it."""
    settings = {"algorithms": ["sha256", "md5"], "record": "stream"}
    with Instrument(tmp_path, checksums=settings) as instrument:
        instrument.finish("RB1/bluesky_scans/scan.txt", b"1 2 3")
        assert instrument.run("rescan").returncode == 0
        for copy in (instrument.archived("RB1", "scan.txt"), instrument.cached("RB1", "scan.txt")):
            assert stream_of(copy) == LINE
            md5 = hashlib.md5(b"1 2 3").hexdigest()
            assert stream_of(copy, "checksum.md5") == f"{md5} *scan.txt\n".encode()
            assert is_marked(copy)
            assert os.listdir(copy.parent) == ["scan.txt"]
        assert instrument.sources() == {}


@pytest.mark.skipif(os.name == "nt", reason="coreutils reads it from a pipe")
def test_a_conflicting_copy_holds_the_name_it_was_given_R4(tmp_path):
    with Instrument(tmp_path, checksums={"record": "stream"}) as instrument:
        taken = instrument.archived("RB1", "scan.txt")
        taken.parent.mkdir(parents=True)
        taken.write_bytes(b"another")
        instrument.finish("RB1/bluesky_scans/scan.txt", b"1 2 3")
        assert instrument.run("rescan").returncode == 0
        name = f"scan.{DIGEST[:8]}.txt"
        assert stream_of(taken.with_name(name)) == f"{DIGEST} *{name}\n".encode()
        assert taken.read_bytes() == b"another"


def test_an_adopted_copy_gets_its_line_and_keeps_mark_and_time(tmp_path):
    path = tmp_path / "scan.txt"
    path.write_bytes(b"1 2 3")
    path.chmod(0o444)
    before = path.stat().st_mtime_ns
    streams([]).write([Entry(place(tmp_path), checksums(), may_stand=True)])
    assert stream_of(path) == LINE
    assert is_marked(path)
    assert path.stat().st_mtime_ns == before


def test_where_streams_do_not_survive_sidecars_are_written_and_it_is_said_once(
    tmp_path, without_streams
):
    warnings: list[str] = []
    record = streams(warnings)
    path = tmp_path / "a.part"
    path.write_bytes(b"1 2 3")
    assert not record.attach(str(path), [place(tmp_path)], checksums())
    assert not record.attach(str(path), [place(tmp_path)], checksums())
    path.rename(tmp_path / "scan.txt")
    record.write([Entry(place(tmp_path), checksums())])
    assert (tmp_path / "scan.txt.sha256").read_bytes() == LINE
    assert len(warnings) == 1
    assert str(tmp_path) in warnings[0]
    assert sorted(os.listdir(tmp_path)) == ["scan.txt", "scan.txt.sha256"]


def test_a_file_system_that_mixes_stream_and_file_up_is_found_out(tmp_path, monkeypatch):
    def overwrite(path: str, name: str, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content[:4])

    monkeypatch.setattr(type(system), "write_stream", staticmethod(overwrite))
    monkeypatch.setattr(type(system), "read_stream", staticmethod(lambda path, name: None))
    path = tmp_path / "a.part"
    path.write_bytes(b"1 2 3")
    assert not streams(warnings := []).attach(str(path), [place(tmp_path)], checksums())
    assert path.read_bytes() == b"1 2 3"
    assert warnings


def test_a_real_file_system_without_streams_is_told_by_doctor_log_and_status(tmp_path):
    settings = {"checksums": {"record": "stream"}}
    with Instrument(tmp_path, **settings) as instrument, ramfs(instrument.share):
        instrument.cycle.mkdir(parents=True)
        seen = instrument.run("doctor").stdout
        assert "streams don't survive there" in seen
        instrument.start()
        instrument.finish("RB1/bluesky_scans/scan.txt", b"1 2 3")
        sidecar = instrument.archived("RB1", "scan.txt.sha256")
        instrument.wait_until(sidecar.exists)
        assert sidecar.read_bytes() == LINE
        instrument.wait_until(lambda: instrument.status()["warnings"])
        assert "streams don't survive" in instrument.run("status").stdout
        assert "sidecar files are written instead" in instrument.watcher.output
        instrument.wait_until(instrument.cached("RB1", "scan.txt").exists)
        assert stream_of(instrument.cached("RB1", "scan.txt")) == LINE, "kept where they are"
        instrument.stop()

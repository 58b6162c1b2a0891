"""Sidecars: one line beside each copy, exact for coreutils, replacing nothing."""

import hashlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import Instrument, is_marked
from watcher.checksums import Entry, record_for
from watcher.model import ArchivePath, Checksum


def digest(content: bytes, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, content).hexdigest()


def entry(folder: Path, relative: str, content: bytes, *algorithms: str) -> Entry:
    """Publish a copy and return what goes on record."""
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    checksums = tuple(Checksum(a, digest(content, a)) for a in algorithms or ("sha256",))
    return Entry(ArchivePath(str(folder), str(folder), relative), checksums)


def sidecars(*algorithms: str):
    numbers = itertools.count()
    return record_for("sidecar", algorithms or ("sha256",), lambda: f".part-{next(numbers)}.part")


def passes(sidecar: Path, tool: str = "sha256sum") -> bool:
    """Let coreutils judge; where there are none, each line is checked as they would."""
    if shutil.which(tool) is None:
        lines = [line.split(b" *", 1) for line in sidecar.read_bytes().splitlines()]
        files = [(hex_, sidecar.with_name(os.fsdecode(name))) for hex_, name in lines]
        kind = tool.removesuffix("sum")
        return bool(files) and all(
            hashlib.new(kind, file.read_bytes()).hexdigest() == hex_.decode()
            for hex_, file in files
        )
    command = [tool, "--strict", "-c", "--", sidecar.name]
    done = subprocess.run(command, cwd=sidecar.parent, capture_output=True, check=False)
    return done.returncode == 0


def test_a_sidecar_is_one_line_that_coreutils_checks_and_read_only(tmp_path):
    sidecars().write([entry(tmp_path, "sub/scan.txt", b"1 2 3")])
    written = tmp_path / "sub" / "scan.txt.sha256"
    assert written.read_bytes() == f"{digest(b'1 2 3')} *scan.txt\n".encode()
    assert is_marked(written)
    assert passes(written)
    assert sorted(p.name for p in (tmp_path / "sub").iterdir()) == ["scan.txt", written.name]


def test_each_algorithm_has_a_sidecar_of_its_own(tmp_path):
    sidecars("sha256", "md5").write([entry(tmp_path, "scan.txt", b"1", "sha256", "md5")])
    assert passes(tmp_path / "scan.txt.sha256")
    assert passes(tmp_path / "scan.txt.md5", "md5sum")


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
@pytest.mark.parametrize("name", ["new\nline", "back\\slash", "-c", "ÿ\udcff", "n" * 255])
def test_any_name_has_a_sidecar_that_coreutils_understands_R13(tmp_path, name):
    sidecars().write([entry(tmp_path, name, b"1")])
    (written,) = [p for p in tmp_path.iterdir() if p.name.endswith(".sha256")]
    assert passes(written)


def test_written_again_it_is_there_once_R5(tmp_path):
    one = entry(tmp_path, "scan.txt", b"1")
    sidecars().write([one])
    sidecars().write([one])
    assert sorted(os.listdir(tmp_path)) == ["scan.txt", "scan.txt.sha256"]


@pytest.mark.parametrize("form", ["{0}  scan.txt\n", "{0}\n", "SHA256 (scan.txt) = {0}\n"])
def test_a_producers_sidecar_with_the_same_digest_serves_as_ours(tmp_path, form):
    one = entry(tmp_path, "scan.txt", b"1")
    theirs = tmp_path / "scan.txt.sha256"
    theirs.write_text(form.format(digest(b"1")))
    before = theirs.read_bytes()
    sidecars().write([one])
    assert theirs.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["scan.txt", "scan.txt.sha256"]


def test_what_has_the_name_already_is_not_replaced_R4(tmp_path):
    one = entry(tmp_path, "scan.txt", b"1")
    (tmp_path / "scan.txt.sha256").write_bytes(b"a measurement")
    sidecars().write([one])
    assert (tmp_path / "scan.txt.sha256").read_bytes() == b"a measurement"
    assert passes(tmp_path / f"scan.txt.{digest(b'1')[:8]}.sha256")


def test_a_sidecar_gets_no_sidecar_but_data_of_such_a_name_does(tmp_path):
    line = f"{digest(b'1')} *scan.txt\n".encode()
    sidecars().write(
        [entry(tmp_path, "scan.txt.sha256", line), entry(tmp_path, "run.sha1.txt", b"no digest")]
    )
    names = sorted(os.listdir(tmp_path))
    assert names == ["run.sha1.txt", "run.sha1.txt.sha256", "scan.txt.sha256"]


def test_files_reach_every_destination_with_their_sidecars(tmp_path):
    """Also where the source itself is renamed into place."""
    algorithms = {"algorithms": ["sha256", "md5"], "record": "sidecar"}
    with Instrument(tmp_path, checksums=algorithms) as instrument:
        instrument.finish("RB1/bluesky_scans/sub/scan.txt", b"1 2 3")
        done = instrument.run("rescan")
        assert done.returncode == 0, done
        for copy in (
            instrument.archived("RB1", "sub/scan.txt"),
            instrument.cached("RB1", "sub/scan.txt"),
        ):
            assert passes(copy.with_name("scan.txt.sha256"))
            assert passes(copy.with_name("scan.txt.md5"), "md5sum")
        assert instrument.sources() == {}

"""Full disks, no inodes, denied and immutable places: told once, not copied again and again."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.faults.results import tally
from tests.faults.stage import CONTENT, Stage
from tests.faults.victim import Plan

pytestmark = pytest.mark.usefixtures("as_root")
LARGE = os.urandom(3 << 20)


def run(*command):
    subprocess.run([str(word) for word in command], check=True)


@contextlib.contextmanager
def small(folder, options):
    """Mount a small file system in memory."""
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", options, "none", folder)
    try:
        yield
    finally:
        run("umount", "-l", folder)


def shares(instrument):
    instrument.cycle.mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=8"])
@pytest.mark.parametrize("where", ["archive", "cache", "state"])
def test_R8_full(crew, arena, where, options):
    """R2, R8: what is full gets nothing, sources stay, others go on; it heals when freed."""
    with Stage(crew, arena, after_archiving="keep") as stage:
        instrument = stage.instrument
        folder = {"archive": instrument.share, "cache": instrument.cache, "state": instrument.state}
        top = folder[where]
        with small(top, options):
            shares(instrument)
            stage.finish("large.dat", LARGE)
            for number in range(9):
                stage.finish(f"{number}.txt", b"%d" % number)
            stage.ready()
            if where == "state":
                with contextlib.suppress(OSError), open(top / "ballast", "wb") as ballast:
                    ballast.write(bytes(2 << 20))
            found = stage.rescan()
            assert not found.hung
            assert "Traceback" not in found.output, found.output
            assert "unexpected" not in found.output, found.output
            assert stage.now()
            assert found.output.count("No space left") <= 2 + len(stage.made), found.output
            if where != "state":
                assert found.code == 1, found.output
                assert f"{where} is full" in found.output, found.output
                other = stage.places["cache" if where == "archive" else "archive"]
                assert (other / "large.dat").read_bytes() == LARGE
            again = stage.rescan(Plan())
            writes = [c for c in again.trace if " write " in c and "large" in c]
            assert not writes, "it was copied again under its own name"
            (top / "ballast").unlink(missing_ok=True)
            run("mount", "-o", "remount,size=64m,nr_inodes=1000", top)
            assert (end := stage.end()), str(end)
    tally("full", 1)


@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=8"])
def test_R2_full_while_sources_are_to_go(crew, arena, options):
    """R2: what the archive has no room for stays where it is, and goes when there is some."""
    with Stage(crew, arena) as stage, small(stage.instrument.share, options):
        shares(stage.instrument)
        stage.finish("large.dat", LARGE)
        for number in range(9):
            stage.finish(f"{number}.txt", b"%d" % number)
        stage.ready()
        for _ in range(2):
            found = stage.rescan()
            assert found.code == 1, found.output
            assert "archive is full" in found.output, found.output
            assert found.output.count("No space left") <= 2 + len(stage.made), found.output
            assert stage.now()
        run("mount", "-o", "remount,size=64m,nr_inodes=1000", stage.instrument.share)
        assert (end := stage.end()), str(end)
    tally("full", 1)


DENIALS = ("the source", "the source's folder", "creating", "the archive", "removing")


@pytest.mark.parametrize("what", DENIALS)
def test_R11_denied(what):
    """R2, R11: an account that lacks a right says so once; nothing is copied again and again."""
    with tempfile.TemporaryDirectory() as top, Stage(None, Path(top)) as stage:
        stage.finish("free.txt", b"free")
        instrument = stage.instrument
        with contextlib.suppress(FileExistsError):
            stage.finish("scan.txt")
        del stage.made[1:]
        os.chmod(stage.folder, 0o755)
        run("chown", "-R", "65534:65534", stage.folder)
        made = instrument.root / "RB1" / "bluesky_scans" / "scan.txt"
        _deny(stage, what, made)
        os.chmod(top, 0o755)
        ended = [_as_nobody(stage) for _ in range(2)]
        assert all("Traceback" not in e.stderr + e.stdout for e in ended)
        assert all("unexpected" not in e.stderr + e.stdout for e in ended)
        assert ended[0].returncode == 1, ended[0].stdout + ended[0].stderr
        told = ended[0].stdout + ended[0].stderr
        assert "denied" in told.lower() or "can't be" in told, told
        assert told.lower().count("permission denied") <= 4, told
        run("chmod", "-R", "u+rwX", instrument.share)
        run("chmod", "u+rwx", made.parent)
        made.chmod(0o444) if made.exists() else None
        done = _as_nobody(stage)
        assert done.returncode == 0, done.stdout + done.stderr
        for place in stage.places.values():
            assert (place / "scan.txt").read_bytes() == CONTENT
            assert len(list(place.glob("scan*"))) == 1
    tally("denied", 1)


def _deny(stage, what, made):
    instrument = stage.instrument
    match what:
        case "the source":
            made.chmod(0o000)
        case "the source's folder":
            made.parent.chmod(0o000)
        case "creating":
            instrument.cycle.chmod(0o555)
        case "the archive":
            instrument.share.chmod(0o000)
        case "removing":
            made.parent.chmod(0o555)


def _as_nobody(stage):
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return subprocess.run(
        [*command, *stage.instrument.command("rescan")],
        cwd="/",
        env=stage.instrument.environment() | {"HOME": "/nonexistent"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("what", ["source", "its folder", "archive"])
def test_R11_immutable(crew, tmp_path, what):
    """R2, R11: what can't be changed even by root is told once, and not copied again and again."""
    with Stage(crew, tmp_path) as stage:
        path = stage.finish()
        stage.ready()
        target = {"source": path, "its folder": path.parent, "archive": stage.instrument.cycle}[
            what
        ]
        if subprocess.run(["chattr", "+i", str(target)], check=False).returncode:
            pytest.skip("this file system has no immutable files")
        try:
            first, second = stage.rescan(), stage.rescan(Plan())
            assert first.code == second.code == 1, first.output
            assert stage.now()
            assert "Traceback" not in first.output
            copied = [c for c in second.trace if " create " in c and "/RB1/.watcher" in c]
            assert not copied, "copied again"
        finally:
            run("chattr", "-i", target)
        assert (end := stage.end()), str(end)
    tally("denied", 1)

"""Nothing is silent: each kind of staying behind has one reason, which `why` tells (R11)."""

import os
import shutil
import stat
import subprocess

import pytest

from tests.harness import Instrument, wait_until
from tests.platforms import link, on_posix, wine_excuses
from tests.rules.evidence import SCANS, away, destination, launch, log_lines, stopped

AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Takes from root what lets it read and write everything."""


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path, rescan_interval="1s", exclude=["Export only", "private"]) as one:
        yield one


def why(instrument, path):
    done = instrument.run("why", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_R11_why_tells_the_rule_that_keeps_a_file_where_it_is(instrument):
    """R11: unfinished, outside, excluded, cached, no file, unheard of: each has its own words."""
    scans = f"RB1/{SCANS}"
    (instrument.root / scans / "folder").mkdir(parents=True)
    real = instrument.finish("elsewhere.txt")
    outside = instrument.folder / "scan.txt"
    outside.write_bytes(b"")
    expected = {
        instrument.write(f"{scans}/unfinished.txt"): "it is unfinished: still writable",
        real: "it is not below a folder named bluesky_scans",
        outside: "it is not below a folder named bluesky_scans",
        instrument.finish(f"private/{SCANS}/scan.txt"): "excluded folder",
        instrument.finish(f"Export only/RB1/{SCANS}/scan.txt"): "it lies in the destination cache",
        instrument.root / scans / "folder": "it is no regular file",
        instrument.root / scans / "never.txt": "there is no such file",
        instrument.finish(f"{scans}/scan.txt"): "waits for a watcher: none runs",
    }
    for path, words in expected.items():
        assert words in why(instrument, path), path


@wine_excuses("shows links as what they lead to")
def test_R11_why_tells_that_a_link_is_no_file(instrument):
    """R11: whatever it leads to."""
    real = instrument.finish("elsewhere.txt")
    path = instrument.root / "RB1" / SCANS / "link.txt"
    path.parent.mkdir(parents=True)
    link(str(real), str(path))
    assert "it is no regular file" in why(instrument, path)


def test_R11_why_tells_that_a_scan_has_died(instrument):
    """R11: an unfinished file that nobody has touched for long is stranded; status counts it."""
    instrument.configure(unfinished_after="1s", rescan_interval="1s")
    path = instrument.write(f"RB1/{SCANS}/scan.txt")
    os.utime(path, (10**9, 10**9))
    instrument.start()
    assert instrument.wait_until(lambda: instrument.status()["stranded"]) == 1
    said = why(instrument, path)
    stopped(instrument)
    assert "its scan died" in said
    assert "mark it read-only" in said
    assert len([line for line in log_lines(instrument) if "stranded" in line]) == 1


def test_R11_why_tells_of_an_outage_and_then_where_it_went(instrument):
    """R11: while the archive is away its name and state are the reason; afterwards, the places."""
    path = instrument.root / "RB1" / SCANS / "scan.txt"
    with away(instrument.share):
        instrument.start()
        instrument.finish(f"RB1/{SCANS}/scan.txt")
        instrument.wait_until(lambda: destination(instrument, "archive") == "offline")
        instrument.wait_until(lambda: instrument.status()["backlog"] == 1)
        said = why(instrument, path)
        assert "it waits for archive, which is offline since" in said
        stopped(instrument)
        assert "none runs" in why(instrument, path)
    instrument.start()
    instrument.wait_until(lambda: not path.exists())
    instrument.wait_until(lambda: "cache:" in why(instrument, path))
    said = why(instrument, path)
    stopped(instrument)
    assert f"archive: {instrument.archived('RB1', 'scan.txt')}" in said
    assert f"cache: {instrument.cached('RB1', 'scan.txt')}" in said
    assert "sha256:" in said


def test_R11_why_knows_a_copy_and_a_path_without_its_data_root(instrument):
    """R11: where a file went is told for any path that a person may have at hand."""
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.wait_until(lambda: not instrument.sources())
    copies = instrument.archived("RB1", "scan.txt"), instrument.cached("RB1", "scan.txt")
    for path in (f"RB1/{SCANS}/scan.txt", *copies):
        said = why(instrument, path)
        assert all(str(copy) in said for copy in copies), path
    assert f"it is a copy of {instrument.root / 'RB1' / SCANS / 'scan.txt'}" in said
    waiting = instrument.write(f"RB1/{SCANS}/unfinished.txt")
    assert str(waiting) in why(instrument, f"RB1/{SCANS}/unfinished.txt")


@on_posix
def test_R11_why_tells_of_a_file_that_is_held_back(instrument):
    """R11: by somebody who still writes it, or because it isn't what its producer promised."""
    instrument.configure(rescan_interval="1s", retry={"initial": "100ms", "maximum": "300ms"})
    path = instrument.write(f"RB1/{SCANS}/busy.txt")
    with path.open("ab"):
        path.chmod(0o444)
        instrument.start()
        instrument.wait_until(lambda: instrument.status()["failed"] == 1)
        said = why(instrument, path)
    assert "it is held back from " in said
    assert "still open for writing in another program" in said
    assert str(path) not in said.split("since")[1]
    promise = instrument.finish(f"RB1/{SCANS}/bad.txt.sha256", b"0" * 64 + b" *bad.txt\n")
    path = instrument.finish(f"RB1/{SCANS}/bad.txt")
    instrument.wait_until(lambda: instrument.status()["mismatches"] == 1)
    assert "it differs from its producer's checksum" in why(instrument, path)
    assert "holds the checksum of" in why(instrument, promise)


def test_R11_why_tells_what_is_missing_at_a_destination(instrument):
    """R11: no cycle yet; both copies of a conflict; a source that is kept."""
    instrument.configure(after_archiving="keep", retry={"initial": "100ms", "maximum": "300ms"})
    instrument.cycle.rmdir()
    instrument.start()
    path = instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.wait_until(lambda: instrument.status()["backlog"] == 1)
    instrument.wait_until(lambda: "there is no cycle_YY_N folder" in why(instrument, path))
    other = instrument.archived("RB1", "scan.txt")
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another")
    instrument.wait_until(lambda: instrument.status()["archived"] == 1)
    said = why(instrument, path)
    assert "it is archived, and the source is kept" in said
    assert "beside another file of its name" in said


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="mounts a small volume")
def test_R11_why_tells_of_a_destination_that_is_full(instrument):
    """R11: no room for anybody is the destination's state; it goes on when there is some."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(instrument.cycle)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        filler = instrument.cycle / "filler"
        filler.write_bytes(bytes(64 * 1024))
        instrument.configure(retry={"initial": "100ms", "maximum": "300ms"})
        instrument.start()
        path = instrument.finish(f"RB1/{SCANS}/scan.txt")
        instrument.wait_until(
            lambda: "it waits for archive, which is full" in why(instrument, path)
        )
        filler.unlink()
        instrument.wait_until(lambda: not path.exists())
        stopped(instrument)
    finally:
        subprocess.run(["umount", "-l", str(instrument.cycle)], check=True)


def held_lines(instrument):
    return [line for line in log_lines(instrument) if "held back" in line]


@on_posix
def test_R11_a_file_that_cannot_be_read_is_told_once_and_taken_when_it_can(instrument):
    """R11: one file's fault holds up no other, is one line in the log, and ends by itself."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to take that from it")
    path = instrument.finish(f"RB1/{SCANS}/unreadable.txt")
    path.chmod(0)
    launch(instrument, *(AS_ANYBODY if is_root else ()))
    instrument.wait_until(lambda: instrument.status()["running"])
    instrument.finish(f"RB1/{SCANS}/other.txt")
    instrument.wait_until(instrument.archived("RB1", "other.txt").exists)
    instrument.wait_until(lambda: instrument.status()["failed"] == 1)
    said = why(instrument, path)
    assert "it is held back from archive since" in said
    assert "Permission denied" in said
    assert path.exists()
    path.chmod(stat.S_IRUSR)
    instrument.wait_until(lambda: not path.exists())
    wait_until(lambda: instrument.status()["failed"] == 0)
    stopped(instrument)
    lines = held_lines(instrument)
    assert len([line for line in lines if "unreadable.txt" in line]) == len(lines) == 2, lines


@on_posix
def test_R11_a_folder_that_cannot_be_read_is_told_once(instrument):
    """R11: what lies in it can't be known, so the folder is said, once, and status has it."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv to take that from it")
    path = instrument.finish(f"RB1/{SCANS}/sub/scan.txt")
    path.parent.chmod(0)
    launch(instrument, *(AS_ANYBODY if is_root else ()))
    instrument.wait_until(lambda: instrument.status()["rescan"]["errors"])
    instrument.finish(f"RB1/{SCANS}/other.txt")
    instrument.wait_until(instrument.archived("RB1", "other.txt").exists)
    path.parent.chmod(stat.S_IRWXU)
    instrument.wait_until(lambda: not path.exists())
    stopped(instrument)
    assert len([line for line in log_lines(instrument) if "can't read " in line]) == 1

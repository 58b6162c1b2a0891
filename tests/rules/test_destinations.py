"""The far side: what readers see, what is kept, and who waits for whom (R3, R4, R8)."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time

import pytest

from tests.harness import Instrument
from tests.rules.evidence import (
    MANIFEST,
    SCANS,
    assert_exact,
    away,
    destination,
    digest,
    files_of,
    leftovers,
    log_lines,
    said,
    second_share,
    stopped,
)


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path) as instrument:
        yield instrument


READER = r"""
import hashlib, json, os, sys, threading

tops, seen, partial = sys.argv[1:], set(), []
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

def look(folder):
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            look(entry.path)
        elif entry.name.endswith(".dat") and entry.path not in seen:
            try:
                with open(entry.path, "rb") as file:
                    data = file.read()
            except PermissionError:  # Windows, in the middle of the renaming: looked at again
                continue
            seen.add(entry.path)
            if hashlib.sha256(data[32:]).digest() != data[:32]:
                partial.append([entry.path, len(data)])

print("looking", flush=True)
is_last = False
while not is_last:
    is_last = ended.is_set()
    for top in tops:
        look(top)
print(json.dumps({"seen": len(seen), "partial": partial}))
"""
"""Reads a file the moment that it sees its final name; its first bytes prove it whole."""


def test_R3_no_reader_ever_sees_a_partial_file(instrument):
    """R3: a process that reads whatever appears at the destinations finds it whole every time."""
    number, size = 200, 1 << 20
    tops = [str(instrument.archive), str(instrument.cache)]
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, *tops],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=instrument.environment(),
    )
    assert reader.stdout is not None
    assert reader.stdout.readline().strip() == b"looking"
    instrument.start()
    for i in range(number):
        data = hashlib.shake_128(b"%d" % i).digest(size - 32)
        instrument.finish(f"RB1/{SCANS}/{i}.dat", hashlib.sha256(data).digest() + data)
    instrument.wait_until(lambda: not instrument.sources(), 50)
    told = json.loads(reader.communicate()[0])
    stopped(instrument)
    assert told == {"seen": 2 * number, "partial": []}
    for top in (instrument.archive, instrument.cache):  # 400 MB are too much to keep
        shutil.rmtree(top, onerror=unmark)


def unmark(function, path, _error):
    os.chmod(path, stat.S_IWRITE | stat.S_IREAD)
    function(path)


def test_R4_different_content_is_kept_beside_the_first_and_reported(instrument):
    """R4: both files are kept and on record, and status and log tell of the conflict."""
    first, second = b"the first\n", b"the second\n"
    kept = f"scan.{digest(second)[:8]}.txt"
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/scan.txt", first)
    instrument.wait_until(lambda: not instrument.sources())
    instrument.finish(f"RB1/{SCANS}/scan.txt", second)
    instrument.wait_until(lambda: not instrument.sources())
    instrument.wait_until(said(instrument, "conflict: archive holds another file"))
    assert instrument.wait_until(lambda: instrument.status()["conflicts"])
    told = instrument.run("why", str(instrument.root / "RB1" / SCANS / "scan.txt")).stdout
    stopped(instrument)
    assert kept in told
    assert "beside another file of its name" in told
    for folder in (instrument.archive / "RB1", instrument.cache / "RB1" / SCANS):
        assert_exact(folder, {"scan.txt": first, kept: second})


def test_R4_what_others_put_at_the_archive_is_not_overwritten(instrument):
    """R4: a file of another's at the archive stays, and gets no line of ours."""
    place = instrument.archived("RB1", "scan.txt")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"somebody else's")
    instrument.finish(f"RB1/{SCANS}/scan.txt", b"ours")
    assert instrument.run("rescan").returncode == 0
    kept = f"scan.{digest(b'ours')[:8]}.txt"
    found = files_of(instrument.archive / "RB1")
    manifest = found.pop(MANIFEST).decode()
    assert found == {"scan.txt": b"somebody else's", kept: b"ours"}
    assert manifest == f"{digest(b'ours')} *{kept}\n"
    assert_exact(instrument.cache / "RB1" / SCANS, {"scan.txt": b"ours"})


def test_R4_a_folder_in_the_place_of_a_file_is_a_conflict_too(instrument):
    """R4: whatever has the name keeps it, and the newcomer is kept beside it."""
    instrument.archived("RB1", "scan.txt").mkdir(parents=True)
    instrument.finish(f"RB1/{SCANS}/scan.txt", b"ours")
    assert instrument.run("rescan").returncode == 0
    assert instrument.archived("RB1", "scan.txt").is_dir()
    assert instrument.archived("RB1", f"scan.{digest(b'ours')[:8]}.txt").read_bytes() == b"ours"


def test_R4_the_same_content_is_one_file(instrument):
    """R4: a file that is there already is adopted, as often as it comes; so is a kept conflict."""
    kept = f"scan.{digest(b'other')[:8]}.txt"
    for content in (b"same", b"same", b"other", b"other", b"same"):
        instrument.finish(f"RB1/{SCANS}/scan.txt", content)
        assert instrument.run("rescan").returncode == 0
    for folder in (instrument.archive / "RB1", instrument.cache / "RB1" / SCANS):
        assert_exact(folder, {"scan.txt": b"same", kept: b"other"})
    assert leftovers(instrument) == []


def test_R8_an_outage_of_one_destination_does_not_delay_another(instrument):
    """R8: with the archive away, the other destination gets hinted and rescanned files at once."""
    share, destinations = second_share(instrument)
    instrument.configure(destinations=destinations, after_archiving="keep", rescan_interval="1s")
    for number in range(100):
        instrument.finish(f"RB0/{SCANS}/{number}.txt")
    with away(instrument.share):
        instrument.start()
        instrument.wait_until(lambda: len(files_of(share)) == 101)
        instrument.wait_until(lambda: destination(instrument, "archive") == "offline")
        began = time.monotonic()
        instrument.finish(f"RB1/{SCANS}/hinted.txt")
        instrument.wait_until((share / "RB1" / SCANS / "hinted.txt").exists)
        assert time.monotonic() - began < 5
        assert destination(instrument, "second") == "online"
    instrument.wait_until(instrument.archived("RB1", "hinted.txt").exists, 5)
    instrument.wait_until(lambda: instrument.status()["backlog"] == 0)
    assert len(instrument.sources()) == 101
    stopped(instrument)
    expected = {f"{number}.txt": b"1 2 3\n" for number in range(100)}
    assert_exact(instrument.archive / "RB0", expected)
    assert_exact(share / "RB0" / SCANS, expected)


def test_R8_stopping_in_an_outage_takes_seconds(instrument):
    """R8: whoever waits for a destination stops waiting when the watcher is to end."""
    instrument.configure(retry={"initial": "30s", "maximum": "300s"})
    with away(instrument.share):
        for number in range(20):
            instrument.finish(f"RB1/{SCANS}/{number}.txt")
        instrument.start()
        instrument.wait_until(lambda: destination(instrument, "archive") == "offline")
        began = time.monotonic()
        stopped(instrument)
        assert time.monotonic() - began < 10
    assert len(instrument.sources()) == 20


def test_R8_neither_the_fixed_part_nor_a_cycle_is_ever_created(instrument):
    """R8: a share that is not mounted stays an empty folder; it is an outage, not a place."""
    with away(instrument.share):
        instrument.share.mkdir()
        instrument.finish(f"RB1/{SCANS}/scan.txt")
        assert instrument.run("rescan").returncode == 1
        assert os.listdir(instrument.share) == []
        instrument.share.rmdir()
    instrument.cycle.rmdir()
    assert instrument.run("rescan").returncode == 1
    assert os.listdir(instrument.cycle.parent) == []
    (instrument.cycle.parent / "cycle_26_3").mkdir()
    assert instrument.run("rescan").returncode == 0
    assert files_of(instrument.share)


def test_R11_an_outage_is_a_few_lines_however_many_files_wait(instrument):
    """R11: one line when the archive goes, one when it returns; none for each try or file."""
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/before.txt")
    instrument.wait_until(lambda: not instrument.sources())
    with away(instrument.share):
        for number in range(20):
            instrument.finish(f"RB1/{SCANS}/{number}.txt")
        left = time.monotonic()
        instrument.wait_until(lambda: time.monotonic() - left > 5)
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)
    lines = [line for line in log_lines(instrument) if "archived " not in line]
    assert len([line for line in lines if re.search(r"archive is offline", line)]) == 1
    assert len([line for line in lines if re.search(r"archive is online again", line)]) == 1
    assert len(lines) < 10, lines

"""Names are data, and what is no plain file is left alone (R13)."""

import json
import os
import re
import stat
import sys

import pytest

from tests.harness import Instrument
from tests.platforms import link, on_posix, wine_excuses
from tests.rules.evidence import (
    SCANS,
    assert_exact,
    everything,
    leftovers,
    log_lines,
    said,
    stopped,
)

FINISHED = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
EVERYWHERE = [
    "two words.txt",
    " leading space.txt",
    "ünïcødé 数据 🧪.txt",
    "e\u0301 and \u00e9.txt",
    "\u202etxt.evil",
    "[red]not red[/red].txt",
    "{cycle} {experiment} {}.txt",
    "%s %d %(x)s $HOME.txt",
    "-rf",
    "--config=x.yaml",
    "'; drop table.txt",
    "no suffix",
    ".hidden",
    "checksums.md5",
    "scan.txt.part",
    "x" * 251 + ".txt",
    "deep/" * 20 + "scan.txt",
]
ON_POSIX = [
    "two\nlines.txt",
    "carriage\rreturn.txt",
    "tab\tand \x1b[31mescape\x07.txt",
    "back\\slash.txt",
    'quote" star* question?.txt',
    "trailing dot.",
    "CON",
    "no utf-8 \udcff\udcfe.txt",
    "\udce9" * 255,
    "ä" * 127,
]
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \(\d+\) watcher[.\w]* ")


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path, rescan_interval="1s") as instrument:
        yield instrument


def test_R13_any_name_arrives_and_is_shown_harmlessly(instrument):
    """R13: spaces, Unicode, markup, control characters, 255 bytes, no UTF-8: all are only names."""
    names = EVERYWHERE + (ON_POSIX if os.name == "posix" else [])
    contents = {name: os.fsencode(name) for name in names}
    experiments = ["RB [bold] {x} %s", *(["Unknown\nRB"] if os.name == "posix" else [])]
    instrument.start()
    for experiment in experiments:
        for name, content in contents.items():
            instrument.finish(f"{experiment}/{SCANS}/{name}", content)
    instrument.wait_until(lambda: not instrument.sources())
    count = len(experiments) * len(names)
    instrument.wait_until(lambda: instrument.status()["archived"] == count)
    text = instrument.run("status")
    asked = str(instrument.root / experiments[-1] / SCANS / names[5])
    why = instrument.run("why", asked)
    stopped(instrument)
    assert text.returncode == why.returncode == 0
    assert "archive:" in why.stdout
    for shown in (text.stdout, why.stdout, instrument.watcher.output):
        assert all(c.isprintable() or c == "\n" for c in shown)
    for line in log_lines(instrument):
        assert LINE.match(line), line
    for experiment in experiments:
        assert_exact(instrument.archive / experiment, contents)
        assert_exact(instrument.cache / experiment / SCANS, contents)
    assert leftovers(instrument) == []


def test_R13_such_names_are_told_while_they_wait_too(instrument):
    """R13: a dry run, the status in JSON and why bear any name of a file that stays behind."""
    names = EVERYWHERE + (ON_POSIX if os.name == "posix" else [])
    for name in names:
        instrument.write(f"RB1/{SCANS}/{name}", b"unfinished")
    instrument.configure(unfinished_after="1s", rescan_interval="1s")
    done = instrument.run("rescan", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stays: ") == len(names)
    assert all(c.isprintable() or c == "\n" for c in done.stdout)
    instrument.start()
    instrument.wait_until(lambda: instrument.status()["stranded"] == len(names))
    told = json.loads(instrument.run("status", "--json").stdout)["stranded_files"]
    assert {file["path"] for file in told} == {str(path) for path in instrument.sources().values()}
    stopped(instrument)
    for line in log_lines(instrument):
        assert LINE.match(line), line


@on_posix  # the harness itself writes short paths on Windows; tests/windows has the long ones
def test_R13_paths_over_260_characters(instrument):
    """R13: deep folders are no obstacle, at the source or at a destination."""
    deep = "/".join(["a folder of quite some length"] * 12)
    instrument.finish(f"RB1/{SCANS}/{deep}/scan.txt", b"deep")
    assert instrument.run("rescan").returncode == 0
    assert_exact(instrument.archive / "RB1", {f"{deep}/scan.txt": b"deep"})


@wine_excuses("shows links as what they lead to")
def test_R13_a_link_is_not_followed(instrument):
    """R13: links to files and folders in a scan folder are left alone, and what they show, too."""
    elsewhere = instrument.folder / "elsewhere"
    (elsewhere / SCANS).mkdir(parents=True)
    for path in (elsewhere / "scan.txt", elsewhere / SCANS / "scan.txt"):
        path.write_bytes(b"elsewhere")
        path.chmod(FINISHED)
    instrument.finish(f"RB1/{SCANS}/real.txt")
    scans = instrument.root / "RB1" / SCANS
    link(str(elsewhere / "scan.txt"), str(scans / "link.txt"))
    link(str(elsewhere), str(scans / "folder"), folder=True)
    link(str(elsewhere), str(instrument.root / "RB2"), folder=True)
    (instrument.root / "RB3").mkdir()
    link(str(elsewhere / SCANS), str(instrument.root / "RB3" / SCANS), folder=True)
    link(str(scans / "gone"), str(scans / "broken.txt"))
    before = everything(elsewhere)
    instrument.start()
    instrument.wait_until(lambda: not (scans / "real.txt").exists())
    instrument.finish(f"RB1/{SCANS}/later.txt")
    instrument.wait_until(lambda: not (scans / "later.txt").exists())
    stopped(instrument)
    assert everything(elsewhere) == before
    assert {"link.txt", "folder", "broken.txt"} <= set(os.listdir(scans))
    assert_exact(instrument.archive / "RB1", dict.fromkeys(("real.txt", "later.txt"), b"1 2 3\n"))
    assert os.listdir(instrument.archive) == ["RB1"]


@on_posix
def test_R13_pipes_sockets_and_devices_are_not_waited_for(instrument):
    """R13: what would block or act when it is opened is not opened."""
    scans = instrument.root / "RB1" / SCANS
    scans.mkdir(parents=True)
    if sys.platform != "win32":
        os.mkfifo(scans / "pipe.txt", 0o444)
        os.mknod(scans / "socket.txt", stat.S_IFSOCK | 0o444)
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.wait_until(lambda: not (scans / "scan.txt").exists(), 10)
    instrument.wait_until(said(instrument, "archived "))
    stopped(instrument)
    assert sorted(os.listdir(scans)) == ["pipe.txt", "socket.txt"]
    assert_exact(instrument.archive / "RB1", {"scan.txt": b"1 2 3\n"})


def test_R13_a_source_named_like_the_manifest_takes_a_conflict_name(instrument):
    """R13: a file named checksums.sha256 neither replaces the record nor gets lost."""
    instrument.finish(f"RB1/{SCANS}/checksums.sha256", b"somebody's own\n")
    instrument.finish(f"RB1/{SCANS}/scan.txt", b"data")
    assert instrument.run("rescan").returncode == 0
    for folder in (instrument.archive / "RB1", instrument.cache / "RB1" / SCANS):
        names = set(os.listdir(folder)) - {"checksums.sha256", "scan.txt"}
        (other,) = names
        assert re.fullmatch(r"checksums\.[0-9a-f]{8}\.sha256", other)
        assert_exact(folder, {other: b"somebody's own\n", "scan.txt": b"data"})

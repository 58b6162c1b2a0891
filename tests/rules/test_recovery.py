"""Killed at any instant, or without its memory: the end is the same (R5, R10)."""

import contextlib
import os
import random
import sqlite3
import threading

import pytest

from tests.harness import CYCLE, IS_WINE, Instrument, wait_until
from tests.rules.evidence import (
    SCANS,
    assert_exact,
    away,
    files_of,
    launch,
    leftovers,
    log_lines,
    second_share,
    stopped,
)

FILES = 200
NEXT_CYCLE = "cycle_26_3"


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path) as instrument:
        yield instrument


def ledger_rows(instrument, query):
    """Ask the ledger as it lies on the disk."""
    path = instrument.state / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def forget(instrument):
    """Delete the ledger, as anybody may at any time."""
    for path in instrument.state.glob("ledger.sqlite*"):
        path.unlink()


def killed_lives(instrument, randomness, contents, kills):
    """Live and be killed, again and again, while the files come in.

    Each life gets its share of the files: some lie there when it starts, some come while it runs;
    the kill comes at any instant from its start to a moment after the last of them.
    """
    names = list(contents)
    for life in range(kills):
        batch = names[life::kills]
        for name in batch[: len(batch) // 2]:
            instrument.finish(name, contents[name])
        watcher = launch(instrument)
        if randomness.random() < 0.9:
            wait_until(lambda w=watcher: " starts on " in w.output or not w.is_running)
        for name in batch[len(batch) // 2 :]:
            instrument.finish(name, contents[name])
        threading.Event().wait(randomness.uniform(0, 0.12))  # the instant is what is tested
        assert watcher.is_running, watcher.output
        watcher.kill()


KILLS = 10 if IS_WINE else 30
"""A life takes ten times as long to begin there."""


@pytest.mark.timeout(300)  # so many lives, on a machine that others use too
@pytest.mark.parametrize(("after_archiving", "kills"), [("remove", KILLS), ("keep", 6)])
def test_R5_killed_at_random_instants_it_reaches_the_same_end(instrument, after_archiving, kills):
    """R5: one copy a destination, records exact, nothing of its own left behind."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    instrument.configure(after_archiving=after_archiving)
    randomness = random.Random(seed)
    names = [f"RB{number % 3}/{SCANS}/{number}.txt" for number in range(FILES)]
    contents = {name: name.encode() * randomness.choice([1, 500, 20_000]) for name in names}
    killed_lives(instrument, randomness, contents, kills)

    instrument.start()
    if after_archiving == "remove":
        instrument.wait_until(lambda: not instrument.sources())
    instrument.wait_until(lambda: len(ledger_rows(instrument, SETTLED)) == FILES)
    stopped(instrument)
    assert set(instrument.sources()) == (set(names) if after_archiving == "keep" else set())
    for experiment in ("RB0", "RB1", "RB2"):
        expected = {
            name.rpartition("/")[2]: content
            for name, content in contents.items()
            if name.startswith(f"{experiment}/")
        }
        assert_exact(instrument.archive / experiment, expected)
        assert_exact(instrument.cache / experiment / SCANS, expected)
    assert leftovers(instrument) == []
    assert ledger_rows(instrument, RECEIPTS) == [("archive", FILES), ("cache", FILES)]
    assert ledger_rows(instrument, "SELECT count(*) FROM waiting") == [(0,)]
    assert ledger_rows(instrument, "SELECT count(*) FROM file") == [(FILES,)]


SETTLED = """
    SELECT source FROM file JOIN receipt ON receipt.file = file.id
    WHERE state = 1 AND source NOT IN (SELECT source FROM waiting)
    GROUP BY file.id HAVING count(*) = 2
"""
RECEIPTS = """
SELECT destination, count(*) FROM receipt WHERE state = 1 AND conflict = 0
GROUP BY destination ORDER BY destination
"""


def published_but_not_settled(instrument):
    """Bring a file to the archive only, and end the watcher there."""
    share, destinations = second_share(instrument)
    instrument.configure(destinations=destinations)
    copy = instrument.archived("RB1", "scan.txt")
    with away(share):
        instrument.start()
        instrument.finish(f"RB1/{SCANS}/scan.txt", b"once")
        source = str(instrument.root / "RB1" / SCANS / "scan.txt")
        instrument.wait_until(lambda: "archive:" in instrument.run("why", source).stdout)
        stopped(instrument)
    assert copy.read_bytes() == b"once"
    return share


def test_R10_without_its_ledger_a_file_is_adopted_in_its_earlier_cycle(instrument):
    """R10: what lies in an earlier cycle already is not copied into the new one again."""
    share = published_but_not_settled(instrument)
    forget(instrument)
    new = instrument.cycle.with_name(NEXT_CYCLE)
    new.mkdir()
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/new.txt", b"new")
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)
    assert_exact(instrument.archive / "RB1", {"scan.txt": b"once"})
    assert_exact(new / "autoreduced" / SCANS / "RB1", {"new.txt": b"new"})
    assert_exact(share / "RB1" / SCANS, {"scan.txt": b"once", "new.txt": b"new"})


def test_R10_with_its_ledger_a_backlog_lands_in_its_own_cycle(instrument):
    """R10: the cycle is fixed when a file is first seen, through outages and restarts."""
    instrument.start()
    instrument.finish(f"RB1/{SCANS}/first.txt")
    instrument.wait_until(lambda: not instrument.sources())
    with away(instrument.share):
        instrument.finish(f"RB1/{SCANS}/waiting.txt", b"old cycle")
        instrument.wait_until(lambda: instrument.status()["backlog"] == 1)
        stopped(instrument)
    (instrument.cycle.parent / NEXT_CYCLE).mkdir()
    (instrument.cycle.parent / "cycle_25_10").mkdir()
    instrument.finish(f"RB1/{SCANS}/new.txt", b"new cycle")
    instrument.start()
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)
    places = {
        name: cycle
        for cycle in (CYCLE, NEXT_CYCLE, "cycle_25_10")
        for name in files_of(instrument.cycle.parent / cycle)
    }
    assert places[f"autoreduced/{SCANS}/RB1/waiting.txt"] == CYCLE
    assert places[f"autoreduced/{SCANS}/RB1/new.txt"] == NEXT_CYCLE


def test_R10_the_ledger_may_be_deleted_at_any_time(instrument):
    """R10: with sources kept, copies are compared anew: nothing is copied or recorded twice."""
    instrument.configure(after_archiving="keep")
    contents = {f"{number}.txt": b"%d" % number for number in range(20)}
    for name, content in contents.items():
        instrument.finish(f"RB1/{SCANS}/{name}", content)
    assert instrument.run("rescan").returncode == 0
    forget(instrument)
    assert instrument.run("rescan").returncode == 0
    assert_exact(instrument.archive / "RB1", contents)
    assert_exact(instrument.cache / "RB1" / SCANS, contents)


def corrupt(path):
    path.write_bytes(b"no database at all" * 1000)


def tear(path):
    """Lose a page in the middle, as a bad disk would."""
    data = bytearray(path.read_bytes())
    data[4096:8192] = os.urandom(4096)
    path.write_bytes(data)


def from_the_future(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize("spoil", [corrupt, tear, from_the_future])
def test_R10_a_ledger_that_is_of_no_use_is_set_aside_and_said(instrument, spoil):
    """R10: the work goes on with a new ledger, the old one is kept, and the log says so."""
    for number in range(50):
        instrument.finish(f"RB1/{SCANS}/{number}.txt")
    assert instrument.run("rescan").returncode == 0
    path = instrument.state / "ledger.sqlite"
    spoil(path)
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    done = instrument.run("rescan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list(instrument.state.glob("ledger-*.sqlite")), os.listdir(instrument.state)
    assert any("set aside" in line and "ledger" in line for line in log_lines(instrument))
    assert not instrument.sources()
    assert instrument.archived("RB1", "scan.txt").exists()
    assert instrument.run("why", str(instrument.root / "RB1" / SCANS / "scan.txt")).returncode == 0
    assert ledger_rows(instrument, "SELECT count(*) FROM file") == [(1,)]


def test_R10_why_and_status_bear_a_spoiled_ledger(instrument):
    """R10: who asks is told plainly, not by a traceback, and nothing is set aside by asking."""
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.state.mkdir()
    corrupt(instrument.state / "ledger.sqlite")
    before = sorted(os.listdir(instrument.state))
    name = str(instrument.root / "RB1" / SCANS / "scan.txt")
    for arguments in (["why", name], ["status"], ["rescan", "--dry-run"]):
        done = instrument.run(*arguments)
        assert done.returncode in {0, 1}, (arguments, done.stdout, done.stderr)
        assert done.returncode == 0 or "the ledger can't be read" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert sorted(os.listdir(instrument.state)) == before

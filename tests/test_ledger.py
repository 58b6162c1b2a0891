"""The ledger: a record that may be lost, broken or full, and never stops the archiving (R10)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher.activity import Notice
from watcher.errors import WatcherError
from watcher.ledger import Checks, Ledger, Wanted, database, rows, schema, sql
from watcher.ledger.rows import Version
from watcher.model import Checksum, Fingerprint, FinishedFile, HeldBack, Manner, Receipt, WaitsFor

DATA = os.path.abspath(os.path.join(os.sep, "data"))
ARCHIVE = os.path.abspath(os.path.join(os.sep, "archive", "cycle_26_1", "RB1"))
ODD = os.fsdecode(b"r\xe9sum\xff\n'; DROP [red].txt") if os.name == "posix" else "r\udcffé[red].txt"
CYCLES = {"archive": "cycle_26_1"}


def file(name: str = "scan.txt", mtime_ns: int = 10**18, experiment: str = "RB1") -> FinishedFile:
    fingerprint = Fingerprint(len(name), mtime_ns, "f" * 32)
    return FinishedFile(DATA, experiment, "bluesky_scans", name, fingerprint)


def receipt(
    file: FinishedFile, destination: str = "archive", when: float = 1000.0, **changes: object
) -> Receipt:
    digest = hashlib.sha256(os.fsencode(file.path)).hexdigest()
    made = Receipt(
        source=file.path,
        experiment=file.experiment,
        fingerprint=file.fingerprint,
        destination=destination,
        path=os.path.join(ARCHIVE, file.relative),
        folder=ARCHIVE,
        checksums=(Checksum("sha256", digest), Checksum("md5", "0123456789abcdef" * 2)),
        archived_at=when,
        seconds=0.25,
        attempts=1,
        manner=Manner.COPIED,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def version_of(file: FinishedFile) -> Version:
    return file.path, file.fingerprint


class Ear:
    """Hears what an operator is told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def __call__(self, notice: Notice) -> None:
        self.notices.append(notice)

    @property
    def levels(self) -> list[str]:
        return [notice.level for notice in self.notices]

    @property
    def text(self) -> str:
        return " ".join(f"{notice.text} {notice.mend}" for notice in self.notices)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path, ear: Ear) -> Iterator[Ledger]:
    opened = Ledger.open(str(path), ear)
    yield opened
    opened.close()


def count(ledger: Ledger) -> int:
    """Count the receipts ever given."""
    return len(list(ledger.history()))


def trace(folder: Path) -> dict[str, tuple[int, int, str]]:
    """All that can be seen of a folder."""
    return {
        found.name: (
            (stat := found.stat()).st_size,
            stat.st_mtime_ns,
            hashlib.sha256(found.read_bytes()).hexdigest(),
        )
        for found in folder.iterdir()
    }


def run(code: str, path: Path) -> subprocess.Popen[str]:
    """Start another process that has this module at hand as `t`, and the ledger's path."""
    start = "import sys, time, tests.test_ledger as t; from watcher.ledger import Ledger\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


HOLDS_ONE = """
ledger = Ledger.open(sys.argv[1], t.Ear())
ledger.record([t.receipt(t.file("a"))])
print("done", flush=True)
sys.stdin.read()
"""


class TestWaiting:
    def test_what_was_admitted_is_recalled(self, ledger: Ledger) -> None:
        """The cycle and the first look of a waiting file outlive the process."""
        ledger.admit([(file(), 5.0, CYCLES)])
        found = ledger.recall([file(), file("other.txt")])
        assert list(found) == [file().path]
        assert found[file().path].first_seen == 5.0
        assert found[file().path].cycles == CYCLES
        assert found[file().path].receipts == {}

    @pytest.mark.parametrize("end", ["commit", "record", "waiting", "close"])
    def test_what_is_admitted_is_written_with_what_comes_next(
        self, ledger: Ledger, path: Path, end: str
    ) -> None:
        """R5: one flush for both; and whatever comes next comes after it."""
        ledger.record([receipt(file("earlier.txt"))])
        peeked = Ledger.peek(str(path))
        assert peeked is not None
        ledger.admit([(file(), 5.0, CYCLES)])
        assert peeked.waiting() == 0
        getattr(ledger, end)(*([receipt(file())],) if end == "record" else ())
        assert peeked.recall([file()])[file().path].cycles == CYCLES
        peeked.close()

    def test_another_version_is_another_file(self, ledger: Ledger) -> None:
        """R6: neither the cycle nor the receipts of a file's earlier version count."""
        ledger.admit([(file(), 5.0, CYCLES)])
        ledger.record([receipt(file())])
        changed = file(mtime_ns=7)
        assert ledger.recall([changed]) == {}
        ledger.admit([(changed, 9.0, {})])
        assert ledger.recall([changed])[changed.path].first_seen == 9.0
        assert ledger.recall([changed])[changed.path].receipts == {}
        assert ledger.waiting() == 1

    def test_cycles_are_updated_and_the_first_look_stays(self, ledger: Ledger) -> None:
        ledger.admit([(file(), 5.0, {})])
        ledger.admit([(file(), 9.0, CYCLES)])
        found = ledger.recall([file()])[file().path]
        assert (found.first_seen, found.cycles) == (5.0, CYCLES)

    def test_receipts_come_along_by_destination(self, ledger: Ledger) -> None:
        """R5: what one destination holds already isn't copied again after a crash."""
        ledger.admit([(file(), 5.0, CYCLES)])
        ledger.record([receipt(file()), receipt(file(), "cache")])
        found = ledger.recall([file()])[file().path]
        assert found.receipts == {"archive": receipt(file()), "cache": receipt(file(), "cache")}

    def test_receipts_alone_are_recalled_too(self, ledger: Ledger) -> None:
        ledger.record([receipt(file())])
        found = ledger.recall([file()])[file().path]
        assert found.first_seen is None
        assert list(found.receipts) == ["archive"]

    def test_forgotten_is_forgotten(self, ledger: Ledger) -> None:
        ledger.admit([(file(), 5.0, CYCLES)])
        ledger.hold(HeldBack(file().path, "mismatch", "look at it", 6.0))
        ledger.forget([version_of(file())])
        assert (ledger.recall([file()]), ledger.waiting()) == ({}, 0)
        assert ledger.held(file().path) is None

    def test_sources_are_paged_through_in_order(self, ledger: Ledger) -> None:
        """R12: the backlog is never read into memory as a whole."""
        names = [f"{number:03}.txt" for number in range(25)]
        ledger.admit([(file(name), 1.0, {}) for name in names])
        seen: list[Version] = []
        while page := ledger.waiting_versions(seen[-1][0] if seen else "", 10):
            assert len(page) <= 10
            seen += page
        assert seen == [version_of(file(name)) for name in names]

    def test_the_backlog_is_summed_up(self, ledger: Ledger) -> None:
        """How many files wait, how large they are together, since when the oldest does."""
        assert ledger.waiting_totals() == (0, 0, None)
        ledger.admit([(file("a"), 5.0, {}), (file("bcd"), 4.0, {})])
        assert ledger.waiting_totals() == (2, 4, 4.0)

    def test_ten_thousand_are_recalled_quickly(self, ledger: Ledger) -> None:
        """A burst of hints is taken in at once; the limit allows for a busy machine."""
        files = [file(f"sub/{number}.txt") for number in range(10_000)]
        ledger.admit([(each, 1.0, CYCLES) for each in files])
        began = time.process_time()
        assert len(ledger.recall(files)) == 10_000
        assert time.process_time() - began < 1.0

    def test_the_last_cycle_is_remembered(self, ledger: Ledger) -> None:
        assert ledger.last_cycle("archive") is None
        ledger.remember_cycle("archive", "cycle_26_1")
        ledger.remember_cycle("archive", "cycle_26_2")
        assert ledger.last_cycle("archive") == "cycle_26_2"


class TestReceipts:
    def test_names_are_data(self, ledger: Ledger) -> None:
        """R13: bytes that are no text, quotes, newlines and markup come back as they were."""
        odd = file(os.path.join(ODD, ODD), experiment=ODD)
        ledger.record([receipt(odd, conflict=True)])
        ledger.admit([(odd, 1.0, {})])
        ledger.hold(HeldBack(odd.path, f"no place for {ODD}", "\ud800", 1.0, "cache"))
        assert ledger.receipts_of(odd.path) == [receipt(odd, conflict=True)]
        assert list(ledger.history(ODD)) == [receipt(odd, conflict=True)]
        assert ledger.receipt_at("archive", receipt(odd).path) == receipt(odd, conflict=True)
        assert ledger.waiting_versions("", 5) == [version_of(odd)]
        assert ledger.held(odd.path) == HeldBack(
            odd.path, f"no place for {ODD}", "\ud800", 1.0, "cache"
        )

    def test_numbers_of_any_size_are_kept(self, ledger: Ledger, ear: Ear) -> None:
        """A file that claims to be from the year 2400 holds nobody up."""
        late = file(mtime_ns=2**65)
        ledger.record([receipt(late)])
        assert ledger.receipts_of(late.path)[0].fingerprint == late.fingerprint
        assert ear.notices == []

    def test_a_second_receipt_replaces_the_first(self, ledger: Ledger) -> None:
        ledger.record([receipt(file())])
        ledger.record([receipt(file(), when=2000.0, manner=Manner.ADOPTED)])
        assert ledger.receipts_of(file().path) == [
            receipt(file(), when=2000.0, manner=Manner.ADOPTED)
        ]

    def test_void_receipts_prove_nothing_but_are_history(self, ledger: Ledger) -> None:
        """R2: a copy that is gone must not let the source go."""
        ledger.record([receipt(file()), receipt(file(), "cache")])
        ledger.void(file().path, "archive")
        assert list(ledger.recall([file()])[file().path].receipts) == ["cache"]
        assert ledger.archived([file()], ["archive"]) == set()
        assert ledger.receipt_at("archive", receipt(file()).path) is None
        assert list(ledger.receipts_below("archive", ARCHIVE)) == []
        assert [each.destination for each in ledger.history() if each.void] == ["archive"]

    def test_only_the_newest_version_is_voided(self, ledger: Ledger) -> None:
        newer = file(mtime_ns=7)
        ledger.record([receipt(file()), receipt(newer, when=2000.0)])
        ledger.void(file().path, "archive")
        assert [each.void for each in ledger.receipts_of(file().path)] == [True, False]
        ledger.record([receipt(newer, when=2000.0)])
        ledger.void(file().path, "archive", receipt(file()))
        assert [each.void for each in ledger.receipts_of(file().path)] == [False, True]

    def test_settling_ends_the_waiting(self, ledger: Ledger) -> None:
        ledger.admit([(file(), 5.0, CYCLES)])
        ledger.hold(HeldBack(file().path, "offline", "", 6.0, "cache"))
        ledger.record([receipt(file())])
        assert count(ledger) == 1
        ledger.settle([receipt(file(), "cache")], [version_of(file())])
        assert (ledger.waiting(), ledger.held(file().path)) == (0, None)
        assert count(ledger) == 2
        ledger.settle([receipt(file(), "cache")], [version_of(file())])
        assert count(ledger) == 2

    def test_R5_what_ends_is_one_version(self, ledger: Ledger) -> None:
        """A newer one may be waiting by then, in a cycle that must outlive a restart."""
        newer = file(mtime_ns=7)
        ledger.admit([(newer, 6.0, CYCLES)])
        ledger.settle([receipt(file())], [version_of(file())])
        ledger.forget([version_of(file())])
        assert ledger.recall([newer])[newer.path].cycles == CYCLES

    def test_an_intent_counts_for_nothing_until_it_is_settled(self, ledger: Ledger) -> None:
        """R5: a rename that may not have happened is no receipt, but is known to the next start."""
        ledger.intend([receipt(file(), "cache", manner=Manner.RENAMED)])
        assert ledger.recall([file()]) == {}
        assert list(ledger.history()) == ledger.receipts_of(file().path) == []
        assert ledger.pending() == [receipt(file(), "cache", manner=Manner.RENAMED)]
        ledger.settle([], [version_of(file())])
        assert ledger.pending() == []
        assert ledger.archived([file()], ["cache"]) == {file().path}
        assert count(ledger) == 1

    def test_an_intent_that_did_not_happen_leaves_nothing(self, ledger: Ledger) -> None:
        older = file(mtime_ns=7)
        ledger.record([receipt(older, "cache", when=9000.0)])
        ledger.intend([receipt(file(), "cache")])
        ledger.void(file().path, "cache")
        assert ledger.pending() == []
        assert ledger.receipts_of(file().path) == [receipt(older, "cache", when=9000.0)]

    def test_archived_needs_every_destination(self, ledger: Ledger) -> None:
        """R2, for files that are kept: path and fingerprint, at all destinations."""
        whole, half, changed = file("whole.txt"), file("half.txt"), file("changed.txt")
        ledger.record([receipt(each) for each in (whole, half, changed)])
        ledger.record([receipt(whole, "cache"), receipt(changed, "cache")])
        files = [whole, half, dataclasses.replace(changed, fingerprint=Fingerprint(1, 2, "3"))]
        assert ledger.archived(files, ["archive", "cache"]) == {whole.path}

    def test_a_manifest_can_be_made_of_them(self, ledger: Ledger) -> None:
        names = [os.path.join("sub", f"{number}.txt") for number in range(1200)]
        ledger.record([receipt(file(name)) for name in names])
        ledger.record([receipt(file("a"), folder=ARCHIVE + "2", path=ARCHIVE + "2x")])
        found = ledger.receipts_below("archive", ARCHIVE)
        assert sorted(each.source for each in found) == sorted(file(name).path for name in names)
        assert list(ledger.receipts_below("cache", ARCHIVE)) == []

    def test_a_path_from_elsewhere_stays_whole(self, ledger: Ledger) -> None:
        odd = receipt(file(), folder=ARCHIVE, path=os.path.join(DATA, "x"))
        ledger.record([odd])
        assert ledger.receipts_of(file().path) == [odd]


class TestHistory:
    @pytest.fixture(autouse=True)
    def past(self, ledger: Ledger) -> None:
        names = ["Alpha_100%.txt", "beta.txt", "gamma.txt"]
        ledger.record([receipt(file(name), when=100.0 + i) for i, name in enumerate(names)])
        ledger.record([receipt(file("delta.txt", experiment="Unknown RB"), when=50.0)])

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("", ["gamma.txt", "beta.txt", "Alpha_100%.txt", "delta.txt"]),
            ("alpha", ["Alpha_100%.txt"]),
            ("100%", ["Alpha_100%.txt"]),
            ("a_1", ["Alpha_100%.txt"]),
            ("m_a", []),
            ("Unknown RB", ["delta.txt"]),
            (os.path.join("archive", "cycle_26_1", "RB1", "b"), ["beta.txt"]),
            ("sha256:", ["gamma.txt", "beta.txt", "Alpha_100%.txt", "delta.txt"][:0]),
            ("md5:01234567", ["gamma.txt", "beta.txt", "Alpha_100%.txt", "delta.txt"]),
            ("no such thing", []),
        ],
    )
    def test_it_finds(self, ledger: Ledger, text: str, names: list[str]) -> None:
        """Newest first, by a part of a name, path or experiment."""
        assert [os.path.basename(each.source) for each in ledger.history(text)] == names

    def test_it_finds_checksums(self, ledger: Ledger) -> None:
        wanted = receipt(file("beta.txt")).checksum
        for text in (wanted.digest, wanted.digest[:12].upper(), str(wanted)):
            assert [each.checksum for each in ledger.history(text)] == [wanted]

    def test_it_stops_at_the_limit(self, ledger: Ledger) -> None:
        assert len(list(ledger.history(limit=2))) == 2
        assert list(ledger.history(limit=0)) == []

    def test_the_receipts_of_a_file_come_together(self, ledger: Ledger) -> None:
        """However far apart they are; and only those that are wanted."""
        many = [file(f"{number}.png") for number in range(700)]
        for destination, start in (("archive", 1000.0), ("cache", 2000.0)):
            ledger.record(
                [receipt(f, destination, when=start + n) for n, f in enumerate(many)],
            )
        files = list(ledger.history_by_file(Wanted(".png"), 650))
        assert [os.path.basename(one[0].source) for one in files] == [
            f"{number}.png" for number in range(699, 49, -1)
        ]
        assert {tuple(r.destination for r in one) for one in files} == {("cache", "archive")}
        (one,) = ledger.history_by_file(Wanted("5.png", destination="archive"), 1)
        assert [r.destination for r in one] == ["archive"]
        assert list(ledger.history_by_file(Wanted(), 0)) == []

    def test_many_of_the_same_instant_are_all_told_once(self, ledger: Ledger) -> None:
        """Paging neither skips nor repeats."""
        ledger.record([receipt(file(f"{i}.png"), when=75.0) for i in range(1300)])
        assert len({each.source for each in ledger.history()}) == 1304
        assert len(list(ledger.history())) == 1304


class TestHeldBack:
    def test_one_reason_a_file(self, ledger: Ledger) -> None:
        """R11: the last reason is the reason."""
        ledger.hold(HeldBack(file().path, "first", "", 5.0))
        ledger.hold(HeldBack(file().path, "second", "mend it", 6.0, "cache"))
        ledger.hold(HeldBack(file("a").path, "older", "", 1.0))
        assert ledger.held(file().path) == HeldBack(file().path, "second", "mend it", 6.0, "cache")
        ledger.release(file().path)
        assert ledger.held(file().path) is None
        assert ledger.held(file("a").path) == HeldBack(file("a").path, "older", "", 1.0)

    def test_they_are_counted_by_what_they_wait_for(self, ledger: Ledger) -> None:
        """R11: all of them, and those that wait for a decision are named first."""
        late = HeldBack(file("late").path, "it differs", "resolve", 9.0, mismatch=True)
        early = HeldBack(file("early").path, "it differs, too", "resolve", 1.0, mismatch=True)
        full = HeldBack(file("full").path, "no space", "free some", 8.0, "archive")
        busy = HeldBack(file("busy").path, 'it says ", "", true]', "", 10.0)
        ledger.hold(busy, early, full, late)
        expected = {WaitsFor.TIME: 1, WaitsFor.PERSON: 1, WaitsFor.DECISION: 2}
        assert ledger.held_counts() == expected
        assert ledger.last_held(9) == [late, early, full, busy]
        assert ledger.last_held(1) == [late]
        ledger.release(early.source)
        assert ledger.held_counts() == expected | {WaitsFor.DECISION: 1}

    def test_an_older_ledger_learns_to_count_them(self, path: Path, ear: Ear) -> None:
        path.parent.mkdir()
        with contextlib.closing(sqlite3.connect(path)) as old:
            for script in schema.MIGRATIONS[:2]:
                old.executescript(script)
            held = [["a", "b", None, True], ["a", "b", "x", False], ["a", "b", None]]
            held += [['", "", true]', "", None, False], ["a", "", None]]
            some = [(bytes([65 + n]), 1.0, json.dumps(words)) for n, words in enumerate(held)]
            old.executemany("INSERT INTO held VALUES (?, ?, ?)", some)
            old.execute("PRAGMA user_version = 2")
            old.commit()
        with contextlib.closing(Ledger.open(str(path), ear)) as ledger:
            expected = {WaitsFor.TIME: 2, WaitsFor.PERSON: 2, WaitsFor.DECISION: 1}
            assert ledger.held_counts() == expected
            assert len(ledger.last_held(9)) == 5
        assert ear.levels == []

    def test_counting_a_hundred_thousand_is_cheap(self, ledger: Ledger) -> None:
        """R12: it is done whenever something happened."""
        reason = f"it differs: it is sha256:{'ab' * 32}, scan.txt.sha256 says sha256:{'cd' * 32}"
        some = (HeldBack(f"/data/{n}", reason, "look", n, mismatch=True) for n in range(100_000))
        ledger.hold(*some)
        began = time.monotonic()
        assert ledger.held_counts() == {WaitsFor.DECISION: 100_000}
        assert len(ledger.last_held(1000)) == 1000
        assert time.monotonic() - began < 0.5

    def test_faulty_copies_are_counted_by_file_until_they_are_whole(self, ledger: Ledger) -> None:
        ledger.record([receipt(file(n), d) for n in "abcde" for d in ("archive", "cache")])
        wanted = [Checks(d, 9e9) for d in ("archive", "cache")]
        numbers = {
            (c.source[-1], w.destination): c.number for w in wanted for c in ledger.checks(w)
        }
        results = {"a": "altered", "b": "missing", "c": "cleaned", "d": "ok", "e": "missing"}
        ledger.checked([(n, 2000.0, results[key[0]]) for key, n in numbers.items()])
        assert ledger.faulty() == 3
        ledger.record([receipt(file("e"), d, when=3000.0) for d in ("archive", "cache")])
        ledger.void(file("b").path, "archive")
        assert ledger.faulty() == 2
        ledger.checked([(numbers["a", d], 4000.0, "ok") for d in ("archive", "cache")])
        assert ledger.faulty() == 1
        plan = ledger._store.read(f"EXPLAIN QUERY PLAN {sql.FAULTY}", (), rows.whole)
        assert any("verified_faulty" in str(step) for step in plan), "R12: not a look at each copy"

    def test_conflicts_are_counted_until_seen(self, ledger: Ledger) -> None:
        """R4: a conflict is reported until someone has looked; one file is one, wherever it is."""
        ledger.record([receipt(file(), conflict=True), receipt(file(), "cache", conflict=True)])
        ledger.record([receipt(file("other.txt")), receipt(file("more.txt"), conflict=True)])
        assert ledger.unseen_conflicts() == 2
        assert [r.path for r in ledger.last_unseen(1)] == [r.path for r in ledger.last_unseen(9)][
            :1
        ]
        assert [r.source for r in ledger.last_unseen(9)] == [file("more.txt").path, file().path]
        assert ledger.mark_conflict_seen(file("other.txt").path) == 0
        assert ledger.mark_conflict_seen(file("more.txt").path) == 1
        assert ledger.mark_conflict_seen(file().path) == 1
        assert ledger.unseen_conflicts() == 0
        ledger.record([receipt(file(), conflict=True)])
        assert ledger.unseen_conflicts() == 0, "the same conflict again is no news"
        assert ledger.receipts_of(file().path)[0].conflict


def fill(path: Path, count: int = 3000) -> None:
    """Make a ledger with receipts, closed and checkpointed."""
    filled = Ledger.open(str(path), Ear())
    filled.record([receipt(file(f"{i}.txt"), when=i) for i in range(count)])
    filled.close()


def text_file(path: Path) -> None:
    path.write_text("this is no database\n" * 1000)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def foreign(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE waiting (source)")
    other.close()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def tables_gone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.executescript("DROP TABLE receipt; DROP TABLE meta; VACUUM")
    other.close()


def scribbled(path: Path) -> None:
    with path.open("r+b") as database_file:
        size = path.stat().st_size
        for offset in range(8192, size, 4096):
            database_file.seek(offset)
            database_file.write(b"\xa5" * 512)


def rotten(path: Path) -> None:
    """Every page is whole, but what the rows say is no receipt."""
    other = sqlite3.connect(path)
    other.execute("UPDATE receipt SET manner = 'teleported'")
    other.commit()
    other.close()


BREAKAGES = [text_file, truncated, foreign, folder, tables_gone, scribbled, rotten]


class TestDamage:
    @pytest.mark.parametrize("breakage", BREAKAGES)
    def test_a_broken_ledger_is_set_aside(self, breakage, path: Path, ear: Ear) -> None:
        """R10: it is kept, said once, a new one begun, and the work goes on."""
        fill(path)
        breakage(path)
        ledger = Ledger.open(str(path), ear)
        list(ledger.history())
        ledger.record([receipt(file("after.txt"))])
        assert [each.source for each in ledger.history()] == [file("after.txt").path]
        assert ledger.trouble == ""
        assert abs(ledger.born - time.time()) < 60
        ledger.close()
        aside = list(path.parent.glob("ledger-*.corrupt.sqlite"))
        assert len(aside) == 1
        assert ear.levels == ["error"]
        assert str(aside[0]) in ear.text

    @pytest.mark.parametrize("statement", ["SELECT nothing_of_ours()", "INSERT OR nonsense"])
    def test_an_error_in_a_statement_is_no_damage(self, statement, path: Path, ear: Ear) -> None:
        """R10: only a ledger that lacks what it must have is set aside for a statement's error."""
        fill(path)
        ledger = Ledger.open(str(path), ear)
        before = len(list(ledger.history()))
        ledger._store.read(statement, (), str)
        assert ear.levels == ["error"]
        assert len(list(ledger.history())) == before > 0
        ledger.record([receipt(file("after.txt"))])
        assert ledger.trouble == ""
        ledger.close()
        assert not list(path.parent.glob("*.corrupt.sqlite"))

    def test_an_empty_file_is_said(self, path: Path, ear: Ear) -> None:
        fill(path)
        os.truncate(path, 0)
        ledger = Ledger.open(str(path), ear)
        ledger.record([receipt(file())])
        assert len(list(ledger.history())) == 1
        ledger.close()
        assert ear.levels == ["warning"]

    def test_a_newer_ledger_is_set_aside_untouched(self, path: Path, ear: Ear) -> None:
        """R10: what a newer version wrote is its own again after the next update."""
        fill(path)
        newer = sqlite3.connect(path)
        newer.execute("PRAGMA journal_mode = DELETE")
        newer.execute(f"PRAGMA user_version = {schema.LATEST + 1}")
        newer.close()
        content = path.read_bytes()
        ledger = Ledger.open(str(path), ear)
        assert list(ledger.history()) == []
        ledger.close()
        (aside,) = path.parent.glob("ledger-*.newer.sqlite")
        assert aside.read_bytes() == content
        assert ear.levels == ["error"]

    def test_its_log_goes_with_it(self, path: Path, ear: Ear) -> None:
        """What a killed watcher left in the log may be all that a person can still save."""
        with run(HOLDS_ONE, path) as process:
            assert process.stdout
            assert process.stdout.readline() == "done\n"
            process.kill()
        folder(path)
        log = path.with_name("ledger.sqlite-wal").read_bytes()
        ledger = Ledger.open(str(path), ear)
        assert list(ledger.history()) == []
        ledger.close()
        (aside,) = path.parent.glob("ledger-*.corrupt.sqlite")
        assert Path(f"{aside}-wal").read_bytes() == log

    def test_nothing_that_was_set_aside_is_overwritten(self, path: Path, ear: Ear) -> None:
        path.parent.mkdir()
        for number in range(3):
            path.write_text(f"broken {number} " * 1000)
            Ledger.open(str(path), ear).close()
        assert len(list(path.parent.glob("ledger-*.corrupt.sqlite"))) == 3

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="Windows keeps others from an open file")
    def test_deleted_while_open(self, ledger: Ledger, path: Path, ear: Ear) -> None:
        """R10: the ledger may be deleted at any time."""
        ledger.record([receipt(file("lost.txt"))])
        path.unlink()
        ledger.record([receipt(file("new.txt"))])
        assert [each.source for each in ledger.history()] == [file("new.txt").path]
        assert path.exists()
        assert (ear.levels, ledger.trouble) == (["error"], "")

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="Windows keeps others from an open file")
    def test_the_whole_folder_deleted_while_open(
        self, ledger: Ledger, path: Path, ear: Ear
    ) -> None:
        ledger.record([receipt(file("lost.txt"))])
        shutil.rmtree(path.parent)
        ledger.record([receipt(file("new.txt"))])
        assert [each.source for each in ledger.history()] == [file("new.txt").path]

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="Windows keeps others from an open file")
    def test_replaced_while_open(self, ledger: Ledger, path: Path, ear: Ear) -> None:
        """Another file in its place is kept, not mixed with what we have in our log."""
        ledger.record([receipt(file("lost.txt"))])
        other = path.with_name("other.sqlite")
        fill(other, 10)
        content = other.read_bytes()
        os.replace(other, path)
        ledger.record([receipt(file("new.txt"))])
        assert [each.source for each in ledger.history()] == [file("new.txt").path]
        (aside,) = path.parent.glob("ledger-*.replaced.sqlite")
        assert aside.read_bytes() == content
        assert ear.levels == ["error"]

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="Windows keeps others from an open file")
    def test_broken_while_open(self, path: Path, ear: Ear) -> None:
        """R10: damage that shows up later, in a write, costs the history and nothing else."""
        fill(path)
        ledger = Ledger.open(str(path), ear)
        assert ledger.born
        scribbled(path)
        for number in range(50):
            ledger.record([receipt(file(f"after {number}.txt"))])
        assert ledger.receipts_of(file("after 49.txt").path)
        ledger.close()
        assert ear.levels == ["error"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if os.name == "nt" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk needs root and mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"\0" * 4096) == 4096:
                pass
        except OSError:
            pass


def make_room(disk: Path) -> None:
    (disk / "ballast").unlink()


def forbid(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def allow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.posix
class TestTrouble:
    """A ledger that can't be written must not stop the archiving."""

    @pytest.mark.parametrize(("begin", "end"), [(fill_up, make_room)])
    def test_what_could_not_be_written_is_written_later(
        self, begin, end, disk: Path, ear: Ear
    ) -> None:
        """Told once when it begins and once when it is over, with nothing lost in between."""
        ledger = Ledger.open(str(disk / "ledger.sqlite"), ear)
        begin(disk)
        for number in range(200):
            many = [receipt(file(f"{number} {part}.txt")) for part in range(10)]
            ledger.record(many)
        assert ledger.trouble
        assert ear.levels == ["error"]
        ledger.recall([file()])
        end(disk)
        ledger.record([receipt(file("last.txt"))])
        assert ledger.trouble == ""
        assert ear.levels == ["error", "info"]
        assert len(list(ledger.history())) == 2001
        ledger.close()

    def test_R8_another_program_that_holds_it_is_waited_for_once(
        self, path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody looks at it with a tool: files don't wait for that, and what to do is said."""
        monkeypatch.setattr(database, "_PATIENCE", 0.5)
        ledger = Ledger.open(str(path), ear)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for number in range(100):
            ledger.record([receipt(file(f"{number}"))])
        assert time.monotonic() - began < 25.0
        assert "close the program" in ear.text
        other.execute("ROLLBACK")
        other.close()
        ledger.record([receipt(file("last"))])
        assert (count(ledger), ledger.trouble) == (101, "")
        ledger.close()

    def test_it_starts_on_a_disk_that_takes_nothing(self, disk: Path, ear: Ear) -> None:
        """Without any ledger at all the work goes on, too."""
        forbid(disk)
        ledger = Ledger.open(str(disk / "ledger.sqlite"), ear)
        ledger.admit([(file(), 1.0, {})])
        ledger.settle([receipt(file())], [version_of(file())])
        assert (ledger.recall([file()]), count(ledger), ledger.waiting()) == ({}, 0, 0)
        assert ledger.trouble
        allow(disk)
        ledger.record([receipt(file("b"))])
        assert (count(ledger), ledger.trouble) == (2, "")
        assert ear.levels == ["error", "info"]
        ledger.close()

    def test_memory_stays_bounded(self, disk: Path, ear: Ear) -> None:
        """R12: the oldest records go first, whole, and are counted when it is over."""
        forbid(disk)
        ledger = Ledger.open(str(disk / "ledger.sqlite"), ear)
        for number in range(12):
            ledger.admit([(file(f"{number}-{i}"), 1.0, {}) for i in range(1000)])
        allow(disk)
        ledger.close()
        assert "2000 records were lost" in ear.text
        again = Ledger.open(str(disk / "ledger.sqlite"), ear)
        assert again.waiting() == database.KEPT
        again.close()

    def test_what_can_not_be_recorded_holds_nothing_up(self, ledger: Ledger, ear: Ear) -> None:
        """R11: said, and dropped, or it would be tried for ever."""
        ledger.record([receipt(file(), attempts=2**70)])
        assert ear.levels == ["error"]
        ledger.record([receipt(file("fine.txt"))])
        assert (ledger.trouble, count(ledger)) == ("", 1)

    def test_what_can_not_be_recorded_takes_nothing_with_it(self, ledger: Ledger, ear: Ear) -> None:
        """R5: others' cycles and receipts wait for the same commit."""
        ledger.admit([(file("waits.txt"), 1.0, CYCLES)])
        ledger.admit([(file("wrong.txt"), math.nan, CYCLES)])
        ledger.record([receipt(file("fine.txt"))])
        assert ear.levels == ["error"]
        assert set(ledger.recall([file("waits.txt")])) == {file("waits.txt").path}
        assert (ledger.waiting(), len(list(ledger.history()))) == (1, 1)


class TestPeek:
    """Others look at the ledger without leaving a trace."""

    def test_there_is_none(self, path: Path) -> None:
        assert Ledger.peek(str(path)) is None
        assert not path.parent.exists()
        path.parent.mkdir()
        path.touch()
        assert Ledger.peek(str(path)) is None
        assert os.listdir(path.parent) == [path.name]

    def test_nobody_runs(self, path: Path) -> None:
        """`rescan --dry-run` touches nothing, not even the state folder."""
        fill(path, 10)
        before = trace(path.parent)
        peeked = Ledger.peek(str(path))
        assert peeked
        assert count(peeked) == 10
        assert trace(path.parent) == before
        peeked.close()
        assert trace(path.parent) == before

    @pytest.mark.parametrize("has_index", [True, False])
    def test_the_watcher_was_killed(self, path: Path, has_index: bool) -> None:
        """What it had committed is seen, though it lies in the log; nothing is touched."""
        with run(HOLDS_ONE, path) as process:
            assert process.stdout
            assert process.stdout.readline() == "done\n"
            process.kill()
        if not has_index:
            path.with_name("ledger.sqlite-shm").unlink()
        before = trace(path.parent)
        assert before["ledger.sqlite-wal"][0] > 0
        peeked = Ledger.peek(str(path))
        assert peeked
        assert [each.source for each in peeked.history()] == [file("a").path]
        peeked.close()
        assert trace(path.parent) == before

    def test_it_only_reads(self, path: Path) -> None:
        fill(path, 1)
        peeked = Ledger.peek(str(path))
        assert peeked
        with pytest.raises(WatcherError, match="reading only"):
            peeked.forget([version_of(file())])
        peeked.close()

    @pytest.mark.parametrize("breakage", [text_file, truncated, foreign, tables_gone, rotten])
    def test_a_broken_one_is_an_error_with_a_mend(self, breakage, path: Path) -> None:
        fill(path)
        breakage(path)
        with pytest.raises(WatcherError, match="set it aside"):
            look(path)

    def test_a_newer_one_is_an_error(self, path: Path) -> None:
        fill(path, 1)
        newer = sqlite3.connect(path)
        newer.execute(f"PRAGMA user_version = {schema.LATEST + 1}")
        newer.close()
        with pytest.raises(WatcherError, match="version"):
            Ledger.peek(str(path))

    def test_it_sees_what_the_watcher_writes_meanwhile(self, ledger: Ledger, path: Path) -> None:
        """`status` from another console: whole commits only, never fewer than before."""
        code = """
seen = 0
while seen < 1000:
    peeked = Ledger.peek(sys.argv[1])
    now = len(list(peeked.history()))
    assert now >= seen and now % 10 == 0, (seen, now)
    peeked.close()
    if now > seen:
        print(now, flush=True)
    seen = now
"""
        ledger.record([receipt(file(f"first {part}")) for part in range(10)])
        with run(code, path) as process:
            assert process.stdout
            assert process.stdout.readline()
            for number in range(99):
                ledger.record([receipt(file(f"{number} {part}")) for part in range(10)])
            process.stdout.read()
        assert process.returncode == 0


def look(path: Path) -> None:
    peeked = Ledger.peek(str(path))
    assert peeked
    try:
        list(peeked.history())
    finally:
        peeked.close()


class TestProcess:
    def test_a_commit_is_on_the_disk(self, path: Path, ear: Ear) -> None:
        """R2: a receipt must not be lost in a power cut after the source is gone."""
        store = database.Database(str(path), ear)
        pragmas = ("synchronous", "journal_mode")
        assert [store.read(f"PRAGMA {name}", (), str) for name in pragmas] == [["2"], ["wal"]]
        store.close()

    def test_killed_while_it_writes(self, path: Path, ear: Ear) -> None:
        """R5: every commit that was said to be done is there, and each is whole."""
        code = """
ledger = Ledger.open(sys.argv[1], t.Ear())
for number in range(1_000_000):
    ledger.record([t.receipt(t.file(f"{number} {part}")) for part in range(7)])
    print(number, flush=True)
"""
        with run(code, path) as process:
            assert process.stdout
            said = [int(process.stdout.readline()) for _ in range(30)][-1]
            process.kill()
            said = max([said, *(int(line) for line in process.stdout if line.endswith("\n"))])
        ledger = Ledger.open(str(path), ear)
        receipts = count(ledger)
        assert receipts % 7 == 0
        assert receipts >= 7 * (said + 1)
        ledger.close()
        assert ear.notices == []

    def test_many_threads_write_and_read(self, ledger: Ledger, ear: Ear) -> None:
        def work(worker: int) -> None:
            for number in range(20):
                mine = file(f"{worker} {number}")
                ledger.admit([(mine, 1.0, {})])
                assert ledger.recall([mine])
                ledger.settle([receipt(mine)], [version_of(mine)])

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (count(ledger), ledger.waiting()) == (160, 0)
        assert ear.notices == []

    def test_a_hundred_thousand_receipts(self, path: Path, ear: Ear) -> None:
        """R12: what status and history need doesn't grow with the history; ample limits."""
        ledger = Ledger.open(str(path), ear)
        for start in range(0, 100_000, 5000):
            numbers = range(start, start + 5000)
            ledger.record([receipt(file(f"sub/{n}.txt"), when=float(n)) for n in numbers])
        ledger.close()
        began = time.process_time()
        peeked = Ledger.peek(str(path))
        assert peeked
        assert (peeked.waiting_totals(), peeked.unseen_conflicts()) == ((0, 0, None), 0)
        assert len(list(peeked.history(limit=20))) == 20
        assert len(list(peeked.history_by_file(Wanted(), 50))) == 50
        assert peeked.receipt_at("archive", os.path.join(ARCHIVE, "sub/77.txt"))
        assert peeked.receipts_of(file("sub/77.txt").path)
        assert time.process_time() - began < 0.5
        assert len(list(peeked.history("/77777.txt"))) == 1
        assert time.process_time() - began < 3
        peeked.close()

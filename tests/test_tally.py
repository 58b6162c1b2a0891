"""How much there is to do: counted whole, however little of it is in memory or named."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inside import Inside
from tests.platforms import on_posix
from watcher import tally
from watcher.activity import (
    Activity,
    FileHeldBack,
    FileReleased,
    HeldCounted,
    Notice,
    Snapshot,
    folding,
)
from watcher.backlog import Backlog, Entry
from watcher.inspection import inspect
from watcher.ledger import Ledger
from watcher.model import Checksum, Fingerprint, FinishedFile, HeldBack
from watcher.tally import Tally
from watcher.views.check import Nagios, Thresholds, check
from watcher.views.status import status_of

S = "bluesky_scans"
MANY, NAMED = 40, 10
PROMISED = Checksum("sha256", "0" * 64)


@pytest.fixture
def few_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (folding, tally):
        monkeypatch.setattr(room, "NAMED", NAMED)


def differing(inside: Inside, name: str) -> Path:
    promised = f"{PROMISED.digest} *{name}\n".encode()
    inside.finish(f"RB1/{S}/{name}.sha256", promised)
    return inside.finish(f"RB1/{S}/{name}")


def accept(inside: Inside, source: Path) -> None:
    """Decide as `watcher resolve --accept` does."""
    file = inspect(str(inside.root), str(source), source.lstat())
    assert isinstance(file, FinishedFile)
    own = Checksum("sha256", hashlib.sha256(source.read_bytes()).hexdigest())
    inside.watcher._ledger.accept(file, PROMISED, own, 1.0)


def checked(shown: Snapshot) -> tuple[Nagios, str]:
    return check(status_of(shown, shown.as_of), Thresholds(), shown.as_of)


@pytest.mark.usefixtures("few_named")
def test_what_waits_for_a_person_is_counted_though_not_all_of_it_is_named(tmp_path: Path):
    """R11: with those that were named mended, the others are told."""
    with Inside(tmp_path) as inside:
        for number in range(MANY):
            differing(inside, f"scan_{number}.txt")
        inside.until(lambda: inside.shown.mismatches == MANY)
        assert len(inside.shown.held) <= NAMED
        while (shown := inside.shown).mismatches:
            code, line = checked(shown)
            assert code is Nagios.CRITICAL
            assert f" mismatches={shown.mismatches};" in line
            assert line.startswith(f"WATCHER CRITICAL - {shown.mismatches} file")
            named = [Path(source) for source in shown.held]
            for source in named:
                accept(inside, source)
            inside.until(lambda named=named: not any(map(Path.exists, named)))
            left = len(list((inside.root / "RB1" / S).glob("*.txt")))
            inside.until(lambda left=left: inside.shown.mismatches == left)
            inside.until(lambda left=left: len(inside.shown.held) == min(left, NAMED))
        inside.until(lambda: not inside.shown.backlog)
        assert checked(inside.shown)[0] is Nagios.OK


def test_what_an_earlier_life_held_back_is_told_before_it_is_looked_at(tmp_path: Path):
    inside = Inside(tmp_path)
    with inside:
        differing(inside, "scan.txt")
        inside.until(lambda: inside.shown.mismatches)
    inside.news.clear()
    with inside:
        inside.until(lambda: inside.told(FileHeldBack))
        kinds = [type(news) for news in inside.news]
        assert kinds.index(HeldCounted) < kinds.index(FileHeldBack)
        assert inside.shown.mismatches == 1


@on_posix  # elsewhere nobody can delete an open file
def test_what_is_held_back_is_counted_though_the_ledger_is_deleted(tmp_path: Path):
    """R10: nobody holds it back once more."""
    with Inside(tmp_path) as inside:
        source = differing(inside, "scan.txt")
        inside.until(lambda: inside.shown.mismatches)
        for path in inside.state.glob("ledger.sqlite*"):
            path.unlink()
        inside.until(lambda: any("begun" in notice.text for notice in inside.told(Notice)))
        inside.until(lambda: inside.watcher._ledger.held(str(source)))
        inside.until(lambda: inside.shown.mismatches == 1)
        inside.watcher._tally.count()
        assert str(source) in inside.shown.held
        assert inside.shown.mismatches == 1


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger that can't be written."""
    (tmp_path / "file").touch()
    with contextlib.closing(
        Ledger.open(str(tmp_path / "file" / "ledger.sqlite"), lambda _: None)
    ) as ledger:
        assert ledger.trouble
        yield ledger


def test_while_the_ledger_is_in_trouble_what_is_in_memory_counts(troubled: Ledger):
    """R10, R11"""
    activity, backlog = Activity(), Backlog(["archive"])
    counting = Tally(troubled, backlog, activity)
    file = FinishedFile("/data", "RB1", S, "scan.txt", Fingerprint(3, 5, "1"))
    backlog.offer(Entry(file, 1.0, {}, is_fresh=True))
    activity.tell(FileHeldBack(HeldBack(file.path, "it differs", "look", 1.0, mismatch=True)))
    counting.count()
    shown = activity.snapshot
    assert (shown.backlog, shown.held_count, shown.mismatches) == (1, 1, 1)
    activity.tell(FileReleased(file.path))
    counting.count()
    assert activity.snapshot.held_count == 0

"""What hints and findings become; who counts as missed; what a share that hangs can delay."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import wait_until
from tests.platforms import link, set_mark
from watcher.activity import Activity, HintsMissed, News
from watcher.backlog import Backlog
from watcher.destination import PartNames, Template
from watcher.errors import DestinationDown
from watcher.inspection import inspect
from watcher.ledger import Ledger
from watcher.model import FinishedFile
from watcher.platform import system
from watcher.reach import Reach
from watcher.sources import cycles
from watcher.sources import intake as rooms
from watcher.sources.cycles import CycleReader
from watcher.sources.ground import Ground
from watcher.sources.intake import Intake

SCANS = "bluesky_scans"


class Desk:
    """An intake between a real folder, a real ledger and a real backlog."""

    def __init__(self, folder: Path) -> None:
        self.root, self.share = folder / "data", folder / "share"
        (self.root / "RB1" / SCANS).mkdir(parents=True)
        (self.share / "cycle_26_2").mkdir(parents=True)
        self.path = folder / "ledger.sqlite"
        self.news: list[News] = []
        self.open()

    def open(self) -> None:
        self.activity = Activity()
        self.activity.listen(self.news.append)
        self.ledger = Ledger.open(str(self.path), self.activity.tell)
        self.backlog = Backlog(["archive"])
        template = Template.parse(str(self.share / "{cycle}" / "{experiment}"), "NDX")
        self.reach = Reach(template, PartNames("host", "state"))
        self.reader = CycleReader(self.reach)
        ground = Ground.of([str(self.root)], [str(self.root / "Export only")])
        self.intake = Intake(
            ground, {"archive": self.reader}, self.ledger, self.backlog, self.activity
        )
        self.thread = threading.Thread(target=self.intake.run)
        self.thread.start()

    def close(self) -> None:
        self.intake.close()
        self.reader.close()
        self.thread.join(5.0)
        self.reader.thread.join(5.0)
        self.ledger.close()

    def finish(self, name: str, content: str = "1") -> str:
        path = self.root / "RB1" / SCANS / name
        path.write_text(content)
        set_mark(str(path))
        return str(path)

    def look(self, path: str) -> FinishedFile:
        found = inspect(str(self.root), path, Path(path).lstat())
        assert isinstance(found, FinishedFile)
        return found

    def waits(self, count: int) -> None:
        wait_until(lambda: len(self.backlog) == count, 10.0)

    def cycle_of(self, path: str) -> str | None:
        return self.ledger.recall([self.look(path)])[path].cycles.get("archive")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    one = Desk(tmp_path)
    yield one
    one.close()


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "_GRACE", -1.0)  # some clocks stand still between two looks


def test_a_hint_is_looked_at_and_offered_once(desk: Desk):
    """R9: hints are hints; the disk decides."""
    path = desk.finish("a.txt")
    for _ in range(5):
        desk.intake.hint(path)
    desk.intake.hint(path + ".not there")
    desk.intake.hint(str(desk.share))
    desk.waits(1)
    assert desk.ledger.waiting() == 1


def test_excluded_folders_and_unfinished_files_are_not_taken(desk: Desk):
    """R7, R1: whatever a hint says."""
    copy = desk.root / "Export only" / "RB1" / SCANS / "copy.txt"
    copy.parent.mkdir(parents=True)
    copy.write_text("1")
    set_mark(str(copy))
    open_file = desk.root / "RB1" / SCANS / "open.txt"
    open_file.write_text("1")
    desk.intake.hint(str(copy))
    desk.intake.hint(str(open_file))
    desk.intake.hint(desk.finish("last.txt"))
    desk.waits(1)


def test_a_link_to_a_data_root_is_seen_through(tmp_path: Path):
    """R7: a folder under another name is known to be read for sources; an excluded one isn't."""
    for name in ("data/Export only", "data/RB1", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    link(str(tmp_path / "data"), str(tmp_path / "alias"), folder=True)
    root = str(tmp_path / "data")
    ground = Ground.of([root], [str(tmp_path / "data" / "Export only")])
    assert ground.leads_in(str(tmp_path / "alias" / "RB1" / "new"))
    assert ground.leads_in(str(tmp_path / "alias"))
    assert not ground.leads_in(str(tmp_path / "alias" / "Export only" / "RB1"))
    assert not ground.leads_in(str(tmp_path / "elsewhere"))


def test_the_cycle_is_fixed_when_a_file_is_taken_in(desk: Desk):
    """R10: a newer cycle doesn't move it, not even after another look."""
    first = desk.finish("a.txt")
    desk.intake.hint(first)
    desk.waits(1)
    (desk.share / "cycle_26_3").mkdir()
    second = desk.finish("b.txt")
    desk.intake.hint(second)
    desk.waits(2)
    assert desk.cycle_of(first) == "cycle_26_2"
    assert desk.cycle_of(second) == "cycle_26_3"


def test_the_last_cycle_read_applies_while_the_share_is_away(desk: Desk):
    """R10: also to a life that has never seen the share."""
    desk.intake.hint(desk.finish("a.txt"))
    desk.waits(1)
    desk.close()
    desk.share.rename(desk.share.with_name("away"))
    desk.open()
    path = desk.finish("b.txt")
    desk.intake.hint(path)
    desk.waits(1)
    assert desk.cycle_of(path) == "cycle_26_2"


def test_before_any_cycle_was_read_none_is_fixed(desk: Desk):
    """R10: the file is taken in, and gets the first one that is read."""
    (desk.share / "cycle_26_2").rmdir()
    path = desk.finish("a.txt")
    desk.intake.hint(path)
    desk.waits(1)
    assert desk.cycle_of(path) is None


def test_a_share_that_hangs_delays_the_first_file_by_half_a_second(desk: Desk):
    """R8: and the next ones not at all; when it answers again, its cycle counts again."""
    answers, look = threading.Event(), desk.reach.look

    def hang() -> None:
        answers.wait()
        look()

    desk.reach.look = hang  # type: ignore[method-assign]
    try:
        desk.intake.hint(desk.finish("first.txt"))
        desk.waits(1)
        began = time.monotonic()
        for n in range(20):
            desk.intake.hint(desk.finish(f"{n}.txt"))
            desk.waits(n + 2)
        assert time.monotonic() - began < 3.0
    finally:
        answers.set()
    wait_until(lambda: desk.reader.answer(desk.reader.ask()) == "cycle_26_2", 10.0)


def test_a_share_that_is_denied_gives_the_cycle_known_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """R8: an error isn't waited for."""
    monkeypatch.setattr(cycles, "_PATIENCE", 300.0)
    assert desk.reader.answer(desk.reader.ask()) == "cycle_26_2"

    def denied() -> None:
        raise DestinationDown("denied")

    desk.reach.look = denied  # type: ignore[method-assign]
    assert desk.reader.answer(desk.reader.ask()) == "cycle_26_2"


def test_a_file_without_a_hint_is_missed_once(desk: Desk, no_grace: None):
    """R9: what the rescan finds that a hint should have told is counted."""
    file = desk.look(desk.finish("a.txt"))
    desk.intake.found([file])
    desk.intake.found([file])
    assert desk.intake.count_missed() == 1
    assert desk.intake.count_missed() == 0
    assert [n.files for n in desk.news if isinstance(n, HintsMissed)] == [1]


def test_what_no_hint_could_tell_is_not_missed(desk: Desk, no_grace: None):
    """R9: nor what a hint told before the walk, or comes a moment after it."""
    desk.intake.found([desk.look(desk.finish("first walk.txt"))], expected=True)
    before = desk.finish("before.txt")
    desk.intake.hint(before)
    desk.intake.found([desk.look(before)])
    after = desk.finish("after.txt")
    desk.intake.found([desk.look(after)])
    desk.intake.hint(after)
    assert desk.intake.count_missed() == 0


def test_a_file_within_the_grace_is_not_missed_yet(desk: Desk):
    """R9: a hint may come later than the rescan."""
    desk.intake.found([desk.look(desk.finish("a.txt"))])
    assert desk.intake.count_missed() == 0


def test_a_hint_at_an_unfinished_file_does_not_stand_for_its_mark(desk: Desk, no_grace: None):
    """R9: an observer that went deaf in the middle of a scan is noticed."""
    path = desk.root / "RB1" / SCANS / "begun.txt"
    path.write_text("1")
    desk.intake.hint(str(path))
    wait_until(lambda: str(path) not in desk.intake._hinted, 5.0)
    system.mark(str(path))
    desk.intake.found([desk.look(str(path))])
    assert desk.intake.count_missed() == 1


def test_looking_again_grows_slower_and_never_fails(desk: Desk):
    """R11: a file that changes for a day is still looked at."""
    for _ in range(3000):
        desk.intake.look_again("/data/x")
    delays = [at - time.monotonic() for at, _ in desk.intake._delayed]
    assert max(delays) <= 30.0


def test_an_error_while_taking_in_ends_nothing(desk: Desk):
    """R11: the thread lives."""
    ledger, desk.intake._ledger = desk.intake._ledger, None  # type: ignore[assignment]
    desk.intake.hint(desk.finish("a.txt"))
    wait_until(lambda: not desk.intake._paths, 5.0)
    desk.intake._ledger = ledger
    path = desk.finish("b.txt")
    wait_until(lambda: desk.intake.hint(path) or len(desk.backlog) == 1, 5.0)

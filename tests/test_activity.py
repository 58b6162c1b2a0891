"""News is folded into one snapshot that tells the whole state."""

from dataclasses import replace

import pytest

from watcher.activity import (
    Activity,
    Archived,
    BacklogChanged,
    BatchBegan,
    ConflictKept,
    ConflictsUnseen,
    DestinationChanged,
    FileHeldBack,
    FileReleased,
    Snapshot,
    Started,
    fold,
    folding,
)
from watcher.model import (
    Checksum,
    DestinationState,
    Fingerprint,
    HeldBack,
    Manner,
    Receipt,
)

RECEIPT = Receipt(
    source="/data/RB1/bluesky_scans/a.txt",
    experiment="RB1",
    fingerprint=Fingerprint(100, 0, "1"),
    destination="archive",
    path="/archive/RB1/a.txt",
    folder="/archive/RB1",
    checksums=(Checksum("sha256", "ab" * 32),),
    archived_at=1000.0,
    seconds=0.05,
    attempts=1,
    manner=Manner.COPIED,
)


def archived(*names: str) -> Archived:
    return Archived(tuple((replace(RECEIPT, source=name),) for name in names))


def test_a_batch_keeps_the_time_it_began_while_its_progress_is_told() -> None:
    first = BatchBegan("archive-1", "archive", "/data/big.nxs", 1, 1000)
    state = fold(Snapshot(), first, 10.0)
    state = fold(state, replace(first, done=500), 14.0)
    assert (state.in_flight["archive-1"].began_at, state.in_flight["archive-1"].done) == (10.0, 500)
    state = fold(state, replace(first, name="/data/next.nxs"), 15.0)
    assert state.in_flight["archive-1"].began_at == 15.0


def test_the_pace_keeps_one_mark_a_second_and_forgets_what_was_before_a_pause() -> None:
    state = Snapshot()
    for tick in range(1000):
        state = fold(state, archived("/data/a"), tick / 10)
    assert len(state.pace) <= 40
    assert state.pace[-1] == (99.9, 1000, 100_000)
    assert 68 < state.pace[0][0] < 71
    state = fold(state, archived("/data/a"), 200.0)
    assert [mark[0] for mark in state.pace] == [200.0]


def test_a_destination_keeps_its_since_while_only_its_error_changes() -> None:
    state = fold(Snapshot(), Started("NDX", "1", 1, (), ("archive",)), 1.0)
    offline = DestinationChanged("archive", DestinationState.OFFLINE, "no route")
    state = fold(fold(state, offline, 5.0), replace(offline, error="timed out"), 9.0)
    assert (state.destinations["archive"].since, state.destinations["archive"].error) == (
        1.0,
        "timed out",
    )
    state = fold(state, DestinationChanged("archive", DestinationState.ONLINE), 12.0)
    assert state.destinations["archive"].since == 12.0


def test_a_file_is_held_back_until_it_is_released_or_archived() -> None:
    state = Snapshot()
    for name in ("/data/a", "/data/b"):
        state = fold(state, FileHeldBack(HeldBack(name, "busy", "", 1.0)), 1.0)
    state = fold(state, FileReleased("/data/a"), 2.0)
    assert list(state.held) == ["/data/b"]
    assert not fold(state, archived("/data/b"), 3.0).held


def test_what_is_held_back_is_counted_and_the_last_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R12: what waits for somebody is named longest."""
    monkeypatch.setattr(folding, "NAMED", 3)
    state = fold(Snapshot(), FileHeldBack(HeldBack("/data/bad", "no", "do", 0.0, None, True)), 1.0)
    for number in range(5):
        held = HeldBack(f"/data/{number}", "busy", "", float(number))
        state = fold(state, FileHeldBack(held), 1.0)
    state = fold(state, FileHeldBack(replace(held, reason="still busy")), 1.0)
    assert list(state.held) == ["/data/bad", "/data/3", "/data/4"]
    assert (state.held_count, state.mismatches) == (6, 1)
    state = fold(state, FileReleased("/data/bad"), 2.0)
    state = fold(state, archived("/data/4"), 2.0)
    assert (state.held_count, state.mismatches) == (4, 0)


def test_conflicts_are_counted_and_the_last_ones_are_named() -> None:
    state = Snapshot(conflicts=3)
    for number in range(100):
        state = fold(state, ConflictKept(f"/data/{number}", "archive", "/archive/x"), 1.0)
    assert state.conflicts == 103
    assert len(state.last_conflicts) == 50
    assert state.last_conflicts[0].source == "/data/99"
    state = fold(state, ConflictKept("/data/99", "cache", "/cache/x"), 1.0)
    assert (state.conflicts, len(state.last_conflicts)) == (103, 50), "it is one file"
    assert [clash.source for clash in state.last_conflicts[:2]] == ["/data/99", "/data/98"]


def test_a_backlog_tells_when_it_was_counted() -> None:
    assert fold(Snapshot(), BacklogChanged(3, 30, 5.0), 7.0).counted_at == 7.0


def test_a_listener_hears_what_is_told_after_the_snapshot_has_it() -> None:
    activity = Activity()
    activity.tell(ConflictsUnseen(2, ()))
    seen: list[int] = []
    activity.listen(lambda _news: seen.append(activity.snapshot.conflicts))
    activity.tell(ConflictKept("/data/a", "archive", "/archive/a"))
    assert seen == [3]

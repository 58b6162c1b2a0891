"""What waits: its bound, its order, and who is woken."""

from __future__ import annotations

import threading
import time

import pytest

from watcher.backlog import BATCH_FILES, LARGE, SETTLING, Backlog, Entry, Offer
from watcher.model import Checksum, Fingerprint, FinishedFile, Manner, Receipt


def entry(
    name: str, *, mtime: int = 1, size: int = 1, fresh: bool = True, experiment: str = "RB1"
) -> Entry:
    file = FinishedFile("/data", experiment, "bluesky_scans", name, Fingerprint(size, mtime, "1"))
    return Entry(file, 0.0, {}, fresh)


def receipt(of: Entry, destination: str) -> Receipt:
    checksum = Checksum("sha256", "00")
    path, file = of.file.path, of.file
    return Receipt(
        *(path, "RB1", file.fingerprint, destination, "/there", "/", (checksum,)),
        *(1.0, 1.0, 1, Manner.COPIED),
    )


def names(entries: list[Entry]) -> list[str]:
    return [e.file.relative for e in entries]


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(["a", "b"], capacity=10)


def test_what_does_not_fit_is_turned_away_and_said(backlog: Backlog):
    """R12: memory is bounded; R9: and it is known that something was."""
    offers = [backlog.offer(entry(f"{n}")) for n in range(11)]
    assert offers == [Offer.TAKEN] * 10 + [Offer.FULL]
    assert len(backlog) == 10
    assert backlog.has_dropped
    assert backlog.is_crowded


def test_what_waits_for_a_destination_that_is_down_makes_room_for_what_can_be_served():
    """R8: a full backlog of one outage doesn't keep new files from the other destination."""
    backlog = Backlog(["a", "b"], capacity=10)
    for n in range(10):
        backlog.offer(one := entry(f"{n}"))
        backlog.received(one, receipt(one, "b"))
    assert backlog.offer(entry("too early")) is Offer.FULL
    backlog.closed("a")
    assert backlog.offer(entry("new")) is Offer.TAKEN
    assert backlog.has_dropped
    assert len(backlog) == 10
    served = entry("served")
    served.receipts = {"b": receipt(served, "b")}
    assert backlog.offer(served) is Offer.FULL
    assert "new" in names(backlog.take("b", 0))


def test_a_full_backlog_of_old_files_makes_room_for_a_new_one(backlog: Backlog):
    """R8: nobody waits behind a backlog, however large; R9: what made room is known to be away."""
    for n in range(10):
        backlog.offer(entry(f"{n}", fresh=False))
    assert backlog.offer(entry("new")) is Offer.TAKEN
    assert backlog.has_dropped
    assert len(backlog) == 10
    assert names(backlog.take("a", 0)) == ["new"]
    assert backlog.offer(entry("old", fresh=False)) is Offer.FULL


def test_an_old_file_that_was_turned_away_does_not_keep_a_new_one_out(backlog: Backlog):
    """R8: a rescan may be offering thousands of old ones just then."""
    for n in range(10):
        backlog.offer(entry(f"{n}", fresh=False))
    assert backlog.offer(entry("old", fresh=False)) is Offer.FULL
    assert backlog.offer(entry("new")) is Offer.TAKEN


def test_R8_what_is_held_back_makes_room_for_what_is_not(backlog: Backlog):
    """One experiment that nobody may write to doesn't stop all others, new files or old ones."""
    for n in range(10):
        backlog.offer(one := entry(f"{n}"))
        one.reason = "denied"
    known = entry("known", fresh=False)
    known.was_held = True
    assert backlog.offer(known) is Offer.FULL
    assert backlog.offer(entry("old", fresh=False)) is Offer.TAKEN
    assert backlog.offer(entry("new")) is Offer.TAKEN
    assert len(backlog) == 10


def test_nothing_makes_room_for_what_would_only_wait(backlog: Backlog):
    """R12: where the other destination is filled by renaming, a newcomer can't be served either."""
    for n in range(10):
        backlog.offer(one := entry(f"{n}"))
        backlog.leave_to_rename(one, "b")
    backlog.closed("a")
    assert backlog.offer(entry("new")) is Offer.FULL


def test_versions_that_were_replaced_do_not_pile_up(backlog: Backlog):
    """R12: a file that is finished again and again during an outage takes the room of one."""
    for n in range(1000):
        backlog.offer(entry("same", mtime=n))
    assert len(backlog._lanes["a"]._small) <= 12
    assert names(backlog.take("a", 0)) == ["same"]


def test_versions_that_wait_for_later_do_not_pile_up(backlog: Backlog):
    """R12: nor do those that were put back."""
    for n in range(1000):
        backlog.offer(one := entry("same", mtime=n))
        backlog.later(one, "a", 1000.0)
    assert len(backlog._lanes["a"].later) <= 12


def test_fresh_before_old_and_the_oldest_first(backlog: Backlog):
    """R8: nobody waits behind an old backlog, which goes in the order of its age."""
    for name, mtime in (("young", 9), ("oldest", 1), ("middle", 5)):
        backlog.offer(entry(name, mtime=mtime, fresh=False))
    backlog.offer(entry("first hint", mtime=20))
    backlog.offer(entry("second hint", mtime=10))
    assert names(backlog.take("a", 0)) == ["first hint", "second hint"]
    assert names(backlog.take("a", 0)) == ["oldest", "middle", "young"]


def test_no_experiment_waits_behind_the_thousands_of_another():
    """R8: each gets its turn, and what room is left in its batch goes to the next one."""
    backlog = Backlog(["a"])
    for n in range(2 * BATCH_FILES):
        backlog.offer(entry(f"{n}", fresh=False))
    backlog.offer(entry("lonely", experiment="RB2", fresh=False))
    assert all(e.file.experiment == "RB1" for e in backlog.take("a", 0))
    batch = backlog.take("a", 0)
    assert (batch[0].file.relative, len(batch)) == ("lonely", BATCH_FILES)
    assert len(backlog.take("a", 0)) == 1


@pytest.fixture
def take_elsewhere(backlog: Backlog):
    """Take as a thread that is at it until the test ends."""
    through, threads = threading.Event(), list[threading.Thread]()

    def take() -> list[str]:
        taken, came = list[Entry](), threading.Event()

        def body() -> None:
            taken.extend(backlog.take("a", 0))
            came.set()
            through.wait()

        threads.append(threading.Thread(target=body))
        threads[-1].start()
        came.wait()
        return names(taken)

    yield take
    through.set()
    for thread in threads:
        thread.join()


def test_two_batches_at_a_time_but_for_new_files(backlog: Backlog, take_elsewhere):
    """R8: threads that are at an old backlog keep others from it, not from what is new."""
    for name in ("one", "two", "three"):
        backlog.offer(entry(name, fresh=False))
        assert take_elsewhere() == ([name] if name != "three" else [])
    backlog.offer(entry("new"))
    assert take_elsewhere() == ["new"]


def test_one_large_file_at_a_time(backlog: Backlog, take_elsewhere):
    """R8: a second one waits for the first, small ones wait for neither."""
    backlog.offer(entry("huge", size=LARGE))
    backlog.offer(entry("larger", size=LARGE))
    assert take_elsewhere() == ["huge"]
    assert take_elsewhere() == []
    backlog.offer(entry("small"))
    assert take_elsewhere() == ["small"]


def test_a_large_file_is_a_batch_of_its_own(backlog: Backlog):
    """R8: the thread that leaves large files alone gets the small ones behind them."""
    backlog.offer(entry("large", size=LARGE))
    backlog.offer(entry("small"))
    assert names(backlog.take("a", 0, large=False)) == ["small"]
    assert backlog.take("a", 0, large=False) == []
    assert names(backlog.take("a", 0)) == ["large"]


def test_a_batch_is_bounded():
    """R12: a batch is bounded, and never waits to be full."""
    backlog = Backlog(["a"])
    for n in range(BATCH_FILES + 5):
        backlog.offer(entry(f"{n}"))
    assert len(backlog.take("a", 0)) == BATCH_FILES
    assert len(backlog.take("a", 0)) == 5


def test_settling_gets_a_file_once_all_lanes_have_served_it(backlog: Backlog):
    """R2: nothing is settled before every destination has it."""
    one = entry("x")
    backlog.offer(one)
    backlog.received(one, receipt(one, "a"))
    assert backlog.take(SETTLING, 0) == []
    backlog.received(one, receipt(one, "b"))
    assert backlog.take(SETTLING, 0) == [one]


def test_a_newer_version_replaces_one_in_flight(backlog: Backlog):
    """R6: what was taken of the older version is never settled, and its end drops nothing newer."""
    old, new = entry("x", mtime=1), entry("x", mtime=2)
    backlog.offer(old)
    backlog.take("a", 0)
    assert backlog.offer(new) is Offer.TAKEN
    backlog.received(old, receipt(old, "a"))
    backlog.received(old, receipt(old, "b"))
    backlog.later(old, "a", 0)
    assert backlog.take(SETTLING, 0) == []
    backlog.drop(old)
    assert backlog.holds(new.file)
    assert backlog.take("a", 0) == [new]


def test_a_known_version_is_taken_once(backlog: Backlog):
    """R9: hints and rescans may tell of a file as often as they like."""
    assert backlog.offer(entry("x")) is Offer.TAKEN
    assert backlog.offer(entry("x", fresh=False)) is Offer.KNOWN
    assert len(backlog.take("a", 0)) == 1


def test_a_receipt_of_a_destination_that_is_no_more_is_left_out(backlog: Backlog):
    """R2: only destinations of the configuration count, and none is missed by it."""
    one = entry("x")
    one.receipts = {"gone": receipt(one, "gone"), "a": receipt(one, "a")}
    backlog.offer(one)
    assert set(one.receipts) == {"a"}
    assert one.missing == {"b"}


def test_hurry_makes_those_that_wait_ready_now(backlog: Backlog):
    """R8: after an outage nobody waits for his own time."""
    backlog.offer(one := entry("x"))
    backlog.later(backlog.take("a", 0)[0], "a", 1000.0)
    backlog.later(one, SETTLING, 1000.0)
    assert backlog.take("a", 0) == []
    backlog.opened("a")
    assert backlog.take("a", 0) == [one]
    assert backlog.take(SETTLING, 0) == [one]


@pytest.mark.parametrize("end", ["close", "wake", "offer", "later"])
def test_who_waits_for_work_is_woken(backlog: Backlog, end: str):
    """R8: by work, by the end, and by an outage of his destination."""
    is_open, got = threading.Event(), list[list[Entry]]()
    is_open.set()
    thread = threading.Thread(
        target=lambda: got.append(backlog.take("a", 60.0, is_open=is_open.is_set))
    )
    thread.start()
    began = time.monotonic()
    if end == "close":
        backlog.close()
    elif end == "wake":
        is_open.clear()
        backlog.closed("a")
    elif end == "offer":
        backlog.offer(entry("x"))
    else:
        backlog.later(entry("x"), "a", 0.05)
    thread.join(10.0)
    assert time.monotonic() - began < 5.0
    assert [len(entries) for entries in got] == [int(end in {"offer", "later"})]

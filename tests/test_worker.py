"""Lanes: who goes on while one file can't, and what is said about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.faulty import ALWAYS, faulty
from tests.inside import Inside
from watcher.activity import DestinationChanged, FileHeldBack, FileReleased, RescanEnded
from watcher.backlog import Entry
from watcher.errors import FileFault
from watcher.ledger import Ledger
from watcher.model import DestinationState
from watcher.platform import system
from watcher.settling import Unsettled
from watcher.transfer import Turn
from watcher.worker import Desk

S = "bluesky_scans"


def poisoned(inside: Inside) -> Path:
    """Finish a file whose folder at the archive can't be made: a file stands in its way."""
    wall = inside.archived("RB1/wall")
    wall.parent.mkdir(parents=True)
    wall.write_bytes(b"in the way")
    return inside.finish(f"RB1/{S}/wall/poisoned.txt")


def test_a_poisoned_file_backs_off_alone(tmp_path: Path):
    """R8: all others go on; R11: its reason is told once, and goes when it is mended."""
    with Inside(tmp_path) as inside:
        source = poisoned(inside)
        inside.until(lambda: inside.shown.held)
        for n in range(200):
            inside.finish(f"RB1/{S}/fine_{n}.txt", b"%d" % n)
        inside.until(lambda: inside.shown.archived == 200, 10.0)
        entry = next(iter(inside.watcher._backlog._entries.values()))
        tries = entry.attempts["archive"]
        inside.until(lambda: entry.attempts["archive"] >= tries + 2)
        assert len(inside.told(FileHeldBack)) == 1
        assert list(inside.shown.held) == [str(source)]
        states = {n.state for n in inside.told(DestinationChanged)}
        assert states == {DestinationState.ONLINE}
        ledger = Ledger.peek(str(inside.state / "ledger.sqlite"))
        assert ledger is not None
        assert ledger.held(str(source)) is not None
        inside.archived("RB1/wall").unlink()
        inside.until(lambda: not source.exists())
        inside.until(lambda: not inside.shown.held)
        assert ledger.held(str(source)) is None
        ledger.close()


def test_R8_files_that_are_held_back_take_no_room_from_others(tmp_path: Path):
    """More than there is room for, of one experiment; R11: and no rescan tells them once more."""
    inside = Inside(tmp_path, rescan_interval="200ms")
    inside.capacity = 20
    inside.archived("RB1").write_bytes(b"in the way")
    held = [inside.finish(f"RB1/{S}/{n}.txt") for n in range(30)]
    with inside:
        inside.until(lambda: len(inside.told(FileHeldBack)) >= 20)
        for n in range(3):
            inside.finish(f"RB2/{S}/{n}.txt")
            inside.until(inside.archived(f"RB2/{n}.txt").exists)
        walks = len(inside.told(RescanEnded))
        inside.until(lambda: len(inside.told(RescanEnded)) > walks + 3)
        told = [news.held.source for news in inside.told(FileHeldBack)]
        assert len(told) == len(set(told))
        inside.archived("RB1").unlink()
        inside.until(lambda: not any(map(Path.exists, held)))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("times", [1, 2])
def test_a_destination_that_drops_out_for_an_instant_is_told_if_it_does_so_again(
    tmp_path: Path, times: int, number: int
):
    """R11: a connection that is reset is not a line for each file that was under way."""
    left = list(range(times))

    def drops_out(create, path: str) -> int:
        if "RB1" in path and left:  # else it is only tried out
            left.pop()
            raise OSError(number, os.strerror(number), path)
        return create(path)

    with Inside(tmp_path) as inside:
        inside.until(lambda: inside.shown.destinations["archive"].state is DestinationState.ONLINE)
        with faulty(create_part={ALWAYS: drops_out}):
            source = inside.finish(f"RB1/{S}/scan.txt")
            inside.until(lambda: not source.exists())
        assert len(inside.told(FileHeldBack)) == times - 1
        inside.until(lambda: not inside.shown.held)


def test_a_poisoned_file_keeps_one_reason_where_two_lanes_fail(tmp_path: Path):
    """R11: two destinations that fail for reasons of their own don't take turns in the log."""
    inside = Inside(tmp_path, after_archiving="keep")
    wall = inside.cache / "RB1" / S / "wall"
    wall.parent.mkdir(parents=True)
    wall.write_bytes(b"in the way")
    with inside:
        poisoned(inside)
        inside.until(lambda: inside.shown.held)
        entry = next(iter(inside.watcher._backlog._entries.values()))
        inside.until(lambda: all(entry.attempts.get(n, 0) > 3 for n in ("archive", "cache")))
        told = inside.told(FileHeldBack)
        assert len(told) == 1
        (wall if told[0].held.destination == "cache" else inside.archived("RB1/wall")).unlink()
        inside.until(lambda: len(inside.told(FileHeldBack)) == 2)
        assert len(inside.told(FileReleased)) == 1
        assert told[0].held.destination != inside.told(FileHeldBack)[1].held.destination


@pytest.mark.parametrize("workers", [1, 4])
def test_a_large_file_does_not_hold_up_small_ones(tmp_path: Path, workers: int):
    """R8: whatever the number of workers, a thread is left for small files."""
    inside = Inside(tmp_path, workers=workers)
    large = [inside.write(f"RB1/{S}/large_{n}.nxs") for n in range(workers)]
    for path in large:
        os.truncate(path, (256 << 20) // workers)
        system.mark(str(path))
    with inside:
        inside.until(lambda: any(b.size > 1 << 20 for b in inside.shown.in_flight.values()))
        inside.finish(f"RB1/{S}/small.txt")
        small = inside.archived("RB1/small.txt")
        inside.until(small.exists)
        assert not all(inside.archived(f"RB1/{path.name}").exists() for path in large)
        inside.until(lambda: inside.shown.archived == workers + 1)


def test_a_defect_holds_up_only_the_file_that_it_is_about(tmp_path: Path):
    """R11: an error that nobody expected is said; the other files of the batch go on."""
    inside = Inside(tmp_path)
    for n in range(20):
        inside.finish(f"RB1/{S}/scan_{n}.txt", b"%d" % n)

    def break_one(watcher):  # type: ignore[no-untyped-def]
        settle = watcher._settling.settle

        def settle_others(entries: list[Entry]):  # type: ignore[no-untyped-def]
            if any("scan_7." in entry.file.relative for entry in entries):
                raise RuntimeError("a defect")
            return settle(entries)

        watcher._settling.settle = settle_others

    inside.prepare = break_one
    with inside:
        inside.until(lambda: inside.shown.archived == 19)
        inside.until(lambda: inside.shown.held)
        assert "a defect" in next(iter(inside.shown.held.values())).reason


def test_a_newer_version_keeps_its_place_in_the_ledger(tmp_path: Path):
    """R6, R10: the end of the older version forgets nothing of the newer one."""
    with Inside(tmp_path) as inside:
        inside.leave()
        path = inside.finish(f"RB1/{S}/scan.txt", b"old")
        inside.until(lambda: len(inside.watcher._backlog) == 1)
        old = inside.watcher._backlog._entries[system.native(str(path))]
        os.chmod(path, 0o666)
        path.unlink()
        inside.finish(f"RB1/{S}/scan.txt", b"newer")
        inside.until(lambda: inside.watcher._backlog._entries[system.native(str(path))] is not old)
        watcher = inside.watcher
        desk = Desk(
            *(watcher._backlog, watcher._ledger, inside.activity, watcher._pulses),
            *(watcher._patience, watcher._gates, Turn(), lambda _: None),
        )
        desk.let_go(old)
        assert watcher._ledger.waiting() == 1
        inside.come_back()
        inside.until(lambda: not path.exists())
        assert inside.archived("RB1/scan.txt").read_bytes() == b"newer"
        inside.until(lambda: inside.shown.archived == 1)


def test_a_source_that_cannot_be_removed_is_held_and_its_copies_are_safe(tmp_path: Path):
    """R11: settling tells its reason once; R2: the source stays."""
    inside = Inside(tmp_path)
    inside.settings["destinations"] = inside.settings["destinations"][:1]
    refused: list[int] = []

    def refuse(watcher):  # type: ignore[no-untyped-def]
        finish = watcher._settling._finish

        def refuse_first(*arguments):  # type: ignore[no-untyped-def]
            refused.append(1)
            if len(refused) < 4:
                raise Unsettled(FileFault("can't be removed"))
            finish(*arguments)

        watcher._settling._finish = refuse_first

    inside.prepare = refuse
    with inside:
        source = inside.finish(f"RB1/{S}/scan.txt")
        inside.until(lambda: not source.exists())
        inside.until(lambda: not inside.shown.held)
        assert len(inside.told(FileHeldBack)) == 1

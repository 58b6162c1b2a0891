"""The whole watcher in one process: outages, hangs, restarts, and what must not wait for them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness import Instrument
from tests.inside import Inside
from tests.platforms import link, on_posix
from watcher.activity import Activity, FileHeldBack, FileReleased, HintsMissed, RescanEnded
from watcher.daemon import Watcher
from watcher.ledger import Ledger
from watcher.lock import is_running, locked
from watcher.model import DestinationState, Fingerprint, FinishedFile
from watcher.platform import system
from watcher.settling import Settling
from watcher.transfer import carry
from watcher.worker import lane

S = "bluesky_scans"


def copied(folder: Path, **changes: object) -> Inside:
    """Two destinations outside of the data root, both copied to: the sources are kept."""
    inside = Inside(folder, after_archiving="keep", **changes)
    for name in ("one", "two"):
        (folder / name).mkdir()
    inside.settings["destinations"] = [
        {"name": name, "path": str(folder / name / "{experiment}")} for name in ("one", "two")
    ]
    return inside


@contextmanager
def hanging(watcher: Watcher, name: str) -> Iterator[threading.Event]:
    """Let every look at a destination hang, as that of a dead share does, until it ends."""
    answers, reach = threading.Event(), watcher._depots[name].reach
    look = reach.look

    def hang() -> None:
        answers.wait()
        look()

    reach.look = hang  # type: ignore[method-assign]
    try:
        yield answers
    finally:
        answers.set()
        reach.look = look  # type: ignore[method-assign]


def state(inside: Inside, name: str) -> DestinationState:
    return inside.shown.destinations[name].state


def test_a_mark_is_archived_and_the_source_is_gone(tmp_path: Path):
    """R2: both destinations have it, then the source goes."""
    with Inside(tmp_path) as inside:
        source = inside.finish(f"RB1/{S}/sub/scan.txt", b"abc")
        inside.until(lambda: not source.exists())
        assert inside.archived("RB1/sub/scan.txt").read_bytes() == b"abc"
        assert (inside.cache / "RB1" / S / "sub" / "scan.txt").read_bytes() == b"abc"
        inside.until(lambda: inside.shown.backlog == 0)


def test_nested_and_empty_experiments_two_roots_and_nothing_excluded(tmp_path: Path):
    """R7: what is excluded, or a destination, also through a link, is never read; R1."""
    second = tmp_path / "more"
    second.mkdir()
    inside = Inside(tmp_path)
    inside.settings["data_roots"].append(str(second))
    inside.settings["exclude"] = ["Export only", "private"]
    inside.settings["rescan_interval"] = "500ms"
    private = inside.finish(f"private/RB9/{S}/secret.txt")
    exported = inside.finish(f"Export only/RB9/{S}/copy.txt")
    link(str(inside.cache), str(inside.root / "RB8"), folder=True)
    with inside:
        inside.finish(f"a/b/{S}/deep.txt")
        inside.finish(f"{S}/top.txt")
        inside.finish(f"RB2/{S}/{S}/inner.txt", root=second)
        for name in ("a/b/deep.txt", "top.txt", f"RB2/{S}/inner.txt"):
            inside.until(inside.archived(name).exists)
        inside.until(lambda: inside.shown.archived == 3)
        walks = len(inside.told(RescanEnded))
        inside.until(lambda: len(inside.told(RescanEnded)) > walks + 1)
        assert inside.shown.archived == 3
        assert private.exists()
        assert exported.exists()


def test_a_destination_that_leads_into_a_data_root_is_refused(tmp_path: Path):
    """R7: a link makes it a source; it counts as unreachable, nothing is written there."""
    inside = Inside(tmp_path)
    link(str(inside.root), str(tmp_path / "alias"), folder=True)
    path = str(tmp_path / "alias" / "copies" / "{experiment}")
    inside.settings["destinations"].append({"name": "alias", "path": path})
    (inside.root / "copies").mkdir()
    with inside:
        source = inside.finish(f"RB1/{S}/scan.txt")
        inside.until(inside.archived("RB1/scan.txt").exists)
        inside.until(lambda: "leads into a data root" in inside.shown.destinations["alias"].error)
        assert source.exists()
        assert os.listdir(inside.root / "copies") == []


def test_an_outage_delays_no_other_and_its_backlog_drains_by_itself(tmp_path: Path):
    """R8: without a rescan, within seconds of the share's return; R8: others go on meanwhile."""
    inside = copied(tmp_path)
    one, two, away = (tmp_path / name for name in ("one", "two", "away"))
    with inside:
        one.rename(away)
        files = [f"scan_{n}.txt" for n in range(50)]
        for name in files:
            inside.finish(f"RB1/{S}/{name}")
        inside.until(lambda: all((two / "RB1" / name).exists() for name in files))
        inside.until(lambda: state(inside, "one") is DestinationState.OFFLINE)
        inside.until(lambda: inside.status().get("backlog") == 50)
        walks = len(inside.told(RescanEnded))
        away.rename(one)
        inside.until(lambda: inside.shown.archived == 50, 5.0)
        assert len(inside.told(RescanEnded)) == walks
        assert inside.shown.held == {}
        assert state(inside, "one") is DestinationState.ONLINE


def test_a_pass_ends_when_a_destination_goes_just_before_the_last_look(tmp_path: Path, monkeypatch):
    """R8: a file that is copied and can't be settled is left behind, not waited for."""
    inside, settle = Inside(tmp_path), Settling.settle
    source = inside.finish(f"RB1/{S}/scan.txt")

    def settle_without_the_share(self: Settling, entries):
        if inside.share.exists():
            inside.leave()
        return settle(self, entries)

    monkeypatch.setattr(Settling, "settle", settle_without_the_share)
    stop, ended = threading.Event(), []
    with locked(str(inside.state)):
        watcher = Watcher(inside.config(), Activity(), stop=stop)
        thread = threading.Thread(target=lambda: ended.append(watcher.run_once()))
        thread.start()
        thread.join(15)
        is_hung = thread.is_alive()
        watcher.stop()
        thread.join()
    assert not is_hung
    assert ended[0].left == 1
    assert source.exists()


@pytest.mark.parametrize(("changes", "left"), [(1, 0), (1000, 1)])
def test_R6_a_pass_looks_again_at_what_changed_and_ends_all_the_same(
    tmp_path: Path, monkeypatch, changes: int, left: int
):
    """A file that was touched on its way is archived; one that never rests is left behind."""
    inside, touches = Inside(tmp_path), iter(range(1, changes + 1))
    source = inside.finish(f"RB1/{S}/scan.txt")

    def carry_what_changed(*arguments):
        if (second := next(touches, None)) is not None:
            touch(source, second)
        return carry(*arguments)

    monkeypatch.setattr(lane, "carry", carry_what_changed)
    with locked(str(inside.state)):
        watcher = Watcher(inside.config(), Activity())
        ended = watcher.run_once()
        watcher.stop()
    assert ended.left == left
    assert source.exists() == bool(left)
    assert inside.archived("RB1/scan.txt").exists() == (not left)


def touch(path: Path, second: int) -> None:
    """Give a marked file another time, as its producer would who goes on."""
    path.chmod(0o644)
    os.utime(path, (second, second))
    system.mark(str(path))


def test_files_at_settling_are_settled_within_seconds_too(tmp_path: Path):
    """R8: the lane that has nothing to do finds out that its destination is back."""
    inside = Inside(tmp_path)
    inside.settings["retry"] = {"initial": "200ms", "maximum": "20s", "stalled_after": "30s"}
    gone = threading.Event()

    def leave_before_settling(watcher: Watcher) -> None:
        settle = watcher._settling.settle

        def settle_later(entries):  # type: ignore[no-untyped-def]
            if not gone.is_set():
                inside.leave()
                gone.set()
            return settle(entries)

        watcher._settling.settle = settle_later  # type: ignore[method-assign]

    inside.prepare = leave_before_settling
    with inside:
        source = inside.finish(f"RB1/{S}/scan.txt")
        inside.until(gone.is_set)
        inside.until(lambda: state(inside, "archive") is DestinationState.OFFLINE)
        inside.come_back()
        inside.until(lambda: not source.exists(), 5.0)


def test_a_destination_that_hangs_delays_nobody(tmp_path: Path):
    """R8: not the other, nor hints, nor the rescan, nor status.json; it shows, and it heals."""
    inside = copied(tmp_path, rescan_interval="500ms")
    inside.settings["retry"]["stalled_after"] = "1s"
    with inside:
        inside.until(lambda: state(inside, "one") is DestinationState.ONLINE)
        with hanging(inside.watcher, "one") as answers:
            began = time.monotonic()
            inside.finish(f"RB1/{S}/scan.txt")
            inside.until((tmp_path / "two" / "RB1" / "scan.txt").exists, 2.0)
            inside.until(lambda: state(inside, "one") is DestinationState.STALLED, 4.0)
            assert time.monotonic() - began < 4.0
            inside.finish(f"RB1/{S}/later.txt")
            inside.until((tmp_path / "two" / "RB1" / "later.txt").exists, 2.0)
            walks = len(inside.told(RescanEnded))
            inside.until(lambda: len(inside.told(RescanEnded)) > walks + 1, 4.0)
            written = inside.status()["destinations"]
            inside.until(lambda: inside.status()["destinations"]["one"]["state"] == "stalled", 4.0)
            assert written
            answers.set()
            inside.until(lambda: state(inside, "one") is DestinationState.ONLINE, 5.0)
            inside.until(lambda: inside.shown.archived == 2, 5.0)


def test_the_status_is_that_of_this_life_before_anything_slow(tmp_path: Path):
    """R11: whoever asks meanwhile is not told what an earlier life said at its end."""
    inside = Inside(tmp_path)
    with inside:
        earlier = inside.status()["started_at"]
    assert not inside.status()["running"]
    said: list[dict[str, Any]] = []

    def slow(watcher: Watcher) -> None:
        watcher._settling.reconcile = lambda: said.append(inside.status())

    inside.prepare = slow
    with inside:
        assert said[0]["running"]
        assert said[0]["started_at"] > earlier


def test_stopping_does_not_wait_for_a_share_that_hangs(tmp_path: Path):
    """R8: within ten seconds, and the lock is free afterwards."""
    inside = copied(tmp_path)
    inside.start()
    with hanging(inside.watcher, "one"):
        inside.finish(f"RB1/{S}/scan.txt")
        inside.until((tmp_path / "two" / "RB1" / "scan.txt").exists)
        began = time.monotonic()
        assert not inside.stop()
        assert time.monotonic() - began < 10.0
        assert not is_running(str(inside.state))
    for thread in inside.watcher._threads:
        thread.join(5.0)


def test_a_cycle_is_kept_over_its_change_in_an_outage(tmp_path: Path):
    """R8, R10: what was seen in the old cycle drains into it, what comes after into the new one."""
    with Inside(tmp_path) as inside:
        first = inside.finish(f"RB1/{S}/first.txt")
        inside.until(lambda: not first.exists())
        inside.leave()
        old = inside.finish(f"RB1/{S}/old.txt")
        inside.until(lambda: inside.shown.backlog == 1)
        (tmp_path / "away" / "cycle_26_3").mkdir()
        inside.come_back()
        inside.until(lambda: not old.exists())
        assert inside.archived("RB1/old.txt").exists()
        new = inside.finish(f"RB1/{S}/new.txt")
        inside.until(lambda: not new.exists())
        assert (inside.share / "cycle_26_3" / "RB1" / "new.txt").exists()


def test_a_cycle_is_on_record_before_a_copy_has_its_name(tmp_path: Path, monkeypatch):
    """R5: killed from then on, the next life finds the copy where it is."""
    inside, seen = Inside(tmp_path), list[dict[str, str]]()
    publish = system.publish

    def look_first(part: str, path: str) -> None:
        ledger = Ledger.peek(str(inside.state / "ledger.sqlite"))
        if ledger and path.endswith("scan.txt"):
            stat = source.lstat()
            file = FinishedFile(str(inside.root), "RB1", S, "scan.txt", Fingerprint.of(stat))
            seen.extend(dict(waiting.cycles) for waiting in ledger.recall([file]).values())
            ledger.close()
        publish(part, path)

    def delay_intake(watcher: Watcher) -> None:
        commit = watcher._ledger.commit

        def unless_intake() -> None:
            if threading.current_thread().name != "intake":
                commit()

        watcher._ledger.commit = unless_intake  # type: ignore[method-assign]

    inside.prepare = delay_intake
    monkeypatch.setattr(system, "publish", look_first)
    with inside:
        source = inside.finish(f"RB1/{S}/scan.txt")
        inside.until(lambda: not source.exists())
    assert seen == [{"archive": "cycle_26_2"}]


@pytest.mark.parametrize("only_archive", [True, False])
def test_before_any_cycle_was_read_a_file_waits(tmp_path: Path, only_archive: bool):
    """R8: it gets the first one read, whether it is copied or renamed into place."""
    inside = Inside(tmp_path)
    (inside.share / inside.cycle).rmdir()
    if only_archive:
        inside.settings["destinations"] = inside.settings["destinations"][:1]
    with inside:
        inside.finish(f"RB1/{S}/scan.txt")
        inside.until(lambda: inside.shown.backlog == 1)
        (inside.share / inside.cycle).mkdir()
        inside.until(inside.archived("RB1/scan.txt").exists, 5.0)
        inside.until(lambda: inside.shown.archived == 1, 5.0)
        assert inside.told(FileHeldBack) == []


def test_the_last_known_cycle_applies_after_a_restart(tmp_path: Path):
    """R10: the ledger has it while the archive is away."""
    inside = Inside(tmp_path)
    with inside:
        done = inside.finish(f"RB1/{S}/done.txt")
        inside.until(lambda: not done.exists())
    inside.leave()
    with inside:
        inside.finish(f"RB1/{S}/waits.txt")
        inside.until(lambda: inside.shown.backlog == 1)
        (tmp_path / "away" / "cycle_26_3").mkdir()
        inside.come_back()
        inside.until(inside.archived("RB1/waits.txt").exists)


@on_posix
def test_the_ledger_may_be_deleted_while_it_runs(tmp_path: Path):
    """R10: what waits is archived all the same, and so is what comes after."""
    with Inside(tmp_path) as inside:
        inside.leave()
        waits = inside.finish(f"RB1/{S}/waits.txt")
        inside.until(lambda: inside.shown.backlog == 1)
        for path in inside.state.glob("ledger.sqlite*"):
            path.unlink()
        late = inside.finish(f"RB1/{S}/late.txt")
        inside.come_back()
        inside.until(lambda: not waits.exists() and not late.exists())
        inside.until(lambda: inside.shown.archived == 2 and inside.shown.backlog == 0)


@pytest.mark.parametrize("content", [None, b"no database at all" * 400])
def test_a_ledger_that_is_gone_or_corrupt_stops_nothing(tmp_path: Path, content: bytes | None):
    """R10: a corrupt one is set aside, and said."""
    inside = Inside(tmp_path)
    with inside:
        done = inside.finish(f"RB1/{S}/done.txt")
        inside.until(lambda: not done.exists())
    for path in inside.state.glob("ledger.sqlite*"):
        path.unlink()
    if content:
        (inside.state / "ledger.sqlite").write_bytes(content)
    with inside:
        next_one = inside.finish(f"RB1/{S}/next.txt")
        inside.until(lambda: not next_one.exists())
        assert any("set aside" in n.text for n in inside.shown.notices) == bool(content)


def deafen(inside: Inside) -> None:
    """Take the kernel's watches away: the threads live, and hear nothing."""
    libc = ctypes.CDLL(None)
    for root in inside.watcher._observer._roots:
        kernel = root._backend._kernel  # type: ignore[union-attr]
        for descriptor in list(root._backend._tree._active_callbacks_by_watch):
            libc.inotify_rm_watch(kernel._inotify_fd, descriptor)


def test_waiting_files_that_vanish_leave_the_count(tmp_path: Path):
    """R11: and so does the reason why they were held, from every screen; also where all is kept."""
    inside = copied(tmp_path, rescan_interval="500ms")
    for n in range(3):
        inside.finish(f"RB1/{S}/kept_{n}.txt")
    with inside:
        inside.until(lambda: inside.shown.archived == 3)
        (tmp_path / "one" / "RB2").write_bytes(b"in the way")
        source = inside.finish(f"RB2/{S}/sub/scan.txt")
        inside.until(lambda: inside.shown.held)
        inside.until(lambda: inside.shown.backlog == 1)
        os.chmod(source, 0o666)
        source.unlink()
        inside.until(lambda: inside.shown.backlog == 0)
        inside.until(lambda: not inside.shown.held)
        assert inside.told(FileReleased)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounts need root")
def test_R10_what_waits_on_a_volume_that_is_not_mounted_keeps_its_cycle(tmp_path: Path):
    """Whether it goes while the watcher runs, or isn't there yet when the computer starts."""
    inside = Inside(tmp_path, rescan_interval="200ms")
    mount = ["mount", "-t", "tmpfs", "none", str(inside.root)]
    subprocess.run(mount, check=True)
    kept = tmp_path / "elsewhere"
    kept.mkdir()
    subprocess.run(["mount", "--bind", inside.root, kept], check=True)
    try:
        with inside:
            inside.finish(f"RB1/{S}/before.txt")
            inside.until(lambda: inside.shown.archived == 1)
            inside.leave()
            inside.finish(f"RB1/{S}/scan.txt")
            inside.until(lambda: inside.watcher._ledger.waiting() == 1)
            inside.until(lambda: inside.watcher._ledger.last_mount(str(inside.root)))
            subprocess.run(["umount", "-l", inside.root], check=True)
            several_walks(inside)
            assert inside.watcher._ledger.waiting() == 1
        with inside:
            several_walks(inside)
            assert inside.watcher._ledger.waiting() == 1
        inside.come_back()
        (inside.share / "cycle_26_3").mkdir()
        subprocess.run(["mount", "--bind", kept, inside.root], check=True)
        with inside:
            inside.until(inside.archived("RB1/scan.txt").exists)
    finally:
        subprocess.run(["umount", "-l", inside.root], check=False)
        subprocess.run(["umount", "-l", kept], check=False)


def several_walks(inside: Inside) -> None:
    """Wait until it was looked at all of the data roots, from now on."""
    walks = len(inside.told(RescanEnded))
    inside.until(lambda: len(inside.told(RescanEnded)) > walks + 1)


def test_what_waits_in_a_folder_that_is_excluded_by_now_waits_no_more(tmp_path: Path):
    """R11: nobody is told for ever that something is behind."""
    inside = Inside(tmp_path)
    with inside:
        inside.finish(f"RB1/{S}/before.txt")
        inside.until(lambda: inside.shown.archived == 1)
        inside.leave()
        source = inside.finish(f"RB2/{S}/scan.txt")
        inside.until(lambda: inside.watcher._ledger.waiting() == 1)
    inside.settings["exclude"] = ["Export only", "RB2"]
    with inside:
        inside.until(lambda: inside.watcher._ledger.waiting() == 0)
    assert source.exists()


def test_kept_sources_are_archived_once(tmp_path: Path):
    """R9: not again at the next rescan, nor after a restart."""
    inside = copied(tmp_path, rescan_interval="200ms")
    with inside:
        inside.finish(f"RB1/{S}/scan.txt")
        inside.until(lambda: inside.shown.archived == 1)
        walks = len(inside.told(RescanEnded))
        inside.until(lambda: len(inside.told(RescanEnded)) > walks + 2)
        assert inside.shown.archived == 1
    with inside:
        walks = len(inside.told(RescanEnded))
        inside.until(lambda: len(inside.told(RescanEnded)) > walks + 2)
        assert inside.shown.archived == 0
        inside.until(lambda: inside.shown.backlog == 0)


def test_what_was_dropped_comes_back_at_once(tmp_path: Path):
    """R12, R9: a small backlog is filled again as it drains, without waiting for the interval."""
    inside = Inside(tmp_path)
    inside.capacity = 8
    for n in range(100):
        inside.finish(f"RB1/{S}/scan_{n}.txt", b"%d" % n)
    with inside:
        inside.until(lambda: inside.shown.archived == 100, 60.0)
        assert inside.told(HintsMissed) == []
        assert len(inside.told(RescanEnded)) == 1


def test_files_that_come_while_the_first_walk_runs_are_not_missed(tmp_path: Path):
    """R9: only what a hint should have told is counted."""
    inside = Inside(tmp_path, rescan_interval="200ms")
    for n in range(200):
        inside.finish(f"RB1/{S}/old_{n}.txt")
    inside.start()
    try:
        for n in range(50):
            inside.finish(f"RB2/{S}/new_{n}.txt")
        inside.until(lambda: inside.shown.archived == 250, 60.0)
        limit = time.monotonic() + 6.0
        inside.until(lambda: time.monotonic() > limit)
        assert inside.told(HintsMissed) == []
    finally:
        inside.stop()


def test_the_first_file_of_a_new_experiment_is_not_behind_an_old_backlog(tmp_path: Path):
    """R8: nobody hints at a file in a folder that has just appeared, but it is new all the same."""
    inside = Inside(tmp_path)
    for n in range(20):
        inside.finish(f"RB{n}/{S}/old.txt")
    inside.leave()
    with inside:
        inside.until(lambda: len(inside.watcher._backlog) == 20)
        inside.finish(f"RB99/{S}/new.txt")
        inside.until(lambda: len(inside.watcher._backlog) == 21)
        waiting = inside.watcher._backlog._entries.values()
        assert [e.file.experiment for e in waiting if e.is_fresh] == ["RB99"]
        inside.come_back()
        inside.until(lambda: inside.shown.archived == 21)


@on_posix
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="is about Linux' inotify")
def test_a_deaf_observer_is_noticed_and_started_anew(tmp_path: Path):
    """R9: what the rescan finds without a hint is counted, after which hints come again."""
    inside = Inside(tmp_path, rescan_interval="1s")
    unfinished = inside.write(f"RB1/{S}/begun.txt")
    with inside:
        deafen(inside)
        inside.finish(f"RB1/{S}/unheard.txt")
        system.mark(str(unfinished))
        missed = inside.until(lambda: inside.told(HintsMissed))
        assert sum(news.files for news in missed) == 2
        inside.until(lambda: inside.shown.archived == 2)
        walks = inside.shown.rescan
        inside.until(lambda: inside.shown.rescan is not walks)
        nothing = SimpleNamespace(walk=lambda *_: walks, walk_below=lambda *_: walks)
        inside.watcher._rounds.rescan = nothing  # type: ignore[assignment]
        heard = inside.finish(f"RB1/{S}/heard.txt")
        inside.until(lambda: not heard.exists(), 5.0)


@on_posix
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="is about Linux' inotify")
def test_an_overflow_is_followed_by_a_walk_at_once(tmp_path: Path):
    """R9: not at the next interval, which is an hour away."""
    with Inside(tmp_path) as inside:
        deafen(inside)
        sources = [inside.finish(f"RB1/{S}/{n}.txt") for n in range(20)]
        inside.watcher._observer._roots[0].overflowed()
        inside.until(lambda: not any(source.exists() for source in sources), 10.0)
        assert any("hints were lost" in notice.text for notice in inside.shown.notices)


@on_posix
def test_nothing_is_left_after_many_starts(tmp_path: Path):
    """R12: neither threads nor descriptors."""
    inside = Inside(tmp_path)
    with inside:
        pass
    threads, open_files = threading.active_count(), _descriptors()
    for _ in range(20):
        inside.start()
        assert inside.stop()
    assert threading.active_count() == threads
    assert _descriptors() <= open_files


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.timeout(120)
def test_stopping_in_the_middle_of_a_large_copy(tmp_path: Path):
    """R5: it ends in time, the lock is free, and the next start brings the file over whole."""
    with Instrument(tmp_path) as instrument:
        big = instrument.write(f"RB1/{S}/big.nxs")
        os.truncate(big, 1 << 30)
        instrument.start()
        system.mark(str(big))
        instrument.wait_until(lambda: any(instrument.archive.rglob("*.part")))
        began = time.monotonic()
        assert instrument.stop() == 0
        assert time.monotonic() - began < 10.0
        assert not is_running(str(instrument.state))
        assert big.stat().st_size == 1 << 30
        instrument.start()
        instrument.wait_until(lambda: not big.exists(), 90.0)
        copy = instrument.archived("RB1", "big.nxs")
        assert copy.stat().st_size == 1 << 30
        assert [path.name for path in copy.parent.iterdir() if path.suffix == ".part"] == []

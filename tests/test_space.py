"""The instrument's own disk filling up is told before it is full."""

import os
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests import scenes
from tests.scenes import NOW
from watcher.activity import Activity, SpaceMeasured, fold
from watcher.space import LEAST, WINDOW, SpaceWatch, seconds_left
from watcher.views import health, standing, status

GB = 10**9


def test_the_rate_is_the_average_over_the_window() -> None:
    marks = [(0.0, 100 * GB), (600.0, 99 * GB), (1200.0, 90 * GB)]
    assert seconds_left(marks) == 90 * GB * 1200 / (10 * GB)


@pytest.mark.parametrize(
    "marks",
    [
        [],
        [(0.0, 5)],
        [(0.0, 100), (LEAST - 1, 1)],
        [(0.0, 100), (LEAST, 100)],
        [(0.0, 100), (LEAST, 200)],
    ],
    ids=["none", "one", "too short", "as it was", "more"],
)
def test_nothing_is_said_of_a_rate_that_is_not_known(marks: list[tuple[float, int]]) -> None:
    assert seconds_left(marks) is None


def test_each_volume_is_measured_once_and_a_missing_root_is_no_error(tmp_path: Path) -> None:
    activity = Activity()
    roots = [str(tmp_path / name) for name in ("missing", "one", "two")]
    for root in roots[1:]:
        os.mkdir(root)
    SpaceWatch(roots, activity.tell).look(0.0)
    (space,) = activity.snapshot.space.values()
    assert space.root == roots[1]
    assert space.total == shutil.disk_usage(tmp_path).total
    assert 0 <= space.free <= space.total


def test_it_measures_until_it_is_stopped(tmp_path: Path) -> None:
    activity, stop, told = Activity(), threading.Event(), threading.Event()
    activity.listen(lambda _news: told.set())
    thread = threading.Thread(target=SpaceWatch([str(tmp_path)], activity.tell).run, args=(stop,))
    thread.start()
    assert told.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts a small volume")
def test_a_volume_that_fills_up_is_told_and_a_quiet_one_is_not(tmp_path: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        told: list[SpaceMeasured] = []
        watch = SpaceWatch([str(tmp_path)], told.append)
        for now in (0.0, 10.0, LEAST):
            watch.look(now)
        assert [news.seconds_left for news in told] == [None]
        (tmp_path / "scan.txt").write_bytes(b"." * (1 << 19))
        watch.look(LEAST + 10)
        (more,) = told[1:]
        assert more.free == 1 << 19
        assert more.seconds_left == pytest.approx(LEAST + 10)
        watch.look(WINDOW + LEAST + 20)
        assert told[-1].seconds_left is None  # what was measured before is too long ago
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("free", "total", "left", "level"),
    [
        (100 * GB, 250 * GB, None, "ok"),
        (100 * GB, 250 * GB, 23 * 3600.0, "waiting"),
        (100 * GB, 250 * GB, 3600.0, "attention"),
        (4 * GB, 250 * GB, None, "waiting"),
        (GB // 2, 250 * GB, None, "attention"),
        (GB // 2, GB, None, "ok"),
        (GB // 200, GB, None, "attention"),
    ],
)
def test_it_is_judged_by_room_and_by_time(
    free: int, total: int, left: float | None, level: str
) -> None:
    assert health.space_level(free, total, left) == level
    state = fold(scenes.calm(), SpaceMeasured(scenes.ROOT, free, total, left), NOW)
    judged = health.health(state, NOW)
    assert judged.level == level
    assert (judged.findings[0].matter == "space") is (level != "ok")
    assert scenes.ROOT in standing.text(status.status_of(state, NOW), NOW)


def test_it_comes_before_everything_else_that_needs_a_person() -> None:
    space = SpaceMeasured(scenes.ROOT, 1000, 250 * GB, 60.0)
    reasons = health.health(fold(scenes.trouble(), space, NOW), NOW).reasons
    assert reasons[0] == rf"1.0 kB of 250 GB free on {scenes.ROOT}, full in 1 min"
    assert len(reasons) == len(health.health(replace(scenes.trouble()), NOW).reasons) + 1

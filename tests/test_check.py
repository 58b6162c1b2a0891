"""`watcher check`: one Nagios line that names what is wrong, and its exit code."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import scenes
from tests.harness import Instrument, wait_until
from tests.scenes import NOW
from watcher.activity import Snapshot, SpaceMeasured, fold
from watcher.views.check import Nagios, Room, Thresholds, check
from watcher.views.status import ended, status_of

LINE = re.compile(r"WATCHER (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+( \| [^|\n]+)?")
FIGURE = re.compile(r"('[^'=]+'|[^ '=]+)=-?[0-9.]+(s|B|c|%|)(;[^;]*){0,4}")
GB = 10**9
WIDE = Thresholds(age_warning=1e9, age_critical=1e9)


def judged(state: Snapshot, limits: Thresholds = WIDE, later: float = 0.0) -> tuple[Nagios, str]:
    return check(status_of(state, NOW), limits, NOW + later)


def figures(line: str) -> dict[str, str]:
    data = line.partition(" | ")[2]
    found = [match[0] for match in re.finditer(r"('[^']*'|[^ '=]+)=\S+", data)]
    assert " ".join(found) == data
    assert all(FIGURE.fullmatch(figure) for figure in found)
    return dict(figure.rsplit("=", 1) for figure in found)


@pytest.mark.parametrize(
    ("scene", "code"),
    [
        (scenes.calm, Nagios.OK),
        (scenes.draining, Nagios.OK),
        (scenes.starting, Nagios.WARNING),
        (scenes.outage, Nagios.CRITICAL),
        (scenes.trouble, Nagios.CRITICAL),
    ],
)
def test_it_is_one_line_with_figures(scene: Callable[[], Snapshot], code: Nagios) -> None:
    """R13: whatever names hold."""
    found, line = judged(scene())
    assert found is code
    assert LINE.fullmatch(line)
    assert line.isprintable()
    assert figures(line)


def test_it_names_all_that_is_wrong_the_worst_first() -> None:
    _, line = judged(scenes.trouble())
    said = line.partition(" - ")[2].partition(" | ")[0].split("; ")
    order = ["file", "read", "offline", "conflict", "stranded", "file"]
    assert [text.split()[1] for text in said] == order


def test_the_figures_are_those_of_the_status() -> None:
    shown = figures(judged(scenes.trouble(), Thresholds())[1])
    assert shown["backlog"] == "2;;;0"
    assert shown["backlog_size"] == "24690B;;;0"
    assert shown["oldest"] == "600s;600;3600;0"
    assert shown["missed_by_events"] == "3c;;;0"
    assert (shown["failed"], shown["conflicts"], shown["stranded"]) == ("2;;;0", "1;;;0", "1;;;0")
    assert shown["online"] == "1;;2:;0;2"


@pytest.mark.parametrize(("later", "code"), [(0, 0), (400, 1), (1800, 2)])
def test_an_old_backlog_is_told(later: float, code: int) -> None:
    """It grows older while nobody writes the status."""
    limits = Thresholds(age_warning=600, age_critical=1800, silent=1e9)
    found, line = judged(scenes.draining(), limits, later)
    assert found == code
    assert ("the oldest file waits for" in line) is (code > 0)


@pytest.mark.parametrize(
    ("free", "left", "code"),
    [(100, None, 0), (4, None, 1), (0.9, None, 2), (100, 80_000, 1), (100, 7000, 2)],
)
def test_a_disk_that_fills_up_is_told(free: float, left: float | None, code: int) -> None:
    space = SpaceMeasured(scenes.ROOT, int(free * GB), 250 * GB, left)
    found, line = judged(fold(scenes.calm(), space, NOW))
    assert found == code
    assert (f"of 250 GB free on {scenes.ROOT}" in line) is (code > 0)
    label, value = rf"'free {scenes.ROOT}'", f"{int(free * GB)}B;5000000000:;1000000000:;0;250"
    assert figures(line)[label].startswith(value)


def test_thresholds_of_free_space_are_options() -> None:
    space = SpaceMeasured(scenes.ROOT, 4 * GB, 250 * GB, None)
    state = fold(scenes.calm(), space, NOW)
    small = Thresholds(free_warning=Room(3 * GB, 1.0), free_critical=Room(1 * GB, 1.0))
    assert judged(state, small)[0] is Nagios.OK
    assert judged(state, Thresholds(free_critical=Room(10 * GB, 1.0)))[0] is Nagios.CRITICAL


def test_a_watcher_that_is_gone_or_silent_is_critical() -> None:
    gone = ended(status_of(scenes.calm(), NOW))
    assert check(gone, WIDE, NOW)[0] is Nagios.CRITICAL
    assert "no watcher runs" in check(gone, WIDE, NOW)[1]
    assert check(None, WIDE, NOW)[0] is Nagios.CRITICAL
    code, line = judged(scenes.calm(), WIDE, 300)
    assert (code, line.partition(" | ")[0]) == (
        Nagios.CRITICAL, "WATCHER CRITICAL - the watcher hangs: not a word for 5 min",
    )  # fmt: skip


def test_a_bar_in_a_name_begins_no_figures() -> None:
    """R13"""
    space = SpaceMeasured("/data|x='1'", 1, 250 * GB, None)
    _, line = judged(fold(scenes.calm(), space, NOW))
    assert line.count("|") == 1
    assert figures(line)["'free /data/x1'"]


def checked(instrument: Instrument, *options: str) -> tuple[int, str]:
    done = instrument.run("check", *options)
    assert LINE.fullmatch(done.stdout.strip()), (done.stdout, done.stderr)
    return done.returncode, done.stdout.strip()


def test_the_command_ends_with_what_nagios_expects(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        assert checked(instrument)[0] == 2
        instrument.start()
        instrument.finish("RB1/bluesky_scans/scan.txt")
        room = ("--free-warning", "1B", "--free-critical", "1B")
        wait_until(lambda: checked(instrument, *room)[0] == 0)
        assert checked(instrument, "--free-warning", "101%", "--free-critical", "1B")[0] == 1
        assert checked(instrument, "--free-critical", "101%")[0] == 2
        instrument.share.rename(tmp_path / "away")
        instrument.finish("RB1/bluesky_scans/more.txt")
        code, line = wait_until(lambda: _when(checked(instrument, *room), 2))
        assert "archive offline since" in line
        instrument.kill()
        code, line = checked(instrument)
        assert (code, "no watcher runs" in line) == (2, True)


def _when(answer: tuple[int, str], code: int) -> tuple[int, str] | None:
    return answer if answer[0] == code else None


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": ["--backlog-age-warning", "soon"]},
        {"options": ["--free-warning", "much"]},
        {"options": ["--frobnicate"]},
        {"workers": 0},
    ],
    ids=str,
)
def test_wrong_usage_and_configuration_are_unknown(tmp_path: Path, wrong: dict[str, Any]) -> None:
    options = wrong.pop("options", [])
    with Instrument(tmp_path, **wrong) as instrument:
        code, line = checked(instrument, *options)
    assert code == 3
    assert line.startswith("WATCHER UNKNOWN - ")

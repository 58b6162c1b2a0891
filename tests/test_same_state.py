"""One state, told alike by the dashboard, status, check, the figures and the log."""

import json
import logging
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests import scenes
from tests.harness import Instrument, wait_until
from tests.scenes import NOW
from tests.test_check import figures as nagios
from tests.test_metrics import exposed, figures, one
from watcher.activity import DestinationChanged, RescanEnded, Snapshot, SpaceMeasured, fold
from watcher.model import DestinationState
from watcher.sources.rescan import Rescan
from watcher.views import words
from watcher.views.check import Nagios, Thresholds, check
from watcher.views.dashboard import render
from watcher.views.health import MISSING_ROOT_MEND, UNREADABLE_MEND, Level, Matter, health
from watcher.views.lines import Before, lines
from watcher.views.standing import text
from watcher.views.status import status_of


def filling() -> Snapshot:
    """An outage, and the disk fills up."""
    return fold(scenes.outage(), SpaceMeasured(scenes.ROOT, 3 * 10**9, 250 * 10**9, 7000.0), NOW)


SCENES = [*scenes.ALL.values(), filling]
each = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
QUIET = Thresholds(age_warning=1e9, age_critical=1e9)


def screen(state: Snapshot) -> str:
    console = Console(width=220, height=70, file=StringIO(), record=True, legacy_windows=False)
    console.print(render(state, (220, 70), NOW))
    return console.export_text()


@each
def test_all_say_the_same_of_what_is_wrong(scene: Callable[[], Snapshot]) -> None:
    state = scene()
    told, judged = status_of(state, NOW), health(state, NOW)
    code, line = check(told, QUIET, NOW)
    shown, plain = screen(state), text(told, NOW)
    for reason in judged.reasons:
        assert reason in shown
        assert reason in plain
        if judged.level is not Level.OK:
            assert reason in line
    assert (code is Nagios.OK) is (judged.level is Level.OK)
    assert told["health"]["level"] == judged.level.value
    found = figures(exposed(state))
    assert [level for level in Level if one(found, "health", level=level)] == [judged.level]


def test_a_data_root_that_is_missing_has_a_mend_of_its_own(tmp_path: Path) -> None:
    """R11: nobody is sent to look at rights where there is nothing to have a right to."""
    walk = Rescan([str(tmp_path / "gone")], lambda _path: False, 60).walk(lambda _: None, bool)
    news = RescanEnded(walk, NOW + 60)
    state = fold(scenes.calm(), news, NOW)
    (logged,) = [line for level, line in lines(news, Before(), NOW) if level == logging.ERROR]
    for told in (logged, screen(state), text(status_of(state, NOW), NOW)):
        assert f"{tmp_path / 'gone'}: the data root isn't there" in told
        assert MISSING_ROOT_MEND in told
        assert UNREADABLE_MEND not in told


@each
def test_all_count_the_same(scene: Callable[[], Snapshot]) -> None:
    state = scene()
    told, shown, found = status_of(state, NOW), screen(state), figures(exposed(state))
    data = nagios(check(told, QUIET, NOW)[1])

    def same(figure: str, metric: str, key: str, **labels: str) -> int:
        value = int(told[key])
        assert int(re.match(r"\d+", data[figure])[0]) == value  # type: ignore[index]
        assert one(found, metric, **labels) == value
        return value

    backlog = same("backlog", "backlog_files", "backlog")
    assert ("nothing waits" if not backlog else words.count(backlog, "file")) in shown
    same("backlog_size", "backlog_bytes", "backlog_bytes")
    archived = same("archived", "archived_files_total", "archived")
    assert words.count(archived, "file") in shown
    assert f"conflicts {same('conflicts', 'conflicts', 'conflicts'):,}" in shown
    assert f"stranded {same('stranded', 'stranded_files', 'stranded'):,}" in shown
    mismatches = same("mismatches", "mismatched_files", "mismatches")
    assert f"mismatches {mismatches:,}" in shown
    missed = same("missed_by_events", "missed_hints_total", "missed_by_events")
    assert f"hints missed {missed:,}" in shown
    held = sum(one(found, "held_files", waits_for=whom) for whom in ("person", "time"))
    assert held == told["failed"] == int(data["failed"].partition(";")[0])
    assert f"held {told['failed']:,}" in shown


@each
def test_all_see_the_same_destinations_and_room(scene: Callable[[], Snapshot]) -> None:
    state = scene()
    told, shown, found = status_of(state, NOW), screen(state), figures(exposed(state))
    data = nagios(check(told, QUIET, NOW)[1])
    for name, view in state.destinations.items():
        assert told["destinations"][name]["state"] == view.state.value
        states = [
            s
            for s in DestinationState
            if one(found, "destination_state", destination=name, state=s)
        ]
        assert states == [view.state]
        news = DestinationChanged(name, view.state, view.error, view.mend)
        ((_, logged),) = lines(news, Before(), NOW)
        assert logged.startswith(f"{name} is {view.state}")
        assert view.error in logged
        assert view.error in shown
    online = sum(view.state is DestinationState.ONLINE for view in state.destinations.values())
    assert data["online"].startswith(f"{online};")
    for root, space in state.space.items():
        assert told["space"][root]["free_bytes"] == space.free
        assert data[f"'free {root}'"].startswith(f"{space.free}B")
        assert one(found, "disk_free_bytes", root=root) == space.free


def test_every_finding_has_a_weight() -> None:
    """What health finds, `check` weighs; room is judged by thresholds, calm by nothing."""
    from watcher.views.check import _WEIGHTS  # noqa: PLC0415

    assert set(Matter) - set(_WEIGHTS) == {Matter.FLOW, Matter.SPACE}


def test_a_real_outage_is_told_alike_by_all(tmp_path: Path) -> None:
    """A watcher, its archive taken away: status, check, figures and log name it and its state."""
    textfile = tmp_path / "watcher.prom"
    with Instrument(tmp_path / "i", metrics={"textfile": str(textfile)}) as instrument:
        watcher = instrument.start()
        instrument.wait_until(lambda: "archive is online" in watcher.output)
        instrument.share.rename(tmp_path / "away")
        instrument.finish("RB1/bluesky_scans/scan.txt")
        told = wait_until(lambda: _offline(instrument))
        error = told["destinations"]["archive"]["error"]
        done = instrument.run("check")
        assert done.returncode == 2
        assert error in done.stdout
        assert error in instrument.run("status").stdout
        assert f"archive is offline: {error}" in watcher.output
        asked = 'watcher_destination_state{destination="archive",state="offline"} 1.0'
        content = wait_until(lambda: (t := textfile.read_text("utf-8")) and asked in t and t)
        assert one(figures(content), "backlog_files") == told["backlog"] == 1


def _offline(instrument: Instrument) -> dict[str, dict[str, dict[str, str]]] | None:
    told = json.loads(instrument.run("status", "--json").stdout)
    down = told["destinations"]["archive"]["state"] == "offline" and told["backlog"] == 1
    return told if down else None

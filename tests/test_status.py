"""What other processes are told: the keys of the contract, whole or not at all."""

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests import scenes
from tests.harness import Instrument
from tests.scenes import NOW
from tests.terminals import on_terminal
from watcher.activity import FileHeldBack, HeldCounted, Notice, Snapshot, fold
from watcher.model import HeldBack, WaitsFor
from watcher.views import standing, status
from watcher.views.dashboard import render
from watcher.views.health import Level, health
from watcher.views.lines import Before, lines

CONTRACT = {
    "running": bool,
    "pid": int,
    "instrument": str,
    "backlog": int,
    "oldest_backlog_s": float,
    "archived": int,
    "failed": int,
    "conflicts": int,
    "stranded": int,
    "missed_by_events": int,
    "destinations": dict,
    "last_archived": dict,
}
SCENES = list(scenes.ALL.values())


def shown(scene: Snapshot, size: tuple[int, int] = (200, 60)) -> str:
    console = Console(
        width=size[0], height=size[1], file=StringIO(), record=True, legacy_windows=False
    )
    console.print(render(scene, size, NOW))
    return console.export_text()


def test_it_has_the_keys_of_the_contract() -> None:
    told = status.status_of(scenes.trouble(), NOW)
    assert {key: type(told[key]) for key in CONTRACT} == CONTRACT
    assert told["destinations"]["archive"] | {"since": ""} == {
        "state": "offline",
        "since": "",
        "error": "the network path was not found (53)",
        "mend": "check the network cable and that isis.cclrc.ac.uk answers",
    }
    assert (told["backlog"], told["oldest_backlog_s"], told["failed"]) == (2, 600.0, 2)
    assert (told["conflicts"], told["stranded"], told["missed_by_events"]) == (1, 1, 3)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_same_state_is_told_alike_by_dashboard_status_and_log(
    scene: Callable[[], Snapshot],
) -> None:
    state = scene()
    judged, told, screen = health(state, NOW), status.status_of(state, NOW), shown(state)
    assert told["health"]["level"] == judged.level.value
    for reason in judged.reasons:
        assert reason in screen
        assert reason in standing.text(told, NOW)
    for name, view in state.destinations.items():
        assert told["destinations"][name]["state"] == view.state
        assert f"{name} " in screen
    for held in state.held.values():
        assert held.reason in screen
        assert held.reason in {entry["reason"] for entry in told["held"]}
    assert f"stranded {told['stranded']} " in screen
    assert f"conflicts {told['conflicts']} " in screen
    assert f"{told['archived']:,} files" in screen


def test_an_outage_is_named_with_the_same_words_in_the_log() -> None:
    from watcher.activity import DestinationChanged  # noqa: PLC0415

    view = scenes.outage().destinations["archive"]
    news = DestinationChanged("archive", view.state, view.error, view.mend)
    ((_, message),) = lines(news, Before(), NOW)
    (reason,) = health(scenes.outage(), NOW).reasons
    assert reason == f"archive offline since 15:10: {view.error}"
    assert message == f"archive is offline: {view.error}; {view.mend}"


def test_health_is_one_word_with_its_reason() -> None:
    levels = {name: health(scene(), NOW).level for name, scene in scenes.ALL.items()}
    assert levels == {
        "starting": Level.WAITING,
        "calm": Level.OK,
        "outage": Level.WAITING,
        "draining": Level.OK,
        "trouble": Level.ATTENTION,
        "full": Level.ATTENTION,
    }
    assert health(scenes.calm(), NOW).text == "every finished file is archived"
    assert health(Snapshot(), NOW).text == "starting"


def test_what_needs_a_person_comes_before_what_heals_by_itself() -> None:
    reasons = health(scenes.trouble(), NOW).reasons
    assert [reason.split()[0] for reason in reasons] == ["1", "1", "1", "can't", "archive", "1"]
    assert reasons[-1] == "1 file tried again: somebody has it open for writing"


def test_each_reason_is_said_with_its_own_number_what_waits_for_a_decision_first() -> None:
    """R11: the reason of one file is not that of all."""

    def held(name: str, reason: str, ago: float, mismatch: bool = False) -> FileHeldBack:
        return FileHeldBack(HeldBack(name, reason, "do so", NOW - ago, "archive", mismatch))

    news = [(9, held(f"/data/{n}", "No space left on device", 9)) for n in range(3)]
    news += [(8, held("/data/denied", "Permission denied", 8))]
    news += [(n, held(f"/data/bad_{n}", f"it is sha256:0{n}", n, True)) for n in (6, 7)]
    state = scenes.told(news, scenes.calm())
    assert health(state, NOW).reasons == (
        "2 files held back: it is sha256:07",
        "3 files held back: No space left on device",
        "1 file held back: Permission denied",
    )
    told = status.status_of(state, NOW)
    assert [h["reason"][:5] for h in told["held"]] == ["it is", "it is", *["No sp"] * 3, "Permi"]
    assert (told["failed"], told["mismatches"]) == (6, 2)


def test_what_is_not_named_is_counted_and_no_reason_made_up_for_it() -> None:
    """R11, R12"""
    full = HeldBack("/data/full", "No space left on device", "free some", NOW)
    denied = HeldBack("/data/denied", "Permission denied", "allow it", NOW)
    counted = HeldCounted({WaitsFor.PERSON: 1300}, (full,))
    (reason,) = health(fold(scenes.calm(), counted, NOW), NOW).reasons
    assert reason == "1,300 files held back: No space left on device"
    counted = HeldCounted({WaitsFor.PERSON: 1300}, (full, denied))
    assert health(fold(scenes.calm(), counted, NOW), NOW).reasons[1:] == (
        "1 file held back: Permission denied",
        "1,298 more files held back",
    )


def test_a_file_is_written_and_read_back(tmp_path: Path) -> None:
    path = str(tmp_path / "status.json")
    assert status.StatusFile(path).write(scenes.trouble())
    told = status.read(path)
    assert told is not None
    assert told["running"] is True
    assert told["held"][0]["source"].endswith(scenes.WICKED)
    assert os.listdir(tmp_path) == ["status.json"]


def test_it_is_written_on_change_once_a_second_and_as_a_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(status.time, "monotonic", lambda: clock[0])
    file, state = status.StatusFile(str(tmp_path / "status.json")), scenes.calm()
    written = []
    for at, snapshot in (
        (100.0, state),
        (100.5, replace(state)),
        (101.1, replace(state)),
        (103.0, None),
        (131.2, None),
    ):
        clock[0] = at
        state = snapshot or state
        written.append(file.write(state))
    assert written == [True, False, True, False, True]


def test_the_last_word_says_that_it_ended(tmp_path: Path) -> None:
    path = str(tmp_path / "status.json")
    file = status.StatusFile(path)
    file.write(scenes.calm())
    assert file.write(scenes.calm(), last=True)
    told = status.read(path)
    assert told
    assert told["running"] is False
    text = standing.text(status.ended(told), NOW)
    assert text.startswith("health       ATTENTION: no watcher runs since 2")
    assert "not running" in text
    assert "archive      was online since" in text


def test_an_old_word_of_a_watcher_that_runs_is_not_how_it_is(tmp_path: Path) -> None:
    """R11: its disk may be full, or it hangs; what it said last is told as that."""
    file = status.StatusFile(str(tmp_path / "status.json"))
    file.write(scenes.calm())
    said = status.read(str(tmp_path / "status.json"))
    assert said
    at = datetime.fromisoformat(said["written_at"]).timestamp()
    assert status.doubted(said, at + 1.5 * status.HEARTBEAT) is said
    text = standing.text(status.doubted(said, at + 3 * status.HEARTBEAT), NOW)
    assert text.startswith("health       ATTENTION: the watcher has not said a word since 2")


def test_a_folder_that_can_not_be_written_is_told_once_not_raised(tmp_path: Path) -> None:
    """R11: whoever looks from another console would wonder."""
    told: list[str] = []
    file = status.StatusFile(str(tmp_path / "gone" / "status.json"), told.append)
    for _ in range(2):
        assert not file.write(scenes.calm(), last=True)
    (reason,) = told
    assert reason.startswith("the status can't be written to ")
    (tmp_path / "gone").mkdir()
    assert file.write(scenes.calm(), last=True)
    (tmp_path / "gone" / "status.json").unlink()
    (tmp_path / "gone").rmdir()
    assert not file.write(scenes.calm(), last=True)
    assert told == [reason, reason]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"running": 1}', b'{"running": true}', b"\xff\xfe", b"[" * 10**5],
)
def test_torn_and_foreign_content_is_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(content)
    assert status.read(str(path)) is None
    assert status.read(str(tmp_path / "absent")) is None
    if os.name != "nt":  # where it is the same as a file that may not be read
        assert status.read(str(tmp_path)) is None


def test_no_reader_ever_sees_half_of_it(tmp_path: Path) -> None:
    """Cut at any place, it is nothing rather than something wrong."""
    whole = json.dumps(status.status_of(scenes.calm(), NOW))
    path = tmp_path / "status.json"
    for end in range(0, len(whole), 97):
        path.write_text(whole[:end])
        assert status.read(str(path)) is None


def test_a_watcher_that_died_is_said_to_be_gone() -> None:
    told = status.ended(status.status_of(scenes.outage(), NOW))
    text = standing.text(told, NOW)
    said = "health       ATTENTION: no watcher runs: the last one ended without a word after 2026-"
    assert text.startswith(said)
    at = status.words.dated(NOW)
    assert f"backlog      128 files, 3.5 MB, the oldest for 4 min, as of {at}\n" in text
    assert f"0 missed by hints, as of {at}\n" in text
    assert "as of" not in standing.text(status.status_of(scenes.outage(), NOW), NOW)


def test_names_are_shown_not_obeyed() -> None:
    """R13"""
    text = standing.text(status.status_of(scenes.trouble(), NOW), NOW)
    assert r"[red]\x1b[31m\u202egpj\nrm -rf\xff 日本語" in text
    assert not {"\x1b", "\u202e", "\udcff"} & set(text)


def test_times_before_1970_are_told_too() -> None:
    """Windows has no local time for them."""
    for moment in (-1e10, -1.0, 0.0, 1e20):
        assert datetime.fromisoformat(status.words.iso(moment)).tzinfo


def test_what_waits_grows_older_while_nobody_writes_the_status() -> None:
    told = status.status_of(scenes.outage(), NOW)
    assert "the oldest for 4 min" in standing.text(told, NOW)
    assert "the oldest for 1 h 4 min" in standing.text(told, NOW + 3600)


def test_all_that_stays_behind_is_named_with_what_could_be_done() -> None:
    """R11"""
    text = standing.text(status.status_of(scenes.trouble(), NOW), NOW)
    for label in ("  held", "  conflict", "  stranded", "  unreadable"):
        line, mend = re.search(rf"^{label} +(.*)\n +-> (.*)$|\Z", text, re.MULTILINE).groups()
        assert line, label
        assert mend, label


def test_what_is_only_good_to_know_pushes_no_warning_out() -> None:
    """R11: and where only the last are told, that is said."""
    warnings = [(9.0, Notice("warning", f"warning {n}")) for n in range(30)]
    state = scenes.told([*warnings, *[(8.0, Notice("info", "fine"))] * 60], scenes.calm())
    told = status.status_of(state, NOW)
    assert [one["text"] for one in told["warnings"]] == [f"warning {n}" for n in range(30)]
    text = standing.text(told, NOW)
    assert re.findall(r"^  warning  .*?(\d+)$", text, re.MULTILINE) == [
        "25",
        "26",
        "27",
        "28",
        "29",
    ]
    assert "warnings   the last 5; `status --json` has more" in text
    few = scenes.told(warnings[:5], scenes.calm())
    assert "the last" not in standing.text(status.status_of(few, NOW), NOW)


def test_what_is_on_the_way_is_named() -> None:
    text = standing.text(status.status_of(scenes.draining(), NOW), NOW)
    assert r"huge_map.nxs to archive, 1.1 GB of 2.5 GB" in text


def test_where_nobody_has_run_yet_that_is_said(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        said = instrument.run("status").stdout
        assert said.startswith(f"health       ATTENTION: no watcher has run on {instrument.state}")
        told = json.loads(instrument.run("status", "--json").stdout)
        assert (told["running"], told["pid"]) == (False, None)
        assert told["health"]["text"] in said
        assert re.search(r"^archive +not known$", said, re.MULTILINE)
        assert re.search(r"^backlog +not known$", said, re.MULTILINE)
        assert "version" not in said


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal stands for the console")
def test_watching_shows_it_anew_and_puts_the_terminal_back(tmp_path: Path) -> None:
    instrument = Instrument(tmp_path)
    with instrument, on_terminal(instrument.command("status", "--watch")) as shown:
        shown.wait_for("no watcher has run")
        instrument.start()
        shown.wait_for("running for")
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 0
        after = shown.text.rpartition("\x1b[?1049l")  # the screen that was there before
        assert after[1]
        assert "\x1b[?25h" in shown.text  # and the cursor


def test_watching_needs_a_terminal(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        done = instrument.run("status", "--watch")
        assert done.returncode == 2
        assert "--watch is for a terminal" in done.stderr

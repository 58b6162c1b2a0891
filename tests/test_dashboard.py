"""The dashboard: right on any screen, and nothing waits for a terminal."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO, TextIOWrapper
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests import scenes
from tests.scenes import NOW
from watcher.activity import (
    Activity,
    Archived,
    DestinationChanged,
    Snapshot,
    SpaceMeasured,
    Started,
)
from watcher.model import DestinationState
from watcher.views import words
from watcher.views.dashboard import render, run_dashboard, summary
from watcher.views.dashboard.frame import screen
from watcher.views.dashboard.look import Look
from watcher.views.health import STRANDED_MEND, UNREADABLE_MEND

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = [(200, 60), (140, 40), (100, 30), (96, 22), (80, 24), (60, 15), (40, 8), (20, 1)]
PICTURES = [("calm", 100, 30), ("outage", 60, 15), ("trouble", 100, 30), ("draining", 200, 40),
            ("full", 80, 24), ("full", 40, 12)]  # fmt: skip


def shown(scene: Snapshot, width: int, height: int, encoding: str = "utf-8") -> str:
    console = Console(
        width=width, height=height, file=StringIO(), record=True, legacy_windows=False
    )
    console.print(render(scene, (width, height), NOW, encoding))
    return console.export_text()


def kept(name: str, text: str) -> str:
    """Return the kept snapshot; `SNAPSHOTS=new pytest` keeps the text as it is now."""
    path = SNAPSHOTS / name
    if os.environ.get("SNAPSHOTS") == "new":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
    return path.read_text("utf-8")


@pytest.mark.parametrize(("name", "width", "height"), PICTURES)
def test_it_looks_as_it_did(name: str, width: int, height: int) -> None:
    text = re.sub(" +$", "", shown(scenes.ALL[name](), width, height), flags=re.MULTILINE)
    assert text == kept(f"{name}_{width}x{height}.txt", text)


def test_its_colours_are_what_they_were() -> None:
    console = Console(width=60, height=15, file=StringIO(), record=True, legacy_windows=False)
    console.print(render(scenes.outage(), (60, 15), NOW))
    svg = console.export_svg(title="watcher", unique_id="outage")
    assert svg == kept("outage_60x15.svg", svg)


@pytest.mark.parametrize("scene", scenes.ALL)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_every_line_is_as_wide_as_the_screen_and_none_too_many(
    scene: str, size: tuple[int, int], encoding: str
) -> None:
    lines = screen(scenes.ALL[scene](), size, NOW, encoding)
    assert len(lines) == size[1]
    assert {cell_len(line.plain) for line in lines} == {size[0]}


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_a_console_gets_only_what_it_can_print(encoding: str) -> None:
    for scene in scenes.ALL.values():
        for size in SIZES:
            shown(scene(), *size, encoding).encode(encoding)


def test_names_are_shown_not_obeyed() -> None:
    """R13: markup, colours, newlines, right-to-left marks and bytes that are no UTF-8."""
    text = shown(scenes.trouble(), 200, 60)
    assert r"[red]\x1b[31m\u202egpj\nrm -rf\xff 日本語 שלום.txt" in text
    assert not {"\x1b", "\u202e", "\udcff"} & set(text)


def test_the_most_important_is_there_on_the_smallest_screen() -> None:
    text = shown(scenes.outage(), 60, 6)
    assert "WAITING" in text
    assert "archive  ● offline  since 15:10" in text
    assert "the network path was not found (53)" in text
    assert "128 files" in text


@pytest.mark.parametrize("size", [(120, 40), (96, 22), (80, 24), (70, 22), (60, 15), (40, 12)])
def test_what_is_wrong_and_what_waits_is_there_on_every_screen(size: tuple[int, int]) -> None:
    """R11: what is down, what waits and for what, which file is held back, and what to do."""
    text = shown(scenes.full(), *size)
    for said in ("full", "No space left", "2 files", "oldest 2 min", "waits for archive", "held 1",
                 "98.txt  archive: it ", "→ look at both;"):  # fmt: skip
        assert said in text, text
    if size[0] >= 70:
        assert "76 GB of 271 GB free" in text


@pytest.mark.parametrize("scene", ["full", "trouble"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_that_is_nice_to_see_stands_where_something_urgent_is_cut(
    scene: str, size: tuple[int, int]
) -> None:
    text = shown(scenes.ALL[scene](), *size)
    if "more line" in text:
        assert not re.search(r"On the way|Last files|a minute|sending|last  |rhythm", text), text


@pytest.mark.parametrize("size", [(100, 30), (40, 12)])
def test_little_room_is_told_on_every_screen(size: tuple[int, int]) -> None:
    low = SpaceMeasured(scenes.ROOT, 4 * 10**9, 271 * 10**9, None)
    assert "4.0 GB of 271 GB free" in shown(scenes.told([(1.0, low)], scenes.full()), *size)


def test_what_is_cut_says_of_what() -> None:
    assert "… and 5 more lines" in shown(scenes.trouble(), 80, 24)


def test_an_error_and_its_mend_are_whole_where_there_is_room() -> None:
    """R11: what happened, and what to do, on a screen of ordinary size."""
    down = DestinationChanged(
        "archive",
        DestinationState.OFFLINE,
        r"its folder is missing: \\isis.cclrc.ac.uk\inst$\NDXLARMOR\Instrument\data",
        "mount the share or make the folder; it is never created by the watcher",
    )
    text = shown(scenes.told([(60.0, down)], scenes.calm()), 100, 30)
    panel = "".join(line[2:58] for line in text.splitlines()[2:8]).replace(" ", "")
    assert down.error.replace(" ", "") in panel
    assert down.mend.replace(" ", "") in panel
    assert "archive offline since 15:14: its folder is missing: " in text


@pytest.mark.parametrize("size", [(100, 30), (200, 60)])
def test_where_to_read_on_is_always_told(size: tuple[int, int]) -> None:
    text = shown(scenes.trouble(), *size)
    assert r"log C:\ProgramData\watcher\watcher.log" in text
    assert r"configuration C:\ProgramData\watcher\watcher.yaml" in text
    assert "NDXLARMOR" in shown(scenes.trouble(), 60, 15)


def test_all_that_stays_behind_says_what_could_be_done() -> None:
    text = shown(scenes.trouble(), 200, 60)
    for mend in ("resolve FILE --accept", "watcher resolve RB123456", STRANDED_MEND,
                 UNREADABLE_MEND):  # fmt: skip
        assert mend in text


def test_colour_means_something_and_words_do_without_it() -> None:
    styles = {name: str(screen(scene(), (100, 30), NOW)[0].spans[0].style)
              for name, scene in scenes.ALL.items()}  # fmt: skip
    assert {name: style.split()[-1] for name, style in styles.items()} == {
        "starting": "yellow",
        "calm": "green",
        "outage": "yellow",
        "draining": "green",
        "trouble": "red",
        "full": "red",
    }
    plain = Console(width=100, file=StringIO(), force_terminal=True, color_system="truecolor",
                    no_color=True, legacy_windows=False)  # fmt: skip
    plain.print(render(scenes.trouble(), (100, 30), NOW))
    out = plain.file.getvalue()  # type: ignore[attr-defined]
    assert "NEEDS SOMEONE" in out
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", out)


def test_a_path_is_shown_from_its_own_data_root_on() -> None:
    look = Look.of(scenes.calm(), NOW, "utf-8")
    assert look.name(r"C:\Data\RB1\bluesky_scans\a.txt") == r"RB1\bluesky_scans\a.txt"
    assert look.brief(r"C:\Data\RB1\bluesky_scans\a.txt") == r"RB1\a.txt"
    assert look.name(r"C:\Data2\a.txt") == r"C:\Data2\a.txt"


def test_time_left_follows_the_pace_and_the_large_file_in_flight() -> None:
    assert "about 31 s left" in shown(scenes.draining(), 100, 30)
    assert "waits for archive" in shown(scenes.outage(), 100, 30)


def test_what_is_held_back_has_no_time_left() -> None:
    assert "oldest 10 min · waits for archive" in shown(scenes.trouble(), 100, 30)
    back = scenes.told(
        [(1.0, DestinationChanged("archive", DestinationState.ONLINE))], scenes.trouble()
    )
    assert "oldest 10 min · held back, see below" in shown(back, 100, 30)


@pytest.mark.parametrize("size", [(60, 30), (100, 40)])
def test_the_rhythm_is_whole_on_its_one_line(size: tuple[int, int]) -> None:
    many = Archived((scenes.receipts("a.txt", NOW),) * 12_345)
    text = shown(scenes.told([(1.0, many)], scenes.trouble()), *size)
    peak = " · peak 12,34\\d" if size[0] == 100 else ""
    assert re.search(rf"11,\d+ a minute · next rescan in 42 s{peak} *$", text, re.MULTILINE)


def test_a_summary_says_what_was_done_and_what_stays_behind() -> None:
    console = Console(width=100, file=StringIO(), record=True, legacy_windows=False)
    console.print(summary(scenes.outage(), NOW), soft_wrap=True)
    text = console.export_text()
    assert text.startswith("160 files archived (2.0 MB) in 3 h 12 min")
    assert r"archive → \\isis.cclrc.ac.uk\inst$" in text
    assert "128 files not archived yet; the next start goes on with them" in text
    assert "archive offline since 15:10: the network path was not found (53)" in text
    console.print(summary(scenes.calm(), NOW))
    assert "nothing stays behind" in console.export_text()


def test_a_summary_names_the_folder_that_all_went_to() -> None:
    here = scenes.receipts("a.txt", NOW)
    there = tuple(replace(r, folder=r.folder.replace("RB123456", "RB127")) for r in here)
    for files, archive in (((here,), "RB123456"), ((here, there), "")):
        console = Console(width=200, file=StringIO(), record=True, legacy_windows=False)
        state = scenes.told([(1.0, Archived(files))], scenes.starting())
        console.print(summary(state, NOW), soft_wrap=True)
        assert rf"archive → {scenes.ARCHIVE}\{archive}" in console.export_text().splitlines()[1]


class Screen(StringIO):
    """A terminal that tells when something is written on it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Condition()

    def write(self, text: str) -> int:
        with self.written:
            self.written.notify_all()
            return super().write(text)

    def wait_for(self, wanted: Callable[[str], bool]) -> None:
        with self.written:
            assert self.written.wait_for(lambda: wanted(self.getvalue()), 10), self.getvalue()


@pytest.fixture
def running() -> Iterator[tuple[Activity, Screen, threading.Event, threading.Thread, list[bool]]]:
    activity, terminal, stop, result = Activity(), Screen(), threading.Event(), list[bool]()
    activity.tell(Started("NDXLARMOR", "0.1.0", 1, ("/data",), ("archive",)))
    console = Console(
        file=terminal, force_terminal=True, width=100, height=30, legacy_windows=False,
        _environ={"TERM": "xterm-256color"},
    )  # fmt: skip
    thread = threading.Thread(
        target=lambda: result.append(run_dashboard(activity, console, stop)), daemon=True
    )
    thread.start()
    yield activity, terminal, stop, thread, result
    stop.set()
    thread.join(10)


def test_it_shows_what_is_told_and_leaves_the_terminal_as_it_was(
    running: tuple[Activity, Screen, threading.Event, threading.Thread, list[bool]],
) -> None:
    activity, terminal, stop, thread, result = running
    terminal.wait_for(lambda text: "not looked at yet" in text)
    activity.tell(DestinationChanged("archive", DestinationState.ONLINE))
    terminal.wait_for(lambda text: "online" in text)
    stop.set()
    thread.join(10)
    assert result == [True]
    before, after = terminal.getvalue().split("\x1b[?1049l")
    assert before.startswith("\x1b[?1049h")
    assert "\x1b[?25l" in before
    assert "\x1b[?25h" in terminal.getvalue()
    assert "0 files archived" in after


def test_only_what_changed_is_written(
    running: tuple[Activity, Screen, threading.Event, threading.Thread, list[bool]],
) -> None:
    """Nothing flickers: after the first drawing, a second of quiet writes its clocks alone."""
    _, terminal, _, _, _ = running
    terminal.wait_for(lambda text: "Ctrl-C stops" in text)
    first = len(terminal.getvalue())
    terminal.wait_for(lambda text: text.count("NDXLARMOR") > 1)
    assert len(terminal.getvalue()) - first < first / 3


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="a pipe that nobody reads stands for the terminal")
def test_a_blocked_terminal_holds_up_nobody() -> None:
    """R8: neither those who tell, nor stopping."""
    reader, writer = os.pipe()
    activity, stop = Activity(), threading.Event()
    stream = TextIOWrapper(os.fdopen(writer, "wb"), "utf-8")
    console = Console(file=stream, force_terminal=True, width=200, height=60, color_system="256")
    filler = threading.Thread(target=_fill, args=(writer,), daemon=True)
    filler.start()
    filler.join(10)
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    assert run_dashboard(activity, console, stop, patience=0.2) is False
    activity.tell(Started("NDXLARMOR", "0.1.0", 1, (), ()))
    assert time.monotonic() - began < 5
    with os.fdopen(reader, "rb") as pipe:  # read it, so that the thread can end
        drain = threading.Thread(target=lambda: [None for _ in iter(lambda: pipe.read(4096), b"")])
        drain.start()
        for thread in threading.enumerate():
            if thread.name == "dashboard":
                thread.join(10)
                assert not thread.is_alive()
        stream.close()
        drain.join(10)


def _fill(writer: int) -> None:
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b" " * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("short", 10, "short"),
        ("RB123456/bluesky_scans/scan.txt", 16, "RB123…s/scan.txt"),
        ("日本語日本語日本語.txt", 11, "日本…語.txt"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_long_names_are_cut_in_the_middle(text: str, width: int, cut: str) -> None:
    assert words.shorten(text, width) == cut
    assert cell_len(cut) <= width


def test_sizes_and_times_are_in_plain_words() -> None:
    assert [words.size(n) for n in (0, 999, 12_345, 999_600, 3.4e9)] == [
        "0 B", "999 B", "12 kB", "1.0 MB", "3.4 GB",
    ]  # fmt: skip
    assert [words.duration(s) for s in (0.064, 3.21, 45, 250, 11_530, 190_000)] == [
        "64 ms", "3.2 s", "45 s", "4 min", "3 h 12 min", "2 d 4 h",
    ]  # fmt: skip
    assert words.clock(NOW - 86_400, NOW) == "30 Jun 15:15"

"""The log: one line for each thing that happened, and nobody ever waits for it."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import scenes
from tests.harness import wait_until
from tests.scenes import NOW, WICKED
from watcher.activity import (
    Activity,
    Archived,
    BacklogChanged,
    BatchBegan,
    ConflictKept,
    DestinationChanged,
    FileHeldBack,
    HintsMissed,
    News,
    Notice,
    RescanBegan,
    RescanEnded,
    Stopping,
)
from watcher.model import DestinationState, HeldBack, Stranded, WalkResult
from watcher.views import log
from watcher.views.health import STRANDED_MEND, UNREADABLE_MEND
from watcher.views.lines import Before, lines, remember

OFFLINE = DestinationChanged(
    "archive", DestinationState.OFFLINE, "the network path was not found", "check the cable"
)
ONLINE = DestinationChanged("archive", DestinationState.ONLINE)
Setup = Callable[..., Callable[[], bool]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watcher.log"


@pytest.fixture
def setup(path: Path) -> Iterator[Setup]:
    stops: list[Callable[[], bool]] = []

    def start(form: str = "text", **more: object) -> Callable[[], bool]:
        stops.append(log.setup("info", form, str(path), 3, **more))  # type: ignore[arg-type]
        return stops[-1]

    yield start
    for stop in stops:
        stop()


def story(news: list[News]) -> list[str]:
    before, told = Before(), []
    for second, one in enumerate(news):
        told += [f"{logging.getLevelName(le)} {text}" for le, text in lines(one, before, second)]
        before = remember(one, before, second)
    return told


def test_an_outage_is_told_when_it_begins_and_ends_with_how_long_it_lasted() -> None:
    assert story([ONLINE, OFFLINE, ONLINE]) == [
        "INFO archive is online",
        "WARNING archive is offline: the network path was not found; check the cable",
        "INFO archive is online again after 1.0 s (offline)",
    ]


def test_an_error_says_what_which_file_why_and_what_to_do() -> None:
    held = HeldBack("/data/a.txt", "its content is not what its checksum says", "look at it", 0.0)
    clash = ConflictKept("/data/b.txt", "archive", "/archive/b.1a2b3c4d.txt")
    assert story([FileHeldBack(held), clash, HintsMissed(2, "/data/c.txt")]) == [
        "ERROR held back: /data/a.txt: its content is not what its checksum says; look at it",
        (
            "WARNING conflict: archive holds another file in the place of /data/b.txt; both are "
            "kept, this one as /archive/b.1a2b3c4d.txt; compare the two, then: watcher resolve "
            "/data/b.txt"
        ),
        "WARNING hints missed 2 files that the rescan found, such as /data/c.txt",
    ]


def test_each_archived_file_has_a_line_of_its_own_to_search_for() -> None:
    files = Archived((scenes.receipts("a.txt", NOW), scenes.receipts("b.txt", NOW)))
    told = story([files])
    assert len(told) == 2
    assert re.search(r"INFO archived .*b\.txt \(12345 bytes, sha256:1a.*\) in 64 ms: arch", told[1])


def test_a_rescan_tells_what_is_new_and_does_not_repeat_itself() -> None:
    """R11: a line when the reason changes, not each time it is tried."""
    stranded = Stranded("/data/died.txt", 1, 0.0)
    walk = WalkResult(stranded=(stranded,), stranded_count=1, errors=("/data/x: denied",))
    news: list[News] = [RescanBegan(), RescanEnded(walk, 1.0)] * 3 + [
        RescanEnded(WalkResult(), 1.0)
    ]
    loud = [line for line in story(news) if not line.startswith("DEBUG")]
    assert loud == [
        f"ERROR can't read /data/x: denied; {UNREADABLE_MEND}",
        f"WARNING stranded: /data/died.txt, never finished; {STRANDED_MEND}",
        "INFO can be read again: /data/x: denied",
    ]


def test_progress_is_no_news_for_a_log() -> None:
    batch = BatchBegan("archive-1", "archive", "/data/a", 1, 10)
    assert not story([batch, BacklogChanged(1, 1, None)])
    assert story([Stopping("Ctrl-C"), Notice("error", "no watches", "raise the limit")]) == [
        "INFO stopping: Ctrl-C",
        "ERROR no watches; raise the limit",
    ]


def test_text_is_the_facilitys_format(setup: Setup, path: Path) -> None:
    stop = setup()
    logging.getLogger("watcher.worker").info("archived %s", "a.txt")
    assert stop()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \(\d+\) watcher\.worker test_log\.py \[line:\d+\] "
        r"INFO archived a\.txt\n",
        path.read_text("utf-8"),
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_stays_a_line_whatever_the_name_holds(setup: Setup, path: Path, form: str) -> None:
    """R13: newlines, colours, right-to-left marks and bytes that are no UTF-8."""
    stop = setup(form)
    activity = Activity()
    activity.listen(log.Narrator())
    activity.tell(Archived((scenes.receipts(WICKED, NOW),)))
    assert stop()
    (line,) = path.read_text("utf-8").splitlines()
    assert not {"\x1b", "\u202e", "\udcff"} & set(line)
    if form == "json":
        assert WICKED in json.loads(line)["message"]
    else:
        assert r"[red]\x1b[31m\u202egpj\nrm -rf\xff 日本語 שלום.txt" in line


def test_a_traceback_is_kept_and_can_not_pass_for_a_line(setup: Setup, path: Path) -> None:
    stop = setup()
    try:
        raise ValueError("bad\n2026-07-01 00:00:00,000 (1) watcher: forged")
    except ValueError:
        logging.getLogger("watcher").exception("unexpected")
    stop()
    first, *rest = path.read_text("utf-8").splitlines()
    assert first.endswith("ERROR unexpected")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_warnings_of_libraries_land_in_the_file_and_their_chatter_does_not(
    setup: Setup, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stop = setup()
    logging.getLogger("some.library").warning("overflow")
    logging.getLogger("some.library").info("chatter")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd", RuntimeWarning, stacklevel=1)
    stop()
    text = path.read_text("utf-8")
    assert "overflow" in text
    assert "odd" in text
    assert "chatter" not in text
    assert capfd.readouterr() == ("", "")


def test_a_console_of_another_encoding_gets_escapes(setup: Setup) -> None:
    raw = io.BytesIO()
    stop = setup(console=io.TextIOWrapper(raw, "cp1252", newline="", write_through=True))
    logging.getLogger("watcher").info("日本 é")
    stop()
    assert raw.getvalue().endswith(b"INFO \\u65e5\\u672c \xe9\n")


def test_there_may_be_no_console_at_all(setup: Setup, path: Path) -> None:
    """Under pythonw `sys.stdout` is None."""
    stop = setup(console=None)
    logging.getLogger("watcher").info("hello")
    assert stop()
    assert "hello" in path.read_text("utf-8")


def test_a_line_is_written_out_once_for_all_targets(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes as long as all the rest that is told of a small file."""
    written, real = [], log.OneLine.format

    def counted(self: log.OneLine, record: logging.LogRecord) -> str:
        written.append(record.getMessage())
        return real(self, record)

    monkeypatch.setattr(log.OneLine, "format", counted)
    console = io.StringIO()
    record = logging.makeLogRecord({"msg": "hello", "line": "of a library"})
    for target in (log.LogFile(str(path), 1), log.ConsoleLines(console)):
        target.setFormatter(log.OneLine())
        target.write([record])
        target.close()
    assert "hello" in console.getvalue()
    assert console.getvalue() == path.read_text("utf-8")
    assert written == ["hello"]


def test_a_line_that_can_not_be_put_together_is_no_harm_to_who_logs(
    setup: Setup, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = setup()
    (aside,) = (one for one in logging.getLogger().handlers if isinstance(one, log.Aside))
    aside.handle(logging.makeLogRecord({"msg": "%d files", "args": ("many",)}))
    logging.getLogger("watcher").info("the next one")
    assert stop()
    assert "the next one" in path.read_text("utf-8")
    assert "many" in capsys.readouterr().err


def test_a_log_with_nothing_to_write_sleeps(setup: Setup, path: Path) -> None:
    """Else it would look for lines without a pause, for years."""
    stop = setup()
    (aside,) = (one for one in logging.getLogger().handlers if isinstance(one, log.Aside))
    logging.getLogger("watcher").info("hello")
    wait_until(lambda: not aside._called.is_set())
    assert stop()


class Blocked(io.StringIO):
    """A console that somebody clicked into: writing to it waits for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.released.wait(30)
        return super().write(text)


def test_a_blocked_console_holds_up_neither_those_who_log_nor_the_file(
    setup: Setup, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: lines for the console are dropped and counted; the file has them all."""
    monkeypatch.setattr(log, "WAITING", 50)
    monkeypatch.setattr(log, "PATIENCE", 0.2)
    console = Blocked()
    stop = setup(console=console)
    logger = logging.getLogger("watcher")
    logger.info("first")
    assert console.entered.wait(5)
    for number in range(40):
        logger.info("line %d", number)
    monkeypatch.setattr(log, "PATIENCE", 0.2)
    for number in range(40, 100):
        logger.info("line %d", number)
    assert not stop()
    assert "line 39" in path.read_text("utf-8")
    console.released.set()
    threads = [thread for thread in threading.enumerate() if thread.name == "log"]
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert re.search(r"[1-9]\d* lines were dropped here", console.getvalue())


@pytest.mark.posix
@pytest.mark.skipif(
    os.name == "nt" or not os.path.exists("/dev/full"), reason="needs a device that is always full"
)
def test_a_full_disk_is_told_once_without_a_traceback_and_ends_by_itself(
    setup: Setup, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path.symlink_to("/dev/full")
    troubles: list[str] = []
    seen = threading.Event()

    def on_trouble(text: str) -> None:
        troubles.append(text)
        seen.set()

    stop = setup(on_trouble=on_trouble)
    logger = logging.getLogger("watcher")
    logger.info("lost")
    logger.info("lost too")
    assert seen.wait(5)
    seen.clear()
    path.unlink()
    logger.info("written")
    assert seen.wait(5)
    stop()
    assert "written" in path.read_text("utf-8")
    assert len(troubles) == 2
    assert "space" in troubles[0]
    assert not troubles[1]
    assert capfd.readouterr().err == ""


@pytest.mark.posix
@pytest.mark.skipif(
    os.name == "nt" or not os.path.exists("/dev/full"), reason="needs a device that is always full"
)
def test_a_disk_that_stays_full_does_not_keep_the_log_from_ending(setup: Setup, path: Path) -> None:
    path.symlink_to("/dev/full")
    stop = setup()
    logging.getLogger("watcher").info("lost")
    assert not stop()


def test_a_torn_last_line_is_ended_before_the_next_begins(setup: Setup, path: Path) -> None:
    path.write_bytes(b"half a li")
    stop = setup()
    logging.getLogger("watcher").info("whole")
    stop()
    torn, whole = path.read_text("utf-8").splitlines()
    assert (torn, whole[-5:]) == ("half a li", "whole")


@pytest.mark.parametrize("keep", [0, 2])
def test_a_new_file_begins_at_midnight_and_only_so_many_old_ones_are_kept(
    path: Path, keep: int
) -> None:
    """`log.keep` means what it says, none too: to `logging`, 0 means all."""
    target = log.LogFile(str(path), keep)
    record = logging.makeLogRecord({"msg": "a day"})
    for day in range(5):
        target.emit(record)
        stamp = 1_700_000_000 + day * 86400
        target.rolloverAt = stamp
    target.close()
    assert path.exists()
    assert len(list(path.parent.iterdir())) == 1 + keep


def test_a_file_that_can_not_be_renamed_at_midnight_is_gone_on_with(path: Path) -> None:
    target = log.LogFile(str(path), 2)
    record = logging.makeLogRecord({"msg": "a day"})
    target.emit(record)
    target.rolloverAt = 1_700_000_000
    blocked = Path(target.rotation_filename(f"{path}.2023-11-13"))
    for name in (blocked, Path(f"{path}.2023-11-14")):
        (name / "in the way").mkdir(parents=True)
    target.emit(record)
    target.emit(record)
    target.close()
    assert path.read_text("utf-8").count("a day") == 3
    assert not target.trouble


def test_ten_thousand_files_at_once_have_ten_thousand_lines(setup: Setup, path: Path) -> None:
    stop = setup()
    activity = Activity()
    activity.listen(log.Narrator())
    for _ in range(100):
        activity.tell(Archived((scenes.receipts("a.txt", NOW),) * 100))
    assert stop()
    assert path.read_text("utf-8").count(" INFO archived ") == 10_000


def test_stopping_puts_logging_back_as_it_was(setup: Setup) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level, logging.getLogger("watcher").level
    setup()()
    assert (list(root.handlers), root.level, logging.getLogger("watcher").level) == before


def test_a_process_ends_though_its_console_is_blocked(tmp_path: Path) -> None:
    """R8: nobody reads the pipe; the log's file is written, and the end doesn't wait."""
    script = (
        "import logging, os, sys\n"
        "from watcher.views import log\n"
        f"stop = log.setup('info', 'text', {str(tmp_path / 'w.log')!r}, 1, console=sys.stdout)\n"
        "for n in range(5000): logging.getLogger('watcher').info('line %d %s', n, 'x' * 100)\n"
        "stuck = not stop()\n"
        "logging.shutdown()\n"
        "os._exit(0 if stuck else 1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.wait(20) == 0
    assert "line 4999 " in (tmp_path / "w.log").read_text("utf-8")

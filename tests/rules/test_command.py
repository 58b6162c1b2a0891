"""What the command promises: exit codes, plain errors, a dry run without traces, a clean end."""

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.harness import PATIENCE, Instrument, wait_until
from tests.platforms import on_posix, wine_excuses
from tests.rules.evidence import (
    SCANS,
    away,
    everything,
    files_of,
    launch,
    log_lines,
    said,
    stopped,
)


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path) as instrument:
        yield instrument


@pytest.mark.parametrize("second", [["run", "--headless"], ["rescan"]])
def test_R2_a_second_watcher_on_the_same_state_folder_ends_at_once(instrument, second):
    """R2: one watcher a state folder; the second says so and ends with 3, the first goes on."""
    instrument.start()
    began = time.monotonic()
    done = instrument.run(*second)
    assert done.returncode == 3
    assert time.monotonic() - began < 10
    said = done.stdout + done.stderr
    assert "another watcher already runs on this state folder" in said
    assert str(instrument.state) in said
    assert "Traceback" not in said
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)


def test_a_rescan_tells_by_its_exit_code_whether_something_stayed(instrument):
    """R11: 0 when all is archived, unfinished files or not; 1 when something had to stay."""
    instrument.write(f"RB1/{SCANS}/unfinished.txt")
    assert instrument.run("rescan").returncode == 0
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    with away(instrument.share):
        done = instrument.run("rescan")
        assert done.returncode == 1
        assert "left behind 1" in done.stdout
    done = instrument.run("rescan")
    assert done.returncode == 0
    assert "archived 1, left behind 0" in done.stdout
    assert list(instrument.sources()) == [f"RB1/{SCANS}/unfinished.txt"]


WHERE_THE_ARCHIVE_HANGS = """
import threading
from watcher.reach import Reach
look = Reach.look
Reach.look = lambda reach: look(reach) if reach.makes_fixed else threading.Event().wait()
from watcher.cli import main
main()
"""
"""Runs the command, and every look at the archive hangs, as that of a dead share does."""


def where_the_archive_hangs(instrument, *arguments):
    """Return a command line, and an environment in which output waits in a buffer."""
    instrument.configure(retry={"stalled_after": "1s"})
    _, _, _, *rest = instrument.command(*arguments)
    environment = instrument.environment()
    del environment["PYTHONUNBUFFERED"]
    return [sys.executable, "-c", WHERE_THE_ARCHIVE_HANGS, *rest], environment


@wine_excuses("a command with pipes has no console to draw on")
def test_no_test_file_is_sent_where_a_share_hangs(instrument):
    """R8, R1: what `doctor` has just found no answer at is not asked for ever."""
    hanging, environment = where_the_archive_hangs(instrument, "doctor", "--live")
    done = subprocess.run(
        hanging, env=environment, input="", capture_output=True, encoding="utf-8", check=False
    )
    assert "MEND  live: archive: no answer for 1 s" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1
    assert files_of(instrument.root) == {}


def test_a_destination_that_hangs_is_named_and_the_others_are_verified(instrument):
    """R8: it ends with 1; what could not be looked at is not well."""
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    assert instrument.run("rescan").returncode == 0
    hanging, environment = where_the_archive_hangs(instrument, "verify")
    done = subprocess.run(
        hanging, env=environment, input="", capture_output=True, encoding="utf-8", check=False
    )
    assert "archive can't be looked at: no answer for 1 s" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1].startswith("1 ok; ")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("command", "last"),
    [("rescan", "archived 0, left behind 1"), ("doctor", " to mend")],
)
def test_the_last_line_is_said_though_a_share_hangs(instrument, command, last):
    """R8, R11: the command ends without the thread that hangs, but not without its last word."""
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    hanging, environment = where_the_archive_hangs(instrument, command)
    done = subprocess.run(
        hanging, env=environment, input="", capture_output=True, encoding="utf-8", check=False
    )
    assert done.stdout.splitlines()[-1].endswith(last), done.stdout + done.stderr
    assert done.returncode == 1


def test_a_rescan_that_nobody_listens_to_ends_all_the_same(instrument):
    """R8: as when somebody clicks into its window and goes away; a scheduled task is to end."""
    for number in range(300):
        instrument.finish(f"RB1/{SCANS}/{number:0150}.txt")
    environment = instrument.environment()
    del environment["PYTHONUNBUFFERED"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(instrument.command("rescan"), env=environment, **pipes) as process:
        try:
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert not instrument.sources()


BAD = {
    "unknown key": ({"destinaitons": []}, "destinaitons"),
    "wrong type": ({"workers": "many"}, "workers"),
    "no duration": ({"rescan_interval": "soon"}, "rescan_interval"),
    "nowhere": ({"destinations": []}, "destinations"),
    "nested": ({"retry": {"initial": "1s", "maximal": "2s"}}, "maximal"),
    "unknown word": ({"destinations": [{"name": "a", "path": "/x/{rb}/{experiment}"}]}, "rb"),
    "unknown algorithm": ({"checksums": {"algorithm": "crc0"}}, "crc0"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_configuration_is_refused_with_file_and_key(instrument, case):
    """R11: exit code 2, the file and the key, and never a traceback."""
    settings, key = BAD[case]
    instrument.configure(**settings)
    done = instrument.run("rescan")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert str(instrument.config_file) in said
    assert key in said
    assert "Traceback" not in said
    assert not instrument.state.exists()


@pytest.mark.parametrize("text", [None, "{", "- a list", "", "\0", "a: &x [*x]"])
def test_a_file_that_is_no_configuration_is_refused(instrument, text):
    """R11: a missing, broken or empty file is named, with exit code 2."""
    instrument.config_file.unlink()
    if text is not None:
        instrument.config_file.write_text(text, encoding="utf-8")
    done = instrument.run("run", "--headless")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert str(instrument.config_file) in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [["frobnicate"], ["run", "--frobnicate"], ["why"]])
def test_wrong_usage_ends_with_2(instrument, arguments):
    """R11: what isn't understood is said, with exit code 2."""
    done = instrument.run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr


def test_R1_a_dry_run_touches_nothing_at_all(instrument):
    """R1: no file, folder, lock or time changes, without a state folder and with a ledger."""
    instrument.finish(f"RB1/{SCANS}/archived.txt")
    instrument.write(f"RB1/{SCANS}/unfinished.txt")
    for _ in range(2):
        instrument.finish(f"RB2/{SCANS}/scan.txt")
        before = everything(instrument.folder)
        done = instrument.run("rescan", "--dry-run")
        assert done.returncode == 0
        assert everything(instrument.folder) == before
        assert str(instrument.archived("RB2", "scan.txt")) in done.stdout
        assert str(instrument.cached("RB2", "scan.txt")) in done.stdout
        assert "unfinished.txt" in done.stdout
        assert instrument.run("rescan").returncode == 0
    assert not (instrument.root / "RB1" / SCANS / "archived.txt").exists()


def test_R1_asking_touches_nothing_at_all(instrument):
    """R1: status and why leave no trace, whether there was a watcher or never one."""
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    for _ in range(2):
        before = everything(instrument.folder)
        name = str(instrument.root / "RB1" / SCANS / "scan.txt")
        for arguments in (["status"], ["status", "--json"], ["why", name]):
            assert instrument.run(*arguments).returncode == 0
        assert everything(instrument.folder) == before
        assert instrument.run("rescan").returncode == 0


def test_a_dry_run_works_beside_a_running_watcher(instrument):
    """R1: whoever only looks needs no lock, and doesn't disturb the one who works."""
    instrument.start()
    assert instrument.run("rescan", "--dry-run").returncode == 0
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    instrument.wait_until(lambda: not instrument.sources())
    stopped(instrument)


@pytest.fixture
def hangs_up() -> Iterator[None]:
    """Have what is started here hear of it, though the tests may have been started by `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@on_posix
@pytest.mark.usefixtures("hangs_up")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_it_cleanly(instrument, name):
    """R5: exit code 0, the signal in the log, the lock free, nothing left half done."""
    instrument.finish(f"RB1/{SCANS}/scan.txt")
    watcher = instrument.start()
    watcher.process.send_signal(getattr(signal, name))
    wait_until(lambda: not watcher.is_running, 10)
    assert watcher.process.returncode == 0, watcher.output
    assert "Traceback" not in watcher.output
    assert any(f"stopping: {name}" in line for line in log_lines(instrument))
    assert instrument.status()["running"] is False
    assert instrument.run("rescan").returncode == 0


@on_posix
def test_what_it_was_started_to_ignore_it_ignores(instrument):
    """R8: under `nohup` it outlives the terminal; what isn't ignored still ends it."""
    watcher = launch(instrument, "nohup")
    instrument.wait_until((instrument.state / "status.json").exists)
    watcher.process.send_signal(signal.SIGHUP)
    watcher.process.send_signal(signal.SIGTERM)
    assert watcher.process.wait(10) == 0, watcher.output
    assert said(instrument, "stopping: SIGTERM")()


INTERRUPTED = """
import signal
from watcher import config
config.load = lambda _file: signal.raise_signal(signal.SIGINT)
from watcher.cli import main
main()
"""
"""Runs the command, and Ctrl-C comes when it has just begun."""


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [("check", 3, "UNKNOWN - interrupted"), ("history", 1, ""), ("status", 1, "")],
)
def test_ctrl_c_ends_what_only_asks_with_a_code_of_the_contract(instrument, command, code, told):
    """`check` doesn't know; any other was not done, and no traceback tells so."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, command],
        env=instrument.environment(),
        input="",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert told in done.stdout
    assert "Traceback" not in done.stderr


@on_posix
def test_a_signal_while_it_starts_ends_it_too(instrument):
    """R8: asked to end before it is ready, it ends within seconds and says no traceback."""
    with away(instrument.share):
        watcher = launch(instrument)
        wait_until(lambda: " starts on " in watcher.output)
        watcher.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not watcher.is_running, 10)
    assert watcher.process.returncode == 0, watcher.output
    assert "Traceback" not in watcher.output


def test_a_killed_watcher_leaves_no_lock(instrument):
    """R5: after a kill the next one starts at once, and status says that none runs meanwhile."""
    instrument.start()
    instrument.kill()
    status = instrument.status()
    assert status["running"] is False
    instrument.start()
    stopped(instrument)


@on_posix
def test_a_signal_ends_it_cleanly_from_the_moment_that_it_has_the_lock(instrument):
    """R8: most of what it is made of is loaded after that, and takes a while."""
    watcher = instrument.launch()
    wait_until((instrument.state / "watcher.lock").exists, every=0.001)
    watcher.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not watcher.is_running)
    assert watcher.process.returncode == 0, watcher.output


WHILE_IT_HOLDS_THE_LOCK = """
import signal, threading
from watcher.cli.run import asked_to_end
stop = threading.Event()
with asked_to_end(stop) as reasons:
    with stop._cond:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    stop.wait()
    while len(reasons) < 2:
        threading.Event().wait(0.01)
print(*reasons)
"""
"""As when one signal interrupts the main thread in what it does because of another."""


@on_posix
def test_a_signal_waits_for_no_lock(instrument):
    """R8: whatever the main thread is in the middle of, it is told, and goes on."""
    command = [sys.executable, "-c", WHILE_IT_HOLDS_THE_LOCK]
    done = subprocess.run(
        command, env=instrument.environment(), capture_output=True, timeout=20, check=True
    )
    assert done.stdout.split() == [b"SIGTERM", b"SIGINT"]


@on_posix
def test_signals_in_quick_succession_end_it_as_one_does(instrument):
    """R8: it is asked again and again while it stops."""
    watcher = instrument.start()
    names = itertools.cycle([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])

    def has_ended_though_asked_again():
        for number in itertools.islice(names, 50):
            watcher.process.send_signal(number)
        return not watcher.is_running

    wait_until(has_ended_though_asked_again, 10)
    assert watcher.process.returncode == 0, watcher.output
    assert "Traceback" not in watcher.output
    assert instrument.status()["running"] is False

"""The command line explains itself: help with an example, near misses, completion."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import IS_WINE, PROJECT, Instrument
from tests.terminals import on_terminal
from watcher.cli.app import COMMANDS

README = (PROJECT / "README.md").read_text(encoding="utf-8")
WORDS = [[name] for name in COMMANDS if name != "startup"] + [
    ["startup", name] for name in ("install", "remove", "show")
]


AT_ONCE = "from watcher.cli import main, progress; progress.AFTER = 0.0; main()"
"""Runs the command with bars that don't wait until it has taken a second."""


def watcher(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "watcher", *arguments],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1", "COLUMNS": "200"} | more,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_it_understands(words: list[str]) -> None:
    done = watcher(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split("Options:")[0].split()) > 10
    (example,) = re.findall(r"^ +Example: watcher (.*)$", done.stdout, re.MULTILINE)
    assert example.split()[: len(words)] == words
    options = re.findall(r"--[a-z-]+", example)
    assert set(options) <= set(re.findall(r"--[a-z-]+", done.stdout.split("Options:")[1]))


def test_every_command_is_in_the_help_and_in_the_readme() -> None:
    shown = watcher("--help").stdout
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", shown, re.MULTILINE), name
        assert f"| `watcher {name}" in README, name


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        (["statsu"], "Did you mean 'status'"),
        (["startup", "instal"], "Did you mean 'install'"),
        (["run", "--headles"], "--headless"),
        (["check", "--free-waning", "1GB"], "--free-warning"),
    ],
    ids=str,
)
def test_a_near_miss_is_told_what_was_meant(wrong: list[str], meant: str) -> None:
    done = watcher(*wrong)
    assert done.returncode == (3 if "check" in wrong else 2)
    assert meant in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_the_console_can_not_show_is_shown_escaped_R13(tmp_path: Path) -> None:
    file = tmp_path / "\u65e5\u672c.yaml"
    done = watcher("init", str(file), PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr
    assert "\\u65e5\\u672c.yaml: edit it" in done.stdout
    assert file.exists()


def completed(line: str, folder: Path) -> set[str]:
    """Return what a real bash offers at the end of a line, with the completion of the command."""
    (folder / "watcher").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m watcher "$@"\n'
    )
    (folder / "watcher").chmod(0o755)
    script = """
        eval "$(watcher --show-completion bash)"
        COMP_LINE=$1; COMP_WORDS=($1); [[ $1 == *" " ]] && COMP_WORDS+=("")
        COMP_POINT=${#1}; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p watcher | sed -E 's/.*-F ([^ ]+).*/\\1/')
        $function watcher
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line],
        env=os.environ | {"PATH": path, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return set(done.stdout.split())


@pytest.mark.posix
@pytest.mark.skipif(shutil.which("bash") is None or os.name == "nt", reason="there is no bash")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    assert completed("watcher ", tmp_path) >= set(COMMANDS)
    assert completed("watcher st", tmp_path) == {"status", "startup"}
    assert completed("watcher startup ", tmp_path) == {"install", "remove", "show"}
    assert "--dry-run" in completed("watcher rescan --d", tmp_path)


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal stands for the console")
def test_a_pass_shows_a_bar_and_a_summary_on_a_terminal(tmp_path: Path) -> None:
    with Instrument(tmp_path) as instrument:
        for number in range(80):
            instrument.finish(f"RB1/bluesky_scans/{number}.txt")
        command = instrument.command("rescan")
        command[1:3] = ["-c", AT_ONCE]
        with on_terminal(command) as shown:
            assert shown.ended() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.text)
    assert re.search(r"archiving.* [0-9]+/80 ", text), text
    assert "nothing stays behind" in text.splitlines()
    assert text.splitlines()[-1] == "archived 80, left behind 0"


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal stands for the console")
@pytest.mark.parametrize("more", [{}, {"NO_COLOR": "1"}, {"PYTHONIOENCODING": "cp1252"}], ids=str)
def test_the_dashboard_ends_with_a_summary_and_the_terminal_as_it_was(
    tmp_path: Path, more: dict[str, str]
) -> None:
    with (
        Instrument(tmp_path) as instrument,
        on_terminal(instrument.command("run"), **more) as shown,
    ):
        shown.wait_for("Ctrl-C stops")
        instrument.finish("RB1/bluesky_scans/\u05e9\u05dc\u05d5\u05dd [red]x.txt")
        shown.wait_for("[red]x.txt")
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 0
    before, _, after = shown.text.rpartition("\x1b[?1049l")
    assert "\x1b[?25l" in before
    assert "\x1b[?25h" in shown.text
    assert "1 file archived" in after
    assert "nothing stays behind" in after
    assert ("\u25cf" in before) is ("PYTHONIOENCODING" not in more)
    coloured = re.search(r"\x1b\[[0-9;]*[34][0-7]m", shown.text)
    assert bool(coloured) is ("NO_COLOR" not in more)


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal stands for the console")
def test_a_terminal_that_can_not_be_drawn_on_gets_log_lines(tmp_path: Path) -> None:
    """As an editor's shell is one: TERM says so, and no text may move its cursor."""
    with (
        Instrument(tmp_path) as instrument,
        on_terminal(instrument.command("run"), TERM="dumb") as shown,
    ):
        instrument.finish("RB1/bluesky_scans/x.txt")
        shown.wait_for(" INFO archived")
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 0
    assert "\x1b" not in shown.text
    assert "Ctrl-C stops" not in shown.text


def test_the_demo_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """In the middle an outage; no terminal, so it logs lines."""
    done = watcher(
        "demo", "--seconds", "12" if IS_WINE else "3", TMPDIR=str(tmp_path), TEMP=str(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "archive is offline" in done.stdout
    assert "archive is online again" in done.stdout
    assert done.stdout.splitlines()[-1] == "Nothing was lost."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal stands for the console")
def test_a_demo_that_is_ended_in_the_outage_goes_on(tmp_path: Path) -> None:
    with on_terminal([sys.executable, "-m", "watcher", "demo"], TMPDIR=str(tmp_path)) as shown:
        shown.wait_for("waits for archive")
        shown.process.send_signal(signal.SIGINT)
        assert shown.ended() == 0, shown.text
    assert "A second start goes on with what still waits." in shown.text
    assert "Nothing was lost." in shown.text
    assert list(tmp_path.iterdir()) == []

"""The command line explains itself: help with an example, near misses, completion."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import PROJECT
from watcher.cli.app import COMMANDS

README = (PROJECT / "README.md").read_text(encoding="utf-8")
WORDS = [[name] for name in COMMANDS if name != "startup"] + [
    ["startup", name] for name in ("install", "remove", "show")
]


def watcher(*arguments: str, folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "watcher", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "PYTHONUTF8": "1", "COLUMNS": "200"},
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

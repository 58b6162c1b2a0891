"""`make` without a word says what it can do."""

import os
import re
import shutil
import subprocess

import pytest

from tests.harness import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
PHONY = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments):
    command = ["make", "--no-print-directory", *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.check_output(command, cwd=PROJECT, env=clean, text=True)


@needs_make
@pytest.mark.parametrize("arguments", [(), ("help",)])
def test_help_lists_every_target(arguments):
    """What `make` can do is what `make help` says, and it is what `make` alone does."""
    listed = re.findall(r"^ +make (\S+) +\S", make(*arguments), re.MULTILINE)
    assert sorted(listed) == sorted(PHONY)


@needs_make
def test_every_target_exists():
    """A target that help lists can be made."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert targets == set(PHONY)


@needs_make
@pytest.mark.parametrize(
    ("target", "command"), [("demo", "python -m watcher demo"), ("test", "python -m pytest")]
)
def test_a_newcomer_needs_one_command(target, command, tmp_path):
    """Where there is nothing yet, a target first makes and fills a virtual environment."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    steps = make("--dry-run", "-C", str(tmp_path), target)
    order = [steps.index(text) for text in ("-m venv", "install --editable", f"/{command}")]
    assert order == sorted(order)


@needs_make
def test_what_is_set_up_is_not_set_up_again(tmp_path):
    """The environment is filled anew only when pyproject.toml is newer."""
    for name in (".venv/bin/python", "pyproject.toml", ".venv/installed", ".venv/installed-all"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(PROJECT / "Makefile", tmp_path)
    assert "install" not in make("--dry-run", "-C", str(tmp_path), "OS=Linux", "test")
    os.utime(tmp_path / ".venv" / "installed-all", (0, 0))
    assert "install --editable" in make("--dry-run", "-C", str(tmp_path), "OS=Linux", "test")

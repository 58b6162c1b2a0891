"""Every configuration in `examples/` loads on every system; the others name what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from watcher.config import AfterArchiving, LogFormat, load

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
OTHERS = {"ansible.yaml", "prometheus-rules.yaml"}
CONFIGURATIONS = [file for file in EXAMPLES.glob("*.yaml") if file.name not in OTHERS]
KEYWORDS = {"name", "notify", "become", "become_method", "become_user", "vars", "changed_when",
            "environment", "loop"}  # fmt: skip


@pytest.fixture(autouse=True)
def _producer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBEX_BLUESKY_CORE_OUTPUT", r"C:\Data")


@pytest.mark.parametrize("file", sorted(CONFIGURATIONS), ids=lambda file: file.name)
def test_every_example_loads(file: Path) -> None:
    assert load(str(file)).file == str(file)


def test_the_named_examples_are_there() -> None:
    names = {file.name for file in EXAMPLES.glob("*.yaml")}
    assert {"ndx.yaml", "minimal.yaml", "linux.yaml"} <= names


def test_the_instrument_in_the_hall_is_the_one_of_the_contract() -> None:
    config = load(str(EXAMPLES / "ndx.yaml"))
    assert config.instrument == "NDXLARMOR"
    assert config.data_roots == (r"C:\Data",)
    assert config.after_archiving is AfterArchiving.REMOVE
    archive, cache = config.destinations
    assert archive.path == (
        r"\\isis.cclrc.ac.uk\inst$\{instrument}\Instrument\data\{cycle}"
        r"\autoreduced\bluesky_scans\{experiment}"
    )
    assert cache.path == r"C:\Data\Export only\{experiment}\bluesky_scans"
    assert (archive.cleaned_by_others, cache.cleaned_by_others) == (False, True)


def test_all_keys_written_out_are_the_defaults() -> None:
    """The instrument's example writes every key out; the least one says nothing, and means that."""
    ndx, least = load(str(EXAMPLES / "ndx.yaml")), load(str(EXAMPLES / "minimal.yaml"))
    apart = {"instrument", "destinations"}
    assert ndx.model_dump(exclude=apart) == least.model_dump(exclude=apart)


def test_the_linux_example_knows_its_own_paths() -> None:
    config = load(str(EXAMPLES / "linux.yaml"))
    assert config.data_roots == ("/data",)
    assert "{cycle}" in config.destinations[0].path
    assert config.destinations[1].path.startswith("/data/Export only/")
    assert config.checksums.algorithms == ("sha256", "md5")
    assert config.log.format is LogFormat.JSON


def plays() -> list[dict[str, Any]]:
    text = (EXAMPLES / "ansible.yaml").read_text(encoding="utf-8")
    loaded: list[dict[str, Any]] = yaml.safe_load(text)
    return loaded


def steps(play: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return each task and handler by its name: the module that it calls, and with what."""
    found = {}
    for step in [*play["tasks"], *play["handlers"]]:
        ((module, options),) = ((k, v) for k, v in step.items() if k not in KEYWORDS)
        found[step["name"]] = (module, options)
    return found


def test_the_playbook_names_what_is_there() -> None:
    """Files, groups of options, and handlers; what `make dist` builds is named as it is called."""
    text = (EXAMPLES / "ansible.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"playbook_dir (?:}}|~ ')/([^'{]*)", text))
    assert named == {"../dist/watcher.pyz", "instruments/", "watcher.service"}
    makefile = (EXAMPLES.parent / "Makefile").read_text(encoding="utf-8")
    assert "SINGLE := dist/watcher.pyz" in makefile
    for play in plays():
        wanted = {task["notify"] for task in play["tasks"] if "notify" in task}
        assert wanted == {handler["name"] for handler in play["handlers"]}
        assert all(re.fullmatch(r"\w+\.\w+\.\w+", module) for module, _ in steps(play).values())


def test_the_playbook_runs_commands_that_there_are() -> None:
    for play in plays():
        doctor = next(o["argv"] for _, o in steps(play).values() if "argv" in o)
        assert doctor[2:4] == ["doctor", "--config"]
    for command in ("run", "doctor"):
        shown = subprocess.run(
            [sys.executable, "-m", "watcher", command, "--help"],
            capture_output=True, encoding="utf-8", check=True,
        ).stdout  # fmt: skip
        assert "--config" in shown
        assert ("--headless" in shown) is (command == "run")


def test_the_playbook_has_the_task_and_the_unit_of_the_other_examples() -> None:
    windows, linux = map(steps, plays())
    ((_, task),) = (s for s in windows.values() if s[0].endswith("win_scheduled_task"))
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    top = ElementTree.parse(EXAMPLES / "task-scheduler.xml").getroot()
    below = {re.sub(r"{.*}", "", one.tag): one.text for one in top.iter()}
    assert task["triggers"] == [{"type": "boot", "delay": below["Delay"]}]
    assert top.find(f"{space}Triggers/{space}BootTrigger") is not None
    assert task["execution_time_limit"] == below["ExecutionTimeLimit"]
    assert (task["restart_interval"], task["restart_count"]) == (below["Interval"], 999)
    assert below["MultipleInstancesPolicy"] == "IgnoreNew"
    assert task["multiple_instances"] == 2
    (action,) = task["actions"]
    assert action["path"].endswith(r"\pythonw.exe")
    assert "run --headless --config" in action["arguments"]
    unit = RawConfigParser(strict=False)
    unit.read(EXAMPLES / "watcher.service", encoding="utf-8")
    (started,) = (o["argv"] for _, o in linux.values() if "argv" in o)
    assert unit["Service"]["ExecStart"].split()[:2] == started[:2]
    assert unit["Service"]["ExecStart"].split()[-2:] == started[-2:]
    copied = {o["dest"] for module, o in linux.values() if module.endswith(".copy")}
    assert set(started) & copied == {"/opt/watcher/watcher.pyz", "/etc/watcher/watcher.yaml"}
    assert unit["Service"]["User"] == plays()[1]["vars"]["account"]

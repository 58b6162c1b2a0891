"""Figures for Prometheus: what they tell, where, and that the examples ask for what is there."""

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests import scenes
from tests.harness import PROJECT, Instrument, wait_until
from tests.scenes import NOW
from watcher.activity import BacklogChanged, Snapshot, SpaceMeasured, fold
from watcher.views.metrics import Figures, Outlet

RULES = PROJECT / "examples" / "prometheus-rules.yaml"
GRAFANA = PROJECT / "examples" / "grafana-dashboard.json"
UNITS = ("_files", "_bytes", "_seconds", "_total", "_info", "_folders", "_conflicts", "_state")


def everything() -> Snapshot:
    """A state in which every figure has something to tell."""
    return fold(scenes.trouble(), SpaceMeasured(scenes.ROOT, 3, 10**12, 60.0), NOW)


def exposed(snapshot: Snapshot) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(lambda: snapshot))
    return generate_latest(registry).decode("utf-8")


def figures(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[f"watcher_{name}", tuple(sorted(labels.items()))]


def test_they_are_the_figures_of_the_snapshot() -> None:
    found, state = figures(exposed(everything())), everything()
    assert one(found, "backlog_files") == state.backlog
    assert one(found, "backlog_bytes") == state.backlog_size
    assert one(found, "backlog_oldest_timestamp_seconds") == state.oldest
    assert one(found, "archived_files_total") == state.archived
    assert one(found, "archived_bytes_total") == state.archived_size
    assert one(found, "missed_hints_total") == state.missed == 3
    assert one(found, "held_files", waits_for="person") == 1
    assert one(found, "held_files", waits_for="time") == 1
    assert one(found, "stranded_files") == one(found, "conflicts") == 1
    assert one(found, "destination_state", destination="archive", state="offline") == 1
    assert one(found, "destination_state", destination="archive", state="online") == 0
    assert one(found, "health", level="attention") == 1
    assert one(found, "in_flight_bytes", destination="cache") == 24_000
    assert one(found, "in_flight_bytes", destination="archive") == 0
    assert one(found, "disk_free_bytes", root=scenes.ROOT) == 3
    assert one(found, "disk_full_in_seconds", root=scenes.ROOT) == 60


@pytest.mark.parametrize("scene", [Snapshot, *scenes.ALL.values(), everything])
def test_every_name_begins_with_watcher_and_ends_in_its_unit(scene: Any) -> None:
    for name, _labels in figures(exposed(scene())):
        assert name.startswith("watcher_")
        assert name == "watcher_health" or name.endswith(UNITS)


def test_names_that_are_no_unicode_are_told() -> None:
    """R13"""
    space = SpaceMeasured('/data\udcff"\n', 3, 10**12, None)
    found = figures(exposed(fold(scenes.calm(), space, NOW)))
    assert one(found, "disk_free_bytes", root=r'/data\xff"\n') == 3


def test_the_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path, troubles = tmp_path / "watcher.prom", list[str]()
    outlet = Outlet(scenes.calm, str(path), None, troubles.append)
    outlet.write()
    before = path.read_bytes()
    outlet.write()  # too soon
    assert path.read_bytes() == before
    outlet.stop()
    assert path.read_bytes() != before  # it tells another time
    assert os.listdir(tmp_path) == ["watcher.prom"]
    assert not troubles


def test_trouble_with_the_file_is_told_once(tmp_path: Path) -> None:
    """R11"""
    troubles = list[str]()
    outlet = Outlet(scenes.calm, str(tmp_path / "gone" / "watcher.prom"), None, troubles.append)
    outlet.write(last=True)
    outlet.write(last=True)
    assert len(troubles) == 1


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_port_in_use_is_told_and_stops_nothing() -> None:
    troubles = list[str]()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outlet = Outlet(scenes.calm, None, f"127.0.0.1:{taken.getsockname()[1]}", troubles.append)
        outlet.start()
        outlet.stop()
    assert len(troubles) == 1


def test_a_running_watcher_tells_them_in_a_file_and_over_http(tmp_path: Path) -> None:
    textfile, port = tmp_path / "watcher.prom", free_port()
    metrics = {"textfile": str(textfile), "http": f"127.0.0.1:{port}"}
    with Instrument(tmp_path / "i", metrics=metrics) as instrument:
        instrument.finish("RB1/bluesky_scans/scan.txt")
        instrument.start()

        def asked() -> dict[Any, float]:
            address = f"http://127.0.0.1:{port}/metrics"
            try:
                with urllib.request.urlopen(address, timeout=10) as answer:
                    return figures(answer.read().decode())
            except urllib.error.URLError:  # it says that it runs before it serves
                return {}

        wait_until(lambda: (found := asked()) and one(found, "archived_files_total") == 1)
        told = wait_until(lambda: textfile.exists() and figures(textfile.read_text("utf-8")))
        assert told.keys() <= asked().keys()
        instrument.stop()
        assert one(figures(textfile.read_text("utf-8")), "archived_files_total") == 1


def expressions() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"]
            yield rule["alert"], rule["expr"]
    board = json.loads(GRAFANA.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_the_examples_ask_for_what_is_there(name: str, expression: str) -> None:
    """Each metric, label and value of a rule or a panel exists in the real exposition."""
    there = figures(exposed(everything())).keys()
    asked = re.findall(r"(watcher_\w+)(?:\{([^}]*)\})?", expression)
    assert asked, name
    for metric, selector in asked:
        wanted = dict(re.findall(r'(\w+)="([^"]*)"', selector))  # `instance` is Prometheus' own
        wanted.pop("instance", None)
        assert any(metric == n and wanted.items() <= dict(labels).items() for n, labels in there)


def test_the_rules_cover_what_somebody_must_know() -> None:
    alerts = {name for name, _ in expressions() if name.startswith("Watcher")}
    assert alerts >= {
        "WatcherBacklogOld", "WatcherDestinationDown", "WatcherStranded", "WatcherAltered",
        "WatcherSilent", "WatcherHeld", "WatcherConflict", "WatcherDiskFull", "WatcherUnreadable",
    }  # fmt: skip


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)
END = 30 * 60
"""Prometheus is told half an hour of figures that stay as they are; its clock starts at 0."""


@needs_promtool
def test_prometheus_itself_accepts_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True)


def series(snapshot: Snapshot, *, silent: bool = False) -> list[dict[str, str]]:
    """Tell the real exposition as half an hour of Prometheus' own, ending at `NOW`."""
    found = []
    for (name, labels), value in figures(exposed(snapshot)).items():
        pairs = ", ".join(f"{key}={json.dumps(text)}" for key, text in (*labels, ("instance", "i")))
        at = value - NOW + END if name.endswith("_timestamp_seconds") else value
        values = f"{at}+0x30"
        if name == "watcher_written_timestamp_seconds":
            values = "0+0x30" if silent else "0+60x30"
        found.append({"series": f"{name}{{{pairs}}}", "values": values})
    return found


def evaluated(tmp_path: Path, told: list[dict[str, str]], asked: dict[str, list[str]]) -> None:
    """Let Prometheus answer each question; the answers are labels of samples that are 1."""
    questions = [
        {
            "expr": expression,
            "eval_time": f"{END}s",
            "exp_samples": [{"labels": answer, "value": 1} for answer in answers],
        }
        for expression, answers in asked.items()
    ]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": told, "promql_expr_test": questions}],
    }
    file = tmp_path / "rules.test.yaml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def filling() -> Snapshot:
    return fold(scenes.calm(), SpaceMeasured(scenes.ROOT, 3 * 10**9, 250 * 10**9, None), NOW)


def waiting() -> Snapshot:
    return fold(scenes.calm(), BacklogChanged(3, 300, NOW - 700), NOW)


FIRED: list[tuple[Callable[[], Snapshot], bool, set[str]]] = [
    (scenes.calm, False, set()),
    (scenes.draining, False, set()),
    (waiting, False, {"BacklogOld"}),
    (scenes.outage, False, {"DestinationDown"}),
    (filling, False, {"DiskFull"}),
    (scenes.calm, True, {"Silent"}),
    (
        scenes.trouble,
        False,
        {"DestinationDown", "Stranded", "Altered", "Held", "Conflict", "Unreadable"},
    ),
]


@needs_promtool
@pytest.mark.parametrize(("scene", "silent", "names"), FIRED)
def test_the_alerts_fire_for_what_they_are_made_for_and_nothing_else(
    tmp_path: Path, scene: Callable[[], Snapshot], silent: bool, names: set[str]
) -> None:
    alerts = 'count by (alertname) (ALERTS{alertstate="firing"})'
    answers = [f'{{alertname="Watcher{name}"}}' for name in sorted(names)]
    evaluated(tmp_path, series(scene(), silent=silent), {alerts: answers})


@needs_promtool
def test_prometheus_itself_answers_every_panel(tmp_path: Path) -> None:
    board = json.loads(GRAFANA.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(asked) > len(board["panels"]) > 5
    some = {f"count({e.replace('$instance', '.*')}) > bool 0": ["{}"] for e in asked}
    evaluated(tmp_path, series(everything()), some)

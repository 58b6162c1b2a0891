"""Every configuration in `examples/` loads, on every system."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.config import AfterArchiving, LogFormat, load

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CONFIGURATIONS = [f for f in EXAMPLES.glob("*.yaml") if f.name != "prometheus-rules.yaml"]


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

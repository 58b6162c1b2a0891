"""The configuration: what is accepted, and how everything else is refused."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from watcher.checksums import Kind, algorithms
from watcher.config import Config, commented, load
from watcher.config.schema import SECTIONS
from watcher.errors import ConfigurationError

SHARE = r"\\isis.cclrc.ac.uk\inst$\{instrument}\{cycle}\bluesky_scans\{experiment}"
CACHE = r"C:\Data\Export only\{experiment}\bluesky_scans"
PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WATCHER_CONFIG", "IBEX_BLUESKY_CORE_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def settings_with(**changes: Any) -> dict[str, Any]:
    archive = {"name": "archive", "path": SHARE}
    return {"instrument": "NDX", "data_roots": ["C:\\Data"], "destinations": [archive], **changes}


def write(content: dict[str, Any] | str | bytes) -> str:
    data = yaml.safe_dump(content, sort_keys=False) if isinstance(content, dict) else content
    Path("watcher.yaml").write_bytes(data.encode() if isinstance(data, str) else data)
    return os.path.abspath("watcher.yaml")


def loaded(**changes: Any) -> Config:
    return load(write(settings_with(**changes)))


def refusal(content: dict[str, Any] | str | bytes) -> str:
    file = write(content)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    text = str(caught.value)
    assert all(line.startswith(f"{file}: ") for line in text.splitlines()), text
    for jargon in ("pydantic", "http://", "https://", "Input should", "validation error", "_type"):
        assert jargon not in text
    return text.replace(f"{file}: ", "")


def refused(**changes: Any) -> str:
    return refusal(settings_with(**changes))


def to(*paths: str) -> list[dict[str, str]]:
    return [{"name": f"place {i}", "path": path} for i, path in enumerate(paths)]


class TestValues:
    def test_only_destinations_must_be_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IBEX_BLUESKY_CORE_OUTPUT", r"D:\Out")
        config = load(write({"destinations": to(SHARE)}))
        assert config.instrument == platform.node()
        assert config.data_roots == (r"D:\Out",)
        assert config.exclude == ("Export only",)
        assert (config.rescan_interval, config.unfinished_after) == (60.0, 86400.0)
        assert (config.after_archiving, config.cycle, config.workers) == ("remove", "latest", 4)
        assert config.checksums.algorithms == ("sha256",)
        assert config.checksums.record is Kind.MANIFEST
        assert config.retry.model_dump() == {"initial": 1, "maximum": 30, "stalled_after": 30}
        assert config.metrics.model_dump() == {"textfile": None, "http": None}
        assert (config.log.level, config.log.format, config.log.keep) == ("info", "text", 30)
        assert config.log.file is None
        assert os.path.isabs(config.state_dir)

    @pytest.mark.windows
    @pytest.mark.skipif(os.name != "nt", reason="the default is that of Windows")
    def test_windows_has_one_state_folder_for_all_users(self) -> None:
        config = load(write({"destinations": to(SHARE)}))
        assert config.state_dir == os.path.join(os.environ["PROGRAMDATA"], "watcher")
        assert config.data_roots == ("C:\\Data",)

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="Windows has a default")
    def test_without_a_data_root_it_says_which_variable_would_give_one(self) -> None:
        text = refusal({"destinations": to(SHARE)})
        assert "data_roots: found none, expected the folders to watch" in text
        assert "$IBEX_BLUESKY_CORE_OUTPUT" in text

    def test_a_relative_folder_in_the_environment_is_refused_by_its_variable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IBEX_BLUESKY_CORE_OUTPUT", "out")
        text = refusal({"destinations": to(SHARE)})
        assert "data_roots[0] (from $IBEX_BLUESKY_CORE_OUTPUT): found 'out', expected" in text

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
    def test_a_data_root_that_is_no_unicode_is_kept_byte_for_byte(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R13."""
        monkeypatch.setenv("IBEX_BLUESKY_CORE_OUTPUT", os.fsdecode(b"/data/caf\xe9"))
        config = load(write({"destinations": to(SHARE)}))
        assert os.fsencode(config.data_roots[0]) == b"/data/caf\xe9"

    @pytest.mark.parametrize(
        ("given", "seconds"),
        [
            (2, 2.0),
            (0.5, 0.5),
            ("500ms", 0.5),
            ("30s", 30.0),
            ("5m", 300.0),
            ("1.5h", 5400.0),
            ("24h", 86400.0),
            ("7d", 604800.0),
            ("30 s", 30.0),
        ],
    )
    def test_durations_become_seconds(self, given: object, seconds: float) -> None:
        assert loaded(rescan_interval=given).rescan_interval == seconds

    @pytest.mark.parametrize(
        "given",
        [
            0,
            -1,
            "0s",
            "-5s",
            True,
            None,
            "",
            "5",
            "5 minutes",
            "1e3s",
            "5M",
            "s",
            [],
            {},
            float("nan"),
            float("inf"),
            1e300,
            10**30,
            "99999d",
            "9" * 400 + "s",
            "٣s",
            1e-320,
        ],
    )
    def test_what_is_no_sensible_duration_is_refused(self, given: object) -> None:
        assert "rescan_interval (line " in refused(rescan_interval=given)

    def test_an_age_may_be_nothing_at_all(self) -> None:
        assert loaded(unfinished_after=0).unfinished_after == 0.0

    @pytest.mark.parametrize(
        "given", ["030", "0x10", "1:30", "1_0", "4.0", "'4'", "yes", "65", "0"]
    )
    def test_a_number_that_yaml_would_read_otherwise_is_no_number(self, given: str) -> None:
        text = yaml.safe_dump(settings_with()) + f"workers: {given}\n"
        assert f"found {given}, expected a whole number from 1 to 64" in refusal(text)

    def test_a_name_that_yaml_takes_for_a_number_is_a_name(self) -> None:
        text = yaml.safe_dump(settings_with()) + "cycle: 26_2\n"
        assert load(write(text)).cycle == "26_2"

    def test_one_algorithm_or_several_are_the_same_setting(self) -> None:
        one, two = loaded(checksums={"algorithm": "md5"}), loaded(checksums={"algorithms": ["md5"]})
        assert one.checksums == two.checksums
        both = loaded(checksums={"algorithms": ["sha512", "md5"]}).checksums
        assert (both.algorithm, both.algorithms) == ("sha512", ("sha512", "md5"))

    @pytest.mark.parametrize("name", ["shake_128", "SHA256", "crc32", "", 256, None])
    def test_only_checksums_of_fixed_length_are_accepted(self, name: object) -> None:
        assert "checksums.algorithm (line" in refused(checksums={"algorithm": name})

    def test_a_checksum_from_an_extra_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(algorithms, "_has_blake3", lambda: False)
        assert "install watcher[blake3]" in refused(checksums={"algorithm": "blake3"})

    @pytest.mark.parametrize("record", list(Kind))
    def test_every_kind_of_record_is_accepted(self, record: Kind) -> None:
        assert loaded(checksums={"record": record.value}).checksums.record is record

    @pytest.mark.parametrize(
        "http", ["127.0.0.1:9464", "localhost:80", "[::1]:9464", "127.8.8.8:1"]
    )
    def test_figures_are_offered_to_this_computer(self, http: str) -> None:
        assert loaded(metrics={"http": http}).metrics.http == http

    @pytest.mark.parametrize(
        "http",
        [
            "0.0.0.0:9464",
            "[::]:1",
            "10.0.0.1:80",
            "127.0.0.1",
            ":80",
            "a:b",
            9464,
            "::1:80",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "localhost.evil.org:80",
            True,
        ],
    )
    def test_figures_are_offered_to_nobody_else(self, http: object) -> None:
        assert "metrics.http (line" in refused(metrics={"http": http})

    def test_a_section_without_keys_has_its_defaults(self) -> None:
        text = yaml.safe_dump(settings_with()) + "retry:\nlog:\nmetrics:\nchecksums:\n"
        assert load(write(text)).retry == loaded().retry

    def test_nothing_stands_for_the_default_state_folder(self) -> None:
        assert loaded(state_dir=None).state_dir == loaded().state_dir

    def test_it_is_frozen_and_knows_its_file(self) -> None:
        config = loaded()
        assert config.file == os.path.abspath("watcher.yaml")
        with pytest.raises(ValidationError):
            config.workers = 5  # type: ignore[misc]
        assert "file (line" in refused(file="x")

    def test_paths_of_both_systems_load_on_either(self) -> None:
        config = loaded(
            data_roots=["C:/Data/", "/data/"], state_dir="D:/state/", log={"file": "/l"}
        )
        assert config.data_roots == ("C:\\Data", "/data")
        assert (config.state_dir, config.log.file) == ("D:\\state", "/l")


class TestRefusals:
    """Each names file, key, what was found and what was expected."""

    def test_an_unknown_key_says_what_was_meant(self) -> None:
        text = refused(rescan_intervall="5s")
        assert "rescan_intervall (line 7): found an unknown key, expected one of" in text
        assert "did you mean rescan_interval?" in text
        text = refused(destinations=[{"name": "a", "path": SHARE, "makrer": "x"}])
        assert "destinations[0].makrer" in text
        assert "did you mean marker?" in text

    def test_everything_that_is_wrong_is_told_at_once(self) -> None:
        wrong = refused(
            workers=0,
            colour="red",
            retry={"maximum": "soon"},
            log={"keep": True},
            data_roots=["rel", "/a", "/a/b"],
            destinations=[*to("rel", "/a", "/mnt/{x}"), {"name": "b"}, 7, *to("/z", "/z")],
        )
        keys = [re.match(r"[\w.\[\]]+", line)[0] for line in wrong.splitlines()]  # type: ignore[index]
        destinations = {f"destinations[{key}" for key in ("0].path", "2].path", "3].path", "4]")}
        repeated = {"destinations[6].name", "destinations[6].path"}
        roots = {"data_roots[0]", "data_roots[2]"}
        rest = {"workers", "colour", "retry.maximum", "log.keep"}
        assert set(keys) == destinations | repeated | roots | rest
        assert len(keys) == len(set(keys))

    def test_a_wholly_wrong_file_does_not_flood_the_screen(self) -> None:
        lines = refusal("\n".join(f"key{i}: 1" for i in range(500))).splitlines()
        assert len(lines) == 51
        assert lines[-1].startswith("and 45")

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"destinations": []}, "destinations (line 4): found none, expected at least one"),
            ({"destinations": None}, "destinations (line 4): found null, expected a list"),
            ({"destinations": "x"}, "destinations (line 4): found 'x', expected a list"),
            ({"data_roots": "C:\\Data"}, "data_roots (line 2): found 'C:\\Data', expected a list"),
            ({"data_roots": []}, "data_roots (line 2): found none, expected the folders to watch"),
            (
                {"data_roots": ["data"]},
                "data_roots[0] (line 3): found 'data', expected an absolute",
            ),
            ({"data_roots": ["C:data"]}, "found 'C:data', expected an absolute path"),
            ({"data_roots": ["\\data"]}, "found '\\data', expected an absolute path"),
            ({"data_roots": ["\\\\server"]}, "found '\\\\server', expected an absolute path"),
            ({"data_roots": ["/a/../b"]}, "without '..'"),
            ({"data_roots": ["C:\temp"]}, "found 'C:<U+0009>emp', expected a path without"),
            (
                {"data_roots": ["C:\\a", "c:/A/"]},
                "data_roots[1] (line 4): found 'c:/A/', expected ",
            ),
            ({"data_roots": ["/a", "/a/b"]}, "data roots that don't lie in one another, as in /a"),
            ({"data_roots": ["/a/b", "/a"]}, "data roots that don't lie in one another"),
            (
                {"state_dir": "state"},
                "state_dir (line 7): found 'state', expected an absolute path",
            ),
            ({"log": {"file": "w.log"}}, "log.file (line 8): found 'w.log', expected an absolute"),
            ({"metrics": {"textfile": "/m/x.txt"}}, "whose name ends in .prom"),
            (
                {"exclude": ["C:\\Data\\x"]},
                "exclude[0] (line 8): found 'C:\\Data\\x', expected a rel",
            ),
            ({"exclude": ["../x"]}, "found '../x', expected a relative path, without '..'"),
            ({"instrument": "a/b"}, "found 'a/b', expected a plain name"),
            ({"instrument": "a\\b"}, "found 'a\\b', expected a plain name"),
            ({"instrument": "{cycle}"}, "found '{cycle}', expected a plain name"),
            ({"instrument": ".."}, "found '..', expected a plain name"),
            ({"cycle": "a/b"}, "found 'a/b', expected latest, or the name of one folder"),
            ({"cycle": ".."}, "found '..', expected latest"),
            (
                {"after_archiving": "Keep"},
                "found 'Keep', expected remove or keep, did you mean keep?",
            ),
            (
                {"retry": {"initial": "1m"}},
                "retry.initial (line 8): found '1m', expected initial (60s)",
            ),
            (
                {"retry": {"initial": 5, "maximum": 2}},
                "retry.maximum (line 9): found 2, expected ini",
            ),
            ({"retry": []}, "retry (line 7): found a list, expected keys with values"),
            ({"checksums": {"algorithms": []}}, "found an empty list, expected at least one name"),
            ({"checksums": {"algorithms": ["md5", "md5"]}}, "expected each name once"),
            (
                {"checksums": {"algorithm": "md5", "algorithms": ["md5"]}},
                "found both keys, expected",
            ),
        ],
    )
    def test_an_impossible_value_is_refused(self, changes: dict[str, Any], expected: str) -> None:
        assert expected in refused(**changes)

    @pytest.mark.parametrize("marker", ["/x", "C:\\x", "C:x", "..", "a/../../b", "", "\\x", 5, "."])
    def test_a_marker_stays_below_its_destination(self, marker: object) -> None:
        destination = {"name": "archive", "path": SHARE, "marker": marker}
        assert "destinations[0].marker" in refused(destinations=[destination])

    @pytest.mark.parametrize(
        "name", ["", " ", "a/b", "a\nb", "a{", "-x", "x ", 5, None, True, "a" * 65]
    )
    def test_a_destination_has_a_plain_name(self, name: object) -> None:
        assert "destinations[0].name" in refused(destinations=[{"name": name, "path": SHARE}])


class TestDestinations:
    """R7: a destination is never a source, and no two are one."""

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("C:\\Data\\{experiment}\\bluesky_scans", "source and destination are the same"),
            ("c:/data", "source and destination are the same"),
            ("\\\\?\\C:\\DATA\\{year}", "source and destination are the same"),
            ("C:\\{experiment}", "a place that doesn't hold the data root C:\\Data"),
            ("C:\\Data\\RB1\\Bluesky_Scans\\out\\{experiment}", "outside the scan folders"),
            ("C:\\Data\\bluesky_scans\\{experiment}", "outside the scan folders"),
            ("D:\\{cylce}\\{experiment}", "did you mean {cycle}?"),
            ("D:\\{Experiment}", "did you mean {experiment}?"),
            ("D:\\{experiment", "a brace has no partner"),
            ("D:\\a}\\{experiment}", "a brace has no partner"),
            ("D:\\x{experiment}", "{experiment} must be a whole segment"),
            ("D:\\{cycle}{experiment}", "must be a whole segment"),
            ("D:\\{cycle}\\{cycle}", "{cycle} may stand there only once"),
            ("D:\\..\\{experiment}", "'..'"),
            ("\\\\{cycle}\\share\\x", "a server and a share without any placeholder"),
            ("out\\{experiment}", "an absolute path"),
            ("{experiment}", "an absolute path"),
            ("D:\\a|b", "a path without characters that no name can have"),
        ],
    )
    def test_an_impossible_place_is_refused(self, path: str, expected: str) -> None:
        text = refused(destinations=to(path))
        assert text.startswith("destinations[0].path (line 6): found '")
        assert expected in text

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("D:\\a\\{experiment}", "d:/A//{experiment}/"),
            ("D:\\NDX\\{experiment}", "D:\\{instrument}\\{experiment}"),
            ("\\\\server\\share\\x", "//SERVER/share/x"),
            ("/mnt/a/{experiment}", "/mnt//a/{experiment}/"),
        ],
    )
    def test_one_place_under_two_names_is_refused(self, one: str, other: str) -> None:
        text = refused(destinations=to(one, other))
        assert "destinations[1].path" in text
        assert "expected another place than that of destinations[0]" in text

    def test_one_name_for_two_places_is_refused(self) -> None:
        places = [{"name": "archive", "path": "/a"}, {"name": "Archive", "path": "/b"}]
        assert "destinations[1].name" in refused(destinations=places)

    @pytest.mark.parametrize(
        "paths",
        [
            (SHARE, CACHE),
            (SHARE, "C:\\Data\\Export only\\bluesky_scans\\{experiment}"),
            ("/mnt/a/{experiment}", "/mnt/A/{experiment}"),
            ("/mnt/a/{experiment}", "/mnt/a/b/{experiment}"),
            ("/mnt/a/{cycle}/x", "/mnt/a/{year}/x"),
            ("C:\\Data2\\{experiment}",),
            ("C:\\Data\\bluesky_scans_copy\\{experiment}",),
            ("D:\\",),
            ("\\\\?\\UNC\\server\\share\\{experiment}",),
        ],
    )
    def test_a_possible_place_is_accepted(self, paths: tuple[str, ...]) -> None:
        config = loaded(destinations=to(*paths))
        assert [d.path for d in config.destinations] == list(paths)

    def test_case_matters_where_it_does_on_disk(self) -> None:
        assert loaded(data_roots=["/data"], destinations=to("/Data/{experiment}"))
        assert loaded(data_roots=["/data"], destinations=to("/data/Bluesky_Scans/{experiment}"))


class TestFiles:
    """No file at all can make it end in anything but a clear refusal."""

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", "found an empty file"),
            (b"# nothing\n---\n", "found nothing, expected keys"),
            (b"- a\n", "found a list, expected keys with values"),
            (b"hello", "found 'hello', expected keys with values"),
            (bytes(range(256)) * 9, "no text in UTF-8"),
            ("# Grüße\n".encode("cp1252"), "line 1: this is no text in UTF-8"),
            (b"a: " + b"[" * 90000, "line 1, column 19: nested too deep"),
            (b"{a: " * 20000, "nested too deep"),
            (b"a: &x [1]\nb: [*x, *x]\n", "line 2, column 5: found an alias"),
            (b"a: &x [*x]\n", "found an alias"),
            (
                b"workers: 1\nworkers: 2\n",
                "workers (line 1): found the key a second time, in line 2",
            ),
            (b"log: {keep: 1, keep: 1}\n", "log.keep (line 1): found the key a second time"),
            (b"a:\n\t- b\n", "line 2, column 1: found character '\\t'"),
            (
                b'data_roots: ["C:\\Data"]\n',
                "line 1, column 18: found unknown escape character 'D'; wr",
            ),
            (b"a: b: c\n", "line 1, column 5: mapping values are not allowed here"),
            (b"a: 1\n---\nb: 1\n", "line 2, column 1: found another document"),
            (b"? [a]\n: 1\n", "found an odd key in line 1"),
            (
                b"workers: !!python/object/apply:os.abort []\n",
                "found a list, expected a whole number",
            ),
            (b"cycle: !!binary aGk=\n", "found the tag 'tag:yaml.org,2002:binary'"),
            (b"workers: !!int x\n", "found x, expected a whole number"),
            (b"cycle: !!timestamp 2001-99-99\nworkers: 0\n", "workers (line 2)"),
            (b"workers: " + b"9" * 9000 + b"\n", "workers (line 1): found 9999"),
            (b"#" * 100_001, "found more than 100000 bytes"),
            (b'cycle: "\\ud800/"\n', "cycle (line 1): found '<U+D800>/'"),
            (b'"\\e[31m": 1\n', "found an odd key"),
            (b"<<: {workers: 0}\n", "<< (line 1): found an unknown key"),
        ],
    )
    def test_an_odd_file_is_refused(self, content: bytes, expected: str) -> None:
        text = refusal(content)
        assert expected in text
        assert "\x1b" not in text

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_what_an_editor_on_windows_saves_is_read(self, encoding: str) -> None:
        text = yaml.safe_dump(settings_with(instrument="Überall"), allow_unicode=True)
        assert load(write(text.replace("\n", "\r\n").encode(encoding))).instrument == "Überall"

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="found a folder, expected a YAML file"):
            load(str(tmp_path))

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="links need a right there")
    def test_a_file_that_cannot_be_read_is_refused(self) -> None:
        os.symlink("watcher.yaml", "watcher.yaml")
        with pytest.raises(ConfigurationError, match=r"watcher\.yaml: can't be read: Too many"):
            load("watcher.yaml")

    @given(st.binary(max_size=300) | st.text(alphabet="ab:-[]{}&*!#'\"|>%?, \n\t0.", max_size=80))
    @settings(max_examples=300, deadline=None)
    def test_any_bytes_are_read_or_refused(self, content: bytes | str) -> None:
        refusal(content)


def keys_of(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in model.model_fields:
        yield (*above, name)
        if name in SECTIONS and not above:
            yield from keys_of(SECTIONS[name], (name,))


KEYS = list(keys_of(Config))
_texts = st.text(max_size=20) | st.sampled_from(
    ["C:\\Data", "/data", "\\\\s\\s\\{cycle}", "1h", "{}"]
)
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | _texts | st.dates() | st.binary()
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_texts | st.sampled_from(["name", "path", "keep"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(key=st.sampled_from(KEYS), value=_values)
@settings(max_examples=400, deadline=None)
def test_any_value_at_any_key_is_accepted_or_refused_with_that_key(
    key: tuple[str, ...], value: object
) -> None:
    content = settings_with()
    if key[0] == "destinations" and len(key) > 1:
        content["destinations"][0][key[1]] = value
    elif len(key) > 1:
        content[key[0]] = {key[1]: value}
    else:
        content[key[0]] = value
    file, told = write(content), ""
    try:
        load(file)
    except ConfigurationError as error:
        told = str(error)
    assert not told or key[0] in told
    assert "https://" not in told


class TestFinding:
    def test_the_named_file_counts_then_the_variable_then_this_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("named", "variable", "watcher"):
            text = yaml.safe_dump(settings_with(instrument=name))
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        assert load().instrument == "watcher"
        monkeypatch.setenv("WATCHER_CONFIG", str(tmp_path / "variable.yaml"))
        assert load().instrument == "variable"
        config = load("named.yaml")
        assert config.instrument == "named"
        assert config.file == str(tmp_path / "named.yaml")

    @pytest.mark.posix
    @pytest.mark.skipif(os.name == "nt", reason="a system call tells the folder there")
    def test_the_users_own_folder_comes_last(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
        (tmp_path / "own" / "watcher").mkdir(parents=True)
        os.replace(write(settings_with()), tmp_path / "own" / "watcher" / "watcher.yaml")
        assert load().file == str(tmp_path / "own" / "watcher" / "watcher.yaml")

    def test_where_there_is_none_it_says_where_it_looked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
        with pytest.raises(ConfigurationError, match="no configuration found") as caught:
            load()
        assert str(tmp_path / "watcher.yaml") in str(caught.value)
        assert os.path.join("watcher", "watcher.yaml") in str(caught.value)
        assert "`watcher init` writes one" in str(caught.value)

    def test_a_named_file_that_is_missing_is_not_replaced_by_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(settings_with())
        with pytest.raises(ConfigurationError, match=r"other\.yaml"):
            load("other.yaml")
        monkeypatch.setenv("WATCHER_CONFIG", "other.yaml")
        with pytest.raises(ConfigurationError, match=r"\$WATCHER_CONFIG names .*other\.yaml"):
            load()

    def test_an_impossible_name_is_refused(self) -> None:
        with pytest.raises(ConfigurationError):
            load("a\0b")


@pytest.mark.parametrize("windows", [True, False])
class TestCommented:
    """What `watcher init` writes can be used as it is, and tells the truth."""

    def test_it_loads(self, windows: bool) -> None:
        config = load(write(commented(windows)))
        assert [d.name for d in config.destinations] == ["archive", "cache"]
        assert config.data_roots == (("C:\\Data",) if windows else ("/data",))

    def test_every_key_is_in_it(self, windows: bool) -> None:
        text = commented(windows)
        for key in KEYS:
            assert re.search(rf"(?m)^ *(- |#)?{key[-1]}:|{key[-1]}: \[", text), key

    def test_its_defaults_are_the_real_ones(self, windows: bool) -> None:
        text = commented(windows)
        awake = re.sub(r"(?m)^( *)#(?=\w)", r"\1", text)
        assert awake.count("#") < text.count("#") - 15
        awake = awake.replace("instrument: NDXLARMOR\n", f"instrument: {platform.node()}\n")
        assert load(write(awake)) == load(write(text))

    def test_its_paths_are_those_of_the_system(self, windows: bool) -> None:
        assert ("C:\\" in commented(windows).replace("'C:\\Data'", "")) == windows
        assert "@" not in commented(windows)


def test_reading_a_configuration_imports_little() -> None:
    """It needs neither observer, database nor screen."""
    heavy = ("watchdog", "rich", "typer", "tenacity", "sqlite3")
    code = f"import sys, watcher.config; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert done.stdout.strip() == "[]"

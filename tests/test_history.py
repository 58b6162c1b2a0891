"""`watcher history`: where files went, found by name, date, checksum and scan."""

import csv
import hashlib
import io
import json
import shutil
import subprocess

import pytest

from tests.harness import Instrument
from watcher.header import scan_of, stamp_of
from watcher.model import Scan

UID = "6740cf7d-c2f4-48e1-b955-a205a9fc6f36"
OTHER = "11111111-c2f4-48e1-b955-a205a9fc6f36"
STAMP = "2026-11-22_19-29-28"


def header(uid: str, plan: str = "scan", number: int = 7) -> bytes:
    return (
        f"uid: {uid}\nversions: {{'bluesky': '1.15.1'}}\nscan_id: {number}\nplan_name: {plan}\n"
        f"motors: ('motor',)\nrb_number: 1\nstart_time: {STAMP}\n\nmotor(mm),counts\n1,2\n"
    ).encode()


SCAN = {
    f"NDX_motor_{STAMP}Z.txt": header(UID),
    f"NDX_motor_counts_{STAMP}Z_fit.txt": b"fit\n",
    f"NDX_motor_counts_{STAMP}Z.png": b"\x89PNG\r\n",
}


@pytest.fixture(scope="module")
def instrument(tmp_path_factory):
    with Instrument(tmp_path_factory.mktemp("history")) as made:
        for name, content in SCAN.items():
            made.finish(f"RB1/bluesky_scans/{name}", content)
            made.finish(f"RB2/bluesky_scans/{name}", content.replace(UID.encode(), OTHER.encode()))
        made.finish("RB1/bluesky_scans/odd.txt", header("x" * 40).replace(b"uid", b"\xff\xfe"))
        assert made.run("rescan").returncode == 0
        yield made


def found(instrument: Instrument, *arguments: str) -> list[dict[str, object]]:
    done = instrument.run("history", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    answer: list[dict[str, object]] = json.loads(done.stdout)
    return answer


def names(rows: list[dict[str, object]]) -> set[str]:
    return {str(row["source"]).replace("\\", "/").rpartition("/")[2] for row in rows}


def test_all_receipts_are_told_newest_first(instrument):
    rows = found(instrument)
    assert len(rows) == 2 * (2 * len(SCAN) + 1)
    times = [str(row["archived_at"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert {"source", "destination", "path", "checksum", "archived_at"} <= set(rows[0])


@pytest.mark.parametrize("uid", [UID, UID[:8]])
def test_a_uid_finds_the_three_files_of_its_scan_together(instrument, uid):
    rows = found(instrument, "--uid", uid)
    assert names(rows) == set(SCAN)
    assert {row["experiment"] for row in rows} == {"RB1"}
    told = next(row for row in rows if row["uid"])
    assert (told["scan_id"], told["plan_name"], told["motors"]) == (7, "scan", ["motor"])


def test_a_plan_finds_all_its_scans(instrument):
    for plan in ("scan", "Scan"):
        assert {row["experiment"] for row in found(instrument, "--plan", plan)} == {"RB1", "RB2"}
    assert found(instrument, "--plan", "count") == []


def test_the_number_of_a_scan_finds_it_and_is_shown(instrument):
    rows = found(instrument, "--scan", "7", "--experiment", "RB1")
    assert names(rows) == set(SCAN)
    for other in ("6", "8"):
        assert found(instrument, "--scan", other) == []
    assert "\n    scan 7 (scan)\n" in instrument.run("history", "--scan", "7").stdout


@pytest.mark.parametrize("name", ["RB2", "rb2", "2"])
def test_an_experiment_is_found_in_any_case_and_without_its_rb(instrument, name):
    assert {row["experiment"] for row in found(instrument, "--experiment", name)} == {"RB2"}


def test_a_date_finds_what_was_archived_that_day(instrument):
    """By itself, and as the end of a span, which includes it; in local time."""
    everything = found(instrument)
    today = {str(row["archived_at"])[:10] for row in everything}
    assert [row for day in today for row in found(instrument, day)] == everything
    since, until = min(today), max(today)
    assert found(instrument, "--since", since, "--until", until) == everything
    assert found(instrument, "--until", f"{since}T00:00") == []
    assert found(instrument, "2026-13-13") == []
    assert names(found(instrument, STAMP[:10])) == set(SCAN)  # it is in their names


def test_experiment_date_text_and_limit_narrow_it_down(instrument):
    assert {row["experiment"] for row in found(instrument, "--experiment", "RB2")} == {"RB2"}
    assert names(found(instrument, "odd.txt")) == {"odd.txt"}
    assert found(instrument, "--since", "2999-01-01") == []
    assert len(found(instrument, "--since", "1h", "--limit", "3")) == 3 * 2
    assert found(instrument, "--until", "1h") == []
    assert len(found(instrument, "--until", "2999-01-01", "--limit", "3")) == 3 * 2


def test_a_checksum_finds_its_file(instrument):
    digest = hashlib.sha256(header(UID)).hexdigest()
    assert names(found(instrument, digest)) == {f"NDX_motor_{STAMP}Z.txt"}


def test_a_table_for_spreadsheets_has_the_same_rows(instrument):
    done = instrument.run("history", "--csv", "--experiment", "RB1")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert names(rows) == names(found(instrument, "--experiment", "RB1"))


def test_the_limit_counts_files_each_with_all_its_places_the_lasting_one_first(instrument):
    """What a person is shown is where files are, not where they were for a day."""
    lines = instrument.run("history", "RB2", "--limit", "2").stdout.splitlines()
    places = [line.split("  ")[1] for line in lines if line.startswith("20")]
    assert places == ["archive", "cache", "archive", "cache"]
    assert lines[-1] == "(the newest 2 files; --limit shows more)"


def test_a_destination_narrows_it_down(instrument):
    rows = found(instrument, "--destination", "archive")
    assert {row["destination"] for row in rows} == {"archive"}
    assert len(rows) == len(found(instrument)) // 2
    done = instrument.run("history", "--destination", "achive")
    assert done.returncode == 2
    assert "expected one of archive, cache" in done.stderr


def test_a_person_reads_lines(instrument):
    done = instrument.run("history", "odd", "--limit", "1")
    assert "odd.txt" in done.stdout
    assert "--limit shows more" in done.stdout


def test_a_ledger_that_has_to_be_copied_to_be_read_leaves_nothing_behind(instrument, tmp_path):
    """A state folder copied from a running watcher: part of it is in the ledger's log."""
    instrument.start()
    instrument.finish("RB3/bluesky_scans/last.txt")
    instrument.wait_until(lambda: names(found(instrument, "last.txt")))
    copied, folder = tmp_path / "state", tmp_path / "temporary"
    copied.mkdir()
    folder.mkdir()
    for end in ("", "-wal"):
        shutil.copy(instrument.state / f"ledger.sqlite{end}", copied)
    instrument.stop()
    instrument.configure(state_dir=str(copied))
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    done = subprocess.run(
        instrument.command("history", "last.txt"),
        env=instrument.environment() | places,
        capture_output=True,
        text=True,
        check=True,
    )
    instrument.configure()
    assert "last.txt" in done.stdout
    assert list(folder.iterdir()) == []


def test_a_wrong_date_is_wrong_usage(instrument):
    done = instrument.run("history", "--since", "yesterday")
    assert done.returncode == 2
    assert "2026-07-01" in done.stderr


@pytest.mark.parametrize(
    "start", [b"", b"\x89PNG\r\n\x1a\n", b"uid:\n", b"\n" + header(UID), b"a" * 100_000]
)
def test_what_is_no_header_says_nothing(start):
    assert scan_of(start) is None


@pytest.mark.parametrize("motors", [b"('mo", b"{[]: 1}", b"-'x'", b"'\\ud800'"])
def test_a_header_is_read_as_far_as_it_can_be(motors):
    """R11: what a file says of its scan never keeps it from being archived."""
    broken = header(UID).replace(b"('motor',)", motors).replace(b"scan_id: 7", b"scan_id: x")
    assert scan_of(broken) == Scan(UID, None, "scan", (), STAMP)


def test_the_stamp_in_a_name_is_the_start_of_its_scan():
    assert {stamp_of(name) for name in SCAN} == {STAMP}
    assert stamp_of("scan.txt") == ""


def test_a_number_after_the_stamp_tells_scans_of_the_same_second_apart():
    first = {name.replace("Z", "Z_1") for name in SCAN}
    assert {stamp_of(name) for name in first} == {f"{STAMP}Z_1"}
    assert stamp_of(f"NDX_motor_{STAMP}Z_12.txt") == f"{STAMP}Z_12"
    assert stamp_of(f"NDX_motor_{STAMP}Z_height.txt") == STAMP

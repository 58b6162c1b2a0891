"""`watcher verify`: each fault is found by name, from the ledger or from the records alone."""

import json
import re
import shutil
import subprocess
import threading

import pytest

from tests.harness import Instrument
from tests.platforms import remove_tree, wine_excuses
from watcher.config import load
from watcher.platform import system
from watcher.verification import Asked, State, Tally, reading, verify
from watcher.verification.shelves import Shelves

FILES = 20
STREAM = pytest.param("stream", marks=wine_excuses("no alternate data streams"))
RECORDS = ["manifest", "sidecar", STREAM]


def verified(instrument: Instrument, *options: str) -> tuple[int, dict[str, list[str]]]:
    """Run it; return the exit code, and the file names by state."""
    done = instrument.run("verify", "--json", "--destination", "archive", *options)
    assert done.stdout.startswith("["), done.stderr
    found: dict[str, list[str]] = {}
    for one in json.loads(done.stdout):
        name = one["path"].replace("\\", "/").rpartition("/")[2]
        found.setdefault(one["state"], []).append(name)
    return done.returncode, {state: sorted(names) for state, names in found.items()}


@pytest.fixture(params=RECORDS)
def instrument(request, tmp_path):
    with Instrument(tmp_path, checksums={"record": request.param}) as made:
        for number in range(FILES):
            made.finish(f"RB1/bluesky_scans/sub/scan_{number:02}.txt", b"%d\n" % number)
        done = made.run("rescan")
        assert done.returncode == 0, done
        yield made


def spoil(instrument: Instrument) -> None:
    """A flipped byte, a shortened, a deleted and a foreign file."""
    folder = instrument.archived("RB1", "sub")
    for number, content in ((1, b"x\n"), (2, b"")):
        path = folder / f"scan_{number:02}.txt"
        path.chmod(0o644)
        path.write_bytes(content)
    (folder / "scan_03.txt").chmod(0o644)
    (folder / "scan_03.txt").unlink()
    (folder / "foreign.txt").write_bytes(b"1")


FAULTS = {
    "altered": ["scan_01.txt", "scan_02.txt"],
    "missing": ["scan_03.txt"],
    "unrecorded": ["foreign.txt"],
}


def test_all_is_well_with_and_without_the_ledger(instrument):
    names = [f"scan_{number:02}.txt" for number in range(FILES)]
    assert verified(instrument) == (0, {"ok": names})
    shutil.rmtree(instrument.state)
    assert verified(instrument) == (0, {"ok": names})
    assert not instrument.state.exists(), "verify makes no state folder"


def test_each_fault_is_found_by_name(instrument):
    spoil(instrument)
    code, found = verified(instrument)
    assert code == 1
    assert len(found.pop("ok")) == FILES - 3
    assert found == FAULTS


def test_each_fault_is_found_from_the_records_alone_R10(instrument):
    spoil(instrument)
    shutil.rmtree(instrument.state)
    code, found = verified(instrument)
    assert code == 1
    assert len(found.pop("ok")) == FILES - 3
    is_stream = not list(instrument.archive.rglob("*sha256"))
    wanted = {k: v for k, v in FAULTS.items() if not (is_stream and k == "missing")}
    assert found == wanted, "a stream goes with its file"


def test_what_was_recorded_by_another_algorithm_years_ago_still_counts_R10(instrument):
    """The ledger is gone, and the configuration names another algorithm by now."""
    record = "stream"
    if list(instrument.archive.rglob("*.sha256")):
        record = "manifest" if list(instrument.archive.rglob("checksums.sha256")) else "sidecar"
    shutil.rmtree(instrument.state)
    instrument.configure(checksums={"record": record, "algorithm": "sha512"})
    (instrument.archived("RB1", "sub") / "foreign.txt").write_bytes(b"1")
    code, found = verified(instrument)
    assert code == 1
    assert found.pop("unrecorded") == ["foreign.txt"]
    assert list(found) == ["ok"]
    assert len(found["ok"]) == FILES


@pytest.fixture
def archived(tmp_path):
    with Instrument(tmp_path) as made:
        for number in range(FILES):
            made.finish(f"RB1/bluesky_scans/scan_{number:02}.txt", b"%d\n" % number)
        made.finish("RB2/bluesky_scans/other.txt")
        assert made.run("rescan").returncode == 0
        yield made


def test_only_an_experiment_is_looked_at(archived):
    assert verified(archived, "--experiment", "RB2") == (0, {"ok": ["other.txt"]})


def test_R10_a_damaged_ledger_is_set_aside_and_that_is_said(archived):
    """What is recorded at the destinations is compared all the same."""
    ledger = archived.state / "ledger.sqlite"
    content = ledger.read_bytes()
    ledger.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    done = archived.run("verify")
    assert done.returncode == 0, done
    assert f"{2 * (FILES + 1)} ok" in done.stdout
    said = (done.stdout + done.stderr).replace("\n", " ")
    assert "it is set aside and a new one begun; no file is lost" in said


def test_an_experiment_of_which_nothing_is_known_is_wrong_usage(archived):
    """A check that checked nothing must not look fine, because of a slip of the finger."""
    done = archived.run("verify", "--experiment", "RB3", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "found 'RB3', of which there is no record, and no folder at archive (" in done.stderr
    assert str(archived.cache) in done.stderr.replace("\n", "")


@pytest.mark.parametrize("is_there", ["folder", "record"])
def test_an_experiment_of_which_anything_is_known_is_looked_at(archived, is_there):
    if is_there == "folder":
        archived.archived("RB3", "").mkdir()
        assert verified(archived, "--experiment", "RB3") == (0, {})
    else:
        remove_tree(str(archived.cached("RB2", "").parent))
        for _ in range(2):
            done = archived.run("verify", "--experiment", "RB2", "--destination", "cache")
            assert done.returncode == 0, done.stderr


def test_a_sample_takes_the_oldest_check_first_until_all_had_their_turn(archived):
    seen: set[str] = set()
    for _ in range(3):
        code, found = verified(archived, "--sample", "33%")
        assert code == 0
        assert not seen & set(found["ok"])
        seen |= set(found["ok"])
    assert len(seen) == FILES + 1


def test_what_was_proven_lately_is_not_read_again(archived):
    """So that what was interrupted goes on where it was."""
    assert verified(archived, "--older-than", "1h") == (0, {})
    assert len(verified(archived, "--older-than", "0s")[1]["ok"]) == FILES + 1


def test_when_a_copy_was_last_proven_has_an_answer(archived):
    copy = archived.archived("RB2", "other.txt")
    source = str(archived.root / "RB2" / "bluesky_scans" / "other.txt")
    assert "read again" not in archived.run("why", source).stdout
    verified(archived)
    assert re.search(r"read again 20\d\d-.*: ok", archived.run("why", source).stdout)
    copy.chmod(0o644)
    copy.write_bytes(b"3 2 1\n")
    verified(archived)
    assert re.search(r"read again 20\d\d-.*: altered", archived.run("why", source).stdout)
    assert re.search(r"read again 20\d\d-.*: altered", archived.run("history", "other").stdout)
    told = {one["destination"]: one for one in json.loads(history(archived, "other"))}
    assert told["archive"]["verified_as"] == "altered"
    assert told["archive"]["verified_at"] > told["archive"]["archived_at"]
    assert told["cache"]["verified_at"] is None


def history(instrument: Instrument, *arguments: str) -> str:
    return instrument.run("history", "--json", *arguments).stdout


def test_what_it_found_is_told_by_all_until_it_is_mended(tmp_path):
    """R11: the watcher that runs beside it doesn't say that all is well; each file counts once."""
    with Instrument(tmp_path) as instrument:
        instrument.finish("RB1/bluesky_scans/scan.txt")
        instrument.finish("RB1/bluesky_scans/other.txt")
        instrument.start()
        instrument.wait_until(lambda: not instrument.sources())
        places = [instrument.archived("RB1", "scan.txt"), instrument.cached("RB1", "scan.txt")]
        whole = places[0].read_bytes()
        for path in places:
            path.chmod(0o644)
            path.write_bytes(b"altered")
        instrument.cached("RB1", "other.txt").chmod(0o644)  # or Windows keeps it
        instrument.cached("RB1", "other.txt").unlink()  # cleaned by others
        assert instrument.run("verify").returncode == 1
        told = instrument.wait_until(lambda: (s := instrument.status())["faulty"] and s)
        assert (told["faulty"], told["health"]["level"]) == (1, "attention")
        room = ("--free-warning", "1B", "--free-critical", "1B")
        check = instrument.run("check", *room)
        assert check.returncode == 1
        assert "1 archived file missing or altered, as `watcher verify` found" in check.stdout
        assert " faulty=1;" in check.stdout
        assert "put it back from where it is whole" in instrument.run("status").stdout
        for path in places:
            path.write_bytes(whole)
        assert instrument.run("verify").returncode == 0
        instrument.wait_until(lambda: not instrument.status()["faulty"])
        assert instrument.run("check", *room).returncode == 0


def test_copies_that_others_cleaned_away_are_no_fault(archived):
    remove_tree(str(archived.cached("RB1", "")))
    done = archived.run("verify", "--destination", "cache", "--json")
    states = {one["state"] for one in json.loads(done.stdout)}
    assert done.returncode == 0
    assert states == {"ok", "cleaned"}


def test_a_line_whose_file_is_still_on_its_way_is_pending(archived):
    shutil.rmtree(archived.state)
    manifest = archived.archived("RB1", "checksums.sha256")
    with manifest.open("ab") as file:
        file.write(b"%s *coming.txt\n" % (b"0" * 64))
    archived.finish("RB1/bluesky_scans/coming.txt")
    code, found = verified(archived)
    assert code == 0
    assert found["pending"] == ["coming.txt"]


def test_a_file_that_waits_for_a_person_is_pending_though_its_checksum_file_is_there(archived):
    """R2: it was never archived, so it can't be missing."""
    archived.finish("RB1/bluesky_scans/bad.txt", b"1 2 3\n")
    archived.finish("RB1/bluesky_scans/bad.txt.sha256", b"%s *bad.txt\n" % (b"0" * 64))
    assert archived.run("rescan").returncode == 1
    assert archived.archived("RB1", "bad.txt.sha256").exists()
    code, found = verified(archived)
    assert (code, found.get("pending"), found.get("missing")) == (0, ["bad.txt"], None)


def test_a_deleted_manifest_is_rebuilt_with_the_next_file_and_it_is_said(archived):
    manifest = archived.archived("RB1", "checksums.sha256")
    before = set(manifest.read_bytes().splitlines())
    archived.start()
    manifest.unlink()
    archived.finish("RB1/bluesky_scans/next.txt")
    archived.wait_until(lambda: archived.archived("RB1", "next.txt").exists())
    archived.wait_until(lambda: archived.status()["warnings"])
    after = set(manifest.read_bytes().splitlines())
    assert after > before
    assert len(after) == FILES + 1
    assert "20 lines" in archived.status()["warnings"][0]["text"]
    assert "lacked" in archived.run("status").stdout
    archived.stop()


def test_a_manifest_that_lacks_lines_is_made_whole_and_it_is_said(archived):
    manifest = archived.archived("RB1", "checksums.sha256")
    before = set(manifest.read_bytes().splitlines())
    manifest.write_bytes(manifest.read_bytes().splitlines(keepends=True)[0])
    done = archived.run("verify", "--destination", "archive")
    assert done.returncode == 0
    assert f"{FILES - 1} lines" in done.stdout
    assert set(manifest.read_bytes().splitlines()) == before


def test_a_destination_that_is_away_is_no_loss_but_said(archived):
    archived.cycle.rename(archived.folder / "away")
    done = archived.run("verify", "--destination", "archive")
    assert done.returncode == 1
    assert "archive can't be looked at" in done.stdout
    assert "missing" not in done.stdout


def test_where_a_destination_goes_on_the_way_nothing_counts_as_missing(archived, monkeypatch):
    monkeypatch.setattr(reading, "_TOGETHER", 1)
    monkeypatch.setattr(reading, "_AHEAD", 1)
    tally = Tally()
    findings = verify(load(str(archived.config_file)), Asked("archive"), tally)
    next(findings)
    archived.cycle.rename(archived.folder / "away")
    assert {finding.state for finding in findings} <= {State.OK}
    assert "archive" in tally.unreachable
    assert not tally.is_clean
    (archived.folder / "away").rename(archived.cycle)
    again = {name for names in verified(archived)[1].values() for name in names}
    assert len(again) == FILES + 1, "what was not read is not taken for proven"


def test_a_destination_that_hangs_on_the_way_is_left_and_the_next_one_read_R8(
    archived, monkeypatch
):
    archived.configure(retry={"stalled_after": "1s"})
    answers, open_for_reading = threading.Event(), system.open_for_reading

    def hang(path):
        if system.plain(path).startswith(str(archived.archive)) and path.endswith("scan_07.txt"):
            answers.wait()
        return open_for_reading(path)

    monkeypatch.setattr(system, "open_for_reading", hang)
    monkeypatch.setattr(reading, "_TOGETHER", 1)
    tally = Tally()
    try:
        found = list(verify(load(str(archived.config_file)), Asked(), tally))
    finally:
        answers.set()
    assert tally.unreachable == {"archive": "no answer for 1 s"}
    assert not tally.is_clean
    read = [finding.copy.destination for finding in found if finding.state is State.OK]
    assert 0 < read.count("archive") <= FILES
    assert read.count("cache") == FILES + 1


def test_what_is_found_is_told_before_all_is_looked_at_R12(archived, monkeypatch):
    """So that memory doesn't grow with it; also where nothing needs reading."""
    for number in range(300):
        (archived.archive / "RB1" / f"foreign_{number:03}.txt").write_bytes(b"")
    below, looked_at = Shelves.below, []
    monkeypatch.setattr(reading, "_TOGETHER", 1)
    monkeypatch.setattr(
        Shelves, "below", lambda *of: (looked_at.append(one) or one for one in below(*of))
    )
    findings = verify(load(str(archived.config_file)), Asked("archive"), Tally())
    assert any(finding.state is State.UNRECORDED for finding in findings)
    assert len(looked_at) < 100
    assert sum(finding.state is State.UNRECORDED for finding in findings) == 299


def test_an_unknown_destination_is_said(archived):
    done = archived.run("verify", "--destination", "moon")
    assert done.returncode != 0
    assert "archive, cache" in done.stderr


@pytest.mark.parametrize("command", ["verify", "history", "status"])
def test_what_only_looks_starts_without_the_parts_that_watch(archived, command):
    """So that it starts quickly: `verify` competes with a tool that starts at once."""
    environment = archived.environment() | {"PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        archived.command(command), env=environment, capture_output=True, text=True, check=False
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "watcher.ledger" in imported or command == "status"
    assert not imported & {"watchdog", "watcher.daemon", "rich.console", "watcher.cli.run"}


def test_what_is_no_destination_is_wrong_usage(tmp_path):
    with Instrument(tmp_path) as made:
        done = made.run("verify", "--destination", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "found 'nowhere', expected one of archive, cache" in done.stderr

"""`watcher why` and `rescan --dry-run`: what is true now, whatever the record says."""

import pytest

from tests.faults import share as shares
from tests.harness import CYCLE, NAME, Instrument, Watcher, wait_until
from tests.platforms import remove_marked
from tests.rules.evidence import SCANS, away

SCAN = f"RB1/{SCANS}/scan.txt"


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path) as made:
        yield made


@pytest.fixture
def archived(instrument):
    """One with a file that went everywhere."""
    instrument.finish(SCAN)
    assert instrument.run("rescan").returncode == 0
    return instrument


def why(instrument: Instrument, path: object = SCAN) -> list[str]:
    done = instrument.run("why", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def places(lines: list[str]) -> list[str]:
    return [line.split(":")[0] for line in lines if line.startswith(("archive: ", "cache: "))]


def after(lines: list[str], start: str) -> str:
    """Return the line after the one that begins so."""
    return lines[next(i for i, line in enumerate(lines) if line.startswith(start)) + 1]


def test_where_copies_still_are_comes_first_the_lasting_ones_before_the_cleaned(archived):
    said = why(archived)
    assert places(said) == ["archive", "cache"]
    assert not [line for line in said if "gone" in line]


def test_a_copy_that_is_gone_is_told_to_be_gone(archived):
    """The record is never the truth: the disk is."""
    remove_marked(archived.archived("RB1", "scan.txt"))
    said = why(archived)
    assert places(said) == ["cache", "archive"]
    assert after(said, "archive: ") == "    gone from there now"


def test_a_cache_that_was_cleaned_is_no_alarm(archived):
    remove_marked(archived.cached("RB1", "scan.txt"))
    for asked in (SCAN, archived.archived("RB1", "scan.txt")):
        said = why(archived, asked)
        assert places(said) == ["archive", "cache"]
        assert "as expected" in after(said, "cache: ")


def test_another_file_in_its_place_is_told(archived):
    copy = archived.archived("RB1", "scan.txt")
    remove_marked(copy)
    copy.write_bytes(b"another")
    assert "another file" in after(why(archived), "archive: ")


def test_a_share_that_is_away_is_told_as_that_and_not_as_a_loss(archived):
    with away(archived.share):
        said = why(archived)
    assert places(said) == ["cache", "archive"]
    assert "can't be looked at now: its folder is missing" in after(said, "archive: ")


def forget(instrument: Instrument) -> None:
    for path in instrument.state.glob("ledger.sqlite*"):
        path.unlink()


def test_R10_without_the_ledger_the_copies_are_found_where_they_would_have_gone(archived):
    """R10: in a cycle that is over, too; history is lost, nothing else."""
    forget(archived)
    (archived.cycle.parent / "cycle_99_9").mkdir()
    said = why(archived)
    assert f"archive: {archived.archived('RB1', 'scan.txt')}" in said
    assert f"cache: {archived.cached('RB1', 'scan.txt')}" in said
    assert "without a record: 6 B" in after(said, "archive: ")
    assert "watcher verify" in said[-1]


def test_R10_without_the_ledger_a_destination_that_is_away_is_told(archived):
    forget(archived)
    with away(archived.share):
        said = why(archived)
    assert any("archive: can't be looked at now" in line for line in said)
    assert f"cache: {archived.cached('RB1', 'scan.txt')}" in said


def test_R10_without_the_ledger_a_copy_is_told_to_be_one_without_a_record(archived):
    forget(archived)
    for name, place in (("archive", archived.archived), ("cache", archived.cached)):
        said, compare = why(archived, place("RB1", "scan.txt"))
        assert said == f"it lies in the destination {name}, without a record of how it came there"
        assert "watcher verify" in compare


def test_what_is_nowhere_is_searched_for_in_the_history(archived):
    said = why(archived, "scan.txt")
    assert said[-1] == "files of that name are on record; `watcher history scan.txt` tells which"
    for asked in ("never.txt", f"RB1/{SCANS}/never.txt"):
        assert "`watcher history" in why(archived, asked)[-1]


def rehearsed(instrument: Instrument) -> list[str]:
    done = instrument.run("rescan", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_dry_run_promises_nothing_that_the_rescan_won_t_do(instrument):
    """What differs from its producer's checksum stays, and so does that checksum."""
    instrument.finish(SCAN)
    instrument.finish(f"{SCAN}.sha256", b"0" * 64 + b" *scan.txt\n")
    instrument.finish(f"RB2/{SCANS}/good.txt")
    said = rehearsed(instrument)
    assert "stays: it differs from its producer's checksum" in after(
        said, str(instrument.root / "RB1" / SCANS / "scan.txt")
    )
    assert "stays: holds the checksum of" in "".join(said)
    assert said[-1] == "1 finished would be archived, 2 finished and 0 unfinished would stay"
    assert "archived 1, left behind 2" in instrument.run("rescan").stdout
    assert instrument.run("resolve", SCAN, "--accept").returncode == 0
    assert rehearsed(instrument)[-1].startswith("2 finished would be archived, 0 finished")


def test_a_dry_run_tells_the_name_that_a_conflict_gets(instrument):
    """R4: what is there with another size is another file for certain."""
    taken = instrument.archived("RB1", "scan.txt")
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"another")
    instrument.finish(SCAN)
    (told,) = [line for line in rehearsed(instrument) if "archive: " in line]
    assert instrument.run("rescan").returncode == 0
    (kept,) = [p for p in taken.parent.glob("scan.*.txt")]
    assert told == f"    archive: {kept}, beside another file of its name"


def test_a_dry_run_in_an_outage_archives_nothing(instrument):
    instrument.finish(SCAN)
    with away(instrument.share):
        said = rehearsed(instrument)
    assert said[0].startswith("archive is offline: its folder is missing")
    assert said[-1] == "0 finished would be archived, 1 finished and 0 unfinished would stay"


@pytest.fixture
def share(tmp_path):
    if reason := shares.why_not():
        pytest.skip(reason)
    backing = tmp_path / "backing"
    backing.mkdir()
    with shares.Share(backing, tmp_path / "mounted") as made:
        yield made


@pytest.fixture
def hanging(share, tmp_path):
    """One whose archive hangs after a file went there."""
    with Instrument(tmp_path / "i") as made:
        made.share = share.mount
        made.cycle = share.mount / NAME / "Instrument" / "data" / CYCLE
        made.archive = made.cycle / "autoreduced" / "bluesky_scans"
        made.cycle.mkdir(parents=True)
        made.configure(retry={"initial": "100ms", "maximum": "1s", "stalled_after": "1s"})
        made.finish(SCAN)
        assert made.run("rescan").returncode == 0
        share.break_("any", "hang", times=-1)
        yield made


def said_by(instrument: Instrument, share: shares.Share, *arguments: str, last: str) -> list[str]:
    """Return what a command says while the share hangs; only then can it be taken away."""
    command = instrument.command(*arguments)
    asking = Watcher(command, instrument.environment(), instrument.folder)
    try:
        wait_until(lambda: last in asking.output, failure=lambda: asking.output)
    finally:
        share.restore()
        asking.process.wait(20)
        asking.kill()
    assert asking.process.returncode == 0, asking.output
    return asking.output.splitlines()


@pytest.mark.parametrize("is_copy", [False, True], ids=["source", "copy"])
def test_R8_a_share_that_hangs_is_said_and_delays_no_answer_for_ever(hanging, share, is_copy):
    """R8: asked by the name of the source, or of the very copy that doesn't answer."""
    asked = hanging.archived("RB1", "scan.txt") if is_copy else SCAN
    said = said_by(hanging, share, "why", str(asked), last="can't be looked at")
    assert places(said) == ["cache", "archive"]
    assert "can't be looked at now: no answer for 1 s" in after(said, "archive: ")


def test_R8_a_dry_run_says_which_destination_does_not_answer(hanging, share):
    """R8: and tells the rest."""
    hanging.finish(f"RB2/{SCANS}/other.txt")
    said = said_by(hanging, share, "rescan", "--dry-run", last="would stay")
    assert said[0].startswith("archive is offline: no answer for 1 s")
    assert f"    cache: {hanging.cached('RB2', 'other.txt')}" in said
    assert said[-1] == "0 finished would be archived, 1 finished and 0 unfinished would stay"

"""The producer's own checksums: held to before anything is published, until a person decides."""

import hashlib
import os
import stat

import pytest

from tests.harness import Instrument
from tests.platforms import remove_marked, wine_excuses

SCAN = "RB1/bluesky_scans/scan.txt"
CONTENT = b"1 2 3\n"
WRONG = {name: hashlib.new(name, b"another").hexdigest() for name in ("sha256", "sha1", "md5")}
RIGHT = {name: hashlib.new(name, CONTENT).hexdigest() for name in ("sha256", "sha1", "md5")}
FORMS = [("scan.txt.sha256", "sha256"), ("scan.sha1.txt", "sha1"), ("scan.txt.md5", "md5")]


@pytest.fixture
def instrument(tmp_path):
    with Instrument(tmp_path, retry={"initial": "100ms", "maximum": "300ms"}) as made:
        yield made


def promise(instrument: Instrument, name: str, digest: str) -> None:
    instrument.finish(f"RB1/bluesky_scans/{name}", f"{digest} *scan.txt\n".encode())


@pytest.mark.parametrize(("name", "algorithm"), FORMS)
def test_a_promise_that_is_kept_travels_with_its_file(instrument, name, algorithm):
    promise(instrument, name, RIGHT[algorithm])
    instrument.finish(SCAN, CONTENT)
    assert instrument.run("rescan").returncode == 0
    assert instrument.archived("RB1", "scan.txt").read_bytes() == CONTENT
    assert instrument.archived("RB1", name).exists()
    assert instrument.sources() == {}


@pytest.mark.parametrize(("name", "algorithm"), FORMS)
def test_a_broken_promise_keeps_the_file_and_names_both_digests(instrument, name, algorithm):
    promise(instrument, name, WRONG[algorithm])
    source = instrument.finish(SCAN, CONTENT)
    instrument.start()
    instrument.wait_until(lambda: instrument.status()["mismatches"] == 1)
    assert source.exists()
    assert not instrument.archived("RB1", "scan.txt").exists()
    assert not instrument.cached("RB1", "scan.txt").exists()
    why = instrument.run("why", str(source)).stdout
    assert WRONG[algorithm] in why
    assert RIGHT[algorithm] in why
    assert "watcher resolve" in why


def test_accepted_it_is_archived_as_it_is_with_both_digests_on_record(instrument):
    promise(instrument, "scan.txt.sha256", WRONG["sha256"])
    source = instrument.finish(SCAN, CONTENT)
    instrument.start()
    instrument.wait_until(lambda: instrument.status()["mismatches"] == 1)
    done = instrument.run("resolve", str(source), "--accept")
    assert done.returncode == 0, done
    instrument.wait_until(lambda: instrument.sources() == {})
    assert instrument.archived("RB1", "scan.txt").read_bytes() == CONTENT
    why = instrument.run("why", str(source)).stdout
    assert WRONG["sha256"] in why
    assert RIGHT["sha256"] in why
    instrument.wait_until(lambda: instrument.status()["mismatches"] == 0)


def test_looked_at_again_it_goes_once_it_is_mended(instrument):
    promise(instrument, "scan.txt.sha256", WRONG["sha256"])
    source = instrument.finish(SCAN, CONTENT)
    instrument.start()
    instrument.wait_until(lambda: instrument.status()["mismatches"] == 1)
    again = instrument.run("resolve", str(source))
    assert again.returncode == 1
    assert WRONG["sha256"] in again.stdout
    # its sidecar has been archived meanwhile; a corrected one takes its place
    promise(instrument, "scan.txt.sha256.new", RIGHT["sha256"])
    beside = source.with_name("scan.txt.sha256")
    if beside.exists():
        remove_marked(beside)
    source.with_name("scan.txt.sha256.new").replace(beside)
    instrument.wait_until(lambda: not source.exists())
    assert instrument.archived("RB1", "scan.txt").read_bytes() == CONTENT


def test_unfinished_and_lone_checksum_files_hold_up_nothing(instrument):
    instrument.write("RB1/bluesky_scans/scan.txt.sha256", f"{WRONG['sha256']} *scan.txt\n".encode())
    promise(instrument, "lone.txt.sha256", WRONG["sha256"])
    instrument.finish("RB1/bluesky_scans/scan.sha1.txt", b"no digest at all\n")
    instrument.finish(SCAN, CONTENT)
    assert instrument.run("rescan").returncode == 0
    assert set(instrument.sources()) == {"RB1/bluesky_scans/scan.txt.sha256"}


def test_a_file_whose_source_is_renamed_into_its_only_place_is_held_to_it_too(tmp_path):
    """Settling reads it then, and nobody else."""
    cache = tmp_path / "Data" / "Export only" / "{experiment}" / "bluesky_scans"
    only = [{"name": "cache", "path": str(cache)}]
    with Instrument(tmp_path, destinations=only) as instrument:
        promise(instrument, "scan.txt.sha256", WRONG["sha256"])
        source = instrument.finish(SCAN, CONTENT)
        instrument.start()
        instrument.wait_until(lambda: instrument.status()["mismatches"] == 1)
        assert source.exists()


@wine_excuses("no alternate data streams")
def test_a_promise_in_a_stream_is_held_to_as_well(instrument):
    source = instrument.write(SCAN, CONTENT)
    line = f"{WRONG['md5']} *scan.txt\n".encode()
    if os.name == "nt":
        with open(f"{source}:checksum", "wb") as stream:
            stream.write(line)
    else:
        os.setxattr(source, "user.checksum", line)
    source.chmod(stat.S_IREAD)
    instrument.start()
    instrument.wait_until(lambda: instrument.status()["mismatches"] == 1)
    assert source.exists()


def test_a_conflict_is_marked_as_seen(instrument):
    taken = instrument.archived("RB1", "scan.txt")
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"another")
    source = instrument.finish(SCAN, CONTENT)
    instrument.start()
    instrument.wait_until(lambda: instrument.sources() == {})
    instrument.stop()
    instrument.start()  # one that knows of it from the ledger alone
    told = instrument.wait_until(lambda: (s := instrument.status())["conflicts"] == 1 and s)
    assert [clash["source"] for clash in told["last_conflicts"]] == [str(source)]
    done = instrument.run("resolve", str(source))
    assert done.returncode == 0
    assert "1 conflict" in done.stdout
    told = instrument.wait_until(lambda: (s := instrument.status())["conflicts"] == 0 and s)
    assert told["last_conflicts"] == []


def test_R10_a_damaged_ledger_is_set_aside_and_that_is_said(instrument):
    """R10: by the command that does it, beside its answer."""
    source = instrument.finish(SCAN, CONTENT)
    instrument.state.mkdir()
    (instrument.state / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    done = instrument.run("resolve", str(source))
    assert done.returncode == 0
    assert "it is set aside and a new one begun; no file is lost" in done.stderr
    assert "set aside" not in done.stdout


def test_a_copy_is_nothing_to_decide(instrument):
    """The watcher never tries what lies at a destination."""
    source = instrument.finish(SCAN, CONTENT)
    assert instrument.run("rescan").returncode == 0
    for copy in (instrument.archived("RB1", "scan.txt"), instrument.cached("RB1", "scan.txt")):
        done = instrument.run("resolve", str(copy))
        assert done.stdout == f"there is nothing to decide: it is a copy of {source}\n"
        assert done.returncode == 1
    other = instrument.finish("Export only/RB1/bluesky_scans/other.txt")
    done = instrument.run("resolve", str(other), "--accept")
    assert "never read" in done.stdout
    assert done.returncode == 1

"""The manifest: one line a file, whole and once, whoever writes, whatever happens."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.checksums import Entry, Manifest, remembered
from watcher.checksums.lines import written
from watcher.model import ArchivePath, Checksum
from watcher.platform.locking import locked

MANIFEST = "checksums.sha256"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def place_of(folder: Path, relative: str) -> ArchivePath:
    return ArchivePath(str(folder), str(folder), relative)


def entry(folder: Path, relative: str, content: bytes | None = None) -> Entry:
    """Publish a copy and return what goes on record."""
    content = relative.encode(errors="surrogateescape") if content is None else content
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Entry(place_of(folder, relative), (Checksum("sha256", digest_of(content)),))


def line_of(one: Entry) -> bytes:
    return written(one.place.relative, one.checksums[0].digest)


def text_of(folder: Path) -> bytes:
    return (folder / MANIFEST).read_bytes()


def check(folder: Path, command: str = "sha256sum") -> None:
    """Let the real tool check a manifest, where there is one."""
    if tool := shutil.which(command):
        name = f"checksums.{command.removesuffix('sum')}"
        answer = subprocess.run(
            [tool, "--strict", "--quiet", "-c", name], cwd=folder, capture_output=True, check=False
        )
        assert answer.returncode == 0, answer


def started(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a process of its own that writes."""
    command = [sys.executable, "-c", WRITER + code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


WRITER = """
import hashlib, os, sys
from watcher.checksums import Entry, Manifest
from watcher.model import ArchivePath, Checksum

def entry(folder, relative):
    digest = hashlib.sha256(relative.encode()).hexdigest()
    return Entry(ArchivePath(folder, folder, relative), (Checksum("sha256", digest),))

folder = sys.argv[1]
"""


# Lines


def test_a_manifest_has_one_line_a_file_to_the_byte_and_the_real_tool_checks_it(tmp_path):
    one, two = entry(tmp_path, "scan.txt"), entry(tmp_path, os.path.join("sub", "[red].txt"))
    Manifest(["sha256"]).write([one, two])
    expected = f"{digest_of(b'scan.txt')} *scan.txt\n"
    assert text_of(tmp_path).startswith(expected.encode())
    assert text_of(tmp_path).endswith(b" *sub/[red].txt\n")
    assert b"\r" not in text_of(tmp_path)
    check(tmp_path)


def test_each_algorithm_and_each_folder_has_its_own_manifest(tmp_path):
    entries = []
    for folder in (tmp_path / "RB1", tmp_path / "RB2"):
        one = entry(folder, "scan.txt")
        md5 = Checksum("md5", hashlib.md5(b"scan.txt", usedforsecurity=False).hexdigest())
        entries.append(Entry(one.place, (*one.checksums, md5)))
    Manifest(["sha256", "md5"]).write(entries)
    for folder in (tmp_path / "RB1", tmp_path / "RB2"):
        assert sorted(p.name for p in folder.iterdir()) == [
            "checksums.md5",
            "checksums.sha256",
            "scan.txt",
        ]
        check(folder)
        check(folder, "md5sum")


@pytest.mark.parametrize("name", [MANIFEST, "Checksums.SHA256", os.path.join("sub", MANIFEST)])
def test_a_source_of_the_manifests_name_takes_its_conflict_name(tmp_path, name):
    assert Manifest(["md5", "sha256"]).reserves(place_of(tmp_path, name))


@pytest.mark.parametrize("name", ["checksums.sha1", "checksums.sha256.txt", "scan.txt"])
def test_other_names_are_free(tmp_path, name):
    assert not Manifest(["sha256"]).reserves(place_of(tmp_path, name))


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="an ordinary file has no mode there")
@pytest.mark.parametrize("mask", [0o022, 0o002])
def test_a_manifest_is_an_ordinary_writable_file(tmp_path, mask):
    """R8: where a group shares an experiment, its other accounts add their lines."""
    before = os.umask(mask)
    try:
        Manifest(["sha256"]).write([entry(tmp_path, "scan.txt")])
    finally:
        os.umask(before)
    assert (tmp_path / MANIFEST).stat().st_mode & 0o777 == 0o666 & ~mask


# Once


def test_a_file_is_recorded_once_by_the_same_life_and_by_a_later_one_R5(tmp_path):
    one = entry(tmp_path, "scan.txt")
    manifest = Manifest(["sha256"])
    manifest.write([one])
    manifest.write([one, one])
    Manifest(["sha256"]).write([one])
    Manifest(["sha256"]).write([Entry(one.place, one.checksums, may_stand=False)])
    assert text_of(tmp_path) == line_of(one)


@pytest.mark.parametrize("form", ["  scan.txt\n", " *scan.txt\r\n", " *./scan.txt\n"])
def test_a_line_in_another_form_counts(tmp_path, form):
    one = entry(tmp_path, "scan.txt")
    (tmp_path / MANIFEST).write_bytes(one.checksums[0].digest.upper().encode() + form.encode())
    before = text_of(tmp_path)
    Manifest(["sha256"]).write([one])
    assert text_of(tmp_path) == before


@pytest.mark.parametrize("is_new_life", [True, False])
def test_a_stale_digest_is_replaced_and_no_other_byte_changes(tmp_path, is_new_life):
    others = [entry(tmp_path, f"scan {number}.txt") for number in range(3)]
    manifest = Manifest(["sha256"])
    manifest.write(others)
    changed = entry(tmp_path, "scan 1.txt", b"measured again")
    (Manifest(["sha256"]) if is_new_life else manifest).write([changed])
    assert text_of(tmp_path) == line_of(others[0]) + line_of(changed) + line_of(others[2])
    manifest.write([entry(tmp_path, "scan 3.txt")])
    assert text_of(tmp_path).count(b"\n") == 4
    check(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [MANIFEST, *(f"scan {n}.txt" for n in range(4))]


def test_a_digest_that_was_replaced_can_come_back(tmp_path):
    manifest = Manifest(["sha256"])
    first = entry(tmp_path, "scan.txt")
    manifest.write([first, *(entry(tmp_path, f"scan {number}.txt") for number in range(20))])
    manifest.write([entry(tmp_path, "scan.txt", b"measured again")])
    manifest.write([entry(tmp_path, "scan.txt")])
    assert text_of(tmp_path).startswith(line_of(first))
    check(tmp_path)


def test_two_lines_for_one_file_that_differ_both_become_true(tmp_path):
    one = entry(tmp_path, "scan.txt")
    (tmp_path / MANIFEST).write_bytes(written("scan.txt", "0" * 64) + line_of(one))
    Manifest(["sha256"]).write([one])
    check(tmp_path)


def test_lines_and_notes_of_others_stay_as_they_are(tmp_path):
    theirs = b"# looked at by Tom\r\n\r\nSHA256 (other.txt) = " + b"0" * 64 + b"\n"
    (tmp_path / MANIFEST).write_bytes(theirs)
    one = entry(tmp_path, "scan.txt")
    Manifest(["sha256"]).write([one])
    assert text_of(tmp_path) == theirs + line_of(one)


class Receipts:
    """What the ledger has, and what is said."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.said: list[str] = []

    def manifest(self) -> Manifest:
        return Manifest(["sha256"], lambda _folder: self.entries, lambda *w: self.said.append(w[0]))


@pytest.mark.parametrize("is_new_life", [False, True])
def test_a_deleted_manifest_is_rebuilt_with_lines_whose_copy_exists_and_it_is_said(
    tmp_path, is_new_life
):
    entries = [entry(tmp_path, f"scan {number}.txt") for number in range(5)]
    receipts = Receipts(entries[:4])
    manifest = receipts.manifest()
    manifest.write(entries[:4])
    assert receipts.said == []
    (tmp_path / MANIFEST).unlink()
    (tmp_path / "scan 2.txt").unlink()
    manifest = receipts.manifest() if is_new_life else manifest
    manifest.write(entries[4:])
    there = [entries[0], entries[1], entries[3], entries[4]]
    assert sorted(text_of(tmp_path).splitlines(True)) == sorted(map(line_of, there))
    assert len(receipts.said) == 1
    assert "3 lines" in receipts.said[0]
    assert MANIFEST in receipts.said[0]
    check(tmp_path)


def test_where_nothing_is_lacking_nothing_is_said_or_written(tmp_path):
    entries = [entry(tmp_path, f"scan {number}.txt") for number in range(3)]
    receipts = Receipts(entries)
    receipts.manifest().write(entries)
    before = text_of(tmp_path)
    receipts.manifest().write(entries[:1])
    assert receipts.manifest().restore(str(tmp_path)) == 0
    assert text_of(tmp_path) == before
    assert receipts.said == []


def test_an_edited_digest_is_put_right_where_the_copy_itself_says_so(tmp_path):
    one, two, three = (entry(tmp_path, f"scan {number}.txt") for number in range(3))
    receipts = Receipts([one, two])
    receipts.manifest().write([one, two])
    path = tmp_path / MANIFEST
    path.write_bytes(path.read_bytes().replace(one.checksums[0].digest.encode(), b"0" * 64))
    receipts.manifest().write([three])
    assert text_of(tmp_path) == line_of(one) + line_of(two) + line_of(three)
    assert len(receipts.said) == 1


def test_what_another_put_there_and_on_record_stays_whatever_an_old_receipt_says(tmp_path):
    old = entry(tmp_path, "scan.txt", b"old")
    new, other = entry(tmp_path, "scan.txt", b"new"), entry(tmp_path, "other.txt")
    Manifest(["sha256"]).write([new])
    receipts = Receipts([old])
    receipts.manifest().write([other])
    assert text_of(tmp_path) == line_of(new) + line_of(other)
    assert receipts.said == []


def test_what_others_did_between_two_writes_is_noticed(tmp_path):
    manifest = Manifest(["sha256"])
    one, two, three = (entry(tmp_path, f"scan {number}.txt") for number in range(3))
    manifest.write([one])
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(line_of(two))
    manifest.write([two, three])
    assert text_of(tmp_path) == line_of(one) + line_of(two) + line_of(three)
    (tmp_path / MANIFEST).write_bytes(line_of(three) + line_of(two))
    manifest.write([one, two, three])
    assert text_of(tmp_path) == line_of(three) + line_of(two) + line_of(one)
    (tmp_path / MANIFEST).write_bytes(line_of(one))
    manifest.write([two])
    assert text_of(tmp_path) == line_of(one) + line_of(two)


def test_read_returns_every_checksum_by_its_name(tmp_path):
    manifest = Manifest(["sha256"])
    assert manifest.read(str(tmp_path), "sha256") == {}
    entries = [entry(tmp_path, name) for name in ("scan.txt", os.path.join("sub", "scan.txt"))]
    manifest.write(entries)
    expected = {one.place.relative: one.checksums[0] for one in entries}
    assert manifest.read(str(tmp_path), "sha256") == expected


if os.name == "nt":
    NAMES = st.text(st.sampled_from("ab ä図[]'"), min_size=1, max_size=20).map(lambda n: f"x{n}x")
else:
    NAMES = (
        st.binary(min_size=1, max_size=60)
        .map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_")))
        .filter(lambda name: name not in {".", "..", "-"})
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8, unique_by=os.path.normcase), st.randoms())
def test_any_names_in_any_order_and_again_give_each_line_once_R13(names, shuffler):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [entry(folder, one) for one in names]
        again = [*entries, *entries]
        shuffler.shuffle(again)
        manifest = Manifest(["sha256"], names_in_memory=3)
        for start in range(0, len(again), 3):
            manifest.write(again[start : start + 3])
        assert sorted(text_of(folder).splitlines(True)) == sorted(map(line_of, entries))
        check(folder)


# Torn


@pytest.mark.parametrize("is_new_life", [True, False])
def test_a_line_torn_at_any_byte_leaves_no_trace_R5(tmp_path, is_new_life):
    first, torn, other = (entry(tmp_path, name) for name in ("a\\b", "torn.txt", "other.txt"))
    if os.name == "nt":
        first = entry(tmp_path, "a.txt")
    for cut in range(len(line_of(torn))):
        manifest = Manifest(["sha256"])
        (tmp_path / MANIFEST).write_bytes(line_of(first))
        manifest.write([first])
        with (tmp_path / MANIFEST).open("ab") as file:
            file.write(line_of(torn)[:cut])
        life = Manifest(["sha256"]) if is_new_life else manifest
        life.write([other])
        life.write([torn, first])
        lines = text_of(tmp_path).splitlines(True)
        assert sorted(lines) == sorted(map(line_of, (first, torn, other))), cut
    check(tmp_path)


def test_a_last_line_that_lacks_only_its_newline_gets_one_R4(tmp_path):
    one, two = entry(tmp_path, "scan 1.txt"), entry(tmp_path, "scan 2.txt")
    (tmp_path / MANIFEST).write_bytes(line_of(one).rstrip(b"\n"))
    Manifest(["sha256"]).write([one, two])
    assert text_of(tmp_path) == line_of(one) + line_of(two)
    (tmp_path / MANIFEST).write_bytes(b"# a note without an end")
    Manifest(["sha256"]).write([one])
    assert text_of(tmp_path) == b"# a note without an end\n" + line_of(one)


def test_zeros_that_a_power_cut_left_are_cut_off_R5(tmp_path):
    one, two = entry(tmp_path, "scan 1.txt"), entry(tmp_path, "scan 2.txt")
    (tmp_path / MANIFEST).write_bytes(line_of(one) + line_of(two)[:70] + b"\0" * 20)
    Manifest(["sha256"]).write([two])
    assert text_of(tmp_path) == line_of(one) + line_of(two)


def test_a_writer_killed_in_the_middle_of_a_batch_leaves_nothing_that_the_next_does_not_mend_R5(
    tmp_path,
):
    entries = [entry(tmp_path, f"scan {number}.txt") for number in range(20)]
    code = """
whole = os.write
os.write = lambda descriptor, text: (whole(descriptor, text[: int(sys.argv[2])]), os._exit(9))
Manifest(["sha256"]).write([entry(folder, f"scan {number}.txt") for number in range(20)])
"""
    size = sum(len(line_of(one)) for one in entries)
    for cut in (0, 1, 64, 65, 66, 70, size // 2, size - 1, size):
        (tmp_path / MANIFEST).unlink(missing_ok=True)
        with started(code, tmp_path, cut) as writer:
            writer.communicate()
        assert writer.returncode == 9
        assert len(text_of(tmp_path)) == cut
        manifest = Manifest(["sha256"])
        manifest.write(entries[10:])
        manifest.write(entries[:10])
        assert sorted(text_of(tmp_path).splitlines(True)) == sorted(map(line_of, entries))
    check(tmp_path)


def test_what_could_not_be_flushed_is_written_again_R2(tmp_path, monkeypatch):
    one, two = entry(tmp_path, "scan 1.txt"), entry(tmp_path, "scan 2.txt")
    manifest = Manifest(["sha256"])
    manifest.write([one])
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="flush"):
            manifest.write([two])
    assert text_of(tmp_path) == line_of(one)
    manifest.write([two])
    assert text_of(tmp_path) == line_of(one) + line_of(two)


def fail(descriptor: int) -> None:
    raise OSError(5, "can't flush")


def test_lines_of_a_life_that_was_killed_before_it_flushed_are_flushed_R2(tmp_path, monkeypatch):
    one = entry(tmp_path, "scan.txt")
    (tmp_path / MANIFEST).write_bytes(line_of(one))
    flushed, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda d: (flushed.append(os.fstat(d).st_ino), real(d)))
    Manifest(["sha256"]).write([one])
    assert (tmp_path / MANIFEST).stat().st_ino in flushed
    if os.name == "posix":
        assert tmp_path.stat().st_ino in flushed


# What is no manifest


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links as POSIX has them")
@pytest.mark.posix
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "marked"])
def test_what_is_no_manifest_is_never_written_to_or_waited_for_R13(tmp_path, kind):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    path = tmp_path / MANIFEST
    match kind:
        case "link":
            path.symlink_to(precious)
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            precious.rename(path)
            path.chmod(0o444)
            precious = path
    with pytest.raises(OSError):  # noqa: PT011 - each kind has its own
        Manifest(["sha256"]).write([entry(tmp_path, "scan.txt")])
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_destination_that_went_away_is_an_os_error_and_nothing_is_created(tmp_path):
    manifest = Manifest(["sha256"])
    gone = tmp_path / "gone"
    one = entry(gone, "scan.txt")
    manifest.write([one])
    shutil.rmtree(gone)
    with pytest.raises(OSError):  # noqa: PT011 - each system has its own
        manifest.write([one])
    assert not gone.exists()


# Several writers


def test_threads_that_write_to_one_manifest_write_each_line_whole_and_once(tmp_path):
    entries = [entry(tmp_path, f"scan {number}.txt") for number in range(60)]
    manifests = [Manifest(["sha256"]), Manifest(["sha256"])]

    def work(manifest: Manifest, seed: int) -> None:
        mine = random.Random(seed).sample(entries, len(entries))
        for start in range(0, len(mine), 4):
            manifest.write(mine[start : start + 4])

    threads = [threading.Thread(target=work, args=(manifests[n % 2], n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(text_of(tmp_path).splitlines(True)) == sorted(map(line_of, entries))
    check(tmp_path)


def test_two_processes_that_write_to_one_manifest_write_each_line_whole_and_once(tmp_path):
    """500 lines each, 250 of them wanted by both, and the digest of one corrected meanwhile."""
    entries = [entry(tmp_path, f"scan {number}.txt") for number in range(750)]
    (tmp_path / MANIFEST).write_bytes(written("scan 300.txt", "0" * 64))
    code = """
manifest = Manifest(["sha256"])
sys.stdin.readline()
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 500):
    manifest.write([entry(folder, f"scan {number}.txt")])
"""
    with started(code, tmp_path, 0) as one, started(code, tmp_path, 250) as other:
        for writer in (one, other):
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
            writer.stdin.flush()
        assert one.wait(50) == 0
        assert other.wait(50) == 0
    assert sorted(text_of(tmp_path).splitlines(True)) == sorted(map(line_of, entries))
    check(tmp_path)


def test_a_manifest_that_another_process_holds_is_waited_for(tmp_path):
    one = entry(tmp_path, "scan.txt")
    code = """
from watcher.platform.locking import locked
path = os.path.join(folder, "checksums.sha256")
with open(path, "ab") as file, locked(file.fileno(), path) as is_alone:
    print(is_alone, flush=True)
    sys.stdin.readline()
"""
    with started(code, tmp_path) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"True"
        worker = threading.Thread(target=Manifest(["sha256"]).write, args=([one],))
        worker.start()
        worker.join(0.2)
        assert worker.is_alive()
        assert text_of(tmp_path) == b""
        holder.communicate(b"go\n")
        worker.join(10)
    assert text_of(tmp_path) == line_of(one)


@pytest.mark.posix
@pytest.mark.skipif(os.name == "nt", reason="an open file can't be removed there")
def test_a_manifest_removed_while_it_is_waited_for_is_begun_again(tmp_path):
    one, path = entry(tmp_path, "scan.txt"), tmp_path / MANIFEST
    with path.open("ab") as file, locked(file.fileno(), str(path)):
        worker = threading.Thread(target=Manifest(["sha256"]).write, args=([one],))
        worker.start()
        worker.join(0.1)
        path.unlink()
    worker.join(10)
    assert text_of(tmp_path) == line_of(one)


def test_a_lock_that_is_never_given_back_is_an_error_not_a_hang_R8(tmp_path, monkeypatch):
    monkeypatch.setattr("watcher.platform.locking._PATIENCE_S", 0.05)
    path = str(tmp_path / MANIFEST)
    with open(path, "ab") as file, locked(file.fileno(), path):
        with pytest.raises(TimeoutError) as caught:
            Manifest(["sha256"]).write([entry(tmp_path, "scan.txt")])
        assert caught.value.filename == path


# Cost


def counted(monkeypatch) -> list[int]:
    sizes: list[int] = []
    real = os.read

    def read(descriptor: int, length: int) -> bytes:
        block = real(descriptor, length)
        sizes.append(len(block))
        return block

    monkeypatch.setattr(remembered.os, "read", read)
    return sizes


def seconds_a_line(manifest: Manifest, folder: Path, start: int) -> float:
    entries = [
        Entry(place_of(folder, f"scan {number}.txt"), (Checksum("sha256", f"{number:064x}"),))
        for number in range(start, start + 200)
    ]
    manifest.write(entries[:1])
    begun = time.perf_counter()
    for one in entries[1:]:
        manifest.write([one])
    return (time.perf_counter() - begun) / (len(entries) - 1)


def test_adding_to_a_long_manifest_reads_nothing_but_its_end(tmp_path, monkeypatch):
    """Also prints what a line costs at the end of 50,000, and of none."""
    short, long = tmp_path / "short", tmp_path / "long"
    short.mkdir()
    long.mkdir()
    lines = (written(f"scan {number}.txt", f"{number:064x}") for number in range(50_000))
    (long / MANIFEST).write_bytes(b"".join(lines))
    manifest = Manifest(["sha256"])
    begun = time.perf_counter()
    manifest.write([entry(long, "first.txt")])
    first = time.perf_counter() - begun
    costs = [seconds_a_line(manifest, folder, 50_000) for folder in (short, long)]
    print(f"first contact {first:.3f} s; a line {costs[0] * 1e6:.0f} us in a new manifest, "
          f"{costs[1] * 1e6:.0f} us after 50,000")  # fmt: skip
    read = counted(monkeypatch)
    manifest.write([entry(long, "last.txt")])
    assert sum(read) <= 512
    assert text_of(long).count(b"\n") == 50_202


def test_what_is_remembered_is_bounded_and_forgetting_loses_nothing_R12(tmp_path):
    manifest = Manifest(["sha256"], names_in_memory=10)
    folders = [tmp_path / f"RB{number}" for number in range(4)]
    entries = [entry(folder, f"scan {n}.txt") for n in range(8) for folder in folders]
    for one in [*entries, *reversed(entries)]:
        manifest.write([one])
    kept = manifest._memory._known
    assert sum(len(known) for known in kept.values()) <= 10
    for folder in folders:
        assert text_of(folder).count(b"\n") == 8
        check(folder)


def test_a_manifest_too_long_to_remember_still_has_each_line_once_R12(tmp_path):
    manifest = Manifest(["sha256"], names_in_memory=10)
    entries = [entry(tmp_path, f"scan {number}.txt") for number in range(40)]
    manifest.write(entries)
    manifest.write(entries[20:])
    changed = entry(tmp_path, "scan 30.txt", b"measured again")
    manifest.write([changed])
    assert text_of(tmp_path).count(b"\n") == 40
    assert not manifest._memory._known
    check(tmp_path)

"""Algorithms, the lines of checksum files, and what producers leave beside their files."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import xxhash
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from watcher.checksums import READ_BACK, Hashing, is_known, known, record_for
from watcher.checksums.lines import is_torn, parsed, written
from watcher.checksums.producer import digest_in, digests_beside, subjects
from watcher.model import ArchivePath, Checksum

TOOLS = {"sha256": "sha256sum", "md5": "md5sum", "sha1": "sha1sum", "blake2b": "b2sum"}
DIGEST = hashlib.sha256(b"scan").hexdigest()
ODD_NAMES = [
    "scan.txt", "a b", " lead", "*star", "[red]", "täst図.txt", "new\nline", "c\rr", "ends\r",
    "back\\slash", "ends\\", "\\n", "a)= b", "n" * 255, "(x)", "#hash", "-", "-c",
]  # fmt: skip


def tool(algorithm: str) -> str:
    found = shutil.which(TOOLS[algorithm])
    if found is None:
        pytest.skip(f"{TOOLS[algorithm]} is not on this computer")
    return found


def run(folder: str | Path, *command: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, check=False
    )


if os.name == "nt":
    NAMES = st.text(st.characters(exclude_characters='\\/:*?"<>|\0', min_codepoint=32), min_size=1)
else:
    NAMES = st.binary(min_size=1, max_size=255).map(
        lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))
    )


def odd(test):
    for name in ODD_NAMES if os.name == "posix" else ODD_NAMES[:1]:
        test = example(name)(test)
    return test


# Algorithms


def test_every_known_algorithm_has_a_fixed_length_and_makes_hashlibs_digest():
    for name in known():
        hashing = Hashing([name])
        hashing.update(b"sc")
        hashing.update(memoryview(b"an"))
        (checksum,) = hashing.checksums()
        if name != "blake3":
            assert checksum == Checksum(name, hashlib.new(name, b"scan").hexdigest())


def test_what_has_no_fixed_length_or_is_not_everywhere_is_unknown():
    assert {"sha256", "md5", "sha1", "sha3_256"} <= set(known())
    for name in ("shake_128", "shake_256", "SHA256", "sha257", "", "blake"):
        assert not is_known(name)


def test_several_checksums_come_from_one_read_in_the_order_they_were_asked_for():
    hashing = Hashing(["md5", "sha256", "md5"])
    hashing.update(b"scan")
    expected = [Checksum(n, hashlib.new(n, b"scan").hexdigest()) for n in ("md5", "sha256")]
    assert list(hashing.checksums()) == expected


def test_blake3_is_known_where_it_can_be_imported_and_is_not_imported_before_it_is_used():
    blake3 = pytest.importorskip("blake3")
    assert is_known("blake3")
    hashing = Hashing(["blake3"])
    hashing.update(b"scan")
    assert hashing.checksums() == (Checksum("blake3", blake3.blake3(b"scan").hexdigest()),)
    code = (
        "import sys, watcher.checksums as c; c.is_known('blake3'); print('blake3' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout.strip() == b"False"


def test_what_copies_are_read_back_by_is_made_beside_the_others_and_never_on_record():
    """R2: the same bytes give both; no configuration can name it, for no tool checks it."""
    hashing = Hashing(["sha256", READ_BACK])
    hashing.update(b"scan")
    recorded, seal = hashing.checksums()
    assert recorded == Checksum("sha256", hashlib.sha256(b"scan").hexdigest())
    assert seal == Checksum(READ_BACK, xxhash.xxh3_128(b"scan").hexdigest())
    assert READ_BACK not in known()
    assert not is_known(READ_BACK)


# Lines


@odd
@given(NAMES)
def test_a_name_comes_back_from_its_line_whatever_it_is_R13(name):
    line = written(name, DIGEST)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\r" not in line
    read = parsed(line, "sha256")
    assert read is not None
    assert read.name == name
    assert read.checksum == Checksum("sha256", DIGEST)
    assert line[read.at : read.at + 64] == DIGEST.encode()


@given(NAMES, st.integers(min_value=0))
def test_every_beginning_of_a_line_counts_as_torn_R5(name, cut):
    line = written(name, DIGEST)
    assert is_torn(line[: cut % len(line)], "sha256")


@pytest.mark.parametrize(
    "rest", [b"# looked at by Tom", b"MD5 (scan", b"scan.txt", b"\xef\xbb\xbf"]
)
def test_what_a_person_wrote_does_not_count_as_torn(rest):
    assert not is_torn(rest, "sha256")


@settings(max_examples=40, deadline=None)
@odd
@given(NAMES)
def test_the_real_tool_checks_what_we_write_and_we_read_what_it_writes_R13(name):
    sha256sum = tool("sha256")
    assume(name not in {".", ".."})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(b"scan")
        theirs = run(folder, sha256sum, "-b", "--", f".{os.sep}{name}").stdout
        assert written(f".{os.sep}{name}", DIGEST) == theirs
        ours = written(name, DIGEST)
        checked = run(folder, sha256sum, "--strict", "-c", text=ours)
        if name != "-":  # standard input, for the tool
            assert checked.returncode == 0, (ours, checked)
        for flags in (["-b"], ["-t"], ["--tag"]):
            line = run(folder, sha256sum, *flags, "--", f".{os.sep}{name}").stdout
            read = parsed(line, "sha256")
            assert read is not None, line
            assert (read.name, read.checksum.digest) == (f".{os.sep}{name}", DIGEST)
            crlf = parsed(line.removesuffix(b"\n") + b"\r\n", "sha256")
            assert crlf == read


@pytest.mark.parametrize("algorithm", TOOLS)
def test_each_tool_agrees_on_each_algorithm_it_has(algorithm, tmp_path):
    command = tool(algorithm)
    (tmp_path / "scan.txt").write_bytes(b"scan")
    digest = hashlib.new(algorithm, b"scan").hexdigest()
    line = written("scan.txt", digest)
    assert run(tmp_path, command, "--strict", "-c", text=line).returncode == 0
    for flags in ([], ["--tag"]):
        read = parsed(run(tmp_path, command, *flags, "scan.txt").stdout, algorithm)
        assert read is not None
        assert read.checksum == Checksum(algorithm, digest)


def test_folders_are_parted_by_slashes_on_every_system():
    name = os.path.join("sub", "deeper", "scan.txt")
    line = written(name, DIGEST)
    assert line == f"{DIGEST} *sub/deeper/scan.txt\n".encode()
    read = parsed(line, "sha256")
    assert read is not None
    assert read.name == name


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"# comment", DIGEST.encode(), DIGEST.encode() + b" *", b"00 *scan.txt",
        b"\\" + DIGEST.encode() + b" *bad\\escape", b"\\" + DIGEST.encode() + b" *ends\\",
        b"MD5 (scan.txt) = " + DIGEST.encode(), b"SHA256 (scan.txt) = 00",
        b"g" * 64 + b" *scan.txt",
    ],
)  # fmt: skip
def test_what_is_no_checksum_is_no_line(line):
    assert parsed(line, "sha256") is None


def test_a_line_that_an_editor_began_with_a_byte_order_mark_is_read():
    line = b"\xef\xbb\xbf" + written("scan.txt", DIGEST.upper())
    read = parsed(line, "sha256")
    assert read is not None
    assert read.checksum == Checksum("sha256", DIGEST)
    assert line[read.at : read.at + 64] == DIGEST.upper().encode()


# Records


def test_none_reserves_and_writes_nothing(tmp_path):
    record = record_for("none", ["sha256"], lambda: "part")
    place = ArchivePath(str(tmp_path), str(tmp_path), "checksums.sha256")
    assert not record.reserves(place)
    record.write([])
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_record_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="tape"):
        record_for("tape", ["sha256"], lambda: "part")


# Producers


def test_both_forms_of_a_producers_checksum_are_found_by_name():
    names = {"scan.txt", "scan.txt.sha256", "scan.sha1.txt", "scan.txt.MD5", "other.txt.sha256"}
    assert sorted(digests_beside(names, "scan.txt")) == [
        ("scan.sha1.txt", "sha1"),
        ("scan.txt.MD5", "md5"),
        ("scan.txt.sha256", "sha256"),
    ]
    assert digests_beside({"scan", "scan.sha1"}, "scan") == [("scan.sha1", "sha1")]


def test_a_checksum_files_name_tells_whose_it_may_be():
    assert subjects("scan.txt.sha256") == [("scan.txt", "sha256")]
    assert subjects("scan.sha1.txt") == [("scan.txt", "sha1")]
    assert subjects("scan.txt") == []
    assert subjects(".sha256") == []


@pytest.mark.parametrize(
    "content",
    [
        f"{DIGEST} *scan.txt\n", f"{DIGEST}  scan.txt", f"{DIGEST.upper()}\r\n", DIGEST,
        f"SHA256 (scan.txt) = {DIGEST}\n", f"{DIGEST}  -\n", f"{DIGEST} *C:\\Data\\scan.txt\r\n",
        f"{DIGEST}  /home/x/scan.txt\n", f"\ufeff{DIGEST}\n",
        f"{'0' * 64} *other.txt\n{DIGEST}  scan.txt",
        f"SHA256 hash of scan.txt:\r\n{DIGEST}\r\nCertUtil: done\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_producers_digest_is_read_in_all_its_forms(content, encoding):
    raw = content.encode(encoding)
    assert digest_in(raw, "sha256", "scan.txt") == Checksum("sha256", DIGEST)


@pytest.mark.parametrize(
    "content",
    [
        "", "# motor  position\n1 2\n", DIGEST[:-2], f"{'0' * 64} *other.txt\n",
        f"{DIGEST} *scan.txt\n{'0' * 64} *scan.txt\n", f"{DIGEST}{DIGEST}",
    ],
)  # fmt: skip
def test_a_file_without_one_digest_is_data(content):
    assert digest_in(content.encode(), "sha256", "scan.txt") is None


@given(st.binary(max_size=300))
def test_no_content_breaks_the_reading_of_a_producers_checksum(content):
    digest_in(content, "sha256", "scan.txt")
    digest_in(b"\xff\xfe" + content, "md5", "scan.txt")

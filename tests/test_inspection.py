"""A path and a look at it: finished file, or the reason why not."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.inspection import Verdict, below, inspect, is_stranded, scan_folder_in
from watcher.model import SCAN_FOLDER, FinishedFile
from watcher.platform import system

ROOT = os.path.abspath(os.path.join(os.sep, "Data"))


def under(*segments: str, root: str = ROOT) -> str:
    return os.path.join(root, *segments)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (("RB1", SCAN_FOLDER, "a.txt"), ("RB1", SCAN_FOLDER, "a.txt")),
        (
            ("RB1", SCAN_FOLDER, "sub", "a.txt"),
            ("RB1", SCAN_FOLDER, os.path.join("sub", "a.txt")),
        ),
        (("a", "b", SCAN_FOLDER, "a.txt"), (os.path.join("a", "b"), SCAN_FOLDER, "a.txt")),
        ((SCAN_FOLDER, "a.txt"), ("", SCAN_FOLDER, "a.txt")),
        (
            ("RB1", SCAN_FOLDER, SCAN_FOLDER, "a.txt"),
            ("RB1", SCAN_FOLDER, os.path.join(SCAN_FOLDER, "a.txt")),
        ),
        (
            ("RB1 \n[red]", SCAN_FOLDER, "a\udcff.txt"),
            ("RB1 \n[red]", SCAN_FOLDER, "a\udcff.txt"),
        ),
        (("RB1", "a.txt"), None),
        (("RB1", SCAN_FOLDER), None),
        (("RB1", SCAN_FOLDER, ""), None),
        (("RB1", SCAN_FOLDER + "2", "a.txt"), None),
        (("RB1", SCAN_FOLDER, "..", "a.txt"), None),
        ((), None),
    ],
)
def test_a_path_is_split_at_its_outermost_scan_folder(segments, expected):
    """R1, R13: whatever the names are, only what lies below a scan folder counts."""
    assert scan_folder_in(ROOT, under(*segments)) == expected


def test_a_path_of_another_root_is_outside():
    """R1: a root's name as the beginning of a longer name is another folder."""
    assert scan_folder_in(ROOT, under("RB1", SCAN_FOLDER, "a", root=ROOT + "2")) is None


def test_the_case_of_a_scan_folder_counts_where_the_system_says_so():
    """`BLUESKY_SCANS` is a scan folder on Windows, kept as it is written, and none elsewhere."""
    place = scan_folder_in(ROOT, under("RB1", SCAN_FOLDER.upper(), "a"))
    alike = system.same_name(SCAN_FOLDER, SCAN_FOLDER.upper())
    assert place == (("RB1", SCAN_FOLDER.upper(), "a") if alike else None)


@pytest.mark.skipif(os.name == "nt", reason="a drive's root is written differently")
def test_the_root_of_the_file_system_can_be_a_data_root():
    assert scan_folder_in("/", f"/RB1/{SCAN_FOLDER}/a") == ("RB1", SCAN_FOLDER, "a")


names = st.text(min_size=1, max_size=20).filter(
    lambda name: not set(name) & {"/", "\\", ":", "\0"} and name not in {".", ".."}
)


@given(st.lists(names, max_size=4), st.lists(names, min_size=1, max_size=4))
def test_a_split_path_is_put_together_again(before, after):
    """R13: nothing of a name is lost or interpreted."""
    path = under(*before, SCAN_FOLDER, *after)
    place = scan_folder_in(ROOT, path)
    assert place is not None
    assert under(*place) == path
    assert SCAN_FOLDER not in place[0].split(os.sep)


def test_nothing_lies_below_itself():
    assert below(ROOT, ROOT) is None
    assert below(ROOT, under("a", "b")) == os.path.join("a", "b")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "RB1" / SCAN_FOLDER / "scan.txt"
    path.parent.mkdir(parents=True)
    path.write_text("1 2 3")
    return path


def test_a_marked_file_is_finished(scan: Path, tmp_path: Path):
    """R1: the mark makes it a finished file, with the fingerprint of this very look."""
    system.mark(str(scan))
    stat = os.lstat(scan)
    found = inspect(str(tmp_path), str(scan), stat)
    assert isinstance(found, FinishedFile)
    assert (found.path, found.experiment) == (str(scan), "RB1")
    assert found.fingerprint.size == 5
    assert found.fingerprint.mtime_ns == stat.st_mtime_ns


def test_a_writable_file_is_unfinished(scan: Path, tmp_path: Path):
    assert inspect(str(tmp_path), str(scan), os.lstat(scan)) is Verdict.UNFINISHED


@pytest.mark.skipif(os.name == "nt", reason="there is one read-only attribute, no three write bits")
@pytest.mark.parametrize("mode", [0o200, 0o020, 0o002, 0o644, 0o466])
def test_any_write_bit_makes_it_unfinished(scan: Path, tmp_path: Path, mode: int):
    """R1: also for root, who could write it anyway."""
    scan.chmod(mode)
    assert inspect(str(tmp_path), str(scan), os.lstat(scan)) is Verdict.UNFINISHED


def test_a_marked_file_elsewhere_is_left_alone(tmp_path: Path):
    """R1: outside a scan folder a read-only file is nobody's scan."""
    path = tmp_path / "notes.txt"
    path.write_text("x")
    system.mark(str(path))
    assert inspect(str(tmp_path), str(path), os.lstat(path)) is Verdict.OUTSIDE


def test_a_folder_is_no_file(scan: Path, tmp_path: Path):
    folder = scan.parent / "sub"
    folder.mkdir()
    assert inspect(str(tmp_path), str(folder), os.lstat(folder)) is Verdict.NOT_A_FILE


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege, pipes lie elsewhere")
def test_links_and_pipes_are_no_files(scan: Path, tmp_path: Path):
    """R13: a link to a finished file is not one, a pipe is not waited for."""
    system.mark(str(scan))
    link, pipe = scan.with_name("link"), scan.with_name("pipe")
    link.symlink_to(scan)
    os.mkfifo(pipe, 0o444)
    for path in (link, pipe):
        assert inspect(str(tmp_path), str(path), os.lstat(path)) is Verdict.NOT_A_FILE


def test_a_file_is_stranded_when_nobody_has_touched_it_for_long(scan: Path):
    """An old modification time alone is not enough: it may just have been copied here."""
    now = os.lstat(scan).st_mtime
    assert not is_stranded(os.lstat(scan), now + 59, 60)
    assert is_stranded(os.lstat(scan), now + 61, 60)
    os.utime(scan, (now - 7200, now - 7200))
    if os.name != "nt":  # which has the time of creation there, and Wine has nothing
        assert not is_stranded(os.lstat(scan), now + 5, 60)

"""The walk of the data roots, on real folders."""

import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from watcher.model import SCAN_FOLDER, FinishedFile, WalkResult
from watcher.platform import system
from watcher.sources import descent, folders
from watcher.sources.findings import CHUNK, LISTED
from watcher.sources.rescan import Rescan

DAY = 86_400.0
posix_only = pytest.mark.skipif(os.name == "nt", reason="goes by descriptors, which Windows hasn't")


class Walker:
    """A rescan of one root that keeps what it is given."""

    def __init__(self, *roots: Path, excluded: Sequence[Path] = (), stopping=lambda: False):
        starts = tuple(str(path) + os.sep for path in excluded)
        roots_ = [str(root) for root in roots]
        self.rescan = Rescan(roots_, lambda path: (path + os.sep).startswith(starts), DAY)
        self.stopping: Callable[[], bool] = stopping
        self.files: list[FinishedFile] = []
        self.chunks: list[int] = []

    def found(self, files: Sequence[FinishedFile]) -> None:
        self.files += files
        self.chunks.append(len(files))

    def walk(self) -> WalkResult:
        self.files, self.chunks = [], []
        return self.rescan.walk(self.found, self.stopping)

    def walk_below(self, folder: Path) -> WalkResult:
        self.files, self.chunks = [], []
        return self.rescan.walk_below(str(folder), self.found, self.stopping)

    def paths(self) -> set[str]:
        self.walk()
        return {file.path for file in self.files}


def finished(path: Path, content: str = "x") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    system.mark(str(path))
    return str(path)


def settled(folder: Path, seconds: float = 10) -> None:
    """Wait until nothing below `folder` is so young that it would be listed again anyway."""
    youngest = max(max(os.stat(f).st_mtime, os.stat(f).st_ctime) for f, _, _ in os.walk(folder))
    while time.time() - youngest < descent.SETTLED:
        threading.Event().wait(0.05)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def deep_root(root: Path) -> Iterator[Path]:
    """A root for trees that are too deep for Python to remove."""
    yield root
    subprocess.run(["rm", "-rf", str(root)], check=True)


def test_finds_every_finished_file_and_nothing_else(root: Path):
    """R1, R9: by the mark, below a scan folder, at any depth."""
    expected = {
        finished(root / "RB1" / SCAN_FOLDER / "a.txt"),
        finished(root / "RB1" / SCAN_FOLDER / "sub" / "deep" / "b.png"),
        finished(root / "group" / "RB2" / SCAN_FOLDER / "c.txt"),
        finished(root / SCAN_FOLDER / "d.txt"),
        finished(root / "RB1" / SCAN_FOLDER / "sub" / SCAN_FOLDER / "nested.txt"),
    }
    finished(root / "RB1" / "notes.txt")
    (root / "RB1" / SCAN_FOLDER / "running.txt").write_text("1 2")
    walker = Walker(root)
    result = walker.walk()
    assert {file.path for file in walker.files} == expected
    assert (result.finished, result.unfinished) == (5, 1)
    assert result.errors == ()
    nested = next(file for file in walker.files if file.path.endswith("nested.txt"))
    assert (nested.experiment, nested.scan_folder) == ("RB1", SCAN_FOLDER)
    assert nested.relative == os.path.join("sub", SCAN_FOLDER, "nested.txt")
    assert {file.experiment for file in walker.files} == {"", "RB1", os.path.join("group", "RB2")}


def test_a_found_file_has_the_fingerprint_of_the_disk(root: Path):
    path = finished(root / "RB1" / SCAN_FOLDER / "a.txt", "1234")
    walker = Walker(root)
    walker.walk()
    (file,) = walker.files
    stat = os.lstat(path)
    assert file.fingerprint.size == 4
    assert file.fingerprint.mtime_ns == stat.st_mtime_ns
    assert file.fingerprint.identity == f"{stat.st_ino:x}"


@pytest.mark.parametrize("passes", [1, 3])
def test_a_mark_that_is_set_later_is_found(root: Path, passes: int):
    """R9: a mark moves no folder's time, so a remembered folder must not hide it."""
    path = root / "RB1" / SCAN_FOLDER / "a.txt"
    finished(path.with_name("other.txt"))
    path.write_text("x")
    settled(root)
    walker = Walker(root)
    for _ in range(passes):
        assert str(path) not in walker.paths()
    system.mark(str(path))
    assert str(path) in walker.paths()


def test_excluded_folders_are_not_entered(root: Path):
    """R7: a destination is never a source, though it holds folders named like scan folders."""
    finished(root / "Export only" / "RB1" / SCAN_FOLDER / "copy.txt")
    inside = finished(root / "RB1" / SCAN_FOLDER / "Export only" / "odd.txt")
    mine = finished(root / "RB1" / SCAN_FOLDER / "a.txt")
    walker = Walker(root, excluded=[root / "Export only", Path(inside).parent])
    assert walker.paths() == {mine}
    assert walker.paths() == {mine}


def test_below_an_excluded_folder_nothing_is_walked(root: Path):
    """R7: also when such a folder was moved in a moment ago."""
    finished(root / "Export only" / "RB1" / SCAN_FOLDER / "copy.txt")
    walker = Walker(root, excluded=[root / "Export only"])
    assert walker.walk_below(root / "Export only" / "RB1").finished == 0


@pytest.mark.parametrize("below", [("RB1",), ("RB1", SCAN_FOLDER), ("RB1", SCAN_FOLDER, "sub")])
def test_one_folder_that_was_moved_in_is_walked(root: Path, below: tuple[str, ...]):
    path = finished(root / "RB1" / SCAN_FOLDER / "sub" / "a.txt")
    finished(root / "RB2" / SCAN_FOLDER / "b.txt")
    walker = Walker(root)
    assert walker.walk_below(root.joinpath(*below)).finished == 1
    (file,) = walker.files
    assert file.path == path
    assert file.relative == os.path.join("sub", "a.txt")


def test_a_folder_that_is_gone_or_elsewhere_is_no_error(root: Path, tmp_path: Path):
    walker = Walker(root)
    assert walker.walk_below(root / "gone").errors == ()
    assert walker.walk_below(tmp_path / "elsewhere").errors == ()


def test_a_missing_root_is_told_and_the_others_are_walked(root: Path, tmp_path: Path):
    path = finished(root / "RB1" / SCAN_FOLDER / "a.txt")
    walker = Walker(tmp_path / "gone", root)
    result = walker.walk()
    assert [file.path for file in walker.files] == [path]
    assert len(result.errors) == 1
    assert result.errors[0] == f"{tmp_path / 'gone'}: the data root isn't there"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root is denied nothing")
def test_a_denied_folder_is_told_and_the_walk_goes_on(root: Path):
    denied = root / "RB0"
    path = finished(root / "RB1" / SCAN_FOLDER / "a.txt")
    denied.mkdir(mode=0)
    walker = Walker(root)
    result = walker.walk()
    assert [file.path for file in walker.files] == [path]
    assert [line.startswith(str(denied)) for line in result.errors] == [True]


def test_files_are_handed_over_while_the_walk_goes_on(root: Path):
    """A chunk never waits for the end of the walk, and is never larger than agreed."""
    folder = root / "RB1" / SCAN_FOLDER
    for number in range(CHUNK * 2 + 1):
        finished(folder / f"{number}")
    walker = Walker(root)
    walker.walk()
    assert walker.chunks == [CHUNK, CHUNK, 1]
    assert len({file.path for file in walker.files}) == CHUNK * 2 + 1


def test_a_walk_stops_when_it_is_told_to(root: Path):
    """R8: stopping doesn't wait for a million files; the next walk finds them all."""
    for number in range(20):
        finished(root / f"RB{number}" / SCAN_FOLDER / "a.txt")
    walker = Walker(root)
    walker.stopping = lambda: bool(walker.rescan) and next(answers)
    answers = iter([False] * 8 + [True] * 1000)
    assert 0 < walker.walk().finished < 20
    walker.stopping = lambda: False
    assert walker.walk().finished == 20


def test_stranded_files_are_listed_oldest_first(root: Path):
    """R11: nothing is silent, also not a scan that died."""
    folder = root / "RB1" / SCAN_FOLDER
    folder.mkdir(parents=True)
    for number in range(LISTED + 5):
        (folder / f"{number:03}").write_text("x" * number)
        os.utime(folder / f"{number:03}", (1_000_000 + number, 1_000_000 + number))
    rescan = Rescan([str(root)], lambda _: False, 0.0)
    result = rescan.walk(lambda _: None, lambda: False)
    assert (result.unfinished, result.stranded_count) == (LISTED + 5, LISTED + 5)
    assert [file.modified_at for file in result.stranded] == list(
        range(1_000_000, 1_000_000 + LISTED)
    )
    assert result.stranded[3].path == str(folder / "003")
    assert result.stranded[3].size == 3
    if os.name != "nt":  # utime() is a touch too, where a change time tells of it
        assert Walker(root).walk().stranded_count == 0


# What is remembered


def listings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count how often folders are really listed."""
    seen: list[object] = []
    real = os.scandir

    def scandir(path):
        seen.append(path)
        return real(path)

    monkeypatch.setattr(folders.os, "scandir", scandir)
    return seen


@pytest.mark.skipif(not system.is_local("."), reason="nothing is remembered on such a volume")
def test_unchanged_folders_are_not_listed_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    """R9: a walk of a large tree is cheap, but for the slice that is listed anew."""
    for number in range(300):
        (root / f"{number}" / "inner").mkdir(parents=True)
    finished(root / "RB1" / SCAN_FOLDER / "a.txt")
    settled(root)
    walker = Walker(root)
    walker.walk()
    seen = listings(monkeypatch)
    assert walker.walk().folders == 603
    assert len(seen) < 100
    assert len(walker.files) == 1


@pytest.mark.skipif(not system.is_local("."), reason="nothing is remembered on such a volume")
def test_every_folder_is_listed_once_in_sixty_walks(root: Path, monkeypatch: pytest.MonkeyPatch):
    """R9: nothing stays hidden for ever, whatever a volume's times are worth."""
    for number in range(200):
        (root / f"{number}").mkdir()
    settled(root)
    walker = Walker(root)
    walker.walk()
    seen = listings(monkeypatch)
    for _ in range(descent.SLICES):
        walker.walk()
    assert len(seen) == 201


def test_on_other_volumes_everything_is_listed(root: Path, monkeypatch: pytest.MonkeyPatch):
    """R9: where a folder's times can't be relied on, nothing is remembered."""
    for number in range(20):
        (root / f"{number}").mkdir()
    settled(root)
    for trust in ("is_local", "counts_folders"):
        monkeypatch.setattr(type(system), trust, lambda _self, _path: False)
    walker = Walker(root)
    walker.walk()
    seen = listings(monkeypatch)
    walker.walk()
    assert len(seen) == 21


@pytest.mark.parametrize("wait", [False, True], ids=["at once", "settled"])
def test_new_folders_are_found_whenever_they_come(root: Path, wait: bool):
    """R9: at any depth, also in folders that were remembered as unchanged."""
    (root / "a" / "b" / "c").mkdir(parents=True)
    if wait:
        settled(root)
    walker = Walker(root)
    assert walker.paths() == set()
    expected = set()
    for place in ("", "a", "a/b", "a/b/c"):
        expected.add(finished(root.joinpath(*place.split("/")) / "RB" / SCAN_FOLDER / "a.txt"))
        assert walker.paths() == expected


def test_young_folders_are_listed_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    """R9: on one-second stamps the next change may look like the last."""
    monkeypatch.setattr(type(system), "counts_folders", lambda _self, _path: False)
    for number in range(20):
        (root / f"{number}").mkdir()
    walker = Walker(root)
    walker.walk()
    seen = listings(monkeypatch)
    walker.walk()
    assert len(seen) == 21


@pytest.mark.skipif(not system.counts_folders("."), reason="folders don't tell it here")
def test_folders_without_folders_are_not_listed_even_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    """R9: they are looked at in each walk, and what comes into them is found, however soon."""
    for number in range(600):
        finished(root / f"{number}" / "data.nxs")
    walker = Walker(root)
    seen = listings(monkeypatch)
    assert walker.walk().folders == 601
    assert len(seen) < 50
    path = finished(root / "7" / SCAN_FOLDER / "a.txt")
    assert walker.paths() == {path}


@posix_only
def test_a_change_is_seen_though_the_modification_time_is_put_back(root: Path):
    """R9: utime() can hide a folder's modification time; its change time tells."""
    folder = root / "RB1"
    folder.mkdir()
    settled(root)
    walker = Walker(root)
    before = os.stat(folder)
    walker.walk()
    path = finished(folder / SCAN_FOLDER / "a.txt")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert walker.paths() == {path}


def test_changes_while_it_walks_are_found_by_the_next_walk(root: Path):
    """R9: a folder is looked at before it is listed, and young ones are listed again."""
    for number in range(100):
        (root / f"{number}").mkdir()
    walker = Walker(root)
    expected: set[str] = set()
    done = threading.Event()

    def create() -> None:
        for number in range(100):
            expected.add(finished(root / f"{number}" / SCAN_FOLDER / "a.txt"))
        done.set()

    thread = threading.Thread(target=create)
    thread.start()
    while not done.is_set():
        walker.walk()
    thread.join()
    assert walker.paths() == expected


def test_a_folder_that_was_moved_is_found_at_its_new_place(root: Path):
    finished(root / "a" / "RB1" / SCAN_FOLDER / "x")
    (root / "b").mkdir()
    settled(root)
    walker = Walker(root)
    walker.walk()
    (root / "a" / "RB1").rename(root / "b" / "RB1")
    assert walker.paths() == {str(root / "b" / "RB1" / SCAN_FOLDER / "x")}


# Names, links and depths


@posix_only
def test_links_lead_nowhere(root: Path, tmp_path: Path):
    """R13: neither links to folders nor to files are followed, nor is a pipe waited for."""
    outside = tmp_path / "outside"
    target = finished(outside / SCAN_FOLDER / "secret")
    (root / "RB1" / SCAN_FOLDER).mkdir(parents=True)
    (root / "RB1" / SCAN_FOLDER / "file").symlink_to(target)
    (root / "RB1" / SCAN_FOLDER / "folder").symlink_to(outside)
    os.mkfifo(root / "RB1" / SCAN_FOLDER / "pipe", 0o444)
    (root / "RB2").symlink_to(outside)
    (root / "RB3").mkdir()
    (root / "RB3" / SCAN_FOLDER).symlink_to(outside / SCAN_FOLDER)
    walker = Walker(root)
    assert walker.paths() == set()
    assert walker.walk_below(root / "RB2" / SCAN_FOLDER).finished == 0
    assert walker.walk().errors == ()


@posix_only
def test_a_data_root_may_be_a_link_itself(root: Path, tmp_path: Path):
    finished(root / "RB1" / SCAN_FOLDER / "a")
    link = tmp_path / "link"
    link.symlink_to(root)
    assert Walker(link).paths() == {str(link / "RB1" / SCAN_FOLDER / "a")}


@posix_only
def test_a_folder_swapped_for_a_link_leads_nowhere(root: Path, tmp_path: Path):
    """R13: a hundred thousand swaps, and no walk ever came out of the data root."""
    outside = tmp_path / "outside"
    secret = os.lstat(finished(outside / "sub" / SCAN_FOLDER / "deep" / "secret"))
    finished(root / "RB1" / "sub" / SCAN_FOLDER / "deep" / "mine")
    (root / "link").symlink_to(outside)
    done = threading.Event()
    swaps = [0]

    def swap() -> None:
        exchange = exchanger(root / "RB1", root / "link")
        deadline = time.monotonic() + 10
        while swaps[0] < 100_000 and time.monotonic() < deadline:
            exchange()
            swaps[0] += 1
        done.set()

    thread = threading.Thread(target=swap)
    thread.start()
    walks = seen = 0
    while not done.is_set():
        walker = Walker(root)
        walker.walk()
        walker.walk_below(root / "RB1" / "sub")
        walks += 1
        seen += len(walker.files)
        assert f"{secret.st_ino:x}" not in {file.fingerprint.identity for file in walker.files}
    thread.join()
    assert swaps[0] >= 1000
    assert walks > 10
    assert seen > 0


def exchanger(one: Path, other: Path) -> Callable[[], None]:
    """Swap two names in one step, with the GIL let go."""
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)

    def exchange() -> None:
        if libc.renameat2(-100, first, -100, second, 2):
            raise OSError(ctypes.get_errno(), "renameat2")

    return exchange


WICKED = ["[red]", "a b", "new\nline", "é日本", "x" * 255, "\x1b[31m", "%s{experiment}", "-rf"]


@posix_only
def test_names_are_data(root: Path):
    """R13: spaces, Unicode, newlines, bytes that are no text, 255 bytes."""
    expected = {
        finished(root / name / SCAN_FOLDER / name) for name in [*WICKED, os.fsdecode(b"\xff\xfe")]
    }
    assert Walker(root).paths() == expected


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


@posix_only
@pytest.mark.parametrize(("depth", "name"), [(70, "d" * 100), (1200, "e")])
def test_depth_has_no_limit(deep_root: Path, depth: int, name: str):
    """R13: paths longer than any call takes, more levels than Python's stack or open files."""
    with inside(deep_root):
        for _ in range(depth):
            for leaf in (name, "side"):
                os.mkdir(leaf)
            os.chdir(name)
        os.mkdir(SCAN_FOLDER)
        Path(SCAN_FOLDER, "a.txt").write_text("x")
        os.chmod(Path(SCAN_FOLDER, "a.txt"), 0o444)
    walker = Walker(deep_root)
    for _ in range(2):
        result = walker.walk()
        assert result.errors == ()
        assert result.folders == depth * 2 + 2
        (file,) = walker.files
        assert file.experiment == os.sep.join([name] * depth)
        assert file.relative == "a.txt"


@posix_only
def test_few_folders_are_open_at_a_time(deep_root: Path):
    """However deep it goes; and none stays open after the walk."""
    with inside(deep_root):
        for _ in range(300):
            os.mkdir("d")
            os.mkdir("side")
            os.chdir("d")
    before = len(os.listdir("/proc/self/fd"))
    most = [0]

    def stopping() -> bool:
        most[0] = max(most[0], len(os.listdir("/proc/self/fd")) - before)
        return False

    Walker(deep_root, stopping=stopping).walk()
    assert most[0] <= descent.OPEN_FOLDERS + 5
    assert len(os.listdir("/proc/self/fd")) == before


@posix_only
def test_nothing_stays_open_when_the_taker_fails(root: Path):
    finished(root / "RB1" / SCAN_FOLDER / "a")
    before = len(os.listdir("/proc/self/fd"))

    def found(_files: Sequence[FinishedFile]) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Rescan([str(root)], lambda _: False, DAY).walk(found, lambda: False)
    assert len(os.listdir("/proc/self/fd")) == before


def test_by_path_it_finds_the_same(root: Path, monkeypatch: pytest.MonkeyPatch):
    """The way that Windows goes, where there are no descriptors of folders."""
    expected = {
        finished(root / "a" / SCAN_FOLDER / "sub" / "x"),
        finished(root / SCAN_FOLDER / "y"),
    }
    monkeypatch.setattr(folders, "_BY_DESCRIPTOR", False)
    walker = Walker(root)
    assert walker.paths() == expected
    assert walker.paths() == expected
    assert walker.walk_below(root / "a").finished == 1


@posix_only
def test_by_path_links_lead_nowhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """R13: there too a folder is looked at before it is entered."""
    finished(tmp_path / "outside" / SCAN_FOLDER / "secret")
    (root / "RB1").symlink_to(tmp_path / "outside")
    monkeypatch.setattr(folders, "_BY_DESCRIPTOR", False)
    walker = Walker(root)
    assert walker.paths() == set()
    assert walker.walk_below(root / "RB1" / SCAN_FOLDER).finished == 0


def test_what_a_crash_left_of_a_removal_is_swept_and_never_archived(tmp_path: Path) -> None:
    """R1, R5: a source under its last name is ours to remove; other parts are not."""
    folder = tmp_path / "RB1" / SCAN_FOLDER
    left = [finished(folder / name) for name in (".watcher-removing-01.part", "scan.txt")]
    foreign = finished(folder / ".watcher-0123456789ab-01234567-0.part")
    (folder / ".watcher-removing-02.part").write_text("unmarked already")
    outside = finished(tmp_path / "RB1" / ".watcher-removing-03.part")
    for sweep in (False, True):
        rescan, files = Rescan([str(tmp_path)], lambda _: False, DAY, sweep=sweep), []
        result = rescan.walk(files.extend, lambda: False)
        assert [file.path for file in files] == [left[1]]
        assert (result.finished, result.unfinished) == (1, 0)
        assert os.path.exists(left[0]) is not sweep
    assert sorted(os.listdir(folder)) == [os.path.basename(foreign), "scan.txt"]
    assert os.path.exists(outside)

"""What `watcher.platform.System` promises, asked of the system that the tests run on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms import WINDOWS, link, on_posix, on_windows, set_mark, wine_excuses
from watcher.errors import SourceBusy, SourceChanged
from watcher.model import Fingerprint
from watcher.platform import system

TIMES = (1_600_000_000_123_456_700, 1_650_000_001_765_432_100)
POSIX_NAMES = ["new\nline.txt", "\udcff\udc80.txt", "back\\slash", "é" * 127, "\x1b[31m"]
ODD_NAMES = [
    "with spaces and 'quotes'.txt",
    "日本語 שלום Ελληνικά.txt",
    "emoji 🧪.txt",
    "[red]markup[-].txt",
    "100% $HOME {cycle} ~.txt",
    "-rf.txt",
    "x" * 251 + ".txt",
    *(["NUL.txt", "con", "dot.", "space "] if WINDOWS else POSIX_NAMES),
]
MANY = 100
"""Files that are flushed together, where they can be."""
RACER = """
import os, sys
from watcher.platform import system
folder, me, other, rounds = sys.argv[1:]
for n in range(int(rounds)):
    part = os.path.join(folder, f"{me}{n}.part")
    with open(part, "w") as file:
        file.write(me)
    while not os.path.exists(os.path.join(folder, f"{other}{n}.ready")):
        open(os.path.join(folder, f"{me}{n}.ready"), "w").close()
    open(os.path.join(folder, f"{me}{n}.ready"), "w").close()
    try:
        system.publish(part, os.path.join(folder, f"{n}.txt"))
        print(n, flush=True)
    except FileExistsError:
        pass
"""


@pytest.fixture(autouse=True, scope="module")
def prepared() -> None:
    system.prepare()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return system.native(str(tmp_path))


@pytest.fixture
def root(folder: str) -> str:
    os.makedirs(os.path.join(folder, "Data", "RB1", "bluesky_scans"))
    return os.path.join(folder, "Data")


@pytest.fixture
def source(root: str) -> Iterator[str]:
    path = os.path.join(root, "RB1", "bluesky_scans", "scan.txt")
    yield finished(path)
    if os.path.lexists(path):
        set_mark(path, False)  # or the temporary folder can't be removed


def finished(path: str, content: bytes = b"1 2 3\n") -> str:
    with open(path, "wb") as file:
        file.write(content)
    os.utime(path, ns=TIMES)
    set_mark(path)
    return path


def content_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def part_of(path: str, content: bytes = b"1 2 3\n") -> str:
    """Make a part that is ready to be published as `path`."""
    part = os.path.join(os.path.dirname(path), f".watcher-{len(os.path.basename(path))}.part")
    system.write_part(part, content, TIMES)
    system.mark(part)
    return part


def drop(*paths: str) -> None:
    for path in paths:
        system.remove_part(path)


def anything(_: os.stat_result) -> bool:
    return True


# Names and paths


def test_a_native_path_is_absolute_and_stays_as_it_is(folder: str) -> None:
    assert os.path.isabs(folder)
    assert system.native(folder) == folder
    assert os.path.isabs(system.native("here"))
    assert system.native("here") == os.path.join(system.native(os.curdir), "here")


def test_plain_undoes_native(tmp_path: Path, folder: str) -> None:
    assert system.plain(folder) == str(tmp_path)
    assert system.plain(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_names_are_data_on_the_whole_way(root: str, name: str) -> None:
    """R13: whatever a file is called, it is copied, published, read, moved and removed."""
    path, elsewhere = os.path.join(root, name), os.path.join(root, "RB1", name)
    system.publish(part_of(path, b"odd"), path)
    assert os.listdir(root) == sorted(["RB1", name], key=os.listdir(root).index)
    descriptor = system.open_source(root, path)
    assert os.read(descriptor, 9) == b"odd"
    os.close(descriptor)
    system.move_source(root, path, elsewhere, anything)
    assert system.is_marked(os.lstat(elsewhere))
    system.remove_source(root, elsewhere, anything)
    assert not os.path.lexists(elsewhere)


def test_long_paths_are_paths_like_any_other(root: str) -> None:
    """R13: over 260 characters, at every step."""
    deep = os.path.join(root, *["a folder with a long name"] * 15)
    os.makedirs(deep)
    assert len(deep) > 390
    path, target = os.path.join(deep, "scan.txt"), os.path.join(deep, "moved.txt")
    system.publish(part_of(path), path)
    descriptor = system.open_source(root, path)
    os.close(descriptor)
    assert system.volume(path) == system.volume(root)
    system.move_source(root, path, target, anything)
    system.remove_source(root, target, anything)
    assert os.listdir(deep) == []


@pytest.mark.parametrize("other", ["SCAN.TXT", "scan.txt", "scan.txt2", "sçan.txt"])
def test_same_name_agrees_with_the_disk(folder: str, other: str) -> None:
    with open(os.path.join(folder, "scan.txt"), "w"):
        assert system.same_name("scan.txt", other) == os.path.exists(os.path.join(folder, other))


# Looking


def test_the_mark_is_seen_in_a_stat(source: str) -> None:
    """R1: only the mark tells that a file is finished."""
    assert system.is_marked(os.lstat(source))
    set_mark(source, False)
    assert not system.is_marked(os.lstat(source))


def test_plain_files_and_folders_are_told_apart(root: str, source: str) -> None:
    assert system.is_plain_file(os.lstat(source))
    assert not system.is_plain_folder(os.lstat(source))
    assert system.is_plain_folder(os.lstat(root))
    assert not system.is_plain_file(os.lstat(root))


@wine_excuses("shows links as what they lead to")
def test_links_are_neither_files_nor_folders(root: str, source: str) -> None:
    """R13: links are not followed."""
    to_file, to_folder = os.path.join(root, "file"), os.path.join(root, "folder")
    link(source, to_file)
    link(os.path.dirname(source), to_folder, folder=True)
    assert not system.is_plain_file(os.lstat(to_file))
    assert not system.is_plain_folder(os.lstat(to_folder))


@on_posix
def test_marked_at_is_no_earlier_than_the_last_change(source: str) -> None:
    assert system.marked_at(os.lstat(source)) >= os.lstat(source).st_mtime


def test_siblings_are_on_one_volume(root: str, source: str) -> None:
    assert system.volume(source) == system.volume(root)


def test_only_the_top_of_a_volume_is_a_mount_point(root: str) -> None:
    top = system.native(os.path.abspath(os.sep))
    assert system.is_mount_point(top)
    assert not system.is_mount_point(root)


@pytest.mark.skipif(not os.path.exists("/proc/self/mounts"), reason="nothing tells what is mounted")
def test_mount_points_are_those_that_the_system_tells(root: str) -> None:
    """R2: found with fewer looks than Python takes, and no other ones; a link to one is none."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    mounted = {line.split()[1] for line in lines if "\\" not in line}
    link = os.path.join(root, "link")
    os.symlink("/proc", link)
    for path in {*mounted, *map(os.path.dirname, mounted), link, root, os.path.join(root, "none")}:
        assert system.is_mount_point(path) == os.path.ismount(path), path


def test_a_local_disk_is_told_in_a_boolean(root: str) -> None:
    assert system.is_local(root) in {True, False}


def test_a_folder_that_says_it_has_no_folder_in_it_has_none(root: str) -> None:
    """R9: where folders know that at all; files don't count, and links are no folders."""
    folder = os.path.join(root, "folder")
    os.mkdir(folder)
    for name in ("one", "two"):
        Path(folder, name).write_bytes(b"x")
    assert system.has_no_folder(os.lstat(folder)) >= system.counts_folders(root)
    os.mkdir(os.path.join(folder, "inner"))
    assert not system.has_no_folder(os.lstat(folder))
    assert not system.has_no_folder(os.lstat(os.path.join(folder, "one")))
    os.link(os.path.join(folder, "one"), os.path.join(folder, "three"))
    assert not system.has_no_folder(os.lstat(os.path.join(folder, "three")))


# Reading a source


def test_a_source_is_read_to_its_end(root: str, source: str) -> None:
    descriptor = system.open_source(root, source)
    try:
        assert os.read(descriptor, 100) == b"1 2 3\n"
        assert Fingerprint.of(os.fstat(descriptor)) == Fingerprint.of(os.lstat(source))
    finally:
        os.close(descriptor)


def test_a_source_can_be_read_beside_another_reader(root: str, source: str) -> None:
    with open(source, "rb"):
        os.close(system.open_source(root, source))


def test_a_source_that_is_open_for_writing_is_busy(root: str, source: str) -> None:
    """R6: a writer may still change what the mark says is finished."""
    set_mark(source, False)
    with open(source, "ab"):
        set_mark(source)
        with pytest.raises(SourceBusy):
            system.open_source(root, source)
    os.close(system.open_source(root, source))


def test_a_missing_source_is_not_found(root: str) -> None:
    with pytest.raises(FileNotFoundError):
        system.open_source(root, os.path.join(root, "RB1", "nothing.txt"))


def test_a_folder_is_no_source(root: str) -> None:
    with pytest.raises((OSError, SourceChanged)):
        system.open_source(root, os.path.join(root, "RB1"))


def test_a_link_is_no_source(root: str, source: str) -> None:
    """R13: not even one that leads to a finished file below the data root."""
    path = os.path.join(root, "link.txt")
    link(source, path)
    with pytest.raises(OSError, check=lambda e: e.errno == errno.ELOOP):
        system.open_source(root, path)


@pytest.mark.parametrize("kept", [True, False], ids=["to elsewhere", "within the root"])
def test_no_link_on_the_way_is_followed(folder: str, root: str, source: str, kept: bool) -> None:
    """R13: a link below the data root leads nowhere, even to a folder below the data root."""
    target = os.path.join(folder if kept else root, "RB2")
    os.mkdir(target)
    path = finished(os.path.join(target, "scan.txt"))
    link(target, os.path.join(root, "way"), folder=True)
    detour = os.path.join(root, "way", "scan.txt")
    for attempt in (
        lambda: system.open_source(root, detour),
        lambda: system.remove_source(root, detour, anything),
        lambda: system.move_source(root, detour, os.path.join(root, "moved.txt"), anything),
    ):
        with pytest.raises(OSError, check=lambda e: e.errno in {errno.ELOOP, errno.ENOTDIR}):
            attempt()
    assert content_of(path) == b"1 2 3\n"
    set_mark(path, False)


def test_the_data_root_itself_may_be_a_link(folder: str, root: str, source: str) -> None:
    """An operator's own link to another disk is not a detour."""
    alias = os.path.join(folder, "alias")
    link(root, alias, folder=True)
    os.close(system.open_source(alias, os.path.join(alias, os.path.relpath(source, root))))


def test_no_path_leads_out_of_the_data_root(folder: str, root: str) -> None:
    outside = finished(os.path.join(folder, "outside.txt"))
    for path in (outside, os.path.join(root, os.pardir, "outside.txt")):
        with pytest.raises(OSError, match=r"data root|[Nn]ame"):
            system.open_source(root, path)
    set_mark(outside, False)


@on_posix
def test_a_pipe_is_not_waited_for(root: str) -> None:
    """R13."""
    path = os.path.join(root, "pipe")
    os.mkfifo(path, 0o444)
    assert not system.is_plain_file(os.lstat(path))
    with pytest.raises((OSError, SourceChanged)):
        system.open_source(root, path)


def test_a_copy_is_read_from_its_start(source: str) -> None:
    descriptor = system.open_for_reading(source)
    system.forget_cached(descriptor)
    assert os.read(descriptor, 100) == b"1 2 3\n"
    os.close(descriptor)


@wine_excuses("follows links in the last segment too, whatever it is asked")
def test_a_copy_is_not_read_through_a_link(root: str, source: str) -> None:
    path = os.path.join(root, "link.txt")
    link(source, path)
    with pytest.raises(OSError, check=lambda e: e.errno == errno.ELOOP):
        os.close(system.open_for_reading(path))


# Writing a copy


def test_a_part_is_made_once(folder: str) -> None:
    path = os.path.join(folder, ".watcher-1.part")
    descriptor = system.create_part(path)
    with pytest.raises(FileExistsError):
        system.create_part(path)
    os.close(descriptor)


@wine_excuses("shows no link that leads nowhere")
def test_a_part_is_never_made_through_a_link(folder: str) -> None:
    path, victim = os.path.join(folder, "x.part"), os.path.join(folder, "victim")
    link(victim, path)
    with pytest.raises(FileExistsError):
        os.close(system.create_part(path))
    assert not os.path.exists(victim)


def test_a_part_is_written_and_read_through_its_descriptor(folder: str) -> None:
    path = os.path.join(folder, "x.part")
    descriptor = system.create_part(path)
    os.write(descriptor, b"a\r\n\x1a\nb")
    os.lseek(descriptor, 0, os.SEEK_SET)
    assert os.read(descriptor, 100) == b"a\r\n\x1a\nb"
    system.finish_part(descriptor, path, TIMES)
    assert content_of(path) == b"a\r\n\x1a\nb"


@on_posix
def test_a_part_is_private(folder: str) -> None:
    path = os.path.join(folder, "x.part")
    os.close(system.create_part(path))
    assert os.lstat(path).st_mode & 0o777 == 0o600


def test_times_survive_to_100_ns(folder: str) -> None:
    path = os.path.join(folder, "scan.txt")
    system.publish(part_of(path), path)
    assert os.lstat(path).st_mtime_ns == TIMES[1]
    drop(path)


def test_finishing_a_part_closes_it(folder: str) -> None:
    path = os.path.join(folder, "x.part")
    descriptor = system.create_part(path)
    system.finish_part(descriptor, path, TIMES)
    with pytest.raises(OSError, check=lambda e: e.errno == errno.EBADF):
        os.fstat(descriptor)


@pytest.mark.parametrize("content", [b"", b"a\r\n\x1a\nb" * 10_000])
def test_a_part_is_written_whole_however_little_a_write_takes(
    folder: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = os.path.join(folder, "x.part"), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:4096]))
    system.write_part(path, content, TIMES)
    assert content_of(path) == content
    assert os.lstat(path).st_mtime_ns == TIMES[1]


def test_a_part_that_can_not_be_written_is_not_left_open(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def full(descriptor: int, _data: bytes) -> int:
        opened.append(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, check=lambda e: e.errno == errno.ENOSPC):
        system.write_part(os.path.join(folder, "x.part"), b"a", TIMES)
    with pytest.raises(OSError, check=lambda e: e.errno == errno.EBADF):
        os.fstat(*opened)


def test_a_marked_part_is_marked_when_it_is_published(folder: str) -> None:
    """R3: a copy appears whole and read-only, or not at all."""
    path = os.path.join(folder, "scan.txt")
    part = part_of(path)
    system.publish(part, path)
    assert system.is_marked(os.lstat(path))
    assert os.listdir(folder) == ["scan.txt"]
    drop(path)


@pytest.mark.parametrize(
    "taken_by",
    [
        "file",
        "marked file",
        "folder",
        pytest.param("dangling link", marks=wine_excuses("shows no link that leads nowhere")),
    ],
)
def test_publishing_never_replaces(folder: str, taken_by: str) -> None:
    """R4: a name that is taken stays what it is, and the part is still there."""
    path = os.path.join(folder, "scan.txt")
    match taken_by:
        case "folder":
            os.mkdir(path)
        case "dangling link":
            link(os.path.join(folder, "nowhere"), path)
        case _:
            finished(path, b"older")
            set_mark(path, taken_by == "marked file")
    before, part = os.lstat(path), part_of(path)
    with pytest.raises(FileExistsError):
        system.publish(part, path)
    assert Fingerprint.of(os.lstat(path)) == Fingerprint.of(before)
    assert content_of(part) == b"1 2 3\n"
    drop(part)
    if "file" in taken_by:
        drop(path)


def test_publishing_nothing_is_an_error(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        system.publish(os.path.join(folder, "x.part"), os.path.join(folder, "scan.txt"))
    assert os.listdir(folder) == []


def test_of_two_processes_that_publish_one_name_one_wins(folder: str) -> None:
    """R4: 200 times, and the loser is told."""
    rounds = 200
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, folder, *names, str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for names in ("ab", "ba")
    ]
    wins = [set(racer.communicate(timeout=50)[0].split()) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert wins[0] | wins[1] == {str(n) for n in range(rounds)}
    assert not wins[0] & wins[1]
    for name, won in zip("ab", wins, strict=True):
        assert {content_of(os.path.join(folder, f"{n}.txt")) for n in won} <= {name.encode()}


def test_flushing_says_whether_it_was_done(folder: str, source: str) -> None:
    assert system.flush_file(source) is not WINDOWS
    system.flush_folder(folder)


def test_a_volume_is_flushed_only_for_many_files_and_where_that_does_it(folder: str) -> None:
    """R2: anywhere else it says that each file has to be flushed."""
    assert not system.flush_volumes([folder], 1, 1)
    assert not system.flush_volumes([os.path.join(folder, "nowhere")], MANY, 1)
    memory = "/dev/shm"
    if os.path.isdir(memory):  # flushing does nothing there, and need not be known to
        assert not system.flush_volumes([memory, folder], MANY, 1)


@on_posix
def test_a_volume_is_not_flushed_while_much_else_waits_for_it(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: another program's gigabytes would have to be written first."""
    path = finished(os.path.join(folder, "one.part"))
    before = system.flush_volumes([folder], MANY, 1)
    monkeypatch.setattr("watcher.platform.posix_flushing._waiting", lambda: 1 << 30)
    assert not system.flush_volumes([folder], MANY, 1)
    assert system.flush_volumes([folder], MANY, 1 << 30) == before
    descriptor = os.open(path, os.O_RDONLY)
    try:
        system.flush_part(descriptor, alone=False)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("marked", [True, False])
def test_a_part_is_removed_marked_or_not(folder: str, marked: bool) -> None:
    path = finished(os.path.join(folder, "x.part"))
    set_mark(path, marked)
    system.remove_part(path)
    system.remove_part(path)
    assert os.listdir(folder) == []


# The end of a source


def test_a_source_is_removed_though_it_is_marked(root: str, source: str) -> None:
    system.remove_source(root, source, anything)
    assert os.listdir(os.path.dirname(source)) == []


def test_the_last_look_shows_the_file_itself(root: str, source: str) -> None:
    """R2: the file is compared by fingerprint and mark right before it goes."""
    expected, shown = os.lstat(source), []
    with pytest.raises(SourceChanged):
        system.remove_source(root, source, lambda stat: bool(shown.append(stat)))
    assert Fingerprint.of(shown[0]) == Fingerprint.of(expected)
    assert system.is_marked(shown[0])
    assert system.is_plain_file(shown[0])


def test_a_source_that_is_another_stays(root: str, source: str) -> None:
    """R2, R6: what was not archived is not removed, nor moved."""
    target = os.path.join(root, "moved.txt")
    with pytest.raises(SourceChanged):
        system.remove_source(root, source, lambda _: False)
    with pytest.raises(SourceChanged):
        system.move_source(root, source, target, lambda _: False)
    assert system.is_marked(os.lstat(source))
    assert os.listdir(os.path.dirname(source)) == ["scan.txt"]
    assert not os.path.lexists(target)


def test_a_source_is_never_writable_under_its_own_name(root: str) -> None:
    """R5: a crash in the middle leaves no file that no rule picks up."""
    paths = [finished(os.path.join(root, f"{n}.txt")) for n in range(100)]
    seen_writable: list[str] = []
    looking, done = threading.Event(), threading.Event()

    def look() -> None:
        while not done.is_set():
            for entry in os.scandir(root):
                if entry.name.endswith(".txt"):
                    try:
                        stat = os.lstat(entry.path)
                    except OSError:
                        continue
                    # Windows looks at what it has opened, which may have another name by now
                    if not system.is_marked(stat) and os.path.lexists(entry.path):
                        seen_writable.append(entry.name)
            looking.set()

    watching = threading.Thread(target=look)
    watching.start()
    try:
        assert looking.wait(10)
        for path in paths:
            remove_patiently(root, path)
    finally:
        done.set()
        watching.join()
    assert seen_writable == []
    assert os.listdir(root) == ["RB1"]


def remove_patiently(root: str, path: str) -> None:
    """Remove a source that another thread may look at in this very moment."""
    while os.path.lexists(path):
        try:
            system.remove_source(root, path, anything)
        except (SourceBusy, PermissionError):
            continue


def test_removing_a_missing_source_is_an_error(root: str) -> None:
    with pytest.raises(FileNotFoundError):
        system.remove_source(root, os.path.join(root, "nothing.txt"), anything)


def test_a_moved_source_keeps_time_mark_and_content(folder: str, root: str, source: str) -> None:
    target = os.path.join(folder, "moved.txt")
    before = Fingerprint.of(os.lstat(source))
    system.move_source(root, source, target, anything)
    assert Fingerprint.of(os.lstat(target)) == before
    assert system.is_marked(os.lstat(target))
    assert os.listdir(os.path.dirname(source)) == []
    drop(target)


@pytest.mark.parametrize("marked", [True, False])
def test_moving_never_replaces(folder: str, root: str, source: str, marked: bool) -> None:
    """R4: and the source is still there."""
    target = finished(os.path.join(folder, "moved.txt"), b"older")
    set_mark(target, marked)
    with pytest.raises(FileExistsError):
        system.move_source(root, source, target, anything)
    assert content_of(target) == b"older"
    assert content_of(source) == b"1 2 3\n"
    drop(target)


def test_a_source_that_changes_while_it_is_moved_is_put_back(
    folder: str, root: str, source: str
) -> None:
    """R2: a renamed source is looked at again."""
    target, looks = os.path.join(folder, "moved.txt"), iter([True, False])
    with pytest.raises(SourceChanged):
        system.move_source(root, source, target, lambda _: next(looks))
    assert content_of(source) == b"1 2 3\n"
    assert system.is_marked(os.lstat(source))
    assert not os.path.lexists(target)


def test_a_source_that_is_open_for_writing_is_neither_removed_nor_moved(
    folder: str, root: str, source: str
) -> None:
    """R6: where the system can tell."""
    if not WINDOWS:
        pytest.skip("POSIX has no share modes: the last look is all there is")
    set_mark(source, False)
    with open(source, "ab"):
        set_mark(source)
        with pytest.raises(SourceBusy):
            system.remove_source(root, source, anything)
        with pytest.raises(SourceBusy):
            system.move_source(root, source, os.path.join(folder, "moved.txt"), anything)
    assert system.is_marked(os.lstat(source))


@on_windows
def test_errors_carry_windows_own_number(root: str) -> None:
    with pytest.raises(FileNotFoundError, check=lambda e: e.winerror == 2):
        system.open_source(root, os.path.join(root, "nothing.txt"))

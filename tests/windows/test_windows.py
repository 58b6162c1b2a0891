"""What only Windows promises: its paths, attributes, share modes and error numbers."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("can only hold on Windows", allow_module_level=True)

from tests.harness import IS_WINE, wait_until
from tests.platforms import remove_tree, set_mark, wine_excuses
from watcher.errors import AlreadyRunning, ConfigurationError, SourceBusy
from watcher.lock import LOCK_NAME, locked
from watcher.model import Fingerprint, FinishedFile
from watcher.outage import Fault, fault_of
from watcher.platform import system, windows_console, windows_streams
from watcher.platform import windows as room
from watcher.platform import windows_api as api
from watcher.transfer.streams import put_inside

HIDDEN, READONLY = stat.FILE_ATTRIBUTE_HIDDEN, stat.FILE_ATTRIBUTE_READONLY
SYSTEM = stat.FILE_ATTRIBUTE_SYSTEM
TIMES = (1_600_000_000_123_456_700, 1_650_000_001_765_432_100)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return system.native(str(tmp_path))


@pytest.fixture
def source(folder: str) -> Iterator[str]:
    path = os.path.join(folder, "scan.txt")
    Path(path).write_bytes(b"1 2 3")
    set_mark(path)
    yield path
    if os.path.exists(path):
        set_mark(path, False)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A UNC path to a folder on this computer; under Wine it can be cut by renaming it."""
    if not IS_WINE:
        share = Path(rf"\\localhost\{tmp_path.drive[0]}$", *tmp_path.parts[1:])
        if not share.exists():
            pytest.skip("this account may not use the administrative shares")
        yield share
        return
    server = Path("Z:" + os.environ["WINEPREFIX"], "dosdevices", "unc", f"server{os.getpid()}")
    folder = server / tmp_path.name
    folder.mkdir(parents=True)
    yield Path(rf"\\{server.name}\{tmp_path.name}")
    remove_tree(str(server))


def test_only_what_is_missing_is_absent(folder: str, source: str) -> None:
    """R8: the numbers of a lost share come as FileNotFoundError too, and are not that."""
    for missing in ("no.txt", r"no\no.txt", r"scan.txt\no.txt"):
        for look in (os.lstat, open, system.open_for_reading):
            with pytest.raises(OSError, check=system.is_absent):
                look(os.path.join(folder, missing))
    for number in (53, 67, 15, 18, 123, 161, 206):
        error = OSError(0, "lost", source, number)
        assert isinstance(error, FileNotFoundError) or number == 123
        assert not system.is_absent(error)
    assert not system.is_absent(FileNotFoundError(errno.ENOENT, "found after all", source))


@pytest.mark.parametrize("number", [51, 53, 55, 59, 64, 67, 71, 121, 1203, 1219, 1222, 1231, 1232,
    1236, 1326])  # fmt: skip
def test_a_lost_share_is_an_outage_and_no_missing_file(source: str, number: int) -> None:
    """R8: whatever number it has, nothing is taken to be gone because of it."""
    error = OSError(0, "lost", source, number)
    assert fault_of(error) is Fault.OUTAGE
    assert not system.is_absent(error)


def test_a_number_that_python_hides_may_be_an_outage() -> None:
    """R8: Python's file objects say EINVAL where Windows said that the network is gone."""
    assert fault_of(OSError(errno.EINVAL, "Invalid argument")) is Fault.OUTAGE


def test_a_file_without_streams_has_none(folder: str, source: str) -> None:
    """Also where the system knows no streams at all, as Wine."""
    assert system.streams(source) == ()


@wine_excuses("keeps no streams: `path:name` is a second file in the folder")
def test_streams_are_listed_and_travel(folder: str, source: str) -> None:
    path = source + ".copy"
    os.close(system.create_part(path))
    set_mark(source, False)
    system.write_stream(source, "notes", b"by hand")
    set_mark(source)
    assert system.streams(source) == ("notes",)
    assert system.keeps_streams(folder)
    file = FinishedFile(folder, "", "", "scan.txt", Fingerprint.of(os.lstat(source)))
    put_inside(file, path)
    assert system.read_stream(path, "notes") == b"by hand"
    assert Path(path).read_bytes() == b""


def test_R2_a_stream_that_somebody_holds_is_no_stream_that_is_not_there(source: str) -> None:
    set_mark(source, False)
    system.write_stream(source, "notes", b"by hand")
    held = api.open_file(f"{source}:notes", api.GENERIC_READ, 0)
    try:
        with pytest.raises(PermissionError):
            system.read_stream(source, "notes")
    finally:
        os.close(held)
    assert system.read_stream(source, "notes") == b"by hand"
    assert system.read_stream(source, "other") is None


@pytest.mark.parametrize(
    ("full", "name"),
    [("::$DATA", ""), (":notes:$DATA", "notes"), (":Zone.Identifier:$DATA", "Zone.Identifier")],
)
def test_a_stream_is_known_by_its_plain_name(full: str, name: str) -> None:
    assert windows_streams.plain_name(full) == name


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(0, marks=wine_excuses("leaves a file hidden that was created so")),
        HIDDEN,
        pytest.param(SYSTEM, marks=wine_excuses("forgets the system attribute")),
        pytest.param(HIDDEN | SYSTEM, marks=wine_excuses("forgets the system attribute")),
    ],
)
def test_a_copy_is_hidden_or_a_system_file_as_its_source(
    folder: str, source: str, more: int
) -> None:
    path = os.path.join(folder, "copy.txt")
    api.set_attributes(source, READONLY | more)
    system.finish_part(system.create_part(path), path, TIMES)
    system.dress(path, os.lstat(source))
    assert attributes_of(path) & (READONLY | HIDDEN | SYSTEM) == READONLY | more
    api.set_attributes(source, READONLY)
    system.remove_part(path)


def test_the_end_of_a_console_is_a_clean_end() -> None:
    """Closed, logged off, shut down: the system ends the process when the handler returns."""
    reasons: list[str] = []
    ended = threading.Event()
    routine = windows_console.routine_for(reasons.append, ended)
    assert routine(0)
    assert routine(1)
    assert not routine(77)
    closing = threading.Thread(target=routine, args=(2,))
    closing.start()
    wait_until(lambda: len(reasons) == 3)
    assert closing.is_alive()
    ended.set()
    closing.join(1)
    assert not closing.is_alive()
    assert reasons == ["Ctrl-C", "Ctrl-Break", "the console was closed"]


def test_the_console_is_watched_as_long_as_it_lasts() -> None:
    with system.console_watched(lambda _: None):
        pass


def test_a_stat_does_not_tell_when_a_file_was_marked(source: str) -> None:
    assert system.marked_at(os.lstat(source)) is None


def anything(_: os.stat_result) -> bool:
    return True


def attributes_of(path: str) -> int:
    return os.lstat(path).st_file_attributes


@pytest.mark.parametrize(
    ("plain", "native"),
    [
        (r"C:\Data", r"\\?\C:\Data"),
        ("C:\\", "\\\\?\\C:\\"),
        ("C:/Data//RB1/./x/..", r"\\?\C:\Data\RB1"),
        (r"\\server\share", r"\\?\UNC\server\share"),
        (r"//server/inst$/NDX", r"\\?\UNC\server\inst$\NDX"),
        (r"C:\Data\dots...", r"\\?\C:\Data\dots..."),
        ("C:\\Data\\space ", "\\\\?\\C:\\Data\\space "),
        (r"C:\Data\NUL", r"\\?\C:\Data\NUL"),
    ],
)
def test_every_path_has_a_long_form(plain: str, native: str) -> None:
    """R13: paths over 260 characters, trailing dots and spaces, names of devices."""
    assert system.native(plain) == native
    assert system.native(native) == native
    assert system.native(system.plain(native)) == native


def test_a_path_without_a_drive_is_on_the_current_one() -> None:
    assert system.native(r"\Data") == rf"\\?\{os.getcwd()[:2]}\Data"
    assert system.native(f"{os.getcwd()[:2]}x") == rf"\\?\{os.getcwd()}\x"


def test_what_only_the_long_form_can_say_stays(folder: str) -> None:
    volume = r"\\?\Volume{b75e2c83-0000-0000-0000-602f00000000}\Data"
    assert system.plain(volume) == system.native(volume) == volume


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("scan.txt", "SCAN.TXT", True),
        ("é", "É", True),
        ("straße", "STRASSE", False),
        ("\u0131", "I", False),
        ("ﬁ", "FI", False),
        ("scan", "scan.", False),
    ],
)
def test_names_are_compared_as_ntfs_does(one: str, other: str, same: bool) -> None:
    """Code unit by code unit, in upper case: not as Python's casefold does."""
    assert system.same_name(one, other) is same


@wine_excuses("hides every name that begins with a dot")
def test_a_part_is_hidden_until_it_is_marked(folder: str) -> None:
    path, published = os.path.join(folder, ".watcher-1.part"), os.path.join(folder, "scan.txt")
    descriptor = system.create_part(path)
    assert attributes_of(path) & HIDDEN
    system.finish_part(descriptor, path, TIMES)
    system.mark(path)
    system.publish(path, published)
    assert attributes_of(published) & (READONLY | HIDDEN) == READONLY
    system.remove_part(published)


def test_a_part_can_be_read_but_not_changed_by_others_while_it_is_written(folder: str) -> None:
    """R3: virus scanners may look; nobody else writes, renames or removes it."""
    path = os.path.join(folder, "x.part")
    descriptor = system.create_part(path)
    try:
        for attempt in (
            lambda: os.close(api.open_file(path, api.GENERIC_WRITE, 7)),
            lambda: os.rename(path, path + ".stolen"),
            lambda: os.unlink(path),
        ):
            with pytest.raises(PermissionError, check=lambda e: e.winerror == 32):
                attempt()
        os.close(api.open_file(path, api.GENERIC_READ, 7))
    finally:
        os.close(descriptor)


def test_a_copy_that_others_read_can_be_read(source: str) -> None:
    with open(source, "rb"):
        os.close(system.open_for_reading(source))


def test_a_source_that_nobody_may_read_is_busy(folder: str, source: str) -> None:
    """A lock without any sharing, as virus scanners take, delays the file."""
    descriptor = api.open_file(source, api.GENERIC_READ, 0)
    try:
        with pytest.raises(SourceBusy):
            system.open_source(folder, source)
    finally:
        os.close(descriptor)
    os.close(system.open_source(folder, source))


def test_a_source_that_a_viewer_holds_stays_until_it_is_closed(folder: str, source: str) -> None:
    """Python's own `open` shares no deletion, like most viewers: busy, and untouched."""
    with open(source, "rb"):
        with pytest.raises(SourceBusy):
            system.remove_source(folder, source, anything)
        with pytest.raises(SourceBusy):
            system.move_source(folder, source, source + ".moved", anything)
    assert os.listdir(folder) == ["scan.txt"]
    assert attributes_of(source) & READONLY
    system.remove_source(folder, source, anything)


def test_what_fails_in_the_middle_of_removing_is_undone(
    folder: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: where read-only files can't be deleted, the file comes back under its own name."""

    def refused(_: int) -> None:
        raise OSError(0, "refused", None, api.ERROR_INVALID_PARAMETER)

    monkeypatch.setattr(room.api, "delete", refused)
    monkeypatch.setattr(room.api, "delete_on_close", refused)
    with pytest.raises(OSError, match="refused"):
        system.remove_source(folder, source, anything)
    assert os.listdir(folder) == ["scan.txt"]
    assert attributes_of(source) & READONLY


def test_where_readonly_files_can_not_be_deleted_they_are_renamed_first(
    folder: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: FAT, file servers and Windows before 1809 know no other way."""
    states: list[tuple[list[str], bool]] = []

    def seen(descriptor: int) -> None:
        (name,) = os.listdir(folder)
        states.append(([name], bool(attributes_of(os.path.join(folder, name)) & READONLY)))
        delete_on_close(descriptor)

    def not_offered(_: int) -> None:
        raise OSError(0, "not offered", None, api.ERROR_INVALID_PARAMETER)

    delete_on_close = api.delete_on_close
    monkeypatch.setattr(room.api, "delete", not_offered)
    monkeypatch.setattr(room.api, "delete_on_close", seen)
    system.remove_source(folder, source, anything)
    ((names, readonly),) = states
    assert names[0].startswith(".watcher-removing-")
    assert names[0].endswith(".part")
    assert not readonly
    assert os.listdir(folder) == []


def test_a_source_is_not_moved_to_another_volume(folder: str, source: str) -> None:
    """The caller copies instead; the number is told as EXDEV and as Windows' own."""
    if not IS_WINE:
        pytest.skip("needs a second volume")
    target = system.native(rf"Z:\dev\shm\watcher-{os.getpid()}.txt")
    with pytest.raises(OSError, check=lambda e: (e.errno, e.winerror) == (errno.EXDEV, 17)):
        system.move_source(folder, source, target, anything)
    assert os.listdir(folder) == ["scan.txt"]


def test_this_disk_is_local_and_a_share_is_not(folder: str, share: Path) -> None:
    assert system.is_local(folder)
    assert not system.is_local(system.native(str(share)))


def test_everything_works_on_a_share(share: Path) -> None:
    path = system.native(str(share / "scan.txt"))
    part = system.native(str(share / "x.part"))
    descriptor = system.create_part(part)
    os.write(descriptor, b"1 2 3")
    system.finish_part(descriptor, part, TIMES)
    system.mark(part)
    system.publish(part, path)
    assert os.lstat(path).st_mtime_ns == TIMES[1]
    assert system.is_marked(os.lstat(path))
    root = system.native(str(share))
    os.close(system.open_source(root, path))
    system.move_source(root, path, path + "2", anything)
    system.remove_source(root, path + "2", anything)
    assert os.listdir(share) == []


def test_a_state_folder_of_another_account_is_no_watcher_that_runs(folder: str) -> None:
    """What may not be opened is said to be that, not to be locked; a share mode stands for it."""
    lock = os.path.join(folder, LOCK_NAME)
    Path(lock).touch()
    descriptor = api.open_file(lock, api.GENERIC_READ, 0)
    try:
        with pytest.raises(ConfigurationError, match="can't be used"), locked(folder):
            pass
    finally:
        os.close(descriptor)
    with locked(folder), pytest.raises(AlreadyRunning), locked(folder):
        pass


@pytest.mark.skipif(not IS_WINE, reason="a real share can't be cut from here")
def test_a_share_that_is_gone_is_an_error_at_every_step(share: Path) -> None:
    """R8: never taken for a missing file without a number that says more."""
    server = Path("Z:" + os.environ["WINEPREFIX"], "dosdevices", "unc", share.drive.split("\\")[2])
    path = system.native(str(share / "scan.txt"))
    away = server.with_name(server.name + "-away")
    server.rename(away)
    try:
        for attempt in (
            lambda: system.create_part(path),
            lambda: system.open_for_reading(path),
            lambda: system.mark(path),
            lambda: system.publish(path, path + "2"),
        ):
            with pytest.raises(OSError, check=lambda e: e.winerror not in {None, 0}):
                attempt()
        for look in (os.lstat, os.listdir, open):
            with pytest.raises(OSError, check=lambda e: not system.is_absent(e)):
                look(path)
    finally:
        away.rename(server)
    os.close(system.create_part(path))
    os.unlink(path)

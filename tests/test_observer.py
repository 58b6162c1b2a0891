"""Hints, from real files through the real watchdog."""

import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.platforms import on_windows
from watcher.model import SCAN_FOLDER
from watcher.platform import system
from watcher.sources.observer import Observer
from watcher.sources.observer.notes import read_notes

DEADLINE = 10.0
linux_only = pytest.mark.skipif(os.name == "nt", reason="is about inotify")


class Ears:
    """Hears all that an observer tells."""

    def __init__(self, *roots: Path, excluded: str = "Export only"):
        self.heard: list[tuple[str, str]] = []
        self.news = threading.Condition()
        marks = tuple(str(root / excluded) + os.sep for root in roots)
        self.observer = Observer(
            [str(root) for root in roots],
            lambda path: (path + os.sep).startswith(marks),
            lambda path: self.hear("hint", path),
            lambda path: self.hear("look below", path),
            lambda reason: self.hear("blind", reason),
        )

    def hear(self, kind: str, text: str) -> None:
        with self.news:
            self.heard.append((kind, text))
            self.news.notify_all()

    def all(self, kind: str) -> list[str]:
        with self.news:
            return [text for what, text in self.heard if what == kind]

    def wait(self, kind: str, *parts: object, times: int = 1) -> None:
        """Wait until a thing was heard that has all parts in it."""

        def count() -> int:
            return sum(
                what == kind and all(str(part) in text for part in parts)
                for what, text in self.heard
            )

        with self.news:
            assert self.news.wait_for(lambda: count() >= times, DEADLINE), self.heard

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.news:
            assert self.news.wait_for(condition, DEADLINE), self.heard

    def forget(self) -> None:
        with self.news:
            self.heard.clear()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "RB1" / SCAN_FOLDER).mkdir(parents=True)
    (folder / "Export only").mkdir()
    return folder


@pytest.fixture
def ears(root: Path) -> Iterator[Ears]:
    with listening(Ears(root)) as started:
        yield started


class listening:  # noqa: N801
    """Starts an observer, stops it, and sees that no thread is left."""

    def __init__(self, ears: Ears):
        self.ears = ears

    def __enter__(self) -> Ears:
        self.before = set(threading.enumerate())
        self.ears.observer.start()
        for root in self.ears.observer._roots:
            wake(Path(root._path))
        return self.ears

    def __exit__(self, *_: object) -> None:
        self.ears.observer.stop()
        assert set(threading.enumerate()) <= self.before


def wake(root: Path) -> None:
    """List all folders, as a rescan does: Wine tells nothing of those that nobody listed."""
    for _ in os.walk(root):
        pass


def scan(root: Path, name: str = "a.txt") -> Path:
    return root / "RB1" / SCAN_FOLDER / name


def finish(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    system.mark(str(path))
    return path


def test_a_mark_is_a_hint(root: Path, ears: Ears):
    """R9: nothing but the attribute changes, and it is told."""
    path = scan(root)
    path.write_text("x")
    ears.wait("hint", path)
    ears.forget()
    system.mark(str(path))
    ears.wait("hint", path)
    assert not ears.observer.trouble
    assert ears.all("blind") == []


def test_a_finished_file_that_is_moved_in_is_a_hint(root: Path, ears: Ears, tmp_path: Path):
    path = finish(tmp_path / "elsewhere")
    path.rename(scan(root))
    ears.wait("hint", scan(root))


def test_a_file_renamed_in_place_is_a_hint(root: Path, ears: Ears):
    finish(scan(root, "before")).rename(scan(root, "after"))
    ears.wait("hint", scan(root, "after"))


@linux_only
def test_a_linked_file_is_a_hint(root: Path, ears: Ears, tmp_path: Path):
    os.link(finish(tmp_path / "elsewhere"), scan(root))
    ears.wait("hint", scan(root))


def test_a_folder_that_is_moved_in_must_be_looked_through(root: Path, ears: Ears, tmp_path: Path):
    """R9: its files were finished before it was watched."""
    finish(tmp_path / "elsewhere" / SCAN_FOLDER / "a.txt")
    (tmp_path / "elsewhere").rename(root / "RB2")
    ears.wait("look below", root / "RB2")


def test_what_happens_in_a_moved_folder_is_told_by_its_new_path(
    root: Path, ears: Ears, tmp_path: Path
):
    """R9: moved within the root, or into it, it is watched where it is."""
    (tmp_path / "elsewhere" / SCAN_FOLDER).mkdir(parents=True)
    (tmp_path / "elsewhere").rename(root / "RB2")
    (root / "RB1").rename(root / "RB3")
    ears.wait("look below", root / "RB2")
    ears.wait("look below", root / "RB3")
    wake(root)
    # Wine goes on telling a renamed folder's old path; Windows asks the file system for it
    for name in ("RB2",) if os.name == "nt" else ("RB2", "RB3"):
        path = finish(root / name / SCAN_FOLDER / "late.txt")
        ears.wait("hint", path)


def test_files_in_folders_made_that_very_moment_are_told(root: Path, ears: Ears):
    """R9: bluesky makes a folder and opens a file in it a moment later."""
    paths = [finish(root / f"RB2{n}" / SCAN_FOLDER / "sub" / "a.txt") for n in range(50)]

    def all_told() -> bool:
        told = {text for _, text in ears.heard}
        folders = {text for kind, text in ears.heard if kind == "look below"}
        return all(
            str(path) in told or any(str(p) in folders for p in path.parents) for path in paths
        )

    ears.wait_for(all_told)
    ears.forget()
    for path in paths:
        finish(path.with_name("later.txt"))
    for path in paths:
        ears.wait("hint", path.with_name("later.txt"))


def test_excluded_folders_are_silent(root: Path, ears: Ears):
    """R7: what settles in `Export only` is no news, nor are folders made there."""
    finish(root / "Export only" / "RB1" / SCAN_FOLDER / "copy.txt")
    finish(scan(root)).rename(root / "Export only" / "moved.txt")
    ears.wait("hint", finish(scan(root, "last")))
    assert not [text for _, text in ears.heard if "Export only" in text]


def test_what_is_not_below_a_scan_folder_is_no_hint(root: Path, ears: Ears):
    """R1."""
    finish(root / "RB1" / "notes.txt")
    finish(root / "data.nxs")
    ears.wait("hint", finish(scan(root)))
    assert set(ears.all("hint")) == {str(scan(root))}


def test_reading_is_no_hint(root: Path, ears: Ears):
    """Our own reading and listing must not come back as news."""
    path = finish(scan(root))
    ears.wait("hint", path)
    finish(scan(root, "marker"))
    ears.wait("hint", scan(root, "marker"))
    settled = len(ears.all("hint"))
    for _ in range(20):
        path.read_text()
        os.listdir(path.parent)
    ears.wait("hint", finish(scan(root, "last")))
    others = [text for text in ears.all("hint")[settled:] if text != str(scan(root, "last"))]
    assert [text for text in others if text == str(path)] == []


def test_hints_come_at_once_while_others_write(root: Path, ears: Ears):
    """A hint waits for no quiet moment: not for other writers, not for other renames."""
    done = threading.Event()

    def disturb() -> None:
        number = 0
        while not done.wait(0.002):
            number += 1
            (root / "other.log").write_text(str(number))
            finish(root / "RB1" / f"{number}").rename(root / "Export only" / f"{number}")
            scan(root, "running.txt").write_text(str(number))

    thread = threading.Thread(target=disturb)
    thread.start()
    delays = []
    try:
        for number in range(20):
            path = scan(root, f"{number}.txt")
            path.write_text("x")
            ears.wait("hint", path)
            ears.forget()
            began = time.monotonic()
            system.mark(str(path))
            ears.wait("hint", path)
            delays.append(time.monotonic() - began)
    finally:
        done.set()
        thread.join()
    assert sorted(delays)[len(delays) // 2] < 0.2


@pytest.mark.parametrize("name", ["[red]", "a b", "é日本", "%s", "x" * 200])
def test_names_are_data(root: Path, ears: Ears, name: str):
    """R13: told as they are."""
    path = finish(scan(root, name))
    ears.wait_for(lambda: ("hint", str(path)) in ears.heard)


@linux_only
def test_names_that_are_no_text_are_told_too(root: Path, ears: Ears):
    """R13: bytes that are no text, and newlines."""
    path = finish(scan(root, os.fsdecode(b"\xff\n")))
    ears.wait_for(lambda: ("hint", str(path)) in ears.heard)


# What goes wrong


def test_a_missing_root_is_told_once_and_watched_when_it_appears(root: Path, tmp_path: Path):
    """R9, R11: the other roots are watched meanwhile."""
    late = tmp_path / "late"
    with listening(Ears(late, root)) as ears:
        ears.wait("blind", late, "missing")
        assert ears.observer.trouble
        assert str(late) in ears.observer.trouble
        for _ in range(3):
            ears.observer.check()
        assert len(ears.all("blind")) == 1
        ears.wait("hint", finish(scan(root)))
        late.mkdir()
        ears.observer.check()
        ears.wait("blind", late, "watched again")
        assert not ears.observer.trouble
        ears.wait("look below", finish(scan(late)).parent.parent)


@pytest.mark.skipif(os.name == "nt", reason="a folder that is watched can't be replaced there")
def test_a_root_that_was_replaced_is_noticed(root: Path, ears: Ears, tmp_path: Path):
    """R9: a watch follows the folder, not the name."""
    root.rename(tmp_path / "old")
    scan(root).parent.mkdir(parents=True)
    ears.observer.check()
    ears.wait("blind", "taken the data root's place")
    wake(root)
    ears.wait("hint", finish(scan(root)))


@linux_only
def test_a_root_that_was_removed_is_told_at_once(root: Path, ears: Ears):
    """R9: without waiting for the next check."""
    for folder in (root / "RB1" / SCAN_FOLDER, root / "RB1", root / "Export only", root):
        folder.rmdir()
    ears.wait("blind", "removed")
    assert ears.observer.trouble
    ears.observer.check()
    ears.wait("blind", "missing")


@linux_only
def test_a_watch_that_died_is_noticed_and_begun_anew(root: Path, ears: Ears):
    """R9: judged by its thread, not by what it last said."""
    victim = ears.observer._roots[0]._backend._kernel
    victim.stop()
    victim.join()
    ears.observer.check()
    ears.wait("blind", "by itself")
    ears.wait("hint", finish(scan(root)))


def test_nothing_that_goes_wrong_with_a_hint_ends_the_watch(root: Path, ears: Ears):
    """R9: a taker that raises costs its own hint, and says so."""
    hint = ears.observer._roots[0]._hint

    def fail(_path: str) -> None:
        ears.observer._roots[0]._hint = hint
        raise ValueError("no")

    ears.observer._roots[0]._hint = fail
    finish(scan(root))
    ears.wait("blind", "could not be read")
    ears.wait("hint", finish(scan(root, "next")))


def test_starting_anew_leaves_no_thread_behind(root: Path, ears: Ears):
    """R9: after each, hints come as before."""
    threads = len(threading.enumerate())
    for number in range(5):
        ears.observer.restart("a test")
        wake(root)
        ears.wait("hint", finish(scan(root, f"{number}")))
    assert len(threading.enumerate()) == threads


def test_it_may_be_stopped_twice_and_does_nothing_then(root: Path):
    with listening(Ears(root)) as ears:
        ears.observer.stop()
        ears.observer.check()
        ears.observer.restart("too late")
        ears.observer.stop()
        assert ears.observer.trouble


@pytest.fixture
def kernel_limit() -> Iterator[Callable[[str, int], None]]:
    before: dict[Path, str] = {}

    def limit(name: str, value: int) -> None:
        path = Path("/proc/sys/fs/inotify", name)
        if not os.access(path, os.W_OK) or os.geteuid():
            pytest.skip("only root can set the system's limits")
        before.setdefault(path, path.read_text())
        path.write_text(str(value))

    yield limit
    for path, value in before.items():
        path.write_text(value)


@linux_only
def test_an_overflow_is_told(root: Path, kernel_limit):
    """R9: what the kernel dropped is found by a rescan, and hints go on."""
    kernel_limit("max_queued_events", 16)
    with listening(Ears(root)) as ears:
        for number in range(5000):
            os.close(os.open(scan(root, f"{number % 7}"), os.O_CREAT | os.O_WRONLY))
        ears.wait("blind", "more happened at once")
        late = scan(root, "late")
        finish(late)
        while not [text for text in ears.all("hint") if text == str(late)]:
            late.touch()  # told once the flood is over
        assert not ears.observer.trouble


def watches_of_all() -> int:
    """Count the watches of all processes: the limit is one for all of a user."""
    count = 0
    for table in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):
            count += table.read_text().count("inotify wd:")
    return count


@linux_only
def test_too_many_folders_are_told_once_with_the_mend(root: Path, kernel_limit):
    """R9, R11: the folders that got no watch are no secret."""
    for number in range(50):
        (root / f"{number}").mkdir()
    with listening(Ears(root)) as ears:
        kernel_limit("max_user_watches", watches_of_all() - 10)
        ears.observer.restart("a test")
        ears.wait("blind", "fs.inotify.max_user_watches")
        assert "fs.inotify.max_user_watches" in ears.observer.trouble
        ears.observer.restart("a test")
        ears.observer.check()
        assert len(ears.all("blind")) == 1


@linux_only
def test_too_many_watchers_are_told_with_the_mend(root: Path, kernel_limit):
    """R9, R11: it starts without hints rather than not at all."""
    kernel_limit("max_user_instances", 0)
    with listening(Ears(root)) as ears:
        ears.wait("blind", "fs.inotify.max_user_instances")
        kernel_limit("max_user_instances", 128)
        ears.observer.check()
        ears.wait("blind", "watched again")
        assert not ears.observer.trouble


def test_watchdog_never_prints(root: Path, ears: Ears, capfd: pytest.CaptureFixture[str]):
    """Its lines must not land on the dashboard."""
    logging.getLogger("watchdog.observers.inotify").error("unable to rebuild")
    assert capfd.readouterr() == ("", "")


@linux_only
def test_excluded_folders_take_no_watches(root: Path):
    """They may hold a day's worth of folders, and limits are limits."""
    for number in range(20):
        (root / "Export only" / f"{number}").mkdir()
    with listening(Ears(root)) as ears:
        assert len(ears.observer._roots[0]._backend._tree._active_callbacks_by_watch) == 3


@linux_only
@pytest.mark.parametrize("counts", [True, False])
def test_every_folder_is_watched_however_deep(root: Path, monkeypatch, counts: bool):
    """R9: whether folders know how many are in them or must be listed; links are not followed."""
    monkeypatch.setattr(system, "counts_folders", lambda _path: counts)
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "file").write_text("x")
    (root / "a" / "link").symlink_to(root / "RB1")
    with listening(Ears(root)) as ears:
        watched = ears.observer._roots[0]._backend._tree._active_callbacks_by_path
        names = ("", "/RB1", f"/RB1/{SCAN_FOLDER}", "/a", "/a/b", "/a/b/c")
        assert set(watched) == {os.fsencode(f"{root}{name}") for name in names}


@linux_only
def test_a_root_that_is_a_link_is_told_by_its_own_name(root: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(root)
    with listening(Ears(link)) as ears:
        finish(scan(root))
        ears.wait("hint", scan(link))


def note(action: int, name: str, *, last: bool = False) -> bytes:
    """Write a note as Windows does: the next one begins at a multiple of four bytes."""
    content = name.encode("utf-16-le", "surrogatepass")
    padding = -len(content) % 4
    ahead = 0 if last else 12 + len(content) + padding
    return struct.pack("<III", ahead, action, len(content)) + content + bytes(padding)


def test_what_windows_notes_is_read_name_by_name():
    """R13: also half a surrogate pair, and U+FEFF, which begins a name and no text."""
    notes = [(1, "a.txt"), (5, "RB1\\日本 [red]"), (3, "\ud83d"), (3, "\ufeffx")]
    buffer = b"".join(note(*each) for each in notes[:-1]) + note(*notes[-1], last=True)
    assert list(read_notes(buffer)) == notes
    assert list(read_notes(b"")) == []


@on_windows
def test_more_than_windows_can_keep_is_told(root: Path, ears: Ears):
    """R9: an overflow comes as an empty buffer; hints go on after it."""
    goes_on = threading.Event()
    hint = ears.observer._roots[0]._hint

    def busy(path: str) -> None:
        goes_on.wait(DEADLINE)
        hint(path)

    ears.observer._roots[0]._hint = busy
    for number in range(1000):
        scan(root, f"{number:0200}").touch()
    goes_on.set()
    ears.wait("blind", "more happened at once")
    ears.wait("hint", finish(scan(root, "late")))
    assert not ears.observer.trouble


@on_windows
def test_writing_is_not_even_told(root: Path, ears: Ears):
    """A producer that appends all day costs nothing: only names and attributes are asked for."""
    path = scan(root, "running.txt")
    path.touch()
    ears.wait("hint", path)
    ears.forget()
    with path.open("ab", buffering=0) as file:
        for _ in range(1000):
            file.write(b"1 2 3\n")
    ears.wait("hint", finish(scan(root, "last.txt")))
    assert len(ears.all("hint")) < 10

"""A batch of files to one destination: verified, under a name that was free, or not at all."""

import contextlib
import errno
import gc
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.depots import CYCLE, MANIFEST, Ground, Store, digest_of, nothing, rewrite
from tests.faulty import ALWAYS, after, before, does_but_fails, fails, faulty, flip_a_bit
from tests.platforms import link, on_posix, wine_excuses
from watcher.errors import (
    CopyDiffers,
    DestinationDown,
    FileFault,
    ProducerMismatch,
    SourceBusy,
    SourceChanged,
)
from watcher.model import Arrival, Manner
from watcher.platform import system
from watcher.transfer import carry, make_folders
from watcher.transfer.batch import Shipment
from watcher.transfer.crew import CREW
from watcher.transfer.source import CHUNK
from watcher.transfer.trail import WINDOW

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts and attributes need root"
)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 300 kB of its own, which can be unmounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=False, capture_output=True)


LINKS = wine_excuses("shows links as what they lead to, and none that leads nowhere")


def arrived(*results: Arrival | Exception) -> list[Arrival]:
    for result in results:
        if isinstance(result, Exception):
            raise result
    return [result for result in results if isinstance(result, Arrival)]


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    return path


def once(action: Callable[[], object], at_least: int = 1) -> Callable[[int], None]:
    """Act at the first bytes that are moved, at least so many at once, and never again."""
    done: list[int] = []

    def moved(size: int) -> None:
        if size >= at_least and not done:
            done.append(size)
            action()

    return moved


# A copy


@pytest.mark.parametrize("size", [0, 1, 777, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_a_copy_has_content_time_and_mark_of_its_source(ground, store, size):
    """R2: whatever the size, and the time to the nanosecond (100 ns on Windows)."""
    content = os.urandom(size)
    file = ground.finished("sub/scan.txt", content)
    (arrival,) = arrived(*store.carry(file))
    copy = store.home() / "sub" / "scan.txt"
    assert arrival.place.path == system.native(str(copy))
    assert arrival.manner is Manner.COPIED
    assert [c.digest for c in arrival.checksums] == [digest_of(content)]
    assert copy.read_bytes() == content
    assert copy.stat().st_mtime_ns == file.fingerprint.mtime_ns
    assert system.is_marked(copy.lstat())
    assert store.lines() == {"sub/scan.txt": digest_of(content)}
    assert os.path.exists(file.path)


def test_a_batch_of_three_hundred_arrives_whole(ground, store):
    files = [ground.finished(f"scan_{n}.txt", b"%d" % n) for n in range(300)]
    arrived(*store.carry(*files))
    assert len(store.files()) == len(store.lines()) == 300


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("not-utf-8-\udcff\udcfe.txt", marks=on_posix),
        pytest.param("two\nlines.txt", marks=on_posix),
        pytest.param("x" * 251 + ".txt", marks=on_posix),
        "-rf",
        "[red] 日本語.txt",
        "{experiment}.txt",
    ],
)
def test_names_are_data(ground, store, name):
    """R13: never interpreted, never cut."""
    arrived(*store.carry(ground.finished(name)))
    assert os.listdir(store.home()) in [[name, MANIFEST], [MANIFEST, name]]
    if tool := shutil.which("sha256sum"):
        subprocess.run([tool, "--strict", "-c", MANIFEST], cwd=store.home(), check=True)


def test_an_experiment_may_be_called_like_a_placeholder(ground, store):
    """R13: a path template never reads what was put into it."""
    arrived(*store.carry(ground.finished(experiment="{cycle}")))
    assert (store.home("{cycle}") / "scan.txt").exists()


# What is there already


def test_the_same_content_is_adopted_and_made_as_safe_as_ours(ground, store):
    """R5, R10: no second copy; its mark and its line are completed."""
    copy = put(store.home() / "scan.txt", b"1 2 3\n")
    copy.chmod(0o644)
    (arrival,) = arrived(*store.carry(ground.finished()))
    assert arrival.manner is Manner.ADOPTED
    assert not arrival.is_conflict
    assert list(store.files()) == [f"{CYCLE}/RB1/scan.txt"]
    assert system.is_marked(copy.lstat())
    assert store.lines() == {"scan.txt": digest_of(b"1 2 3\n")}


def test_the_same_content_in_an_earlier_cycle_is_adopted(ground, store):
    """R10: a lost ledger makes no second copy in a later cycle."""
    put(store.home(cycle="cycle_26_1") / "scan.txt", b"1 2 3\n")
    transfer = store.transfer(ground.finished(), earlier=["cycle_25_5", "cycle_26_1"])
    (arrival,) = arrived(*carry([transfer], store.depot, nothing))
    assert arrival.manner is Manner.ADOPTED
    assert list(store.files()) == ["cycle_26_1/RB1/scan.txt"]
    assert store.lines(cycle="cycle_26_1")


def test_other_content_in_an_earlier_cycle_is_no_conflict(ground, store):
    put(store.home(cycle="cycle_26_1") / "scan.txt", b"3 2 1\n")
    transfer = store.transfer(ground.finished(), earlier=["cycle_26_1"])
    (arrival,) = arrived(*carry([transfer], store.depot, nothing))
    assert arrival.manner is Manner.COPIED
    assert not arrival.is_conflict
    assert (store.home() / "scan.txt").read_bytes() == b"1 2 3\n"


@pytest.mark.parametrize("other", [b"3 2 1\n", b"longer than that\n", b""])
def test_other_content_is_never_overwritten(ground, store, other):
    """R4: the newcomer takes its conflict name, and its line has that name."""
    put(store.home() / "scan.txt", other)
    (arrival,) = arrived(*store.carry(ground.finished()))
    name = f"scan.{digest_of(b'1 2 3' + bytes([10]))[:8]}.txt"
    assert arrival.is_conflict
    assert store.files() == {f"{CYCLE}/RB1/scan.txt": other, f"{CYCLE}/RB1/{name}": b"1 2 3\n"}
    assert store.lines() == {name: digest_of(b"1 2 3\n")}


def test_a_conflict_is_kept_once_however_often_it_comes(ground, store):
    """R5: a crash before the receipt makes no second copy under more digits."""
    put(store.home() / "scan.txt", b"3 2 1\n")
    file = ground.finished()
    first, again = arrived(*store.carry(file), *store.carry(file))
    assert again.manner is Manner.ADOPTED
    assert again.is_conflict
    assert again.place == first.place
    assert len(store.files()) == 2


def test_a_conflict_name_that_is_taken_too_gets_more_digits(ground, store):
    """R4: and where all are taken, the file waits with a reason."""
    digest = digest_of(b"1 2 3\n")
    for taken in ("scan.txt", f"scan.{digest[:8]}.txt"):
        put(store.home() / taken, b"other")
    file = ground.finished()
    (arrival,) = arrived(*store.carry(file))
    assert os.path.basename(arrival.place.path) == f"scan.{digest[:16]}.txt"
    for digits in (16, 32, 64):
        place = store.home() / f"scan.{digest[:digits]}.txt"
        if place.exists():
            place.chmod(0o600)
            place.unlink()
        put(place, b"other")
    (result,) = store.carry(file)
    assert isinstance(result, FileFault)
    assert set(store.files().values()) == {b"other"}


@on_posix
def test_the_conflict_name_of_a_name_of_255_bytes_fits(ground, store):
    """R4, R13: the stem gives way, at a whole character."""
    name = "ä" * 125 + "x.txt"
    assert len(os.fsencode(name)) == 255
    put(store.home() / name, b"other")
    (arrival,) = arrived(*store.carry(ground.finished(name)))
    kept = os.path.basename(arrival.place.path)
    assert kept.endswith(f".{digest_of(b'1 2 3' + bytes([10]))[:8]}.txt")
    assert 253 <= len(os.fsencode(kept)) <= 255


@pytest.mark.parametrize(
    "kind",
    ["folder", "fifo", *(pytest.param(kind, marks=LINKS) for kind in ("link", "dangling"))],
)
def test_a_name_that_is_taken_by_no_file_is_a_conflict(ground, store, tmp_path, kind):
    """R4, R13: nothing is followed, waited for or replaced."""
    store.home().mkdir(parents=True)
    place, elsewhere = store.home() / "scan.txt", tmp_path / "elsewhere.txt"
    if kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes here")
        os.mkfifo(place)
    else:
        if kind == "link":
            put(elsewhere, b"1 2 3\n")
        link(str(elsewhere), str(place))
    before_it = os.lstat(place).st_mode
    (arrival,) = arrived(*store.carry(ground.finished()))
    assert arrival.is_conflict
    assert os.lstat(place).st_mode == before_it
    assert elsewhere.exists() == (kind == "link")


def test_two_files_of_one_batch_for_one_place(ground, store):
    """R4: an ordinary conflict; or one file where their content is the same."""
    one = ground.finished("scan.txt", b"one")
    Path(ground.root, "RB1", "sub").mkdir()
    transfers = [store.transfer(one)]
    for name, content in (("two.txt", b"two"), ("same.txt", b"one")):
        file = ground.finished(name, content)
        transfers.append(type(transfers[0])(file, "archive", transfers[0].place))
    first, second, third = arrived(*carry(transfers, store.depot, nothing))
    assert (first.is_conflict, second.is_conflict, third.is_conflict) == (False, True, False)
    assert third.manner is Manner.ADOPTED
    assert len(store.files()) == 2


def test_a_name_that_is_taken_at_the_last_moment_is_not_replaced(ground, store):
    """R4: between the look and the rename."""
    place = store.home() / "scan.txt"
    with faulty(publish={1: before(lambda: put(place, b"other"))}):
        (arrival,) = arrived(*store.carry(ground.finished()))
    assert arrival.is_conflict
    assert place.read_bytes() == b"other"
    assert len(store.files()) == 2


# Names that the record needs


def test_a_source_called_like_the_manifest_takes_its_conflict_name(ground, store):
    arrived(*store.carry(ground.finished(), ground.finished(MANIFEST, b"data\n")))
    name = f"checksums.{digest_of(b'data' + bytes([10]))[:8]}.sha256"
    assert set(store.lines()) == {"scan.txt", name}
    again = store.carry(ground.look(str(ground.root / "RB1" / "bluesky_scans" / MANIFEST)))
    assert arrived(*again)[0].manner is Manner.ADOPTED
    assert len(store.files()) == 2


def test_the_manifest_is_never_adopted_as_a_copy(ground, store):
    """A source that happens to be a copy of the manifest must not get it marked read-only."""
    arrived(*store.carry(ground.finished()))
    manifest = (store.home() / MANIFEST).read_bytes()
    (arrival,) = arrived(*store.carry(ground.finished(MANIFEST, manifest)))
    assert arrival.is_conflict
    arrived(*store.carry(ground.finished("later.txt")))
    assert "later.txt" in store.lines()


@pytest.mark.parametrize("name", [MANIFEST, "sub/Checksums.SHA256"])
def test_a_folder_called_like_the_manifest_is_refused_alone(ground, store, name):
    """It would take the manifest's place for good; all other files go on."""
    blocking = ground.finished(f"{name}/scan.txt")
    result, *rest = store.carry(blocking, ground.finished())
    assert isinstance(result, FileFault)
    assert result.mend
    arrived(*rest)
    assert list(store.lines()) == ["scan.txt"]


def test_an_experiment_without_a_record_holds_up_no_other(ground, store):
    """R8: one manifest that can't be written is the fault of those files alone."""
    (store.home("RB1") / MANIFEST).mkdir(parents=True)
    bad, good = store.carry(ground.finished(), ground.finished(experiment="RB2"))
    assert isinstance(bad, OSError)
    arrived(good)
    assert store.lines("RB2")


# A source that changes


def truncated(path: str) -> None:
    rewrite(path, b"")


def appended(path: str) -> None:
    rewrite(path, Path(path).read_bytes() + b"more")


def same_size(path: str) -> None:
    rewrite(path, b"x" * os.path.getsize(path))


def replaced(path: str) -> None:
    put(Path(path + ".new"), Path(path).read_bytes())
    os.utime(path + ".new", ns=(os.stat(path).st_mtime_ns,) * 2)
    os.replace(path + ".new", path)


def unmarked(path: str) -> None:
    os.chmod(path, 0o644)


def by_a_folder(path: str) -> None:
    os.unlink(path)
    os.mkdir(path)


CHANGES = [truncated, appended, same_size, unmarked]


@on_posix
@pytest.mark.parametrize("change", [*CHANGES, replaced, os.unlink, by_a_folder])
def test_a_source_that_changed_before_the_copy_is_not_archived(ground, store, change):
    """R6: nothing is published, nothing is left; it is looked at again."""
    file = ground.finished(content=b"1" * 100)
    change(file.path)
    (result,) = store.carry(file)
    assert isinstance(result, SourceChanged)
    assert store.files() == {}


@on_posix
@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changes_during_the_copy_is_not_archived(ground, store, change):
    """R6: also if it has grown, shrunk or kept its size."""
    file = ground.finished(content=b"1" * (2 * CHUNK + 1))
    other = ground.finished("other.txt")
    # By the thread that copies it: another one may copy the small file meanwhile.
    result, fine = store.carry(file, other, moved=once(lambda: change(file.path), CHUNK))
    assert isinstance(result, SourceChanged)
    arrived(fine)
    assert list(store.files()) == [f"{CYCLE}/RB1/other.txt"]


@on_posix
@pytest.mark.parametrize("change", [replaced, os.unlink])
def test_what_was_read_to_its_end_is_archived_though_its_name_went(ground, store, change):
    """R2: the copy is the version that was looked at; settling finds that the source is another."""
    content = b"1" * (2 * CHUNK + 1)
    file = ground.finished(content=content)
    arrived(*store.carry(file, moved=once(lambda: change(file.path))))
    assert list(store.files().values()) == [content]


@on_posix  # elsewhere nobody can write to it while it is read
def test_a_source_that_differs_between_two_reads_is_not_archived(ground, store):
    """R6: even where size, time and identity tell nothing."""
    put(store.home() / "scan.txt", b"other")
    file = ground.finished(content=b"1" * 100)
    with faulty(create_part={1: before(lambda: flip_a_bit(file.path))}):
        (result,) = store.carry(file)
    assert isinstance(result, SourceChanged)
    assert list(store.files().values()) == [b"other"]


def test_a_source_that_is_still_open_for_writing_waits(ground, store, tmp_path):
    """R6: where the system can tell."""
    file = ground.finished()
    os.chmod(file.path, 0o644)
    with open(file.path, "ab"):
        os.chmod(file.path, 0o444)
        busy, other = store.carry(file, ground.finished("other.txt"))
        assert isinstance(busy, SourceBusy)
        arrived(other)
    arrived(*store.carry(file))


@on_posix
@pytest.mark.parametrize("depth", ["bluesky_scans", "bluesky_scans/sub"])
def test_a_source_folder_that_became_a_link_is_not_followed(ground, store, tmp_path, depth):
    """R13: the file behind the link is none of ours."""
    file = ground.finished("sub/scan.txt")
    folder = ground.root / "RB1" / depth
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    (result,) = store.carry(file)
    assert isinstance(result, FileFault)
    assert store.files() == {}


@on_posix
def test_a_place_that_is_the_source_itself_is_refused(ground, store):
    """R7: a way round through a link or a mount must not make a source its own copy."""
    file = ground.finished()
    store.home().symlink_to(ground.root / "RB1" / "bluesky_scans")
    (result,) = store.carry(file)
    assert isinstance(result, Exception)
    assert "same file" in str(result)


# Faults


def test_a_copy_that_reads_back_otherwise_is_thrown_away_and_made_again(ground, store):
    """R2, R3: it never gets its name."""
    file, other = ground.finished(), ground.finished("other.txt")
    damage = after(lambda _descriptor, path, _times: flip_a_bit(path))
    with faulty(close_part={1: damage}):
        result, fine = store.carry(file, other)
    assert isinstance(result, CopyDiffers)
    arrived(fine)
    assert list(store.files()) == [f"{CYCLE}/RB1/other.txt"]
    arrived(*store.carry(file))


@pytest.mark.parametrize(("size", "made"), [(100, 20), (64 << 10, 1)])
def test_the_disk_gets_large_copies_at_once_and_small_ones_together(ground, store, size, made):
    files = [ground.finished(f"{n}.txt", bytes(size)) for n in range(20)]
    parts: list[int] = []
    tell = before(lambda: parts.append(calls["create_part"]))
    with faulty(prepare_part={1: tell}) as calls:
        arrived(*store.carry(*files))
    assert parts == [made]


def before_failing(fault):
    def closed(real, descriptor, *rest):
        os.close(descriptor)
        return fault(real, descriptor, *rest)

    return closed


@pytest.mark.parametrize(
    "operation", ["create_part", "prepare_part", "close_part", "open_for_reading", "publish"]
)
@pytest.mark.parametrize("fault", [fails, does_but_fails])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_an_error_drops_one_file_and_leaves_nothing(ground, store, operation, fault, number):
    """R3, R5: a retry heals it, with one copy each."""
    files = [ground.finished(f"{n}.txt", b"%d" % n) for n in range(3)]
    failing = fault(number)
    if operation == "close_part" and fault is fails:  # the real one closes, whatever happens
        failing = before_failing(fails(number))
    with faulty(**{operation: {2: failing}}):
        results = store.carry(*files)
    arrived(results[0], results[2])
    if operation == "publish" and fault is does_but_fails:
        arrived(results[1])
    else:
        assert isinstance(results[1], OSError)
        assert len(store.files()) == 2
    arrived(*store.carry(*files))
    published = {name for name in store.files() if not name.endswith(".part")}
    assert len(published) == len(store.lines()) == 3


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("fault", [fails, does_but_fails])
def test_a_file_that_could_not_be_flushed_is_thrown_away_and_flushed_no_more(
    ground, store, fault, together
):
    """R2: which of the files it is depends on the threads that flush; the others arrive."""
    files = [ground.finished(f"{n}.txt", b"%d" % n) for n in range(20)]
    volumes = {ALWAYS: lambda _real, *_arguments: together}
    with faulty(flush_volumes=volumes, flush_part={7: fault(errno.EIO)}) as calls:
        results = store.carry(*files)
    assert calls["flush_part"] == len(files)
    assert sum(isinstance(result, OSError) for result in results) == 1
    assert len(store.files()) == len(store.lines()) == len(files) - 1
    arrived(*store.carry(*files))
    assert len(store.files()) == len(files)


@pytest.mark.parametrize("number", [errno.EIO, errno.EEXIST])
def test_a_rename_that_was_done_though_it_failed_is_a_success(ground, store, number):
    """R5: no conflict with itself."""
    with faulty(publish={ALWAYS: does_but_fails(number)}):
        (arrival,) = arrived(*store.carry(ground.finished()))
    assert not arrival.is_conflict
    assert list(store.files()) == [f"{CYCLE}/RB1/scan.txt"]
    assert list(store.lines()) == ["scan.txt"]


def test_where_nothing_can_be_published_safely_nothing_is(ground, store):
    """R4: no rename that might replace."""

    def unsafe(_real, *_arguments):
        raise NotImplementedError("no safe way here")

    with faulty(publish={ALWAYS: unsafe}):
        (result,) = store.carry(ground.finished())
    assert isinstance(result, NotImplementedError)
    assert store.files() == {}


def test_a_folder_that_cannot_be_flushed_gives_no_arrival(ground, store):
    """R2: a receipt needs a name that is durable; the next attempt adopts it."""
    file = ground.finished()
    with faulty(flush_folder={ALWAYS: fails(errno.EIO)}):
        (result,) = store.carry(file)
    assert isinstance(result, OSError)
    (arrival,) = arrived(*store.carry(file))
    assert arrival.manner is Manner.ADOPTED


def test_a_folder_that_another_made_is_flushed_all_the_same(ground, store):
    """R2: an earlier life, or another thread, may have made it and not come to flushing it."""
    store.home().mkdir()
    flushed: list[str] = []
    with faulty(flush_folder={ALWAYS: after(flushed.append)}):
        arrived(*store.carry(ground.finished("sub/scan.txt")))
        folder = system.native(str(store.home()))
        assert {folder, os.path.dirname(folder)} <= set(flushed)
        flushed.clear()
        arrived(*store.carry(ground.finished("sub/next.txt")))
        assert flushed == [os.path.join(folder, "sub")]


def test_a_folder_that_cannot_be_flushed_holds_up_no_other(ground, store):
    """R8: nor are those below it there yet; the record says nothing of them."""
    files = [ground.finished(n) for n in ("a.txt", "sub/b.txt", "sub/deep/c.txt", "subway/d.txt")]
    arrived(*store.carry(ground.finished("sub/before.txt")))
    stuck = system.native(str(store.home() / "sub"))

    def fault(real, folder):
        return fails(errno.EIO)(real, folder) if folder == stuck else real(folder)

    with faulty(flush_folder={ALWAYS: fault}):
        results = store.carry(*files)
    arrived(results[0], results[3])
    assert [isinstance(result, OSError) for result in results] == [False, True, True, False]
    assert set(store.lines()) == {"a.txt", "sub/before.txt", "subway/d.txt"}
    arrived(*store.carry(*files))
    assert len(store.files()) == len(store.lines()) == 5


def names_flushed(store, *files):
    flushed: list[str] = []
    with faulty(flush_folder={ALWAYS: after(flushed.append)}):
        arrived(*store.carry(*files))
    return flushed


def test_a_folder_that_another_batch_made_and_could_not_flush_is_flushed(ground, store):
    """R2: though what it lies in was flushed before it was made."""
    home = system.native(str(store.home()))
    arrived(*store.carry(ground.finished("first.txt")))
    with faulty(flush_folder={ALWAYS: fails(errno.EIO)}):
        store.carry(ground.finished("sub/one.txt"))
    assert home in names_flushed(store, ground.finished("sub/two.txt"))
    assert home not in names_flushed(store, ground.finished("sub/three.txt"))


def test_a_folder_that_is_made_while_another_batch_flushes_is_flushed_again(ground, store):
    """R2: what began before it was there doesn't count for it."""
    home = system.native(str(store.home()))
    file = ground.finished("sub/two.txt")

    def made(folder):
        if folder == home:
            make_folders(store.transfer(file).place, store.depot.record, store.reach.changes)

    with faulty(flush_folder={ALWAYS: after(made)}):
        arrived(*store.carry(ground.finished("first.txt")))
    assert home in names_flushed(store, file)


@as_root
def test_a_full_disk_drops_what_does_not_fit_and_heals(ground, small_disk):
    """R3, R5: also after a short write."""
    store = Store(small_disk)
    small, large = ground.finished("small.txt"), ground.finished("large.txt", b"1" * 310_000)
    _, full = store.carry(small, large)
    arrived(*store.carry(small))  # the large one may have taken its room, for as long as it tried
    assert isinstance(full, OSError)
    assert full.errno == errno.ENOSPC
    assert list(store.files()) == [f"{CYCLE}/RB1/small.txt"]
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    arrived(*store.carry(large))


@as_root
def test_a_destination_that_goes_in_the_middle_fails_all_and_makes_nothing(ground, small_disk):
    """R3: what is left below the mount point stays empty."""
    store = Store(small_disk)
    files = [ground.finished(f"{n}.txt") for n in range(3)]
    gone = before(lambda: subprocess.run(["umount", "-l", small_disk], check=True))
    with faulty(publish={2: gone}), pytest.raises((OSError, DestinationDown)):
        store.carry(*files)
    assert os.listdir(small_disk) == []
    assert all(os.path.exists(file.path) for file in files)


def test_a_destination_whose_fixed_part_goes_leaves_no_part(ground, store):
    """R3: all that are under way get the error."""
    files = [ground.finished(f"{n}.txt") for n in range(3)]
    away = store.folder.with_name("away")
    with (
        faulty(publish={2: before(lambda: store.folder.rename(away))}),
        pytest.raises(DestinationDown),
    ):
        store.carry(*files)
    assert not store.folder.exists()
    away.rename(store.folder)
    arrived(*store.carry(*files))
    assert not list(store.folder.rglob(".watcher-*"))


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.EIO])
def test_a_part_that_could_not_be_removed_goes_at_the_next_look(ground, store, number):
    """R5: where a share drops out in the middle of a copy."""
    file = ground.finished()
    with faulty(flush_part={1: fails(number)}, remove_part={ALWAYS: fails(number)}):
        assert isinstance(store.carry(file)[0], OSError)
    assert list(store.folder.rglob(".watcher-*"))
    arrived(*store.carry(file))
    assert not list(store.folder.rglob(".watcher-*"))


@as_root
def test_a_mount_that_goes_before_a_copy_leaves_its_bare_folder_alone(ground, tmp_path):
    """R2: what was begun in the bare folder gets no name there."""
    store = Store(tmp_path, below="{experiment}")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", store.folder], check=True)

    def unmount():
        subprocess.run(["umount", "-l", store.folder], check=True)
        (store.folder / "RB1").mkdir()

    file = ground.finished()
    with faulty(create_part={1: before(unmount)}), pytest.raises(DestinationDown, match="bare"):
        store.carry(file)
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_R12_what_was_never_begun_is_not_cleared_away_for_ever(ground, store):
    """A file that can't go on is tried for months, and each look at the destination would pay."""
    store.home().write_text("in the way of the experiment's folder")
    files = [ground.finished(f"{number}.txt") for number in range(3)]
    with faulty() as calls:
        for _ in range(3):
            assert all(isinstance(result, Exception) for result in store.carry(*files))
        store.reach.look()
    assert calls["remove_part"] == 0


@as_root
def test_an_unremovable_leftover_stops_nobody(ground, store):
    """R8: it is swept when that can be done."""
    left = store.home() / f"{Store(store.folder.parent).parts.new()}"
    put(left, b"half")
    if subprocess.run(["chattr", "+i", left], check=False, capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        arrived(*store.carry(ground.finished()))
    finally:
        subprocess.run(["chattr", "-i", left], check=True)


# Folders


def test_the_cycle_and_the_fixed_part_are_never_made(ground, store):
    """A file whose cycle is gone waits; the others of its batch go on (R8)."""
    lost = store.transfer(ground.finished(), cycle="cycle_25_1")
    fine = store.transfer(ground.finished("fine.txt"))
    results = carry([lost, fine], store.depot, nothing)
    assert isinstance(results[0], DestinationDown)
    arrived(results[1])
    assert not (store.folder / "cycle_25_1").exists()
    store.folder.rename(store.folder.with_name("away"))
    with pytest.raises(DestinationDown):
        store.carry(ground.finished("late.txt"))
    assert not store.folder.exists()


def test_a_file_where_a_folder_should_be_holds_up_no_other(ground, store):
    put(store.home() / "sub", b"a file")
    bad, good = store.carry(ground.finished("sub/scan.txt"), ground.finished())
    assert isinstance(bad, OSError)
    arrived(good)


# Leftovers


def test_what_an_earlier_life_left_is_swept_and_nothing_else(ground, store, tmp_path):
    """R5: neither another watcher's parts nor our own of this life."""
    earlier = [Store(tmp_path).parts.new() for _ in range(2)]
    others = [Store(tmp_path, life="another").parts.new(), store.parts.new(), ".watcher-x.part"]
    for name in (*earlier, *others):
        put(store.home() / name, b"half")
    arrived(*store.carry(ground.finished()))
    assert set(os.listdir(store.home())) == {*others, "scan.txt", MANIFEST}


def test_leftovers_are_swept_where_a_copy_is_adopted_too(ground, store, tmp_path):
    """R5: killed between linking the copy and unlinking its part."""
    copy = put(store.home() / "scan.txt", b"1 2 3\n")
    os.link(copy, store.home() / Store(tmp_path).parts.new())
    arrived(*store.carry(ground.finished()))
    assert set(os.listdir(store.home())) == {"scan.txt", MANIFEST}


def test_four_threads_fill_one_folder(ground, store):
    """R4, R5: each file once, under its own name."""
    files = [ground.finished(f"{n}.txt", b"%d" % n) for n in range(80)]
    results: list[Arrival | Exception] = []
    threads = [
        threading.Thread(target=lambda part=part: results.extend(store.carry(*part)))
        for part in (files[i::4] for i in range(4))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(arrival.is_conflict for arrival in arrived(*results))
    assert len(store.lines()) == len(store.files()) == 80


# What goes with a file besides its content

STREAMS = {"notes": b"by hand", "log": b""}


def with_streams(*, keeps: bool, **more: Any) -> contextlib.AbstractContextManager[object]:
    """Let sources have streams, where the system can't give them any."""
    script: dict[str, Any] = {
        "streams": {ALWAYS: lambda _real, _path: tuple(STREAMS)},
        "read_stream": {
            ALWAYS: lambda real, path, name: real(path, name) if keeps else STREAMS.get(name)
        },
        "keeps_streams": {ALWAYS: lambda _real, _folder: keeps},
    }
    return faulty(**script | more)


@pytest.mark.parametrize("times", [1, 2])
def test_streams_that_do_not_fit_are_published_beside(ground, store, times):
    """Each as NAME.STREAM.stream, marked, dated and on record; made good where a crash forgot."""
    file = ground.finished("scan.txt", b"1 2 3")
    with with_streams(keeps=False):
        for _ in range(times):
            arrived(*store.carry(file))
            if times > 1:
                forgotten = store.home() / "scan.txt.log.stream"
                forgotten.chmod(0o600)
                forgotten.unlink()
        arrived(*store.carry(file))
    for name, content in STREAMS.items():
        beside = store.home() / f"scan.txt.{name}.stream"
        assert beside.read_bytes() == content
        assert system.is_marked(beside.lstat())
        assert beside.lstat().st_mtime_ns == file.fingerprint.mtime_ns
    assert store.lines() == {
        "scan.txt": digest_of(b"1 2 3"),
        "scan.txt.notes.stream": digest_of(b"by hand"),
        "scan.txt.log.stream": digest_of(b""),
    }


def test_R2_where_the_producers_word_can_not_be_looked_for_nothing_is_archived(
    ground, store, monkeypatch
):
    """A checksum that doesn't match may lie there; the next attempt finds it."""
    file = ground.finished("scan.txt", b"1 2 3")
    ground.finished("scan.txt.sha256", f"{digest_of(b'another')} *scan.txt\n".encode())
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: denied(folder, listdir))
    (result,) = store.carry(file)
    assert isinstance(result, FileFault)
    assert store.files() == {}
    monkeypatch.undo()
    (result,) = store.carry(file)
    assert isinstance(result, ProducerMismatch)


def denied(folder: str, listdir: Callable[[str], list[str]]) -> list[str]:
    """Deny to list scan folders."""
    if os.path.basename(folder) == "bluesky_scans":
        raise OSError(errno.EIO, os.strerror(errno.EIO), folder)
    return listdir(folder)


def test_a_stream_whose_name_is_taken_gets_another(ground, store):
    """R4: what has the name keeps it."""
    file = ground.finished("scan.txt", b"1 2 3")
    put(store.home() / "scan.txt.notes.stream", b"somebody else's")
    with with_streams(keeps=False):
        arrived(*store.carry(file))
    assert (store.home() / "scan.txt.notes.stream").read_bytes() == b"somebody else's"
    kept = store.home() / f"scan.txt.notes.{digest_of(b'by hand')[:8]}.stream"
    assert kept.read_bytes() == b"by hand"


def test_a_stream_that_can_not_be_published_holds_the_file(ground, store):
    """R2: without all that goes with it a file has not arrived."""
    file = ground.finished("scan.txt", b"1 2 3")
    script = {2: fails(errno.EIO)}
    with with_streams(keeps=False, publish=script):
        (result,) = store.carry(file)
    assert isinstance(result, OSError)
    assert not [n for n in os.listdir(store.home()) if n.endswith(".part")]


@pytest.mark.parametrize("operation", ["streams", "read_stream"])
def test_R2_a_stream_that_can_not_be_read_is_never_left_out(ground, store, operation):
    """Somebody may have it open; it is the source's fault, not the destination's."""
    file = ground.finished("scan.txt", b"1 2 3")
    with with_streams(keeps=False, **{operation: {ALWAYS: fails(errno.EACCES)}}):
        (result,) = store.carry(file)
    assert isinstance(result, FileFault)
    assert result.path == file.path
    assert store.files() == {}


@on_posix
def test_streams_travel_with_the_file_where_they_are_kept(ground, store):
    """Through the system's own calls: extended attributes stand for streams here."""
    file = ground.finished("scan.txt", b"1 2 3")
    os.chmod(file.path, 0o644)
    for name, content in STREAMS.items():
        system.write_stream(file.path, name, content)
    os.chmod(file.path, 0o444)
    with with_streams(keeps=True):
        arrived(*store.carry(file))
        for name, content in STREAMS.items():
            assert system.read_stream(str(store.home() / "scan.txt"), name) == content
    assert sorted(store.lines()) == ["scan.txt"]


# Slow and dying destinations


def test_where_each_call_takes_long_several_are_under_way(ground, store):
    """R8: on a share a batch takes a round trip for some files together, not for each."""
    files = [ground.finished(f"{n}.txt", b"%d" % n) for n in range(40)]
    slow, together = threading.Event(), threading.Barrier(2)

    def late(real, *arguments):
        slow.wait(0.005)  # a share's answer
        return real(*arguments)

    def met(real, *arguments):
        together.wait(10.0)  # nobody comes if each waits for the one before
        return real(*arguments)

    tried = dict.fromkeys(range(1, 17), late)
    with faulty(close_part={**tried, 19: met, 20: met}):
        arrived(*store.carry(*files))
    assert len(store.files()) == len(files)


def test_a_destination_that_dies_is_not_asked_for_each_file(ground, store):
    """R8: each call to a dead share may take a minute: a batch of them must not take hours."""
    files = [ground.finished(f"{n}.txt", b"%d" % n) for n in range(200)]

    def dying(real, *arguments):
        with contextlib.suppress(OSError):
            store.folder.rename(store.folder.with_name("gone"))
        raise OSError(errno.EIO, "dead")

    with faulty(flush_part={ALWAYS: dying}) as calls, pytest.raises(DestinationDown):
        store.carry(*files)
    assert calls["flush_part"] <= CREW
    store.folder.with_name("gone").rename(store.folder)
    arrived(*store.carry(*files))
    assert not list(store.folder.rglob(".watcher-*"))


@pytest.mark.parametrize("operation", ["create_part", "open_source", "publish", "flush_folder"])
def test_R12_a_file_that_fails_leaves_nothing_in_memory(ground, store, operation):
    """Whoever keeps the error keeps no calls, and by them what was read of thousands of files."""
    file = ground.finished("a.txt")
    gc.collect()
    gc.disable()
    try:
        with faulty(**{operation: {ALWAYS: fails(errno.EIO)}}):
            (result,) = store.carry(file)
        assert isinstance(result, (OSError, FileFault))
        assert not [one for one in gc.get_objects() if isinstance(one, Shipment)]
    finally:
        gc.enable()


# Large files


@pytest.mark.parametrize("size", [WINDOW + 1, 5 * WINDOW // 2])
def test_a_large_copy_is_read_back_while_it_is_written(ground, store, size):
    """R2: what the threads behind it read is what is compared, to the last byte."""
    content = os.urandom(1 << 20) * (size >> 20) + bytes(size % (1 << 20))
    file = ground.finished(content=content)
    with faulty() as calls:
        (arrival,) = arrived(*store.carry(file))
    assert store.files() == {f"{CYCLE}/RB1/scan.txt": content}
    assert arrival.checksums[0].digest == digest_of(content)
    if os.name == "posix":
        assert calls["flush_range"] > 1


@on_posix  # elsewhere nobody can write to it while it is written
@pytest.mark.parametrize("flipped", [0, 2 * WINDOW])
def test_a_bit_that_flips_in_a_large_copy_is_found(ground, store, flipped):
    """R2, R3: in what was read while it was written, and in what was read at the end."""
    file = ground.finished(content=bytes(2 * WINDOW + 10))

    def damaging(real, descriptor, start, size):
        done = real(descriptor, start, size)
        if start <= flipped < start + size:
            (part,) = store.folder.rglob(".watcher-*.part")
            with open(part, "r+b") as copy:
                copy.seek(flipped)
                copy.write(b"\1")
        return done

    def damaging_at_the_end(real, descriptor):
        with open(next(store.folder.rglob(".watcher-*.part")), "r+b") as copy:
            copy.seek(flipped)
            copy.write(b"\1")
        real(descriptor)

    script = {"flush_range": {ALWAYS: damaging}} if not flipped else {}
    if flipped:
        script = {"flush_part": {1: damaging_at_the_end}}
    with faulty(**script):
        (result,) = store.carry(file)
    assert isinstance(result, CopyDiffers)
    assert store.files() == {}


@pytest.mark.parametrize("size", [2 * WINDOW + 10])
def test_a_large_copy_that_cannot_be_read_back_leaves_nothing(ground, store, size):
    """R5: no part, no open descriptor, no thread."""
    file = ground.finished(content=bytes(size))
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with faulty(close_part={1: before_failing(fails(errno.EIO))}):
        (result,) = store.carry(file)
    assert isinstance(result, OSError)
    assert store.files() == {}
    if open_before:
        assert len(os.listdir("/proc/self/fd")) == open_before
    arrived(*store.carry(file))


@on_posix
def test_a_large_copy_without_threads_to_follow_it_leaves_nothing(ground, store):
    """R12: it is tried again and again, and each time would cost a descriptor."""
    file = ground.finished(content=bytes(WINDOW + 1))
    before = threading.active_count(), len(os.listdir("/dev/fd"))
    threading.stack_size(1 << 46)  # more than there is
    try:
        with pytest.raises(RuntimeError, match="start new thread"):
            store.carry(file)
    finally:
        threading.stack_size(0)
    assert (threading.active_count(), len(os.listdir("/dev/fd"))) == before
    assert store.files() == {}
    arrived(*store.carry(file))

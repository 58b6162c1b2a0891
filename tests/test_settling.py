"""The end of a file: the source goes only when every destination holds it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.depots import CYCLE, Ground, Store, digest_of, rewrite
from tests.faulty import ALWAYS, after, before, does_but_fails, fails, faulty, flip_a_bit
from tests.harness import wait_until
from tests.platforms import link, on_posix, remove_marked
from watcher.backlog import Entry
from watcher.errors import FileFault, SourceChanged
from watcher.ledger import Ledger
from watcher.model import Arrival, FinishedFile, Manner, Receipt
from watcher.outage import Pulses
from watcher.platform import system
from watcher.settling import CopyGone, Settling, Unsettled, receipt_for
from watcher.transfer import Turn

TEXT = b"1 2 3\n"


class Scene:
    """An archive that is copied to, and a cache on the source's volume."""

    def __init__(self, folder: Path, *, record: str = "manifest") -> None:
        self.ground = Ground(folder)
        self.archive = Store(folder, record=record)
        self.cache = Store(folder, "cache", record=record)
        self.stores = {"archive": self.archive, "cache": self.cache}
        self.ledger = Ledger.open(str(folder / "ledger.sqlite"), print)

    def settling(self, *, keep: bool = False) -> Settling:
        depots = {name: store.depot for name, store in self.stores.items()}
        return Settling(depots, self.ledger, Pulses(), Turn(), keep=keep)

    def entry(self, file: FinishedFile, copied: tuple[str, ...], moved: str | None = None) -> Entry:
        entry = Entry(file, 0.0, dict.fromkeys(self.stores, CYCLE), is_fresh=True)
        for name in copied:
            (arrival,) = self.stores[name].carry(file)
            assert isinstance(arrival, Arrival)
            entry.receipts[name] = receipt_for(entry, arrival)
        self.ledger.admit([(file, 0.0, entry.cycles)])
        self.ledger.record(list(entry.receipts.values()))
        entry.renamed_into = moved
        return entry

    def copied(self, file: FinishedFile) -> Entry:
        return self.entry(file, ("archive", "cache"))

    def half(self, file: FinishedFile) -> Entry:
        return self.entry(file, ("archive",), "cache")

    def settle(self, entry: Entry, **options: bool) -> tuple[Receipt, ...] | Unsettled:
        return self.settling(**options).settle([entry])[entry]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.ledger.close()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    return path


def why(outcome: tuple[Receipt, ...] | Unsettled) -> Exception:
    assert isinstance(outcome, Unsettled)
    return outcome.error


# Removing


def test_a_source_goes_when_all_have_it(scene):
    """R2: and the ledger says so."""
    file = scene.ground.finished()
    outcome = scene.settle(scene.copied(file))
    assert not isinstance(outcome, Unsettled)
    assert {receipt.destination for receipt in outcome} == {"archive", "cache"}
    assert not os.path.exists(file.path)
    assert os.path.isdir(os.path.dirname(file.path))
    assert len(scene.ledger.receipts_of(file.path)) == 2
    assert scene.ledger.waiting() == 0


@pytest.mark.parametrize("cut", [False, True])
def test_a_copy_that_is_gone_or_cut_is_made_again_first(scene, cut):
    """R2: the source stays."""
    file = scene.ground.finished()
    entry = scene.copied(file)
    copy = scene.archive.home() / "scan.txt"
    copy.chmod(0o644)
    copy.write_bytes(b"1") if cut else copy.unlink()
    outcome = scene.settle(entry)
    assert isinstance(why(outcome), CopyGone)
    assert outcome.destination == "archive"
    assert os.path.exists(file.path)


def test_a_copy_that_others_cleaned_is_not_looked_for(tmp_path):
    scene = Scene(tmp_path)
    scene.stores["cache"] = scene.cache = Store(tmp_path, "cache", cleaned_by_others=True)
    file = scene.ground.finished()
    entry = scene.copied(file)
    remove_marked(scene.cache.home() / "scan.txt")
    assert not isinstance(scene.settle(entry), Unsettled)
    assert not os.path.exists(file.path)
    scene.ledger.close()


def test_a_source_stays_while_a_destination_cannot_be_looked_at(scene, tmp_path):
    """R2: a receipt is no proof that the archive still is there."""
    file = scene.ground.finished()
    entry = scene.copied(file)
    scene.archive.folder.rename(tmp_path / "away")
    outcome = scene.settle(entry)
    why(outcome)
    assert outcome.destination == "archive"
    assert os.path.exists(file.path)


def test_R12_why_a_file_is_not_settled_keeps_no_calls(scene, tmp_path):
    """They hold the whole batch: it would stay in memory until somebody searches for rings."""
    entry = scene.copied(scene.ground.finished())
    scene.archive.folder.rename(tmp_path / "away")
    error: BaseException | None = scene.settle(entry)
    assert isinstance(error, Unsettled)
    assert error.__cause__
    while error is not None:
        assert error.__traceback__ is None
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("moved", [False, True])
def test_a_source_that_changed_after_the_copy_stays(scene, moved):
    """R2, R6: it is another version."""
    file = scene.ground.finished()
    entry = scene.half(file) if moved else scene.copied(file)
    rewrite(file.path, b"another version")
    assert isinstance(why(scene.settle(entry)), SourceChanged)
    assert Path(file.path).read_bytes() == b"another version"


@on_posix
@pytest.mark.parametrize("moved", [False, True])
def test_R6_content_that_changed_without_a_trace_but_one_stays(scene, tmp_path, moved):
    """Size, time and mark are what they were; only the system tells that it changed."""
    file = scene.ground.finished()
    entry = scene.half(file) if moved else scene.copied(file)
    a_tick_after(entry.receipts["archive"], tmp_path / "clock")
    flip_a_bit(file.path)
    changed = Path(file.path).read_bytes()
    assert isinstance(why(scene.settle(entry)), SourceChanged)
    assert Path(file.path).read_bytes() == changed
    assert scene.ledger.recall([file])[file.path].receipts == {}


@on_posix
def test_a_source_that_was_only_touched_goes(scene, tmp_path):
    """R11: rights that somebody gave meanwhile are no other content."""
    file = scene.ground.finished()
    entry = scene.half(file)
    a_tick_after(entry.receipts["archive"], tmp_path / "clock")
    os.chmod(file.path, 0o440)
    assert not isinstance(scene.settle(entry), Unsettled)


def a_tick_after(receipt: Receipt, clock: Path) -> None:
    """Wait until the file system's clock, which is a coarse one, shows a later time."""
    wait_until(lambda: clock.touch() or clock.stat().st_ctime > receipt.archived_at)


@pytest.mark.parametrize("operation", ["remove_source", "move_source"])
def test_a_source_that_changes_at_the_last_moment_stays(scene, operation):
    """R2: between the first look and the last."""
    file = scene.ground.finished()
    entry = scene.half(file) if operation == "move_source" else scene.copied(file)
    change = before(lambda: rewrite(file.path, b"another version"))
    with faulty(**{operation: {1: change}}):
        assert isinstance(why(scene.settle(entry)), SourceChanged)
    assert Path(file.path).read_bytes() == b"another version"
    assert scene.ledger.pending() == []


def test_one_that_cannot_be_removed_stays_with_a_reason_and_alone(scene):
    """R11."""
    files = [scene.ground.finished(f"{n}.txt") for n in range(2)]
    entries = [scene.copied(file) for file in files]
    with faulty(remove_source={1: fails(errno.EACCES)}):
        outcomes = scene.settling().settle(entries)
    assert isinstance(why(outcomes[entries[0]]), FileFault)
    assert not isinstance(outcomes[entries[1]], Unsettled)


@on_posix
def test_a_source_that_cannot_be_looked_at_stays_alone(scene):
    """R8: an error of one file is no other's."""
    files = [scene.ground.finished(experiment=name) for name in ("A", "B")]
    entries = [scene.copied(file) for file in files]
    folder = Path(files[0].path).parent
    folder.rename(folder.with_name("away"))
    folder.symlink_to(folder)
    outcomes = scene.settling().settle(entries)
    why(outcomes[entries[0]])
    assert not isinstance(outcomes[entries[1]], Unsettled)


def test_two_destinations_with_different_content_start_over(scene):
    """R2, R6: the source stays, and neither receipt counts any more."""
    file = scene.ground.finished()
    entry = scene.entry(file, ("archive",))
    flip_a_bit(file.path)
    (arrival,) = scene.cache.carry(file)
    assert isinstance(arrival, Arrival)
    entry.receipts["cache"] = receipt_for(entry, arrival)
    scene.ledger.record([entry.receipts["cache"]])
    assert isinstance(why(scene.settle(entry)), SourceChanged)
    assert os.path.exists(file.path)
    assert scene.ledger.archived([file], ["archive"]) == set()
    again = scene.copied(file)
    assert not isinstance(scene.settle(again), Unsettled)
    assert len(scene.archive.files()) == 2


def test_a_receipt_of_a_destination_that_is_no_more_is_history(scene):
    """A destination that was taken out of the configuration holds nothing back."""
    file = scene.ground.finished()
    entry = scene.copied(file)
    del scene.stores["cache"]
    assert not isinstance(scene.settle(entry), Unsettled)


def test_keep_touches_nothing(scene):
    """R1: nor is a copy looked for that others may have moved on."""
    file = scene.ground.finished()
    entry = scene.copied(file)
    remove_marked(scene.archive.home() / "scan.txt")
    was = os.stat(file.path)
    assert not isinstance(scene.settle(entry, keep=True), Unsettled)
    assert os.stat(file.path) == was
    assert scene.ledger.archived([file], ["archive", "cache"]) == {file.path}


@on_posix
@pytest.mark.parametrize("moved", [False, True])
def test_a_source_folder_that_became_a_link_is_not_followed(scene, tmp_path, moved):
    """R1, R13: what is behind the link is not ours to remove."""
    file = scene.ground.finished()
    entry = scene.half(file) if moved else scene.copied(file)
    folder = Path(file.path).parent
    folder.rename(tmp_path / "elsewhere")
    link(str(tmp_path / "elsewhere"), str(folder), folder=True)
    why(scene.settle(entry))
    assert (tmp_path / "elsewhere" / "scan.txt").exists()


@on_posix
def test_a_source_folder_that_is_moved_while_a_destination_is_slow_is_left_alone(scene, tmp_path):
    """R1: the folder that was read is not the one that lies there now."""
    file = scene.ground.finished()
    entry = scene.entry(file, (), "cache")
    folder, elsewhere = Path(file.path).parent, tmp_path / "elsewhere"
    with faulty(flush_file={1: after(lambda _path: folder.rename(elsewhere))}):
        why(scene.settle(entry))
    assert (elsewhere / "scan.txt").exists()
    assert scene.cache.files() == {}


# Renaming


def test_a_source_is_renamed_into_place_with_its_line_before(scene):
    """R2, R5: one copy, no bytes written again, and its line is there when it comes."""
    file = scene.ground.finished("sub/scan.txt")
    entry = scene.half(file)
    lines: list[dict[str, str]] = []
    seen = before(lambda: lines.append(scene.cache.lines()))
    with faulty(move_source={1: seen}) as calls:
        outcome = scene.settle(entry)
    assert not isinstance(outcome, Unsettled)
    assert lines == [{"sub/scan.txt": digest_of(TEXT)}]
    assert outcome[-1].manner in {Manner.RENAMED, Manner.UNFLUSHED}
    copy = scene.cache.home() / "sub" / "scan.txt"
    assert f"{copy.stat().st_ino:x}" == file.fingerprint.identity
    assert calls["open_source"] == 0
    assert not os.path.exists(file.path)
    assert scene.ledger.pending() == []


def test_the_only_destination_hashes_the_source_once(scene):
    file = scene.ground.finished()
    entry = scene.entry(file, (), "cache")
    with faulty() as calls:
        outcome = scene.settle(entry)
    assert not isinstance(outcome, Unsettled)
    assert outcome[0].checksum.digest == digest_of(TEXT)
    assert calls["open_source"] == 1


def test_digests_of_another_configuration_are_not_taken_over(tmp_path):
    """A receipt from before a change of algorithms can't fill the new record."""
    scene = Scene(tmp_path)
    scene.archive = scene.stores["archive"] = Store(tmp_path, algorithms=["md5"])
    file = scene.ground.finished()
    assert not isinstance(scene.settle(scene.half(file)), Unsettled)
    assert scene.cache.lines() == {"scan.txt": digest_of(TEXT)}
    scene.ledger.close()


def test_another_volume_after_all_is_told(scene):
    """It is copied instead."""
    file = scene.ground.finished()
    with faulty(move_source={ALWAYS: fails(errno.EXDEV)}):
        outcome = scene.settle(scene.half(file))
    assert isinstance(outcome, Unsettled)
    assert outcome.cannot_rename
    assert scene.ledger.pending() == []
    assert not isinstance(scene.settle(scene.copied(file)), Unsettled)
    assert scene.cache.lines() == {"scan.txt": digest_of(TEXT)}


@pytest.mark.parametrize("together", [True, False])
def test_a_source_that_cannot_be_flushed_is_copied_instead(scene, caplog, together):
    """R2: flushing it again would say that all is well."""
    file = scene.ground.finished()
    other = scene.ground.finished("other.txt")
    entries = [scene.half(file), scene.half(other)]

    def fault(real, path):
        return fails(errno.EIO)(real, path) if path == file.path else real(path)

    volumes = {ALWAYS: lambda _real, *_arguments: together}
    with faulty(flush_volumes=volumes, flush_file={ALWAYS: fault}) as calls:
        outcomes = scene.settling().settle(entries)
    assert calls["flush_file"] == len(entries)
    assert not isinstance(outcomes[entries[1]], Unsettled)
    outcome = outcomes[entries[0]]
    assert outcome.cannot_rename
    assert outcome.destination == "cache"
    assert os.path.exists(file.path)
    assert "scan.txt can't be flushed" in caplog.text


def test_the_same_content_in_place_is_adopted(scene):
    """R5: then the source is removed, not moved."""
    put(scene.cache.home() / "scan.txt", TEXT)
    file = scene.ground.finished()
    outcome = scene.settle(scene.half(file))
    assert not isinstance(outcome, Unsettled)
    assert outcome[-1].manner is Manner.ADOPTED
    assert not os.path.exists(file.path)


def test_other_content_in_place_is_a_conflict(scene):
    """R4."""
    put(scene.cache.home() / "scan.txt", b"other")
    outcome = scene.settle(scene.half(scene.ground.finished()))
    assert not isinstance(outcome, Unsettled)
    assert outcome[-1].conflict
    assert sorted(scene.cache.files().values()) == [TEXT, b"other"]
    assert list(scene.cache.lines()) == [f"scan.{digest_of(TEXT)[:8]}.txt"]


def test_a_name_that_is_taken_between_line_and_rename_gets_a_true_line(scene):
    """R4: the line that was there first must not tell of what it never saw."""
    file = scene.ground.finished()
    entry = scene.half(file)
    place = scene.cache.home() / "scan.txt"
    with faulty(move_source={1: before(lambda: put(place, b"other"))}):
        outcome = scene.settle(entry)
    assert isinstance(why(outcome), FileExistsError)
    assert scene.cache.lines() == {"scan.txt": digest_of(b"other")}
    assert not isinstance(scene.settle(entry), Unsettled)
    assert scene.cache.lines() == {
        "scan.txt": digest_of(b"other"),
        f"scan.{digest_of(TEXT)[:8]}.txt": digest_of(TEXT),
    }


@pytest.mark.parametrize("content", [TEXT, b"other"])
def test_two_sources_of_one_batch_for_one_place(scene, tmp_path, content):
    """R2, R4: a conflict, or one file; with true lines, and nothing lost."""
    second_root = tmp_path / "second"
    second_root.mkdir()
    other = Ground(second_root)
    files = [scene.ground.finished(), other.finished(content=content)]
    entries = [scene.half(file) for file in files]
    outcomes = scene.settling().settle(entries)
    assert not any(isinstance(outcome, Unsettled) for outcome in outcomes.values())
    assert set(scene.cache.files().values()) == {TEXT, content}
    assert len(scene.cache.files()) == len(scene.cache.lines()) == len({TEXT, content})
    for name, digest in scene.cache.lines().items():
        assert digest_of((scene.cache.home() / name).read_bytes()) == digest


@on_posix
def test_a_place_that_is_the_source_itself_is_refused(scene):
    """R7."""
    file = scene.ground.finished()
    entry = scene.half(file)
    scene.cache.home().symlink_to(Path(file.path).parent)
    why(scene.settle(entry))
    assert os.path.exists(file.path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EEXIST])
def test_a_rename_that_was_done_though_it_failed_is_a_success(scene, number):
    """R5."""
    file = scene.ground.finished()
    entry = scene.half(file)
    with faulty(move_source={1: does_but_fails(number)}):
        outcome = scene.settle(entry)
    assert not isinstance(outcome, Unsettled)
    assert scene.ledger.archived([file], ["archive", "cache"]) == {file.path}
    assert scene.cache.lines() == {"scan.txt": digest_of(TEXT)}


def test_one_experiment_without_a_record_holds_up_no_other(scene):
    """R8."""
    (scene.cache.home("RB1") / "checksums.sha256").mkdir(parents=True)
    files = [scene.ground.finished(experiment=e) for e in ("RB1", "RB2")]
    entries = [scene.half(file) for file in files]
    outcomes = scene.settling().settle(entries)
    why(outcomes[entries[0]])
    assert not isinstance(outcomes[entries[1]], Unsettled)
    assert os.path.exists(files[0].path)


# After a crash


class Killed(BaseException):
    """Not an error: nothing may handle it."""


def die(*_arguments: object) -> None:
    raise Killed


def test_killed_before_the_rename_it_is_done_again(scene):
    """R5."""
    file = scene.ground.finished()
    entry = scene.half(file)
    with faulty(move_source={1: before(die)}), pytest.raises(Killed):
        scene.settle(entry)
    assert len(scene.ledger.pending()) == 1
    assert scene.settling().reconcile() == 0
    assert scene.ledger.pending() == []
    assert not isinstance(scene.settle(entry), Unsettled)
    assert scene.cache.lines() == {"scan.txt": digest_of(TEXT)}


def test_killed_after_the_rename_the_receipt_is_completed(scene):
    """R5: the source is gone, and its last receipt is on record."""
    file = scene.ground.finished()
    entry = scene.half(file)
    with faulty(move_source={1: after(die)}), pytest.raises(Killed):
        scene.settle(entry)
    assert scene.settling().reconcile() == 1
    assert scene.ledger.archived([file], ["archive", "cache"]) == {file.path}
    assert scene.ledger.waiting() == 0
    assert scene.settling().reconcile() == 0


def test_killed_before_the_rename_and_the_name_is_taken_since(scene):
    """R4, R5: the line tells of what has the name now."""
    file = scene.ground.finished()
    entry = scene.half(file)
    with faulty(move_source={1: before(die)}), pytest.raises(Killed):
        scene.settle(entry)
    put(scene.cache.home() / "scan.txt", b"other")
    assert scene.settling().reconcile() == 0
    assert scene.cache.lines() == {"scan.txt": digest_of(b"other")}
    assert not isinstance(scene.settle(entry), Unsettled)
    assert len(scene.cache.lines()) == 2


def test_a_copy_of_the_source_is_not_taken_for_the_source(scene):
    """R5: only the very file proves that it was renamed."""
    file = scene.ground.finished()
    entry = scene.half(file)
    with faulty(move_source={1: before(die)}), pytest.raises(Killed):
        scene.settle(entry)
    put(scene.cache.home() / "scan.txt", TEXT)
    assert scene.settling().reconcile() == 0


@on_posix
def test_killed_between_linking_and_unlinking_the_source_is_removed(scene):
    """R5: where a file system can't rename without replacing."""
    file = scene.ground.finished()
    entry = scene.half(file)
    scene.cache.home().mkdir()
    os.link(file.path, scene.cache.home() / "scan.txt")
    assert not isinstance(scene.settle(entry), Unsettled)
    assert not os.path.exists(file.path)
    assert list(scene.cache.files().values()) == [TEXT]
    assert system.is_marked(os.lstat(scene.cache.home() / "scan.txt"))

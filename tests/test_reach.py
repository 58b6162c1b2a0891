"""Whether a destination can be used: looked at, never made."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.depots import CYCLE, Store
from tests.faulty import ALWAYS, fails, faulty
from watcher import reach
from watcher.destination import PartNames
from watcher.errors import DestinationDown
from watcher.platform import system
from watcher.reach import Reach

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts need root"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, below="{cycle}/auto/{experiment}")


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_newest_cycle_is_seen_and_a_new_one_as_soon_as_it_is_there(store):
    """R10: earlier ones are known too, the newest first."""
    (store.folder / "cycle_26_10").mkdir()
    (store.folder / "cycle_27_1").write_text("no folder")
    store.reach.look()
    assert store.reach.cycles == ("cycle_26_10", CYCLE)
    (store.folder / "cycle_26_11").mkdir()
    store.reach.look()
    assert store.reach.cycles[0] == "cycle_26_11"


def test_who_begins_is_served_by_a_look_ahead_for_a_moment(store, tmp_path, monkeypatch):
    """R2: a moment only, and not by one that failed; whoever looks himself sees what is there."""
    monkeypatch.setattr(reach, "LATELY", 60.0)
    store.reach.look_ahead()
    store.folder.rename(tmp_path / "away")
    store.reach.look_to_begin()
    with pytest.raises(DestinationDown):
        store.reach.look_ahead()
    with pytest.raises(DestinationDown):
        store.reach.look_to_begin()
    (tmp_path / "away").rename(store.folder)
    store.reach.look_ahead()
    monkeypatch.setattr(reach, "LATELY", 0.0)
    store.folder.rename(tmp_path / "away")
    with pytest.raises(DestinationDown):
        store.reach.look_to_begin()


def test_without_any_cycle_it_is_down_and_none_is_made(store):
    (store.folder / CYCLE).rmdir()
    with pytest.raises(DestinationDown, match="cycle_YY_N"):
        store.reach.probe(True)
    assert below(store.folder) == []


def test_the_last_cycles_are_remembered_through_an_outage(store, tmp_path):
    store.reach.look()
    store.folder.rename(tmp_path / "away")
    with pytest.raises(DestinationDown):
        store.reach.look()
    assert store.reach.cycles == (CYCLE,)


@pytest.mark.parametrize("cycle", [CYCLE, "special"])
def test_a_fixed_cycle_must_be_there(store, cycle):
    reach = Reach(store.template, store.parts, cycle=cycle)
    assert reach.cycles == (cycle,)
    if cycle == CYCLE:
        reach.probe(True)
    else:
        with pytest.raises(DestinationDown, match="special"):
            reach.probe(True)
    assert below(store.folder) == [CYCLE]


def test_the_fixed_part_is_never_made(store, tmp_path):
    store.folder.rename(tmp_path / "away")
    with pytest.raises(DestinationDown) as caught:
        store.reach.probe(True)
    assert caught.value.mend
    assert not store.folder.exists()


def test_below_a_data_root_it_is_made_but_not_the_root(tmp_path):
    root = tmp_path / "data"
    store = Store(root, "Export only", below="{experiment}", below_root=str(root))
    with pytest.raises(DestinationDown):
        store.reach.look()
    root.mkdir()
    store.reach.look()
    assert below(root) == ["Export only"]


def test_without_its_marker_it_is_down(tmp_path):
    """The folder below a share that isn't mounted looks like the share."""
    store = Store(tmp_path, below="{experiment}", marker="THIS_IS_THE_SHARE")
    with pytest.raises(DestinationDown, match="THIS_IS_THE_SHARE"):
        store.reach.probe(True)
    (store.folder / "THIS_IS_THE_SHARE").touch()
    store.reach.probe(True)


@as_root
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mount_that_goes_leaves_a_folder_that_is_not_used(tmp_path, when):
    """R2: whether it was mounted before or after the first look."""
    store = Store(tmp_path, below="{experiment}")
    if when == "after":
        store.reach.look()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", store.folder], check=True)
    try:
        store.reach.probe(True)
    finally:
        subprocess.run(["umount", store.folder], check=True)
    with pytest.raises(DestinationDown, match="mount"):
        store.reach.probe(True)
    assert below(store.folder) == []


@as_root
def test_nothing_is_made_where_the_data_root_was_mounted(tmp_path):
    """R2: what lies below it comes back with it."""
    root = tmp_path / "data"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", root], check=True)
    try:
        store = Store(root, "Export only", below="{experiment}", below_root=str(root))
        store.reach.probe(True)
    finally:
        subprocess.run(["umount", root], check=True)
    with pytest.raises(DestinationDown, match="bare folder"):
        store.reach.probe(True)
    assert below(root) == []


def test_trying_to_write_leaves_nothing_and_makes_nothing(store):
    """R5: also what an earlier life left there is gone."""
    (store.folder / CYCLE / PartNames("host", "state").new()).touch()
    store.reach.probe(True)
    assert below(store.folder) == [CYCLE]


@pytest.mark.parametrize("operation", ["create_part", "remove_part"])
def test_a_destination_that_denies_is_told(store, operation):
    with (
        faulty(**{operation: {1: fails(errno.EACCES)}}),
        pytest.raises(PermissionError),
    ):
        store.reach.probe(True)


@pytest.mark.parametrize("call", [1, 2])
def test_what_could_not_be_removed_goes_when_it_is_back(store, call):
    """R5: not only at the next start."""
    with faulty(remove_part={call: fails(errno.EIO)}), pytest.raises(OSError, match="output error"):
        store.reach.probe(True)
    assert any(".watcher-" in name for name in below(store.folder))
    store.reach.probe(True)
    assert below(store.folder) == [CYCLE]


def test_a_folder_that_looked_like_a_mount_for_an_instant_is_none(tmp_path):
    """R2: a mount that goes between two calls makes one of its folders look like one."""
    store = Store(tmp_path, below="{experiment}")
    store.reach.look()
    seen = store.reach.mount
    with faulty(is_mount_point={1: lambda _real, _path: True}):
        store.reach.look()
    assert store.reach.mount == seen


@as_root
def test_a_mount_that_an_earlier_life_saw_is_asked_for(tmp_path):
    """R2: unless it was elsewhere, or a marker says that this is the place."""
    store = Store(tmp_path, below="{experiment}")
    store.reach.mount = str(store.folder)
    with pytest.raises(DestinationDown, match="bare folder"):
        store.reach.probe(True)
    store.reach.mount = f"{store.folder}-of-old-and-longer"
    store.reach.probe(True)
    assert store.reach.mount != f"{store.folder}-of-old-and-longer"
    marked = Store(tmp_path, below="{experiment}", marker="HERE")
    (marked.folder / "HERE").touch()
    marked.reach.mount = str(marked.folder)
    marked.reach.probe(True)


@as_root
def test_a_full_disk_is_told(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", folder], check=True)
    try:
        store = Store(tmp_path, below="{experiment}")
        (folder / "filler").write_bytes(b"1" * 8192)
        with pytest.raises(OSError, match="space"):
            store.reach.probe(True)
        assert below(folder) == ["filler"]
    finally:
        subprocess.run(["umount", folder], check=True)


@as_root
def test_R12_a_volume_that_became_read_only_leaves_nothing_to_clear_away(tmp_path):
    """There, removing is refused even of what isn't there."""
    folder = tmp_path / "archive"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    try:
        store = Store(tmp_path, below="{experiment}")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        for _ in range(3):
            with pytest.raises(OSError, match="Read-only"):
                store.reach.probe(True)
        store.reach.look()
        with faulty() as calls:
            store.reach.look()
        assert calls["remove_part"] == 0
    finally:
        subprocess.run(["umount", folder], check=True)


def test_R5_a_trial_that_could_not_be_removed_is_removed_once_it_can(store):
    """Only what is seen to be gone is forgotten."""
    with faulty(remove_part={ALWAYS: fails(errno.EACCES)}):
        with pytest.raises(OSError, match="denied"):
            store.reach.probe(True)
        store.reach.look()
    assert len(below(store.folder)) > 1
    store.reach.look()
    assert below(store.folder) == [CYCLE]


@pytest.mark.parametrize("publish", [os.replace, None], ids=["replaces", "knows no way"])
def test_where_nothing_safe_works_it_is_down_and_nothing_stays_there(store, monkeypatch, publish):
    """R4: a file system that would replace files is not published on."""

    def impossible(_part, _path):
        raise NotImplementedError("neither way works")

    monkeypatch.setattr(system, "publish", publish or impossible)
    with pytest.raises(DestinationDown, match=r"replaced unasked|no safe way"):
        store.reach.probe(False)
    assert below(store.folder) == [CYCLE]


def test_publishing_is_tried_at_the_first_probe_and_leaves_nothing(store):
    with faulty() as calls:
        store.reach.probe(False)
        store.reach.probe(False)
    assert calls["publish"] == 1
    assert below(store.folder) == [CYCLE]

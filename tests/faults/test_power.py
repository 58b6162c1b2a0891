"""Power cuts: what two disks hold at any call, with nothing that wasn't flushed, is enough.

Source and state lie on one ext4 image, the archive on another. The program is killed at a call,
another program's flush of one disk comes in between, both images are copied while they are
mounted, and the copies are mounted as after a power cut: the journal is replayed, what was never
flushed is not there. Then it starts again.

One file is flushed by itself; a dozen are flushed as one, which is another call to the system.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.faults.results import said, tally
from tests.faults.stage import CONTENT, Stage
from tests.faults.test_calls import single
from tests.faults.victim import CHANGING, How, Plan
from tests.harness import CYCLE, NAME

pytestmark = pytest.mark.usefixtures("as_root")
NUDGES = ("none", "source", "archive")
"""Which disk another program flushes before the cut."""
WANTED = 200
DOZEN = 12


def run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


@pytest.fixture(scope="module")
def blank(tmp_path_factory, as_root):
    """An empty ext4 image in memory."""
    if not shutil.which("mkfs.ext4") or not os.path.exists("/dev/loop-control"):
        pytest.skip("needs mkfs.ext4 and loop devices")
    folder = tmp_path_factory.mktemp("disks")
    run("mount", "-t", "tmpfs", "-o", "size=512m", "none", folder)
    image = folder / "blank"
    with open(image, "wb") as file:
        file.truncate(12 << 20)
    run("mkfs.ext4", "-q", "-O", "^resize_inode", "-E", "lazy_itable_init=0", image)
    yield image
    run("umount", "-l", folder)


@contextlib.contextmanager
def mounted(image, folder):
    folder.mkdir(exist_ok=True)
    # no commit by itself within a case: what isn't flushed stays in memory
    run("mount", "-o", "loop,commit=300", image, folder)
    try:
        yield
    finally:
        run("umount", "-l", folder)


def dozen(stage):
    """So many files that they are flushed together."""
    for number in range(DOZEN):
        stage.finish(f"scan{number}.txt", CONTENT + b"%d" % number)
    stage.unfinished("later.txt")


class Load(NamedTuple):
    """What is to be archived."""

    make: Callable[[Stage], None]
    is_flushed: bool = True
    """Whether the producer's files are on the disk before it begins."""


ONE = Load(single)


class OnDisks(Stage):
    """A case whose source and state lie on one disk, its archive on another."""

    def __init__(self, crew, top, local, share, seed):
        super().__init__(crew, top, seed=seed)
        instrument = self.instrument
        shutil.rmtree(instrument.root)
        instrument.root, instrument.share = local / "Data", share / "share"
        instrument.state, instrument.cache = local / "state", local / "Data" / "Export only"
        instrument.cycle = instrument.share / NAME / "Instrument" / "data" / CYCLE
        instrument.archive = instrument.cycle / "autoreduced" / "bluesky_scans"
        instrument.configure(workers=1, retry={"initial": "10ms", "maximum": "40ms"})


def cut(crew, top, blank, case, seed="", load=ONE):
    """Cut the power at one call; returns what was wrong afterwards, or nothing; None: no call."""
    at, nudge = case
    images = {name: blank.with_name(f"{name}.img") for name in ("source", "archive")}
    places = {name: top / f"disk-{name}" for name in images}
    for image in images.values():
        shutil.copyfile(blank, image)
    with contextlib.ExitStack() as disks:
        for name, image in images.items():
            disks.enter_context(mounted(image, places[name]))
        stage = disks.enter_context(OnDisks(crew, top, *places.values(), seed))
        instrument = stage.instrument
        instrument.cycle.mkdir(parents=True)
        instrument.root.mkdir()
        if load.is_flushed:
            load.make(stage)
        for place in places.values():
            run("sync", "-f", place)
        if not load.is_flushed:
            load.make(stage)
        stage.ready()
        plan = Plan(How.KILL_AFTER if at else How.COUNT, at, kinds=frozenset(CHANGING))
        plan = Plan(plan.how, at, kinds=plan.kinds, below=str(top / "disk-"))
        found = stage.rescan(plan)
        if not at:
            return [line.split(" ", 2) for line in found.trace]
        if not found.was_killed:
            return None
        if nudge != "none":
            run("sync", "-f", places[nudge])
        for image in images.values():
            shutil.copyfile(image, image.with_suffix(".cut"))
        disks_after = disks.enter_context(contextlib.ExitStack())
        for name, image in images.items():
            run("umount", "-l", places[name])
            disks_after.enter_context(mounted(image.with_suffix(".cut"), places[name]))
        verdict = stage.now()
        wrong = "" if verdict else f"after the cut {verdict}"
        if not wrong and not (end := stage.end()):
            wrong = f"after the restart {end}"
        for name, image in images.items():  # for the outer unmount
            run("mount", "-o", "loop", image, places[name])
        return f"{found.struck}, {nudge} flushed: {wrong}" if wrong else ""


def states(crew, top, blank):
    """Return so many pairs of a call and a flush that there are enough crash states."""
    calls = cut(crew, top, blank, (0, "none"))
    ours = [n for n, (_, _, path) in enumerate(calls, 1) if "/state/" not in path]
    books = [n for n, (_, _, path) in enumerate(calls, 1) if "/state/" in path]
    cases = [(at, nudge) for at in ours for nudge in NUDGES]
    step = max(1, len(books) * len(NUDGES) // max(1, WANTED - len(cases) + len(NUDGES)))
    return cases + [(at, nudge) for at in books[::step] for nudge in NUDGES]


def turns(crew, top, blank, kinds):
    """Return a pair of a call and a flush for each such call that a dozen files need."""
    calls = cut(crew, top, blank, (0, "none"), load=Load(dozen))
    chosen = [n for n, (_, kind, _) in enumerate(calls, 1) if kind in kinds]
    ours = [n for n in chosen if "/state/" not in calls[n - 1][2]]
    return [(at, nudge) for at in ours for nudge in ("none", "source")]


def test_R2_power_cuts(crew, blank, tmp_path):
    """R2, R5: at whatever call the power fails, no source is gone before its copies are durable."""
    cases = states(crew, tmp_path, blank)
    wrong, missed = [], 0
    for case in cases:
        answer = cut(crew, tmp_path, blank, case)
        missed += answer is None
        wrong += [answer] if answer else []
    tally("power", len(cases) - missed, len(wrong))
    assert len(cases) - missed >= WANTED
    assert not wrong, said(wrong)


def cut_at_each(crew, top, blank, cases, **how):
    """Cut the power in each of these cases; returns what was wrong, and counts."""
    answers = [cut(crew, top, blank, case, **how) for case in cases]
    wrong = list(filter(None, answers))
    tally("power", len(cases) - answers.count(None), len(wrong))
    assert answers.count(None) < len(cases) / 2
    return wrong


def test_R2_power_cuts_while_many_files_are_flushed_as_one(crew, blank, tmp_path):
    """R2, R5: the same with a dozen files, at what makes anything durable, or gives it its name."""
    cases = turns(crew, tmp_path, blank, {"sync", "fsync", "rename"})
    wrong = cut_at_each(crew, tmp_path, blank, cases, load=Load(dozen))
    assert not wrong, said(wrong)


def test_R2_what_is_renamed_is_on_the_disk_first(crew, blank, tmp_path):
    """R2: sources that nobody had flushed are, before the first of them gets into the cache."""
    calls = cut(crew, tmp_path, blank, (0, "none"), load=Load(dozen))
    renames = [(n, path) for n, (_, kind, path) in enumerate(calls, 1) if kind == "rename"]
    cases = [
        (n, "none") for n, path in renames if "/bluesky_scans/scan" in path and "/Data/" in path
    ]
    assert len(cases) == DOZEN
    wrong = cut_at_each(crew, tmp_path, blank, cases, load=Load(dozen, is_flushed=False))
    assert not wrong, said(wrong)


@pytest.mark.parametrize("make", [single, dozen])
def test_a_missing_flush_shows_after_a_power_cut(crew, blank, tmp_path, make):
    """The same check catches a program that doesn't flush its copies.

    A missing flush of folders hardly shows: any flush writes all of ext4's journal. The order of
    the calls tells that one.
    """
    if make is single:
        cases = [case for case in states(crew, tmp_path, blank) if case[1] == "source"][-80:]
    else:
        cases = turns(crew, tmp_path, blank, {"rename"})
    sown = (cut(crew, tmp_path, blank, case, "no flush", Load(make)) for case in reversed(cases))
    caught = any(sown)
    tally("sown", 1, 0 if caught else 1)
    assert caught

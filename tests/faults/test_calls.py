"""Every call of archiving one file is killed at, failed, or made to lie, one after the other."""

import errno
import json
import os

import pytest

from tests.faults.results import said, sweep, tally
from tests.faults.stage import CONTENT, Stage
from tests.faults.victim import CHANGING, KINDS, How, Plan, replace

TRIES = 12
"""How often a case is tried until its call came: threads don't always take the same turns."""
BUSY = 2.0
"""Seconds of CPU that no run may need, whatever fails."""
NUMBERS = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS", "ESTALE", "ETIMEDOUT", "ENOTCONN")


def anywhere(_path):
    return True


def outside_ledger(path):
    return "/state/" not in path


def plain(stage):
    """Two new files, one that isn't finished."""
    stage.finish()
    stage.finish("sub/other.txt", b"other\n")
    stage.unfinished("later.txt")


def single(stage):
    """One file."""
    stage.finish()
    stage.unfinished("later.txt")


def taken(stage):
    """A name that is taken by another file, and one that is there already."""
    stage.finish()
    stage.finish("same.txt", b"same\n")
    stage.taken("scan.txt", b"another file\n")
    stage.taken("same.txt", b"same\n")


WAYS = {
    "renamed into the cache": (single, {}, False),
    "copied, source kept": (single, {"after_archiving": "keep"}, False),
    "link and unlink": (single, {}, True),
    "taken names": (taken, {}, False),
    "two files": (plain, {}, False),
}
"""How a file gets archived: what lies there, the settings, and whether renameat2 is missing."""


class Sweeper:
    """Counts the calls of one way, then strikes them one by one."""

    def __init__(self, crews, arena, way, seed=""):
        self.make, self.settings, bare = WAYS[way]
        self.crews, self.arena, self.seed = crews, arena, seed
        self.base = Plan(without_renameat2=bare)
        with self.stage(crews[0]) as stage:
            run = stage.rescan(self.base)
            verdict = stage.trees.judge(stage.made, is_end=True, is_kept=stage.is_kept)
            assert verdict, f"without any fault: {verdict}\n{run.output}"
            assert not run.code, run.output
        self.calls = min((self._traced() for _ in range(3)), key=len)

    def _traced(self):
        """Return the calls of a run without a fault; threads don't always take the same turns."""
        with self.stage(self.crews[0]) as stage:
            return stage.rescan(self.base).trace

    def stage(self, crew):
        stage = Stage(crew, self.arena, seed=self.seed, **self.settings)
        self.make(stage)
        stage.ready()
        return stage

    def numbers(self, kinds=KINDS, where=anywhere):
        """Yield the numbers of the calls of these kinds at these paths."""
        for line in self.calls:
            number, kind, path = line.split(" ", 2)
            if kind in kinds and where(path):
                yield int(number)

    def strike(self, crew, plan, heal=lambda stage, run: ""):
        """Try one case; returns what was wrong."""
        for _ in range(TRIES):
            with self.stage(crew) as stage:
                run = stage.rescan(replace(self.base, **plan))
                if not run.struck:
                    continue
                wrong = self._judge(stage, run, plan["how"]) or heal(stage, run)
                if not wrong and not (end := stage.end()):
                    wrong = f"after the restart {end}"
                return f"{run.struck}: {wrong}\n{run.output}" if wrong else ""
        return "the planned call never came"

    @staticmethod
    def _judge(stage, run, how):
        kills = how in {How.KILL_BEFORE, How.KILL_AFTER, How.KILL_HALFWAY}
        if run.hung:
            return "it never ended"
        if kills != run.was_killed:
            return f"ended with {run.code}"
        if run.cpu > BUSY:
            return f"needed {run.cpu:.1f} s of CPU"
        if "unexpected" in run.output or "Traceback" in run.output:
            return "an error that nobody had thought of"
        verdict = stage.now()
        return "" if verdict else f"right after the fault {verdict}"


def plans(how, numbers, **more):
    return [{"how": how, "at": number, **more} for number in numbers]


def plans_of(sweeper, how, kinds, where=anywhere, **more):
    """Count calls of these kinds alone, so that no other can be struck in their place."""
    chosen = [line.split(" ", 2) for line in sweeper.calls if line.split(" ", 2)[1] in kinds]
    numbers = [n for n, (_, _, path) in enumerate(chosen, 1) if where(path)]
    return plans(how, numbers, kinds=frozenset(kinds), **more)


def swept(fault, sweeper, cases):
    return sweep(fault, sweeper.crews, cases, sweeper.strike)


@pytest.mark.parametrize("way", WAYS)
def test_R5_killed_before_and_after_every_call(crews, arena, way):
    """R2, R3, R5: wherever it is killed, nothing is lost, and the next start ends it."""
    sweeper = Sweeper(crews, arena, way)
    is_first = way == "renamed into the cache"
    kinds, where = (KINDS, anywhere) if is_first else (CHANGING, outside_ledger)
    numbers = list(sweeper.numbers(kinds, where))
    cases = plans(How.KILL_BEFORE, numbers) + plans(How.KILL_AFTER, numbers)
    cases += plans_of(sweeper, How.KILL_HALFWAY, {"write"}, where)
    wrong = swept("kills", sweeper, cases)
    assert not wrong, said(wrong)


@pytest.mark.parametrize("name", NUMBERS)
def test_R2_each_call_fails_once(crews, arena, name):
    """R2, R11: each call fails once, with each of eight errors."""
    sweeper = Sweeper(crews, arena, "renamed into the cache")
    numbers = sweeper.numbers(where=anywhere if name == "EIO" else outside_ledger)
    cases = plans(How.FAIL_ONCE, numbers, error=getattr(errno, name))
    wrong = swept("once", sweeper, cases)
    assert not wrong, said(wrong)


@pytest.mark.parametrize(
    ("way", "name"), [("renamed into the cache", "EIO"), ("link and unlink", "ENOSPC")]
)
def test_R2_each_call_fails_from_then_on(crews, arena, way, name):
    """R2, R11: from one call on all fail; it ends, in no busy loop, and heals afterwards."""
    sweeper = Sweeper(crews, arena, way)
    numbers = sweeper.numbers(where=anywhere if name == "EIO" else outside_ledger)
    cases = plans(How.FAIL_ON, numbers, error=getattr(errno, name))
    wrong = swept("on", sweeper, cases)
    assert not wrong, said(wrong)


@pytest.mark.parametrize(
    "way", ["renamed into the cache", "link and unlink", "copied, source kept"]
)
def test_R4_done_but_an_error_comes_back(crews, arena, way):
    """R4, R5: a call that was done though it says it wasn't is not taken for a conflict."""
    sweeper = Sweeper(crews, arena, way)
    kinds = {"rename", "link", "unlink", "write", "fsync", "close", "mkdir", "create"}
    cases = plans_of(sweeper, How.LIE, kinds, outside_ledger, error=errno.EIO)
    kinds = {"rename", "link", "mkdir", "create"}
    cases += plans_of(sweeper, How.LIE, kinds, error=errno.EEXIST)
    cases += plans_of(sweeper, How.LIE, {"rename", "unlink"}, error=errno.ENOENT)
    wrong = sweep(
        "lie",
        crews,
        cases,
        lambda crew, plan: sweeper.strike(crew, plan, _no_conflict),
    )
    assert not wrong, said(wrong)


def _no_conflict(stage, run):
    for folder in stage.places.values():
        names = [p.name for p in folder.rglob("scan.*") if p.name != "scan.txt"]
        if names:
            return f"taken for a conflict: {names}"
    return ""


def test_R3_short_writes(crews, arena):
    """R3: a write that takes only half is gone on with."""
    sweeper = Sweeper(crews, arena, "renamed into the cache")
    cases = plans_of(sweeper, How.SHORT, {"write"}, outside_ledger)
    wrong = swept("flips", sweeper, cases)
    assert not wrong, said(wrong)


@pytest.mark.parametrize("name", NUMBERS)
def test_R11_the_right_class_in_status(crew, arena, name):
    """R11: what is wrong with the archive is told in the right word, and the cache goes on."""
    with Stage(crew, arena, after_archiving="keep") as stage:
        stage.finish()
        stage.ready()
        share = str(stage.instrument.share)
        kinds = frozenset({"create", "write", "fsync", "mkdir", "rename"})
        plan = Plan(How.FAIL_ON, 1, getattr(errno, name), kinds, share)
        run = stage.rescan(plan)
        assert run.struck
        assert run.code == 1, run.output
        state = json.loads((stage.instrument.state / "status.json").read_text())
        archive = state["destinations"]["archive"]
        expected = "full" if name in {"ENOSPC", "EDQUOT"} else "offline"
        assert archive["state"] == expected, archive
        assert os.strerror(getattr(errno, name)) in archive["error"]
        assert state["destinations"]["cache"]["state"] == "online"
        assert (stage.places["cache"] / "scan.txt").read_bytes() == CONTENT
        assert run.output.count(os.strerror(getattr(errno, name))) <= 3, run.output
        assert stage.now()
        assert stage.end()
    tally("once", 1)

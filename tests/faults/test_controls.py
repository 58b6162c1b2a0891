"""Negative controls: defects sown into the program, each of which the suite must catch."""

import re
import shlex

import pytest

from tests.faults.results import tally
from tests.faults.seeds import SEEDS
from tests.faults.stage import CONTENT, Stage
from tests.faults.test_calls import Sweeper, plans
from tests.faults.test_sources import MOMENTS, TAKEN, hooked
from tests.faults.victim import How, Plan


def kills_in_writes(crew, arena, seed):
    """Kill in the middle of each write to the archive."""
    sweeper = Sweeper([crew], arena, "copied, source kept", seed=seed)
    writes = [line for line in sweeper.calls if " write " in line and "/share/" in line]
    kinds = frozenset({"write"})
    cases = plans(How.KILL_HALFWAY, range(1, len(writes) + 1), kinds=kinds, below="share/")
    return [wrong for case in cases if (wrong := sweeper.strike(crew, case))]


def order(crew, arena, seed):
    """Look at the order of calls: all is flushed before it counts on it."""
    with Stage(crew, arena, seed=seed) as stage:
        stage.finish()
        return out_of_order(stage.rescan(Plan()).trace)


def planted(crew, arena, seed):
    """Let another file take the name just before the rename."""
    with Stage(crew, arena, after_archiving="keep") as stage:
        stage.finish()
        trace = stage.rescan(Plan()).trace
    with Stage(crew, arena, seed=seed, after_archiving="keep") as stage:
        stage.finish()
        target = stage.places["archive"] / "scan.txt"
        hook = f"T={shlex.quote(str(target))}; {TAKEN['other content'][0]}"
        run = stage.rescan(hooked(trace, MOMENTS["after"], hook, stage))
        assert run.struck
        return [] if target.read_bytes() == b"planted\n" else ["overwritten"]


def same_parts(crew, arena, seed):
    """Look whether two watchers ever give a temporary file the same name."""
    names = []
    for _ in range(2):
        with Stage(crew, arena, seed=seed) as stage:
            stage.finish()
            trace = stage.rescan(Plan()).trace
            made = [line for line in trace if " create " in line and line.endswith(".part")]
            names.append({line.rpartition("/")[2] for line in made})
    return sorted(names[0] & names[1])


def outside(crew, arena, seed):
    """Move a source's folder out of the data root, and leave a link to it behind."""
    moment = ("share", "stat", r"/scan\.txt$")
    with Stage(crew, arena) as stage:
        stage.finish()
        trace = stage.rescan(Plan()).trace
    with Stage(crew, arena, seed=seed) as stage:
        folder = stage.finish().parent
        names = f"D={shlex.quote(str(folder))} E={shlex.quote(str(stage.folder / 'elsewhere'))}"
        run = stage.rescan(hooked(trace, moment, f'{names}; mv "$D" "$E"; ln -s "$E" "$D"', stage))
        assert "hook 0" in run.trace
        return ["read through a link"] if (stage.places["archive"] / "scan.txt").exists() else []


def taken_name(crew, arena, seed):
    """Let another file have the name."""
    with Stage(crew, arena, seed=seed) as stage:
        stage.finish()
        stage.taken("scan.txt", CONTENT[::-1])  # of the same size
        stage.ready()
        stage.rescan()
        verdict = stage.now()
        return [] if verdict else [str(verdict)]


def out_of_order(trace):
    """Return what was counted on before it was flushed.

    A copy is flushed after its last write and before its rename; after a rename, the folder with
    the new name, and every folder that was made for it, before the source goes.
    """
    wrong, dirty, unflushed = [], set(), set()
    for line in trace:
        _, kind, path = line.split(" ", 2)
        if re.search(r"(cycle_26_2|Export only)/\.watcher", path):
            continue  # it only tries whether it can write there
        parent = path.rpartition("/")[0]
        if "/cycle_26_2" in path or "/Export only" in path:
            if kind in {"write", "create", "chmod", "utime"}:
                dirty.add(path)
            elif kind == "fsync":
                dirty.discard(path)
                unflushed.discard(path)
            if kind in {"mkdir", "rename"}:
                unflushed.add(parent)
            parts = {p for p in dirty if p.endswith(".part") and p.startswith(f"{parent}/")}
            if kind == "rename" and parts:
                wrong.append(f"published before it was flushed: {path}")
                dirty -= parts
        archive = {p for p in dirty | unflushed if "/share/" in p}
        if kind in {"rename", "unlink"} and "/share/" not in path and "/Data/" in path and archive:
            wrong.append(f"the source goes before these are flushed: {sorted(archive)}")
    return wrong


CATCHES = {
    "copying in place": kills_in_writes,
    "no flush": order,
    "no folder flush": order,
    "look, then rename": planted,
    "a shared temporary name": same_parts,
    "opening by path": outside,
    "exists() on an error": taken_name,
}


@pytest.mark.quick
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sown_defect_is_caught(crew, arena, seed):
    """The check that stands for this defect finds it, and finds nothing without it."""
    catch = CATCHES[seed]
    assert not catch(crew, arena, ""), "the check complains of the program as it is"
    caught = catch(crew, arena, seed)
    tally("sown", 1, 0 if caught else 1)
    assert caught, f"{seed} was not caught"

"""A source that changes before, during and after its copy; a name taken when it is published."""

import os
import re
import shlex
import stat

import pytest

from tests.faults.results import said, sweep, tally
from tests.faults.stage import CONTENT, Stage
from tests.faults.victim import How, Plan

NEW = b"rewritten" * 100

MUTATIONS = {
    "rewritten": 'chmod u+w "$S"; cat "$N" > "$S"; chmod 444 "$S"',
    "appended": 'chmod u+w "$S"; echo more >> "$S"; chmod 444 "$S"',
    "truncated": 'chmod u+w "$S"; head -c 9 "$N" > "$S"; chmod 444 "$S"',
    "replaced": 'cp "$N" "$S.new"; chmod 444 "$S.new"; mv -f "$S.new" "$S"',
    "unmarked": 'chmod u+w "$S"',
    "deleted": 'rm -f "$S"',
    "by a pipe": 'rm -f "$S"; mkfifo -m 444 "$S"',
    "by a link": 'rm -f "$S"; ln -s "$N" "$S"',
    "its folder by a link": 'D=$(dirname "$S"); mv "$D" "$D.old"; ln -s "$(dirname "$N")" "$D"',
}
MOMENTS = {
    "before": ("Data", "open", r"/scan\.txt$"),
    "during": ("share", "write", r"\.part$"),
    "after": ("share", "rename", r"/scan\.txt$"),
    "before it is settled": ("share", "fsync", r"checksums\.sha256$"),
}


def hooked(trace, moment, hook, stage):
    """Plan to run a hook before the first call of a kind below a folder at such a path."""
    top, kind, pattern = moment
    below = stage.instrument.root if top == "Data" else stage.places["archive"]
    inner = "/" + below.relative_to(stage.folder).as_posix() + "/"
    calls = [line.split(" ", 2) for line in trace]
    paths = [path for _, k, path in calls if k == kind and inner in path]
    number = next(n for n, path in enumerate(paths, 1) if re.search(pattern, path))
    below = f"{below}/"
    return Plan(How.HOOK, number, kinds=frozenset({kind}), below=below, hook=hook)


def survivors(stage):
    """Return every content that lies anywhere under a name of its own."""
    found = []
    for top in (stage.instrument.root, stage.instrument.share):
        for parent, _, names in os.walk(top):
            for name in names:
                path = os.path.join(parent, name)
                if stat.S_ISREG(os.lstat(path).st_mode) and not name.startswith(".watcher-"):
                    with open(path, "rb") as file:
                        found.append(file.read())
    return found


@pytest.mark.quick
@pytest.mark.parametrize("settings", [{}, {"after_archiving": "keep"}], ids=["remove", "keep"])
def test_R6_a_source_that_changes(crews, arena, settings):
    """R2, R6: no version that was there at the last look is removed unarchived; never a mixture."""
    with Stage(crews[0], arena, **settings) as stage:
        stage.finish()
        trace = stage.rescan(Plan()).trace
    cases = [(moment, change) for moment in MOMENTS for change in MUTATIONS]

    def one(crew, case):
        moment, change = case
        with Stage(crew, arena, **settings) as stage:
            path = stage.finish()
            outside = stage.folder / "outside"
            outside.mkdir()
            fresh = outside / "scan.txt"
            fresh.write_bytes(NEW)
            fresh.chmod(0o444)
            names = f"S={shlex.quote(str(path))} N={shlex.quote(str(fresh))}; "
            hook = names + MUTATIONS[change]
            run = stage.rescan(hooked(trace, MOMENTS[moment], hook, stage))
            if not run.struck or "hook 0" not in run.trace:
                return f"it wasn't changed: {run.trace}"
            if run.hung:
                return f"it waits for ever\n{run.output}"
            again = stage.rescan()
            wrong = _mixture(stage) or _lost(stage, change)
            if again.hung or "Traceback" in run.output + again.output:
                wrong = wrong or "it hangs, or an error that nobody had thought of"
            if fresh.read_bytes() != NEW:
                wrong = "something outside was touched"
            return f"{wrong}\n{run.output}\n{again.output}" if wrong else ""

    wrong = sweep("source", crews, cases, one)
    assert not wrong, said(wrong)


ALLOWED = {CONTENT, CONTENT + b"more\n", NEW, NEW[:9]}


def _mixture(stage):
    for name, folder in stage.places.items():
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "checksums.sha256" and not path.name.startswith("."):
                if path.read_bytes() not in ALLOWED:
                    return f"a mixture at {name}: {path.name}"
                if "outside" in os.path.realpath(path):
                    return f"a link at {name}"
    return ""


def _lost(stage, change):
    wanted = {
        "rewritten": NEW,
        "appended": CONTENT + b"more\n",
        "truncated": NEW[:9],
        "replaced": NEW,
        "unmarked": CONTENT,
        "its folder by a link": CONTENT,
    }.get(change)
    if wanted is not None and wanted not in survivors(stage):
        return "what was there at the last look is gone"
    leftovers = [
        p
        for top in (stage.instrument.root, stage.instrument.share)
        for p in top.rglob(".watcher-*")
    ]
    return f"left over: {leftovers}" if leftovers else ""


@pytest.mark.quick
def test_R6_a_writer_that_had_it_open_before_the_mark(crew, arena):
    """R6: what somebody still has open for writing is waited for, and archived as it is then."""
    with Stage(crew, arena) as stage:
        path = stage.finish()
        path.chmod(0o644)
        with open(path, "ab") as writer:
            path.chmod(0o444)
            run = stage.rescan()
            assert run.code == 1
            assert "open for writing" in run.output
            assert path.exists()
            assert not any(b in survivors(stage)[1:] for b in (CONTENT,))
            writer.write(b"the end\n")
        assert stage.rescan().code == 0
        for folder in stage.places.values():
            assert (folder / "scan.txt").read_bytes() == CONTENT + b"the end\n"
    tally("source", 1)


TAKEN = {
    "same content": ('cp "$S" "$T"', True),
    "same content, marked": ('cp "$S" "$T"; chmod 444 "$T"', True),
    "other content": ('echo planted > "$T"', False),
    "a folder": ('mkdir "$T"', False),
    "a link": ('ln -s "$S" "$T"', False),
    "a dangling link": ('ln -s /nowhere "$T"', False),
    "a pipe": ('mkfifo "$T"', False),
}


@pytest.mark.quick
def test_R4_a_name_that_is_taken_at_the_last_moment(crews, arena):
    """R3, R4: whatever takes the name, before or at the rename, is kept, the newcomer beside it."""
    with Stage(crews[0], arena, after_archiving="keep") as stage:
        stage.finish()
        trace = stage.rescan(Plan()).trace
    cases = [(what, when) for what in TAKEN for when in ("at the rename", "before")]

    def one(crew, case):
        what, when = case
        command, is_same = TAKEN[what]
        with Stage(crew, arena, after_archiving="keep") as stage:
            source = stage.finish()
            target = stage.places["archive"] / "scan.txt"
            hook = f"S={shlex.quote(str(source))} T={shlex.quote(str(target))}; {command}"
            plan = hooked(trace, MOMENTS["after"], hook, stage)
            if when == "before":
                target.parent.mkdir(parents=True)
                os.system(hook)
                plan = Plan()
            run = stage.rescan(plan)
            beside = sorted(p.name for p in target.parent.iterdir() if p.name.startswith("scan."))
            expected = ["scan.txt"] if is_same else ["scan.755b00ee.txt", "scan.txt"]
            wrong = "" if beside == expected else f"{beside}"
            if what == "other content" and target.read_bytes() != b"planted\n":
                wrong = "overwritten"
            if not is_same and not wrong and (target.parent / expected[0]).read_bytes() != CONTENT:
                wrong = "the newcomer is not what it was"
            if run.code or run.hung:
                wrong = wrong or f"ended with {run.code}"
            return f"{wrong}\n{run.output}" if wrong else ""

    wrong = sweep("taken", crews, cases, one)
    assert not wrong, said(wrong)


def test_R4_twins_that_differ_in_case_or_form(crew, arena):
    """R4: names that differ in case or Unicode form only are two files, each kept."""
    names = ["Scan.txt", "scan.txt", "\u00e9.txt", "e\u0301.txt"]
    with Stage(crew, arena) as stage:
        for number, name in enumerate(names):
            stage.finish(name, b"twin %d" % number)
        stage.ready()
        assert stage.end()
    tally("taken", 2)

"""The mount is gone, and the bare folder that it hid lies in its place: at each step (R2)."""

import shlex
import subprocess

import pytest

from tests.faults import living
from tests.faults.results import said, sweep, tally
from tests.faults.stage import EXPERIMENT, Stage
from tests.faults.victim import How, Plan
from tests.harness import CYCLE, NAME
from tests.rules.evidence import SCANS, files_of

pytestmark = pytest.mark.usefixtures("as_root")
WAYS = ("marker", "{cycle}", "once seen")
"""What tells the share from the bare folder."""


def run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


class Mounted(Stage):
    """A case whose archive lies on a mount; what the mount holds can be seen elsewhere, too."""

    def __init__(self, crew, arena, way, **settings):
        self.way = way
        self.kept = None
        super().__init__(crew, arena, **settings)
        share = self.instrument.share
        self.data = share / NAME / "Instrument" / "data"
        self.instrument.cycle.rmdir()  # the bare folder has the fixed part, and no more
        self.kept = self.folder / "kept"
        self.kept.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=8m", "none", share)
        run("mount", "--bind", share, self.kept)
        self.instrument.cycle.mkdir(parents=True)
        if way == "marker":
            (self.data / "THIS IS THE SHARE").touch()
        self._configure(settings)

    def _configure(self, settings):
        below = "{cycle}/{experiment}" if self.way == "{cycle}" else "{experiment}"
        archive = {"name": "archive", "path": f"{self.data}/{below}"}
        if self.way == "marker":
            archive["marker"] = "THIS IS THE SHARE"
        path = str(self.instrument.cache / "{experiment}" / SCANS)
        cache = {"name": "cache", "path": path, "cleaned_by_others": True}
        retry = {"initial": "10ms", "maximum": "40ms", "stalled_after": "5s"}
        more = {"workers": 1, "retry": retry, "destinations": [archive, cache]} | settings
        self.instrument.configure(**more)

    @property
    def places(self):
        below = f"{CYCLE}/{EXPERIMENT}" if self.way == "{cycle}" else EXPERIMENT
        data = self.kept / NAME / "Instrument" / "data"
        return super().places | {"archive": data / below}

    def mount(self):
        run("mount", "--bind", self.kept, self.instrument.share)

    def unmount(self):
        run("umount", "-l", self.instrument.share)

    def bare(self):
        """Return all files in the bare folder, with the mount away for the look."""
        return sorted(files_of(self.instrument.share))

    def __exit__(self, *error):
        for folder in (self.instrument.share, self.kept):
            subprocess.run(["umount", "-l", folder], check=False, capture_output=True)
        super().__exit__(*error)


@pytest.mark.parametrize("way", WAYS)
def test_R2_the_mount_goes_at_each_step(crews, arena, way):
    """R2: nothing stays below the bare folder, no source goes; when it is back, all is archived."""

    def stage(crew):
        stage = Mounted(crew, arena, way)
        if way == "once seen":
            assert not stage.rescan().code
        stage.finish()
        stage.finish("sub/other.txt", b"other\n")
        stage.ready()
        return stage

    def below(stage):
        return f"{stage.instrument.share}/"

    def traced():
        with stage(crews[0]) as first:
            trace = first.rescan(Plan(below=below(first))).trace
            assert first.end()
            return trace

    calls = min((traced() for _ in range(3)), key=len)  # a call more or less is a matter of chance

    def one(crew, number):
        with stage(crew) as case:
            hook = f"umount -l {shlex.quote(str(case.instrument.share))}"
            run = case.rescan(Plan(How.HOOK, number, below=below(case), hook=hook))
            if "hook 0" not in run.trace:
                return "it was not unmounted"
            wrong = "" if (verdict := case.now()) else str(verdict)
            if found := case.bare():
                wrong = wrong or f"written below the bare folder: {found}"
            if "Traceback" in run.output or run.hung:
                wrong = wrong or "an error that nobody had thought of"
            case.mount()
            if not wrong and not (end := case.end()):
                wrong = f"when it was back {end}"
            return f"{run.struck}: {wrong}\n{run.output}" if wrong else ""

    wrong = sweep("bare", crews, range(1, len(calls) + 1), one)
    assert not wrong, said(wrong)


def test_R2_what_was_once_a_mount_is_asked_for_after_a_restart(crew, arena):
    """R2: a watcher that starts on the bare folder knows from the ledger that there was a mount."""
    with Mounted(crew, arena, "once seen") as stage:
        stage.finish()
        stage.ready()
        assert stage.end()
        stage.unmount()
        stage.finish("later.txt", b"later\n")
        run = stage.rescan()
        assert run.code == 1, run.output
        assert living.state(stage.instrument) == "offline"
        assert stage.bare() == []
        assert stage.now()
        stage.mount()
        assert stage.end()
    tally("bare", 1)

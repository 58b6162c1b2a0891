"""One small instrument for one case: two destinations, some files, and a look at what became."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any, Self

from tests.faults.checker import Made, Trees, Verdict
from tests.faults.victim import Plan, Run, Victims
from tests.harness import Instrument

EXPERIMENT = "RB1"
CONTENT = b"".join(b"%d\t%d\n" % (n, n * n) for n in range(2000))
_numbers = itertools.count()


class Stage:
    """A case; a context manager that removes it where nothing was wrong."""

    def __init__(
        self,
        victims: Victims,
        top: Path,
        *,
        seed: str = "",
        share: Path | None = None,
        **settings: Any,
    ) -> None:
        """Make the folders.

        Args:
            victims: who runs the program.
            top: where the case gets a folder of its own.
            seed: the defect that the program gets.
            share: where the archive's share is instead.
            settings: top-level keys of the configuration.

        """
        self.victims = victims
        self.folder = top / f"case-{next(_numbers)}"
        self.folder.mkdir()
        self.seed = seed
        settings = {"checksums": {"record": "manifest"}, "workers": 1} | settings
        settings |= {"retry": {"initial": "10ms", "maximum": "40ms", "stalled_after": "1s"}}
        self.is_kept = settings.get("after_archiving") == "keep"
        self.instrument = Instrument(self.folder, **settings)
        self.made: list[Made] = []
        self.trees = Trees(self.instrument.root, {})

    def finish(self, relative: str = "scan.txt", content: bytes = CONTENT) -> Path:
        """Write a finished file."""
        one = Made(EXPERIMENT, relative, content)
        self.made.append(one)
        return self.instrument.finish(one.path, content)

    def unfinished(self, relative: str, content: bytes = b"not yet") -> Path:
        """Write a file that must not be touched."""
        one = Made(EXPERIMENT, relative, content, is_marked=False)
        self.made.append(one)
        return self.instrument.write(one.path, content)

    def taken(self, relative: str, content: bytes) -> None:
        """Let something lie at both destinations already."""
        for folder in self.places.values():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o444)

    @property
    def places(self) -> dict[str, Path]:
        """The experiment's folder at each destination."""
        cache = self.instrument.cache / EXPERIMENT / "bluesky_scans"
        return {"archive": self.instrument.archive / EXPERIMENT, "cache": cache}

    def ready(self) -> None:
        """Remember what lies there before anything runs."""
        self.trees = Trees(self.instrument.root, self.places)

    def rescan(self, plan: Plan | None = None, seconds: float = 20.0, *more: str) -> Run:
        """Run `watcher rescan` in a child."""
        arguments = ["rescan", "--config", str(self.instrument.config_file), *more]
        return self.victims.run(self.folder, *arguments, plan=plan, seed=self.seed, seconds=seconds)

    def now(self) -> Verdict:
        """Judge what is there right after a fault."""
        return self.trees.judge(self.made, is_kept=self.is_kept)

    def end(self) -> Verdict:
        """Run it once more, without any fault; nothing must be left to do."""
        run = self.rescan()
        verdict = self.trees.judge(self.made, is_end=True, is_kept=self.is_kept)
        if run.code:
            verdict.rest.append(f"the restart ended with {run.code}: {run.output}")
        return verdict

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove the case, unless something was wrong."""
        if kind is None:
            shutil.rmtree(self.folder)
            for path in self.folder.parent.glob(f"{self.folder.name}.*"):
                path.unlink()

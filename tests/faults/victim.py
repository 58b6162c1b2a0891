"""Runs the program in children of one server, each with the fault that a case wants."""

from __future__ import annotations

import enum
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tests.harness import PROJECT

KINDS = (
    *("open", "create", "read", "write", "fsync", "close", "unlink", "rename", "link", "mkdir"),
    *("chmod", "utime", "truncate", "stat", "list", "lock", "sync", "range"),
)
"""The kinds of calls, in the order of the library's enum."""
CHANGING = frozenset(KINDS) - {"open", "read", "stat", "list", "lock", "close", "range"}
SKIPPED = ("/status", "/watcher.log", "/watcher.lock")
"""Files of the state folder that a clock writes to: their calls would come at any number."""


class How(enum.IntEnum):
    """What happens to the chosen call."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_HALFWAY = 3
    FAIL_ONCE = 4
    FAIL_ON = 5
    LIE = 6
    """Done, but an error comes back."""
    SHORT = 7
    HOOK = 8
    """A shell does something just before the call."""
    FAIL_EVERY = 9
    """So many calls come from one failure to the next."""


@dataclass(frozen=True)
class Plan:
    """Which call is struck, and how."""

    how: How = How.COUNT
    at: int = 0
    error: int = 0
    kinds: frozenset[str] = frozenset(KINDS)
    below: str = ""
    """Only calls below this folder of the case count, or at an `anon_inode:...`."""
    without_renameat2: bool = False
    hook: str = ""
    """For the shell; the call's path is in $STRUCK."""

    def wire(self, folder: Path) -> dict[str, Any]:
        """Return what the server is told."""
        return {
            "below": self.below if ":" in self.below else os.path.join(folder, self.below),
            "skipped": list(SKIPPED),
            "kinds": sum(1 << KINDS.index(kind) for kind in self.kinds),
            "how": int(self.how),
            "at": self.at,
            "error": self.error,
            "trace": str(folder.with_suffix(".trace")),
            "without_renameat2": self.without_renameat2,
            "hook": self.hook,
        }


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    code: int
    hung: bool
    cpu: float
    memory: int
    output: str
    trace: list[str]

    @property
    def was_killed(self) -> bool:
        """Whether the planned kill happened."""
        return self.code == -9 and not self.hung

    @property
    def struck(self) -> str:
        """The call that was struck; empty if none was."""
        return next((line for line in self.trace if line.startswith("struck")), "")

    @property
    def calls(self) -> list[str]:
        """The kinds of the calls that were counted."""
        return [line.split(" ")[1] for line in self.trace if line[0].isdigit()]


def build(folder: Path) -> Path:
    """Compile the library that counts and fails calls; None of it is the program's."""
    made = folder / "interpose.so"
    source = Path(__file__).with_name("interpose.c")
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(source)]
    subprocess.run([*command, "-ldl"], check=True)
    return made


def can_build() -> bool:
    """Tell whether such a library can be made and loaded here."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


class Victims:
    """The server; a context manager."""

    def __init__(self, library: Path | None) -> None:
        """Start it, with the library if there is one."""
        environment = {k: v for k, v in os.environ.items() if k != "WATCHER_CONFIG"}
        environment |= {"PYTHONPATH": str(PROJECT), "PYTHONUTF8": "1"}
        if library is not None:
            environment["LD_PRELOAD"] = str(library)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=PROJECT,
            encoding="utf-8",
        )
        assert self._answer() == "ready"

    def run(
        self,
        folder: Path,
        *arguments: str,
        plan: Plan | None = None,
        seed: str = "",
        seconds: float = 20.0,
    ) -> Run:
        """Run one command of the program in a child.

        Args:
            folder: the case's folder; its output and trace are written beside it.
            arguments: the command line.
            plan: the fault, if any.
            seed: the defect that the child gets.
            seconds: after which it counts as hung, and is killed.

        """
        output, trace = folder.with_suffix(".output"), folder.with_suffix(".trace")
        for path in (output, trace):
            path.unlink(missing_ok=True)
        request = {
            "arguments": list(arguments),
            "output": str(output),
            "plan": plan.wire(folder) if plan else None,
            "seed": seed,
            "seconds": seconds,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._answer())
        text = output.read_text("utf-8", "backslashreplace") if output.exists() else ""
        lines = trace.read_text("utf-8", "backslashreplace").splitlines() if trace.exists() else []
        return Run(**answer, output=text, trace=lines)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has ended"
        return line.strip()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


__all__ = ["CHANGING", "KINDS", "How", "Plan", "Run", "Victims", "build", "can_build", "replace"]

"""A whole instrument in a temporary folder, with the watcher as a process of its own.

    with Instrument(tmp_path) as instrument:
        instrument.start()
        instrument.finish("RB1/bluesky_scans/scan.txt", b"1 2 3")
        instrument.wait_until(lambda: instrument.archived("RB1", "scan.txt").exists())

Nothing here shares code with the program: what it looks at are files and the command's output.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent.parent
CYCLE = "cycle_26_2"
NAME = "NDXTEST"
IS_WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
PATIENCE = 120.0 if IS_WINE else 30.0
"""Seconds that something may take before it counts as never happening; a busy machine is slow, and
Wine takes seconds to start a program."""
STOPPING = 15.0
"""Seconds that the watcher has to end after it was asked to."""
_SILENCE = 3.0
"""Seconds after which a watcher that says nothing is asked whether it runs."""
POLL = 0.01
PRESS_CTRL_C = """
import ctypes, sys
kernel32 = ctypes.WinDLL("kernel32")
kernel32.FreeConsole()
kernel32.AttachConsole(int(sys.argv[1]))
kernel32.SetConsoleCtrlHandler(None, True)
kernel32.GenerateConsoleCtrlEvent(0, 0)
"""
"""What a process of its own must do on Windows, since whoever does it gives up its own console."""


def wait_until(
    predicate: Callable[[], T],
    seconds: float = PATIENCE,
    failure: Callable[[], str] = str,
    every: float = POLL,
) -> T:
    """Ask `predicate` until it answers something true, and return that.

    Args:
        predicate: what is asked.
        seconds: how long to wait at most.
        failure: tells what to say when it never came true.
        every: seconds between two questions; at least as long as one takes, so that asking leaves
            at least half of a core to what is asked about.

    Raises:
        AssertionError: it didn't come true in time.

    """
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while True:
        began = time.monotonic()
        if answer := predicate():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s\n{failure()}".strip())
        pause.wait(max(every, time.monotonic() - began))


def is_marked(path: Path) -> bool:
    """Tell whether the file is read-only, as `dir` and `ls` would show it."""
    found = path.lstat()
    attributes: int | None = getattr(found, "st_file_attributes", None)
    if attributes is not None:
        return bool(attributes & stat.FILE_ATTRIBUTE_READONLY)
    return not found.st_mode & 0o222


def files_below(folder: Path) -> dict[str, Path]:
    """Return every file below `folder`, keyed by its path from there with `/` separators."""
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


class Watcher:
    """`watcher run --headless` in a process of its own, what it prints gathered as it comes.

    The output goes through a pipe: a file or the null device as standard output is more than
    some of the Windows look-alikes bear.
    """

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        """Start it.

        Args:
            command: the whole command line.
            environment: all its environment variables.
            folder: where it runs.

        """
        own_console: dict[str, Any] = {}
        if sys.platform == "win32":
            hidden = subprocess.STARTUPINFO(dwFlags=subprocess.STARTF_USESHOWWINDOW)
            console = subprocess.CREATE_NEW_CONSOLE
            own_console = {"startupinfo": hidden, "creationflags": console}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **own_console,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, name="watcher output", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode(errors="backslashreplace")
            self._lines.append(text.replace(os.linesep, "\n"))

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    @property
    def is_running(self) -> bool:
        """Whether the process is still there."""
        return self.process.poll() is None

    def stop(self, seconds: float = STOPPING) -> int:
        """Ask it to end (by Ctrl-C on Windows), wait for it, and return the exit code.

        Raises:
            AssertionError: it doesn't end by itself; it was killed.

        """
        if not self.is_running:
            pass
        elif sys.platform == "win32":
            press = [sys.executable, "-c", PRESS_CTRL_C, str(self.process.pid)]
            subprocess.run(press, stdin=subprocess.PIPE, check=False)
        else:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {seconds} s after it was asked to stop") from None
        self._close()
        return self.process.returncode

    def kill(self) -> None:
        """End it the hard way, as a power cut would; no error if it has ended already."""
        self.process.kill()
        self.process.wait(STOPPING)
        self._close()

    def _close(self) -> None:
        self._reader.join(2)  # a grandchild may hold the pipe open for longer
        assert self.process.stdin is not None
        self.process.stdin.close()
        if not self._reader.is_alive():
            assert self.process.stdout is not None
            self.process.stdout.close()


class Instrument:
    """A data root, an archive that has a cycle, a cache below the data root, a configuration.

    As a context manager it sees to it that no watcher is left, and shows what it printed when
    the test fails.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        """Make the folders and the configuration.

        Args:
            folder: an empty folder for all of it.
            settings: top-level keys of the configuration that are to be another than here.

        """
        self.folder = folder
        self.root = folder / "Data"
        self.cache = self.root / "Export only"
        self.share = folder / "share"
        self.cycle = self.share / NAME / "Instrument" / "data" / CYCLE
        self.archive = self.cycle / "autoreduced" / "bluesky_scans"
        self.config_file = folder / "watcher.yaml"
        self.state = folder / "state"
        self.watcher: Watcher | None = None
        self.root.mkdir(parents=True)
        self.cycle.mkdir(parents=True)
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Write the configuration anew, with other values for some top-level keys."""
        configuration = self._defaults() | settings
        text = yaml.safe_dump(configuration, allow_unicode=True, sort_keys=False)
        self.config_file.write_text(text, encoding="utf-8")

    def _defaults(self) -> dict[str, Any]:
        data = self.share / "{instrument}" / "Instrument" / "data"
        archive = data / "{cycle}" / "autoreduced" / "bluesky_scans" / "{experiment}"
        cache = self.cache / "{experiment}" / "bluesky_scans"
        return {
            "instrument": NAME,
            "data_roots": [str(self.root)],
            "destinations": [
                {"name": "archive", "path": str(archive)},
                {"name": "cache", "path": str(cache), "cleaned_by_others": True},
            ],
            "retry": {"initial": "100ms", "maximum": "1s"},
            "state_dir": str(self.state),
        }

    # What the producer does

    def write(self, name: str, content: bytes = b"1 2 3\n") -> Path:
        """Write an unfinished file.

        Args:
            name: its path from the data root, with `/` separators.
            content: what it holds.

        """
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def finish(self, name: str, content: bytes = b"1 2 3\n") -> Path:
        """Write a file and mark it, as the producer does at the end of a scan."""
        path = self.write(name, content)
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        return path

    # Where files go

    def archived(self, experiment: str, relative: str) -> Path:
        """Return the place of a scan folder's file at the archive."""
        return self.archive / experiment / relative

    def cached(self, experiment: str, relative: str) -> Path:
        """Return the place of a scan folder's file in the cache."""
        return self.cache / experiment / "bluesky_scans" / relative

    def sources(self) -> dict[str, Path]:
        """Return every file in the data root but those in the cache."""
        found = files_below(self.root)
        cache = self.cache.relative_to(self.root).as_posix()
        return {name: path for name, path in found.items() if not name.startswith(f"{cache}/")}

    # The command

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `watcher` with these arguments and this configuration."""
        return [sys.executable, "-m", "watcher", *arguments, "--config", str(self.config_file)]

    def environment(self) -> dict[str, str]:
        """Return this process's environment without what would change the watcher's ways.

        Nor with what would have it compile all its modules at each start.
        """
        ours = {"WATCHER_CONFIG", "IBEX_BLUESKY_CORE_OUTPUT", "PYTHONDONTWRITEBYTECODE"}
        kept = {key: value for key, value in os.environ.items() if key not in ours}
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        return kept | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}

    def run(self, *arguments: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of `watcher` to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            input="",
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=seconds,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Return what `watcher status --json` says."""
        done = self.run("status", "--json")
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(
                f"status --json ended with {done.returncode}\n{done.stdout}{done.stderr}"
            ) from None
        return answer

    # The daemon

    def start(self, *arguments: str, seconds: float = PATIENCE) -> Watcher:
        """Start `watcher run --headless` and return when it has looked at all there is."""
        watcher = self.launch(*arguments)
        with contextlib.suppress(AssertionError):  # asking costs as much as starting does
            wait_until(lambda: watcher.output or not watcher.is_running, _SILENCE)
        self.wait_until(lambda: self._runs(watcher.process.pid), seconds)
        return watcher

    def launch(self, *arguments: str) -> Watcher:
        """Start it and wait for nothing."""
        command = self.command("run", "--headless", *arguments)
        self.watcher = Watcher(command, self.environment(), self.folder)
        return self.watcher

    def _runs(self, pid: int) -> bool:
        status = self.status()
        # a launcher (py.exe, a virtual environment's on Windows) has a child that is the watcher
        is_it = status["pid"] == pid or os.name == "nt"
        return bool(status["running"] and is_it and status["next_rescan"])

    def stop(self, seconds: float = STOPPING) -> int:
        """Ask the watcher to end and return its exit code."""
        assert self.watcher is not None, "no watcher was started"
        return self.watcher.stop(seconds)

    def kill(self) -> None:
        """End the watcher the hard way."""
        if self.watcher is not None:
            self.watcher.kill()

    def wait_until(self, predicate: Callable[[], T], seconds: float = PATIENCE) -> T:
        """Wait for something that the running watcher does.

        Raises:
            AssertionError: it didn't come true in time, or the watcher has ended meanwhile.

        """
        return wait_until(lambda: self._ask(predicate), seconds, self.describe)

    def _ask(self, predicate: Callable[[], T]) -> T:
        ended = self.watcher is not None and not self.watcher.is_running
        answer = predicate()
        if ended and not answer:
            raise AssertionError(f"the watcher has ended\n{self.describe()}")
        return answer

    def describe(self) -> str:
        """Tell all there is to know when a test has failed."""
        return "\n".join(self._description())

    def _description(self) -> Iterator[str]:
        if self.watcher is not None:
            code = self.watcher.process.poll()
            yield "--- the watcher " + ("runs" if code is None else f"ended with {code}")
            yield self.watcher.output
        yield "--- files"
        for top in (self.root, self.share):
            for path in sorted(files_below(top).values()):
                with contextlib.suppress(FileNotFoundError):  # the watcher is at work
                    yield f"{'r ' if is_marked(path) else 'rw'} {str(path)!r}"

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave no process behind; on an error, print all there is to know."""
        try:
            if kind is not None:
                print(self.describe())
        finally:
            self.kill()

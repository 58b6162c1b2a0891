"""Runs the tests with Windows' own CPython under Wine: `run.py [files, folders, pytest's options]`.

Each file of tests has a process of its own, so that one that hangs takes no other with it; several
run at a time, each in a Windows of its own. What has a deadline can miss it on a busy computer, so
a file that failed is run once more, alone: what fails twice has failed. At the end it tells what
was skipped, and why.

With `--python` first, the arguments go to that Python instead. Ends with its exit code.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from provision import (
    DISPLAY,
    PROJECT,
    PYTHON,
    SERVER,
    UnavailableError,
    environment,
    make_prefix,
    provision,
    run_quietly,
    wine,
)

WORKERS = os.cpu_count() or 1
GRACE = 2.0
"""Seconds to wait for the last output: Wine's services keep the pipe open after the end."""
LIMIT = 300
"""Seconds that a single test may take: each program that it starts takes a second or more."""
LIMIT_OF_FILE = 1500
"""Seconds after which a file of tests is ended that pytest itself could not end."""
BAD_LUCK = 8
"""Files that may fail by bad luck at the most; more are not looked at again."""
FIRST = ("test_instrument", "rules/", "test_daemon", "test_transfer")
"""What takes longest begins first."""


@dataclass
class Outcome:
    """What became of a file's tests."""

    passed: int = 0
    failed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """The reason, and the test."""

    def add(self, other: Outcome) -> None:
        """Add those of another file."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        """Say it as pytest does."""
        counts = {"failed": self.failed, "passed": self.passed, "skipped": len(self.skipped)}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count or not what)


def read_outcome(report: Path) -> Outcome:
    """Read what pytest wrote; a file without a report counts as a failure."""
    outcome = Outcome()
    try:
        cases = ElementTree.parse(report).iter("testcase")
    except (OSError, ElementTree.ParseError):
        return Outcome(failed=1)
    for case in cases:
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        elif skipped is not None:
            reason = skipped.get("message", "").partition("\n")[0]
            outcome.skipped.append((reason, f"{case.get('classname')}.{case.get('name')}"))
        else:
            outcome.passed += 1
    return outcome


def copy(pipe: IO[bytes], sink: IO[bytes]) -> None:
    """Hand on what comes as it comes."""
    while chunk := pipe.read1(1 << 16):  # type: ignore[attr-defined]
        sink.write(chunk)
        sink.flush()


def run_python(arguments: list[str], prefix: Path, sink: IO[bytes], limit: float | None) -> int:
    """Run Python with pipes for input and output, which Wine's Python can't do without."""
    process = subprocess.Popen(
        wine(str(PYTHON), *arguments),
        cwd=PROJECT,
        env=environment(prefix),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    reader = threading.Thread(target=copy, args=(process.stdout, sink), daemon=True)
    reader.start()
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    reader.join(GRACE)
    return code


class Worker(threading.Thread):
    """Takes one file of tests after the other, in a Windows of its own."""

    def __init__(self, number: int, files: queue.Queue[Path], options: list[str]) -> None:
        """Begin with nothing done."""
        super().__init__(daemon=True)
        self.prefix = make_prefix(number)
        self.files = files
        self.options = options
        self.outcomes: dict[Path, Outcome] = {}

    def run(self) -> None:
        """Take files until there are none."""
        with kept_running(self.prefix), contextlib.suppress(queue.Empty):
            while True:
                file = self.files.get_nowait()
                self.outcomes[file] = self.test(file)

    def test(self, file: Path) -> Outcome:
        """Run one file's tests; print what is wrong with them."""
        name = file.relative_to(PROJECT).as_posix()
        began = time.monotonic()
        drive = self.prefix / "drive_c"
        with (
            tempfile.TemporaryDirectory(
                dir=drive, prefix="t", ignore_cleanup_errors=True
            ) as folder,
            tempfile.TemporaryFile() as output,
        ):
            inside = f"C:\\{Path(folder).name}"
            code = run_python(
                [
                    *["-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={inside}\\t"],
                    *["-o", f"timeout={LIMIT}", f"--junitxml={inside}\\report.xml"],
                    *[name, *self.options],
                ],
                self.prefix,
                output,
                LIMIT_OF_FILE,
            )
            outcome = read_outcome(Path(folder, "report.xml"))
            output.seek(0)
            told = output.read().decode(errors="backslashreplace").rstrip().splitlines()
        took = f"{name}: {outcome or 'nothing'} ({time.monotonic() - began:.0f} s)"
        if outcome.failed or code not in {0, 5}:
            outcome.failed = outcome.failed or 1
            took = "\n".join([*told[:-1], took, f"    it ended with {code}"])
        print(took, flush=True)
        return outcome


@contextlib.contextmanager
def kept_running(prefix: Path) -> Iterator[None]:
    """Keep one Windows running between two programs, and end all that is left in it."""
    end_all(prefix)  # an earlier run that was ended itself may have left it
    run_quietly(SERVER, "--persistent", prefix=prefix)
    try:
        yield
    finally:
        end_all(prefix)


def end_all(prefix: Path) -> None:
    """End what runs in a Windows, if anything does."""
    with contextlib.suppress(subprocess.CalledProcessError):
        run_quietly(SERVER, "--kill", prefix=prefix)


@contextlib.contextmanager
def display() -> Iterator[None]:
    """Give Windows a screen, without which it has no console windows."""
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        [DISPLAY, "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            os.environ["DISPLAY"] = f":{int(told.readline())}"
        yield
    finally:
        screen.terminate()
        screen.wait()


def weight(file: Path) -> tuple[int, int]:
    """Order files so that the longest begin first."""
    name = file.as_posix()
    known = [number for number, part in enumerate(FIRST) if part in name]
    return min(known, default=len(FIRST)), -file.stat().st_size


def files_in(arguments: list[str]) -> list[Path]:
    """Return the files of tests that the arguments name."""
    found: set[Path] = set()
    for place in map(Path, arguments):
        found |= set(place.rglob("test_*.py")) if place.is_dir() else {place}
    return sorted((file.resolve() for file in found), key=weight)


def print_skipped(total: Outcome) -> None:
    """Print how many tests were skipped for which reason, and which of them only Wine excuses."""
    print("\nskipped:")
    for reason, count in Counter(reason for reason, _ in total.skipped).most_common():
        print(f"{count:5d}  {reason}")
        if reason.startswith("Wine: "):
            print(*(f"           {test}" for why, test in total.skipped if why == reason), sep="\n")


def run_files(files: list[Path], options: list[str], at_once: int) -> dict[Path, Outcome]:
    """Run files of tests; one that nobody came to counts as a failure."""
    waiting: queue.Queue[Path] = queue.Queue()
    for file in files:
        waiting.put(file)
    workers = [Worker(number, waiting, options) for number in range(min(at_once, len(files)))]
    outcomes = {file: Outcome(failed=1) for file in files}
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        outcomes |= worker.outcomes
    return outcomes


def test_all(arguments: list[str]) -> int:
    """Run all tests, print the sum, return the exit code."""
    places = [word for word in arguments if not word.startswith("-") and Path(word).exists()]
    options = [word for word in arguments if word not in places]
    began, total = time.monotonic(), Outcome()
    outcomes = run_files(files_in(places or [str(PROJECT / "tests")]), options, WORKERS)
    failed = [file for file, outcome in outcomes.items() if outcome.failed]
    if 0 < len(failed) <= BAD_LUCK:
        print("once more, alone:", *(file.name for file in failed), flush=True)
        outcomes |= run_files(failed, options, 1)
    for outcome in outcomes.values():
        total.add(outcome)
    print_skipped(total)
    print(f"=== Windows: {total} in {time.monotonic() - began:.2f}s ===", flush=True)
    return 1 if total.failed else 0


def main(arguments: list[str]) -> int:
    """Provision, then run; where Wine can't be had, say so and leave it at that."""
    try:
        provision()
    except UnavailableError as reason:
        print(f"=== Windows: 1 skipped in 0.00s: {reason} ===")
        return 0
    with display():
        if arguments[:1] == ["--python"]:
            return run_python(arguments[1:], make_prefix(0), sys.stdout.buffer, None)
        return test_all(arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

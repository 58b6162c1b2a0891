"""Runs the tests with Windows' own CPython under Wine: `run.py [pytest's arguments]`.

With `--python` first, the arguments go to that Python instead. Ends with its exit code.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from provision import PREFIX, PROJECT, PYTHON, environment, provision, wine

GRACE = 2.0
"""Seconds to wait for the last output: Wine's services keep the pipe open after the end."""


def copy_through(pipe: IO[bytes]) -> None:
    """Print what comes as it comes."""
    while chunk := pipe.read1(1 << 16):  # type: ignore[attr-defined]
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def run(arguments: list[str]) -> int:
    """Run Python with pipes for input and output, which Wine's Python can't do without."""
    process = subprocess.Popen(
        wine(str(PYTHON), *arguments),
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    reader = threading.Thread(target=copy_through, args=(process.stdout,), daemon=True)
    reader.start()
    code = process.wait()
    reader.join(GRACE)
    return code


def main(arguments: list[str]) -> int:
    """Provision, then run."""
    provision()
    if arguments[:1] == ["--python"]:
        return run(arguments[1:])
    with tempfile.TemporaryDirectory(
        dir=PREFIX / "drive_c", prefix="t", ignore_cleanup_errors=True
    ) as folder:
        place = rf"--basetemp=C:\{Path(folder).name}\t"
        return run(["-m", "pytest", "-p", "no:cacheprovider", place, *arguments])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

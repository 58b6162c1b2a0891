"""A pseudo-terminal with a command on it: what a person would see arrive."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator

from tests.harness import PROJECT, wait_until


class Terminal:
    """A command that runs on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        """Read all that is written on the terminal behind `descriptor`."""
        self.process = process
        self.text = ""
        self._descriptor = descriptor
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody has it open any more
            while data := os.read(self._descriptor, 65536):
                self.text += data.decode(errors="replace")

    def wait_for(self, wanted: str) -> None:
        """Wait until something is written."""
        wait_until(lambda: wanted in self.text, failure=lambda: self.text)

    def ended(self) -> int:
        """Wait for the command's end and all that it wrote; returns its exit code."""
        code = self.process.wait(30)
        self._reader.join()
        return code


@contextlib.contextmanager
def on_terminal(command: list[str], **more: str) -> Iterator[Terminal]:
    """Run a command on a terminal; `more` goes into its environment."""
    import pty  # noqa: PLC0415 - only there is one

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | more,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        process.kill()
        terminal.ended()
        os.close(ours)

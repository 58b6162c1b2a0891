"""Printing what holds names: whatever a name holds, a line stays one line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from watcher.views.words import visible

if TYPE_CHECKING:
    from watcher.activity import Notice


def say(line: str) -> None:
    """Print a line; what the console can't show is shown escaped."""
    if sys.stdout is not None:
        encoding = sys.stdout.encoding or "ascii"
        print(visible(line).encode(encoding, "backslashreplace").decode(encoding))


def complain(text: str) -> None:
    """Print what an operator should know on standard error, as `say` prints."""
    if sys.stderr is not None:
        with contextlib.redirect_stdout(sys.stderr):
            say(f"watcher: {text}")


def notify(notice: Notice) -> None:
    """Print a notice, and what to do about it, beside what a command answers."""
    complain("; ".join(filter(None, (notice.text, notice.mend))))


class Array:
    """A JSON array that is printed as it grows, a line an object; all ASCII."""

    def __init__(self) -> None:
        """Begin with nothing printed."""
        self._start = "["

    def add(self, row: Mapping[str, object]) -> None:
        """Print an object."""
        print(f"{self._start}{json.dumps(row)}", end="")
        self._start = ",\n "

    def end(self) -> None:
        """Print the end."""
        print("[]" if self._start == "[" else "]")

"""Printing lines that hold names: whatever a name holds, a line stays one line."""

from __future__ import annotations

import sys

from watcher.views.words import visible


def say(line: str) -> None:
    """Print a line; what the console can't show is shown escaped."""
    if sys.stdout is not None:
        encoding = sys.stdout.encoding or "ascii"
        print(visible(line).encode(encoding, "backslashreplace").decode(encoding))

"""Which system the tests run on, and what can't be asked of it."""

from __future__ import annotations

import os
import stat

import pytest

from tests.harness import IS_WINE

WINDOWS = os.name == "nt"
on_windows = pytest.mark.skipif(not WINDOWS, reason="can only hold on Windows")
on_posix = pytest.mark.skipif(WINDOWS, reason="can only hold on POSIX")


def wine_excuses(reason: str) -> pytest.MarkDecorator:
    """Skip a test under Wine, where it differs from Windows as `reason` says."""
    return pytest.mark.skipif(IS_WINE, reason=f"Wine: {reason}")


def set_mark(path: str, marked: bool = True) -> None:
    """Set or clear the read-only mark, as the producer does."""
    os.chmod(path, stat.S_IREAD | 0o444 if marked else stat.S_IREAD | stat.S_IWRITE)

"""What a backend may tell."""

from __future__ import annotations

from typing import Protocol


class Root(Protocol):
    """A data root, as its backend knows it: told from any thread, never waits, never raises."""

    def is_left_out(self, path: str) -> bool:
        """Tell whether a path is or lies in an excluded folder."""

    def happened(self, path: str, *, is_folder: bool) -> None:
        """Something appeared at a path, or was marked, moved there or closed after writing."""

    def overflowed(self) -> None:
        """Hints were lost."""

    def died(self, error: BaseException) -> None:
        """No hints will come any more."""

    def limited(self) -> None:
        """A folder is not watched, since there are too many."""

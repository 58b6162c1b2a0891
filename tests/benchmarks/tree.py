"""A data root that has stood for years: far more files than scans, in folders of all kinds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

EACH = 50
"""Files in a scan folder."""
FOLDERS_A_SCAN = 25
"""Folders in all for each scan folder."""


@dataclass(frozen=True, slots=True)
class Tree:
    """How much there is in it."""

    root: Path
    files: int
    folders: int

    @property
    def scans(self) -> list[Path]:
        """The scan folders."""
        return [
            self.root / f"RB{number:06}" / "bluesky_scans"
            for number in range(self.folders // FOLDERS_A_SCAN)
        ]

    def make(self, mode: int) -> Tree:
        """Make it, unless it is there; files are empty, those in scan folders have this mode."""
        if self.root.exists():
            return self
        for folder in self.scans:
            folder.mkdir(parents=True)
            _fill(folder, EACH, mode)
        scans = len(self.scans)
        others = self.folders - 2 * scans
        for number in range(others):
            folder = self.root / f"RB{number % scans:06}" / f"run{number:06}"
            folder.mkdir()
            left = self.files - scans * EACH
            _fill(folder, left // others + (number < left % others), 0o444)
        return self

    def set_modes(self, mode: int) -> None:
        """Give the files in scan folders another mode."""
        for folder in self.scans:
            for name in os.listdir(folder):
                os.chmod(folder / name, mode)


def _fill(folder: Path, count: int, mode: int) -> None:
    for number in range(count):
        os.close(os.open(f"{folder}/{number:06}.dat", os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))

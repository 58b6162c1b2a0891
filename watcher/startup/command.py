"""What is started, and what every kind of entry can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

COMMENT = "Takes finished scan files to the archive and the cache"


@dataclass(frozen=True, slots=True)
class Command:
    """What is started at log-on."""

    program: str
    arguments: tuple[str, ...]
    folder: str
    """The working directory."""

    @property
    def script(self) -> str:
        """The file that the program is to run; empty where it runs an installed module."""
        first = next(iter(self.arguments), "-")
        return "" if first.startswith("-") else first

    @property
    def config_file(self) -> str:
        """The configuration that it names; empty if it names none."""
        before = self.arguments.index("--config") if "--config" in self.arguments else -2
        return self.arguments[before + 1] if 0 <= before < len(self.arguments) - 1 else ""


class Kind(Protocol):
    """One kind of entry; errors are `OSError`, or `ValueError` for what no such entry can say."""

    def path(self, all_users: bool) -> str:
        """Return where the entry is, for this user or for all."""

    def write(self, path: str, command: Command) -> None:
        """Write an entry."""

    def read(self, path: str) -> Command:
        """Read an entry."""

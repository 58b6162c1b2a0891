"""What is watched: the data roots, less what is excluded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from watcher.inspection import below
from watcher.platform import system


@dataclass(frozen=True, slots=True)
class Ground:
    """Data roots and the folders below them that are never read; native paths."""

    roots: tuple[str, ...]
    _excluded: tuple[str, ...]

    @classmethod
    def of(cls, roots: Iterable[str], excluded: Iterable[str]) -> Ground:
        """Make it from full paths; excluded folders may lie elsewhere and may not exist."""
        return cls(tuple(roots), tuple({_beginning(path) for path in excluded}))

    def is_excluded(self, path: str) -> bool:
        """Tell whether a file or folder is, or lies in, an excluded folder."""
        return _beginning(path).startswith(self._excluded)

    def leads_in(self, path: str) -> bool:
        """Tell whether a folder, all links followed, is read for sources; may hang."""
        real = os.path.realpath(path)
        for root in self.roots:
            top = os.path.realpath(root)
            if system.same_name(real, top):
                return True
            relative = below(top, real)
            if relative is not None and not self.is_excluded(os.path.join(root, relative)):
                return True
        return False

    def meant(self, path: str) -> str:
        """Return the full path that a person means, who may leave out the data root."""
        full = system.native(path)
        if os.path.isabs(path) or os.path.lexists(full) or self.root_of(full):
            return full
        below = [system.native(os.path.join(system.plain(r), path)) for r in self.roots]
        return next(filter(os.path.lexists, below), below[0] if below else full)

    def root_of(self, path: str) -> str | None:
        """Return the data root that a path lies below."""
        return next((root for root in self.roots if below(root, path) is not None), None)


def _beginning(path: str) -> str:
    return os.path.normcase(path).rstrip(os.sep) + os.sep

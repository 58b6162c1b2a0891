"""Values that are right each by itself and impossible together. Pure: nothing on a disk is asked.

A path is compared as the tuple of its segments (`values.segments`), and a destination by its fixed
part: that is what never is a source (R7), so it must neither hold a data root nor be one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from watcher.config import values
from watcher.config.complaints import Problem
from watcher.destination import Template
from watcher.model import SCAN_FOLDER

Segments = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a destination must go together with."""

    instrument: str
    data_roots: tuple[str, ...]
    exclude: tuple[str, ...]


def of_roots(roots: Mapping[int, str]) -> Iterator[Problem]:
    """Say which data roots, each with its place in the list, can't stand beside those before."""
    seen: dict[str, Segments] = {}
    for i, root in roots.items():
        mine = values.segments(root)
        for other, theirs in seen.items():
            if mine == theirs:
                yield Problem((i,), f"each data root once; {other} stands before it")
                break
            if _holds(mine, theirs) or _holds(theirs, mine):
                yield Problem((i,), f"data roots that don't lie in one another, as in {other}")
                break
        seen[root] = mine


def of_destinations(
    destinations: Mapping[int, tuple[str, str]], around: Surroundings
) -> Iterator[Problem]:
    """Say which destinations are impossible.

    Args:
        destinations: name and path of each, with its place in the list; paths are templates.
        around: what they must go together with.

    Yields:
        Problems whose keys start at `destinations`.

    """
    names: dict[str, int] = {}
    places: dict[Segments, int] = {}
    for i, (name, path) in destinations.items():
        if (first := names.setdefault(name.casefold(), i)) != i:
            yield Problem((i, "name"), f"another name than that of destinations[{first}]")
        segments = values.segments(Template.parse(path, around.instrument).text)
        if (first := places.setdefault(segments, i)) != i:
            yield Problem((i, "path"), f"another place than that of destinations[{first}]")
            continue
        for expected in _against_roots(_fixed(segments), around):
            yield Problem((i, "path"), expected)


def _fixed(segments: Segments) -> Segments:
    first = next((i for i, s in enumerate(segments) if "{" in s), len(segments))
    return segments[:first]


def _against_roots(fixed: Segments, around: Surroundings) -> Iterator[str]:
    for root in around.data_roots:
        source = values.segments(root)
        if fixed == source:
            yield f"a place apart from the data root {root}: source and destination are the same"
        elif _holds(fixed, source):
            yield f"a place that doesn't hold the data root {root}"
        elif _holds(source, fixed) and _in_scan_folder(fixed[len(source) :], root, around.exclude):
            yield f"a place outside the scan folders of the data root {root}"


def _in_scan_folder(below: Segments, root: str, exclude: Sequence[str]) -> bool:
    """Tell whether a place below a root lies in a scan folder that is read."""
    whole = (*values.segments(root), *below)
    hidden = [values.segments(values.flavour(root).join(root, name)) for name in exclude]
    return SCAN_FOLDER in below and not any(h == whole[: len(h)] for h in hidden)


def _holds(outer: Segments, inner: Segments) -> bool:
    return len(outer) < len(inner) and inner[: len(outer)] == outer

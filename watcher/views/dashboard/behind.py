"""The panel of what stays behind: by number, then by name with what could be done."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from watcher.model import WaitsFor
from watcher.views import words
from watcher.views.dashboard.look import DIM, Look
from watcher.views.health import STRANDED_MEND, because, unreadable_mend


def left_behind(look: Look, width: int) -> list[Text]:
    """What stays behind or waits for a person, by number and by name."""
    snapshot, walk = look.snapshot, look.snapshot.rescan
    counts = [
        _count("held", snapshot.held_count, "red" if _any_for_a_person(look) else "yellow"),
        _count("mismatches", snapshot.mismatches, "red"),
        _count("conflicts", snapshot.conflicts, "red"),
        _count("stranded", walk.stranded_count, "red"),
        _count("hints missed", snapshot.missed, "default"),
    ]
    lines = [line for item in _items(look) for line in _item(look, *item, width)]
    return [*_counted(look, counts, width), *lines]


def is_anything_left(look: Look) -> bool:
    """Tell whether there is anything to name that stays behind."""
    return bool(_items(look))


def _any_for_a_person(look: Look) -> bool:
    return any(kind is not WaitsFor.TIME for kind in look.snapshot.held_counts)


def _counted(look: Look, counts: list[tuple[str, str]], width: int) -> list[Text]:
    """Say all numbers on one line; where they don't fit, what is nothing gives way."""
    lines, some = look.flowed(counts, width), [count for count in counts if count[1] != DIM]
    return lines if len(lines) == 1 or not some else look.flowed(some, width)


def _count(label: str, number: int, style: str) -> tuple[str, str]:
    return f"{label} {number:,}", f"bold {style}" if number else DIM


def _items(look: Look) -> list[tuple[str, str, str]]:
    items = [(h.source, because(h), h.mend) for h in look.snapshot.held_in_order[:10]]
    for clash in look.snapshot.last_conflicts[:5]:
        kept = f"another file is there; kept as {clash.path.replace(chr(92), '/').split('/')[-1]}"
        command = f"watcher resolve {words.quoted(look.name(clash.source))}"
        items.append((clash.source, kept, f"compare the two, then: {command}"))
    for file in look.snapshot.rescan.stranded[:5]:
        age = words.about(look.now - file.modified_at)
        items.append((file.path, f"never finished, untouched for {age}", STRANDED_MEND))
    items += [("", error, unreadable_mend(error)) for error in look.snapshot.rescan.errors[:3]]
    return items


def _item(look: Look, name: str, reason: str, mend: str, width: int) -> list[Text]:
    shown = look.short(look.name(name), max(12, width // 3))
    line = Text(f"{shown}  " if shown else "")
    line.append(look.sentence(look.plain(reason), max(0, width - line.cell_len)), style="yellow")
    arrow, todo = look.glyphs.arrow, look.plain(mend)
    if not mend:
        return [line]
    if line.cell_len + cell_len(f"  {arrow} {todo}") <= width:
        return [line.append(f"  {arrow} {todo}")]
    return [line, *(Text("  " + text) for text in look.todo(mend, width - 2))]

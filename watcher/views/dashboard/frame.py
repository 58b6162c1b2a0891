"""Puts the panels on a screen of any size; what matters least gives way first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from watcher.activity import Snapshot
from watcher.views.dashboard import panels
from watcher.views.dashboard.behind import is_anything_left, left_behind
from watcher.views.dashboard.look import DIM, Look, beside, boxed
from watcher.views.painting import fitted

Panel = Callable[[Look, int], list[Text]]

BOXES_FROM = (70, 22)
"""The width and height from which there is room for frames."""
PAIRS_FROM = 96
"""The width from which short panels stand side by side."""
LABEL = 9
"""The width of the labels where there are no frames."""
ENDLESS = ("Last files", "last")
"""Panels that are never whole, so that nobody needs to be told what is left out."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the screen: one panel, or two beside each other."""

    parts: tuple[tuple[str, int, list[Text]], ...]
    """Title, width and lines of each."""
    least: int
    """With fewer lines than this it is left out."""
    frame: int
    """How many lines its frame takes."""

    @property
    def most(self) -> int:
        """How many lines it could fill."""
        return max(len(lines) for _, _, lines in self.parts)


def render(snapshot: Snapshot, size: tuple[int, int], now: float, encoding: str = "utf-8") -> Group:
    """Draw a snapshot.

    Args:
        snapshot: what is known.
        size: columns and lines of the terminal.
        now: the time, in seconds since the epoch.
        encoding: what the terminal can print; anything else is escaped.

    """
    return Group(*screen(snapshot, size, now, encoding))


def screen(
    snapshot: Snapshot, size: tuple[int, int], now: float, encoding: str = "utf-8"
) -> list[Text]:
    """Draw a snapshot as the lines of a screen, each as wide as it, no more than fit."""
    look = Look.of(snapshot, now, encoding)
    width, height = max(size[0], 20), max(size[1], 1)
    framed = width >= BOXES_FROM[0] and height >= BOXES_FROM[1]
    head = panels.headline(look, width)[: max(1, height // 7)]
    foot = _foot(look, width, framed)
    blocks = _framed(look, width) if framed else _bare(look, width)
    shares = _shares(blocks, height - len(head) - len(foot))
    draw = _boxes if framed else _labelled
    pairs = zip(blocks, shares, strict=True)
    body = [line for block, share in pairs if share for line in draw(look, block, share)]
    gap = [Text("")] * (height - len(head) - len(body) - len(foot))
    return [_still(fitted(line, width)) for line in [*head, *body, *gap, *foot][:height]]


def _foot(look: Look, width: int, framed: bool) -> list[Text]:
    foot = panels.footer(look, width, 2 if framed else 1)
    if framed and width >= PAIRS_FROM and is_anything_left(look):
        return [Text(" ") + line for line in panels.rhythm_briefly(look, width - 2)] + foot
    return foot


def _still(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line


def _framed(look: Look, width: int) -> list[Block]:
    def block(least: int, *named: tuple[str, Panel]) -> Block:
        widths = (width,) if len(named) == 1 else (width * 3 // 5, width - width * 3 // 5)
        pairs = zip(named, widths, strict=True)
        return Block(tuple((t, w, panel(look, w - 4)) for (t, panel), w in pairs), least, 2)

    where, waits = ("Destinations", panels.destinations), ("Backlog", panels.backlog)
    behind, rhythm = ("Left behind", left_behind), ("Files a minute", panels.rhythm)
    flight, last = ("On the way", panels.in_flight), ("Last files", panels.last_files)
    if width < PAIRS_FROM:
        singles = ((8, where), (2, waits), (1, flight), (1, last), (3, behind), (2, rhythm))
        return [block(least, named) for least, named in singles]
    if is_anything_left(look):  # names and reasons need the whole width
        end = [block(4, behind)]
    else:
        end = [block(2, behind, rhythm)]
    return [block(8, where, waits), block(1, flight), block(1, last), *end]


def _bare(look: Look, width: int) -> list[Block]:
    named: Sequence[tuple[str, Panel]] = (
        ("", panels.destinations_briefly),
        ("backlog", panels.backlog_briefly),
        ("sending", panels.in_flight),
        ("behind", left_behind),
        ("last", panels.last_files),
        ("rhythm", panels.rhythm_briefly),
    )
    room = width - LABEL - 1
    return [
        Block(((t, width, panel(look, room if t else width - 1)),), 1 if t else 8, 0)
        for t, panel in named
    ]


def _shares(blocks: Sequence[Block], height: int) -> list[int]:
    """Share out the lines: first what each needs at least, then the rest, in order of weight."""
    shares = [0] * len(blocks)
    for index, block in enumerate(blocks):
        need = min(block.least, block.most)
        if need + block.frame <= height:
            shares[index], height = need, height - need - block.frame
    for index in _by_weight(blocks, shares):
        more = min(blocks[index].most - shares[index], height)
        shares[index], height = shares[index] + more, height - more
    return shares


def _by_weight(blocks: Sequence[Block], shares: Sequence[int]) -> list[int]:
    present = [index for index, share in enumerate(shares) if share]
    return sorted(present, key=lambda index: blocks[index].most)


def _boxes(look: Look, block: Block, share: int) -> list[Text]:
    drawn = [
        boxed(title, _cut(look, title, lines, share), width, look.glyphs)
        for title, width, lines in block.parts
    ]
    return drawn[0] if len(drawn) == 1 else beside(*drawn)


def _labelled(look: Look, block: Block, share: int) -> list[Text]:
    title, _, lines = block.parts[0]
    labels = [title, *[""] * (share - 1)]
    indent = LABEL if title else 0
    return [
        Text.assemble((f" {label:<{indent}}", DIM), line)
        for label, line in zip(labels, _cut(look, title, lines, share), strict=True)
    ]


def _cut(look: Look, title: str, lines: list[Text], share: int) -> list[Text]:
    if len(lines) <= share:
        return lines + [Text("")] * (share - len(lines))
    if share == 1 or title in ENDLESS:
        return lines[:share]
    hidden = len(lines) - share + 1
    return [*lines[: share - 1], Text(f"{look.glyphs.ellipsis} and {hidden} more", style=DIM)]

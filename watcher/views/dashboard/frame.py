"""Puts the panels on a screen of any size; what matters least gives way first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from watcher.activity import Snapshot
from watcher.views import words
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
    is_urgent: bool
    """Whether it says what is wrong or waits; else it is nice to see, and gives way first."""

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
    foot = panels.footer(look, width, 2 if framed else 1)[: height // 7]
    blocks = _framed(look, width) if framed else _bare(look, width)
    shares = _shares(blocks, height - len(head) - len(foot))
    pairs = zip(blocks, shares, strict=True)
    body = [line for block, share in pairs if share for line in _drawn(look, block, share)]
    gap = [Text("")] * (height - len(head) - len(body) - len(foot))
    return [_still(fitted(line, width)) for line in [*head, *body, *gap, *foot][:height]]


def _still(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line


def _framed(look: Look, width: int) -> list[Block]:
    def block(least: int, *named: tuple[str, Panel], is_urgent: bool = False) -> Block:
        widths = (width,) if len(named) == 1 else (width * 3 // 5, width - width * 3 // 5)
        pairs = zip(named, widths, strict=True)
        parts = tuple((title, room, panel(look, room - 4)) for (title, panel), room in pairs)
        return Block(parts, least, 2, is_urgent)

    where, waits = ("Destinations", panels.destinations), ("Backlog", panels.backlog)
    behind, rhythm = ("Left behind", left_behind), ("Files a minute", panels.rhythm)
    nice = [block(1, ("On the way", panels.in_flight)), block(1, ("Last files", panels.last_files))]
    is_left, is_wide = is_anything_left(look), width >= PAIRS_FROM
    if not is_wide:
        first = [block(2, where, is_urgent=True), block(3, waits, is_urgent=True)]
        return [*first, *nice, block(4, behind, is_urgent=is_left), block(2, rhythm)]
    first = [block(3, where, waits, is_urgent=True)]
    if not is_left:
        return [*first, *nice, block(2, behind, rhythm)]
    # names and reasons need the whole width
    beats = Block((("", width, panels.rhythm_briefly(look, width - 2)),), 1, 0, is_urgent=False)
    return [*first, *nice, block(4, behind, is_urgent=True), beats]


def _bare(look: Look, width: int) -> list[Block]:
    named: Sequence[tuple[str, Panel, int, bool]] = (
        ("", panels.destinations_briefly, 2, True),
        ("backlog", panels.backlog_briefly, 1, True),
        ("sending", panels.in_flight, 1, False),
        ("behind", left_behind, 2, is_anything_left(look)),
        ("last", panels.last_files, 1, False),
        ("rhythm", panels.rhythm_briefly, 1, False),
    )
    room = width - LABEL - 1
    return [
        Block(((title, width, panel(look, room if title else width - 1)),), least, 0, is_urgent)
        for title, panel, least, is_urgent in named
    ]


def _shares(blocks: Sequence[Block], height: int) -> list[int]:
    """Share out the lines: all that the urgent blocks can fill, before the others get any."""
    shares = [0] * len(blocks)
    for is_urgent in (True, False):
        these = [index for index, block in enumerate(blocks) if block.is_urgent is is_urgent]
        height = _share_out(blocks, these, shares, height)
    return shares


def _share_out(
    blocks: Sequence[Block], these: Sequence[int], shares: list[int], height: int
) -> int:
    """Give each of these what it needs at least, then the rest in order; return what is left."""
    for index in these:
        block = blocks[index]
        need = min(block.least, block.most)
        if need + block.frame <= height:
            shares[index], height = need, height - need - block.frame
    for index in filter(shares.__getitem__, these):
        more = min(blocks[index].most - shares[index], height)
        shares[index], height = shares[index] + more, height - more
    return height


def _drawn(look: Look, block: Block, share: int) -> list[Text]:
    return _boxes(look, block, share) if block.frame else _labelled(look, block, share)


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
    hidden = words.count(len(lines) - share + 1, "more line")
    return [*lines[: share - 1], Text(f"{look.glyphs.ellipsis} and {hidden}", style=DIM)]

"""What the screen is drawn with: characters that this console has, and lines of a fixed width."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from watcher.activity import Snapshot
from watcher.model import SCAN_FOLDER, DestinationState
from watcher.platform import system
from watcher.views import words
from watcher.views.health import Level
from watcher.views.painting import fitted

DIM = "bright_black"
WORDS = {Level.OK: "ALL WELL", Level.WAITING: "WAITING", Level.ATTENTION: "NEEDS SOMEONE"}
STATES = dict.fromkeys(DestinationState, "yellow") | {DestinationState.ONLINE: "green"}


Fact = str | tuple[str, str]
"""A few words, or those and their style."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that not every console has."""

    dot: str = "●"
    arrow: str = "→"
    ellipsis: str = "…"
    between: str = " · "
    full: str = "━"
    empty: str = "─"
    spark: str = "▁▂▃▄▅▆▇█"
    box: str = "╭─╮│╰╯"


ASCII = Glyphs("*", "->", "...", " | ", "#", "-", "_.:-=+*#@", "+-+|++")


@dataclass(frozen=True, slots=True)
class Look:
    """One drawing: what is shown, when, and on what kind of console."""

    snapshot: Snapshot
    now: float
    encoding: str = "utf-8"
    glyphs: Glyphs = Glyphs()

    @classmethod
    def of(cls, snapshot: Snapshot, now: float, encoding: str) -> Look:
        """Choose the characters that `encoding` has."""
        return cls(snapshot, now, encoding, Glyphs() if _has_all(encoding) else ASCII)

    def plain(self, text: str) -> str:
        """Show text that came from outside."""
        return words.visible(text, self.encoding)

    def name(self, path: str) -> str:
        """Show a path below a data root from there on."""
        roots = self.snapshot.started.data_roots if self.snapshot.started else ()
        path = system.plain(path)
        for root in map(system.plain, roots):
            rest = path.removeprefix(root)
            if rest != path and (rest[:1] in {"/", "\\"} or root[-1] in {"/", "\\"}):
                return self.plain(rest.lstrip("/\\"))
        return self.plain(path)

    def brief(self, path: str) -> str:
        """Show a path without the scan folder, which all have in common."""
        name = self.name(path)
        kept = re.split(r"([/\\])", name)
        at = next((i for i, p in enumerate(kept) if p.casefold() == SCAN_FOLDER), None)
        return name if at is None else "".join(kept[:at] + kept[at + 2 :])

    def short(self, text: str, width: int) -> str:
        """Cut the middle out of a text that is too long."""
        return words.shorten(text, width, self.glyphs.ellipsis)

    def sentence(self, text: str, width: int) -> str:
        """Cut the end off a sentence that is too long."""
        return words.sentence(text, width, self.glyphs.ellipsis)

    def wrapped(self, text: str, width: int, most: int) -> list[str]:
        """Break a sentence into lines, no more than `most` of them."""
        last = f" {self.glyphs.ellipsis}"
        width = max(width, 2 * len(last))
        lines = textwrap.wrap(text, width, max_lines=most, placeholder=last, break_on_hyphens=False)
        return [self.sentence(line, width) for line in lines]

    def todo(self, mend: str, width: int) -> list[str]:
        """Say what to do on two lines at the most."""
        arrow = f"{self.glyphs.arrow} "
        lines = self.wrapped(self.plain(mend), width - len(arrow), 2)
        return [(" " * len(arrow) if number else arrow) + line for number, line in enumerate(lines)]

    def column(self, text: str, width: int) -> str:
        """Cut or fill a text to exactly `width` cells."""
        text = self.short(text, width)
        return text + " " * (width - cell_len(text))

    def joined(self, facts: Sequence[Fact]) -> Text:
        """Put facts on one line, with a quiet mark between them."""
        texts = [Text(fact) if isinstance(fact, str) else Text(*fact) for fact in facts]
        return Text().join(self.separated(texts))

    def flowed(self, facts: Sequence[Fact], width: int) -> list[Text]:
        """Put facts on as few lines as hold them, never breaking one."""
        lines: list[Text] = []
        row: list[Fact] = []
        for fact in facts:
            if row and self.joined([*row, fact]).cell_len > width:
                lines, row = [*lines, self.joined(row)], []
            row.append(fact)
        return [*lines, self.joined(row)]

    def separated(self, facts: Sequence[Text]) -> list[Text]:
        """Put a quiet mark between facts."""
        mark = Text(self.glyphs.between, style=DIM)
        return [part for fact in facts for part in (mark, fact)][1:]

    def bar(self, share: float, width: int) -> Text:
        """Draw how much of something is done."""
        done = round(max(0.0, min(1.0, share)) * width)
        filled = Text(self.glyphs.full * done, style="green")
        return filled.append(self.glyphs.empty * (width - done), style=DIM)

    def sparkline(self, values: Sequence[int]) -> Text:
        """Draw values as a row of little columns; only nothing looks like nothing."""
        top, steps = max((*values, 1)), len(self.glyphs.spark) - 1
        line = Text()
        for value in values:
            column = self.glyphs.spark[-(-value * steps // top)]
            line.append(column, style="cyan" if value else DIM)
        return line


def _has_all(encoding: str) -> bool:
    glyphs = Glyphs()
    try:
        "".join(getattr(glyphs, name) for name in Glyphs.__slots__).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def boxed(title: str, lines: Sequence[Text], width: int, glyphs: Glyphs) -> list[Text]:
    """Draw a frame around lines."""
    left, flat, right, side, low_left, low_right = tuple(glyphs.box)
    rest = flat * (width - len(title) - 5)
    top = Text.assemble((f"{left}{flat} ", DIM), (title, "bold"), (f" {rest}{right}", DIM))
    middle = [
        Text.assemble((f"{side} ", DIM), fitted(line, width - 4), (f" {side}", DIM))
        for line in lines
    ]
    return [top, *middle, Text(low_left + flat * (width - 2) + low_right, style=DIM)]


def beside(left: Sequence[Text], right: Sequence[Text]) -> list[Text]:
    """Put two blocks of the same height beside each other."""
    return [one + other for one, other in zip(left, right, strict=True)]

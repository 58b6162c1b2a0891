"""What is left on the terminal when the dashboard ends."""

from __future__ import annotations

import os
import re

from rich.console import Group
from rich.text import Text

from watcher.activity import Snapshot
from watcher.views import words
from watcher.views.dashboard.look import Look
from watcher.views.health import STYLES, Level, because, health


def summary(snapshot: Snapshot, now: float, encoding: str = "utf-8") -> Group:
    """Say what was done, where it went, how long it took, what stays behind and why."""
    look = Look.of(snapshot, now, encoding)
    lines = [_done(look), *_where(look), *_behind(look)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ignore"  # the terminal wraps; paths stay whole
    return Group(*lines)


def _done(look: Look) -> Text:
    snapshot = look.snapshot
    lasted = words.about(_ran(look)) if snapshot.started else "no time"
    files = words.count(snapshot.archived, "file")
    size = words.size(snapshot.archived_size)
    return Text.assemble((f"{files} archived", "bold"), f" ({size}) in {lasted}")


def _ran(look: Look) -> float:
    return look.now - look.snapshot.started_at


def _where(look: Look) -> list[Text]:
    folders: dict[str, set[str]] = {}
    for receipt in (receipt for receipts in look.snapshot.recent for receipt in receipts):
        folders.setdefault(receipt.destination, set()).add(receipt.folder)
    return [
        Text(f"  {look.plain(name)} {look.glyphs.arrow} {_above(look, below)}")
        for name, below in sorted(folders.items())
    ]


def _above(look: Look, folders: set[str]) -> str:
    """Show the folder that all have in common."""
    split = [re.split(r"(?<=[/\\])", folder) for folder in folders]
    common = os.path.commonprefix(split)  # noqa: RUF071 - of parts, whichever system's they are
    return words.path_name("".join(common), look.encoding)


def _behind(look: Look) -> list[Text]:
    snapshot = look.snapshot
    if not snapshot.backlog and not snapshot.held_count:
        lines = [Text("nothing stays behind", style="green")]
    else:
        files = words.count(max(snapshot.backlog, snapshot.held_count), "file")
        lines = [Text(f"{files} not archived yet; the next start goes on with them", "yellow")]
    state = health(snapshot, look.now)
    if state.level is not Level.OK:
        reasons = [reason for reason in state.reasons if not reason.startswith("stopping")]
        lines += [Text(f"  {look.plain(reason)}", STYLES[state.level]) for reason in reasons]
    for held in snapshot.held_in_order[:10]:
        mend = f" {look.glyphs.arrow} {look.plain(held.mend)}" if held.mend else ""
        lines.append(Text(f"  {look.name(held.source)}: {look.plain(because(held))}{mend}"))
    return lines

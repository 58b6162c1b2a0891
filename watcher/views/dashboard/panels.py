"""One function a panel: what there is to say, most important line first, in a given width."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from watcher.activity import NOT_LOOKED_AT, BatchBegan, DestinationView
from watcher.model import DestinationState, Receipt
from watcher.views import words
from watcher.views.dashboard.look import DIM, STATES, WORDS, Look
from watcher.views.health import (
    STYLES,
    Level,
    health,
    space_level,
    space_text,
)

WIDE = 140
"""From this many columns on, paths at the destinations are shown too."""
NARROW = 80
"""Below this many columns, only what matters most is said."""
LEAST = 5
"""How many minutes of files are shown at least."""


def headline(look: Look, width: int) -> list[Text]:
    """Say in one word and colour whether all is well, and why not."""
    state = health(look.snapshot, look.now)
    left = f" {look.glyphs.dot} {WORDS[state.level]}   "
    right = f"  {_corner(look, width)} "
    room = width - cell_len(left) - cell_len(right)
    first, *others = [look.plain(reason) for reason in state.reasons]
    first = look.sentence(first, room)
    bar = Text(left + first + " " * (room - cell_len(first)) + right)
    bar.stylize(f"bold reverse {STYLES[state.level]}")
    indent, style = " " * cell_len(left), STYLES[state.level]
    more = [look.sentence(other, width - len(indent)) for other in others]
    return [bar, *(Text(indent + other, style=style) for other in more)]


def _corner(look: Look, width: int) -> str:
    who, clock = look.snapshot.started, words.exactly(look.now)
    return f"{look.plain(who.instrument)}  {clock}" if who and width >= NARROW else clock


def destinations(look: Look, width: int) -> list[Text]:
    """Each destination's state, since when, its last error in plain words, and its mend."""
    column = _widest_name(look)
    return [
        line
        for name, view in look.snapshot.destinations.items()
        for line in (_state(look, name, view, column), *_reasons(look, view, column + 4, width))
    ]


def destinations_briefly(look: Look, width: int) -> list[Text]:
    """One line for each destination, for small screens; two where a reason needs its own."""
    column = _widest_name(look)
    lines = []
    for name, view in look.snapshot.destinations.items():
        line, said = _state(look, name, view, column), look.plain(_trouble(view))
        fits = line.cell_len + cell_len(said) <= width
        lines.append(line.append(said if fits else ""))
        lines += [] if fits else [Text("  " + look.sentence(said, width - 2), style="yellow")]
    return lines


def _widest_name(look: Look) -> int:
    return min(max((cell_len(look.plain(n)) for n in look.snapshot.destinations), default=0), 16)


def _state(look: Look, name: str, view: DestinationView, column: int) -> Text:
    label = look.column(look.plain(name), column)
    if view.error == NOT_LOOKED_AT:
        return Text.assemble((label, "bold"), (f"  {look.glyphs.dot} {NOT_LOOKED_AT}", DIM))
    state = (f"{look.glyphs.dot} {view.state:<7}", STATES[view.state])
    head = Text.assemble((label, "bold"), "  ", state, "  ")
    lasted = words.about(look.now - view.since)
    if view.state is DestinationState.ONLINE:
        return head.append(f"for {lasted}", style=DIM)
    return head.append(f"since {words.clock(view.since, look.now)} ({lasted})  ")


def _trouble(view: DestinationView) -> str:
    return "" if view.error == NOT_LOOKED_AT else view.error


def _reasons(look: Look, view: DestinationView, indent: int, width: int) -> list[Text]:
    room, start = width - indent, " " * indent
    said = look.wrapped(look.plain(_trouble(view)), room, 2)
    mend = look.todo(view.mend, room)
    return [
        *(Text(start + line, style="yellow") for line in said),
        *(Text(start + m) for m in mend),
    ]


def backlog(look: Look, width: int) -> list[Text]:
    """How much waits, for how long already and yet, and how much room there is for more."""
    return [*_backlog(look), *_space(look, width)]


def _backlog(look: Look) -> list[Text]:
    snapshot = look.snapshot
    if not snapshot.backlog:
        return [Text("nothing waits", style="green")]
    first = look.joined([_files(look), words.size(snapshot.backlog_size)])
    return [first, look.joined(_times(look))]


def _space(look: Look, width: int) -> list[Text]:
    return [
        Text(
            look.sentence(look.plain(text), width),
            style=DIM if level is Level.OK else STYLES[level],
        )
        for s in look.snapshot.space.values()
        for level in [space_level(s.free, s.total, s.seconds_left)]
        for text in [space_text(s.root, s.free, s.total, s.seconds_left)]
    ]


def backlog_briefly(look: Look, width: int) -> list[Text]:
    """Say what waits on as few lines as hold it, and how much room there is if it is little."""
    waits = look.flowed([_files(look), *_times(look)], width)
    little = [line for line in _space(look, width) if line.style != DIM]
    return [*(waits if look.snapshot.backlog else _backlog(look)), *little]


def _files(look: Look) -> tuple[str, str]:
    return words.count(look.snapshot.backlog, "file"), "bold"


def _times(look: Look) -> list[str]:
    oldest = look.snapshot.oldest
    age = [] if oldest is None else [f"oldest {words.about(look.now - oldest)}"]
    return [*age, _time_left(look)]


def _time_left(look: Look) -> str:
    snapshot = look.snapshot
    down = [n for n, v in snapshot.destinations.items() if v.state is not DestinationState.ONLINE]
    if down:
        return f"waits for {look.plain(down[0])}"
    if snapshot.held_count >= snapshot.backlog:
        return "held back, see below"
    left = seconds_left(look)
    return "time left unknown" if left is None else f"about {words.about(left + 1)} left"


def seconds_left(look: Look) -> float | None:
    """Say how long the backlog takes at the pace of the last half minute."""
    pace, snapshot = look.snapshot.pace, look.snapshot
    span = pace[-1][0] - pace[0][0] if pace else 0.0
    if span < 2 or look.now - pace[-1][0] > span + 10:  # noqa: PLR2004 - too short, or over
        return None
    flights = snapshot.in_flight.values()
    flying = max((rate(batch, look.now) for batch in flights), default=0.0)
    files = (pace[-1][1] - pace[0][1]) / span
    size = (pace[-1][2] - pace[0][2]) / span + flying
    rest = snapshot.backlog_size - max((batch.done for batch in flights), default=0)
    return max(snapshot.backlog / max(files, 0.01), rest / max(size, 1.0))


def rate(batch: BatchBegan, now: float) -> float:
    """Say how fast a batch has been copied so far, in bytes a second."""
    return batch.done / max(now - batch.began_at, 0.1)


def in_flight(look: Look, width: int) -> list[Text]:
    """What is being copied: where to, name, bytes, rate, a bar."""
    batches = sorted(look.snapshot.in_flight.values(), key=lambda b: (-b.size, b.destination))
    lines = [_batch(look, batch, width) for batch in batches]
    return lines or [Text("nothing", style=DIM)]


def _batch(look: Look, batch: BatchBegan, width: int) -> Text:
    share = batch.done / max(batch.size, 1)
    more = f" and {batch.files - 1:,} more" if batch.files > 1 else ""
    facts = f" {share:>5.0%}" if width < NARROW - 10 else _amounts(look, batch)
    bar = max(6, min(30, width // 6))
    room = max(8, width - 10 - bar - len(facts) - len(more))
    line = Text(look.column(look.plain(batch.destination), 8) + " ", style="bold")
    line.append(look.column(look.brief(batch.name), room), style="not bold")
    line.append(more + " ", style=f"not bold {DIM}")
    return line.append_text(look.bar(share, bar)).append(facts, style="not bold")


def _amounts(look: Look, batch: BatchBegan) -> str:
    speed = f"{words.size(rate(batch, look.now))}/s" if batch.done else ""
    return f"{f'{words.size(batch.done)} of {words.size(batch.size)}':>20}{speed:>11}"


def last_files(look: Look, width: int) -> list[Text]:
    """The last files: when, which, where they went, how long it took from mark to archived."""
    places = [_where(look, receipts, width) for receipts in look.snapshot.recent]
    widest = max((cell_len(where) for where, _ in places), default=0)
    aside = min(widest, width * 2 // 5 if width >= WIDE else width // 3)
    pairs = zip(look.snapshot.recent, places, strict=True)
    lines = [_archived(look, receipts, *place, width, aside) for receipts, place in pairs]
    return lines or [Text("none yet", style=DIM)]


def _archived(
    look: Look, receipts: tuple[Receipt, ...], where: str, style: str, width: int, aside: int
) -> Text:
    last = max(receipts, key=lambda r: r.archived_at)
    amount = "" if width < NARROW - 10 else f"{words.size(last.fingerprint.size):>8}"
    facts = f"{amount}{f'in {words.duration(last.seconds)}':>14}" + ("  " if aside else "")
    room = max(8, width - 9 - len(facts) - aside)
    name = look.column(look.brief(last.source), room)
    shown = look.short(where, aside)
    return Text.assemble((words.exactly(last.archived_at) + " ", DIM), name + facts, (shown, style))


def _where(look: Look, receipts: tuple[Receipt, ...], width: int) -> tuple[str, str]:
    clash = next((r for r in receipts if r.conflict), None)
    if clash:
        name = clash.path.replace("\\", "/").rpartition("/")[2]
        return f"conflict: {look.plain(name)}", "red"
    if width < NARROW - 10:
        return "", DIM
    if width >= WIDE:
        return f"{look.glyphs.arrow} {words.path_name(receipts[0].path, look.encoding)}", DIM
    return f"{look.glyphs.arrow} {', '.join(look.plain(r.destination) for r in receipts)}", DIM


def rhythm(look: Look, width: int) -> list[Text]:
    """Files a minute as a sparkline, and when the next rescan comes."""
    now, *others = _rhythm(look)
    return [_beats(look, width - 18).append(f"  {now}"), look.joined(others)]


def rhythm_briefly(look: Look, width: int) -> list[Text]:
    """Say the same on one line."""
    facts = look.flowed(_rhythm(look), width - LEAST - 2)[0]
    return [_beats(look, width - facts.cell_len - 2).append("  ").append_text(facts)]


def _rhythm(look: Look) -> list[str]:
    busy, this = dict(look.snapshot.per_minute), int(look.now // 60)
    recent = (busy.get(this, 0) + busy.get(this - 1, 0)) / (1 + look.now % 60 / 60)
    return [f"{recent:,.0f} a minute", rescan(look), f"peak {max(busy.values(), default=0):,}"]


def _beats(look: Look, minutes: int) -> Text:
    busy, this = dict(look.snapshot.per_minute), int(look.now // 60)
    first = this + 1 - max(LEAST, min(60, minutes))
    return look.sparkline([busy.get(minute, 0) for minute in range(first, this + 1)])


def rescan(look: Look) -> str:
    """When the next rescan comes."""
    if look.snapshot.rescanning:
        return "rescan: looking now"
    if look.snapshot.next_rescan_at is None:
        return "rescan: none yet"
    return f"next rescan in {words.about(look.snapshot.next_rescan_at - look.now)}"


def footer(look: Look, width: int, lines: int) -> list[Text]:
    """Uptime, version, and where to read on, in so many lines at the most."""
    snapshot, who = look.snapshot, look.snapshot.started
    if who is None:
        return [Text(" starting", style=DIM)]
    files = words.count(snapshot.archived, "file")
    total = f"{files}, {words.size(snapshot.archived_size)} archived"
    up = f"up {words.about(look.now - snapshot.started_at)}"
    where = [look.plain(who.instrument)] if width < NARROW else []
    facts = [total, *where, up, f"watcher {who.version}", "Ctrl-C stops"]
    paths = [("log", who.log_file), ("configuration", who.config_file)]
    named = [(label, words.path_name(path, look.encoding)) for label, path in paths if path]

    def flowed(room: int) -> list[Text]:
        shown = [f"{label} {look.short(path, room - len(label))}" for label, path in named]
        return look.flowed([(fact, DIM) for fact in (*facts, *shown)], width - 1)

    whole = flowed(width - 2)
    kept = whole if len(whole) <= lines else flowed(width // 2 - 4)
    return [Text(" ") + line for line in kept[:lines]]

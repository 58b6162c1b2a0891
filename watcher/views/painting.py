"""Lines that stand still on a terminal: only what differs is written, and nothing flickers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.control import Control
from rich.table import Table
from rich.text import Text

from watcher.views.standing import Row


class Painter:
    """Writes a screenful over the one before."""

    def __init__(self, console: Console) -> None:
        """Know nothing of what stands there."""
        self._console = console
        self._size: tuple[int, int] | None = None
        self._shown: list[Text] = []

    def paint(self, lines: list[Text]) -> None:
        """Write what differs, in one go; all of it if the terminal has changed its size."""
        with self._console:
            if self._console.size != self._size or len(lines) != len(self._shown):
                self._console.control(Control.clear())
                self._size, self._shown = self._console.size, []
            for row, line in enumerate(lines):
                before = self._shown[row] if row < len(self._shown) else None
                if before is None or (line, line.style) != (before, before.style):
                    self._console.control(Control.move_to(0, row))
                    self._console.print(line, end="", soft_wrap=True)
        self._shown = lines


def watch(console: Console, look: Callable[[], RenderableType], wait: Callable[[], object]) -> None:
    """Show something for as long as `wait` returns, as it is each time; Ctrl-C ends it.

    Args:
        console: a terminal; it is put back as it was.
        look: returns what there is to show.
        wait: waits until it is time to look again.

    """
    painter = Painter(console)
    try:
        with console.screen(hide_cursor=True):
            while True:
                painter.paint(_screenful(console, look()))
                wait()
    except KeyboardInterrupt:
        return


def grid(rows: Iterable[Row]) -> Table:
    """Put labels and words beside each other; what is long goes on below itself."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value, style in rows:
        table.add_row(Text(label), Text(value, style))
    return table


def fitted(line: Text, width: int) -> Text:
    """Cut or fill a line to exactly `width` cells."""
    if line.cell_len == width:
        return line
    line = line.copy()
    line.truncate(width, overflow="crop", pad=True)
    return line


def _screenful(console: Console, shown: RenderableType) -> list[Text]:
    width, height = console.size
    lines = [
        Text.assemble(*((part.text, part.style or "") for part in parts))
        for parts in console.render_lines(shown, pad=False)
    ]
    return [fitted(line, width) for line in [*lines, *([Text()] * height)][:height]]

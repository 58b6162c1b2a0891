"""The log: a file that changes at midnight and, without a screen, the console.

Whoever logs only puts a record on a bounded queue. A thread for each target writes: a console
that somebody clicked into, or a full disk, costs lines (they are counted), never time.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from io import TextIOWrapper
from logging.handlers import TimedRotatingFileHandler
from typing import TextIO

from watcher.activity import News
from watcher.views import words
from watcher.views.lines import Before, lines, remember

WAITING = 20_000
"""How many lines may wait for a target; more are dropped, and counted."""
_LINE = "_watcher_line"
"""Where a record keeps its line; a name that nobody else gives to what comes with a record."""
_TOGETHER = 500
"""How many lines are written together at the most."""
PATIENCE = 2.0
"""How long the end waits for a target to take the last lines, in seconds."""

logger = logging.getLogger(__name__)
_news = logging.getLogger("watcher")
_TELLER = 3
"""How far up the stack the one stands who told the news to the activity: that place is logged."""


class OneLine(logging.Formatter):
    """The facility's format; whatever a message holds, it stays one line (R13)."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line, and below it a traceback, indented, if there is one."""
        place = f"{record.name} {record.filename} [line:{record.lineno}]"
        what = f"{record.levelname} {record.getMessage()}"
        text = words.visible(f"{_clock(record)} ({record.process}) {place} {what}")
        trace = _trace(self, record).splitlines()
        return "\n".join([text, *(f"    {words.visible(line)}" for line in trace)])


def _clock(record: logging.LogRecord) -> str:
    """Write when it was as `logging` does, but a second's words only once."""
    second = int(record.created)
    return f"{_second(second)},{int(record.msecs):03d}"


@lru_cache(maxsize=8)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


class Json(logging.Formatter):
    """One JSON object a line, in ASCII: any name fits."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as an object."""
        shown = {
            "time": words.iso(record.created),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "file": record.filename,
            "line": record.lineno,
            "message": record.getMessage(),
        }
        trace = _trace(self, record)
        return json.dumps({**shown, "traceback": trace} if trace else shown)


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    return "\n".join([*parts, *filter(None, (record.exc_text, record.stack_info))])


def _text(target: logging.Handler, records: Sequence[logging.LogRecord]) -> str:
    return "".join(f"{_line(target, record)}\n" for record in records)


def _line(target: logging.Handler, record: logging.LogRecord) -> str:
    """Write a record out, once for all targets: they have the same format."""
    known = vars(record)
    if _LINE not in known:
        known[_LINE] = target.format(record)
    line: str = known[_LINE]
    return line


class LogFile(TimedRotatingFileHandler):
    """A new file at midnight; trouble with the disk is kept, not raised, and ends by itself."""

    def __init__(self, path: str, keep: int) -> None:
        """Write to `path` and keep `keep` old files, which may be none."""
        super().__init__(
            path, "midnight", backupCount=keep, encoding="utf-8",
            errors="backslashreplace", delay=True,
        )  # fmt: skip
        self.trouble = ""

    def doRollover(self) -> None:  # noqa: N802
        """Begin a new file; where the old one can't be renamed (a viewer has it), go on with it."""
        with suppress(OSError):
            super().doRollover()
            if not self.backupCount:  # to `logging`, none to keep means none to remove
                for old in self.getFilesToDelete():
                    os.remove(old)
            return
        self.rolloverAt = self.computeRollover(int(time.time()))

    def write(self, records: Sequence[logging.LogRecord]) -> None:
        """Write lines together; what went wrong before is forgotten once this works."""
        before, self.trouble = self.trouble, ""
        if before:
            self._let_go()
        try:
            if self.shouldRollover(records[0]):
                self.doRollover()
            if self.stream is None:
                self.stream = self._open()
            self.stream.write(_text(self, records))
            self.stream.flush()
        except (OSError, ValueError) as error:
            self.trouble = str(error)

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        if _is_torn(self.baseFilename):
            stream.write("\n")
        return stream

    def _let_go(self) -> None:
        stream, self.stream = self.stream, None
        with suppress(OSError, ValueError):
            if stream:
                stream.close()


def _is_torn(path: str) -> bool:
    """Tell whether the last line lacks its end: the disk was full, or the power went."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in {b"", b"\n"}


class ConsoleLines(logging.Handler):
    """Lines on a console of any encoding."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        super().__init__()
        self._stream = stream
        self.trouble = ""

    def write(self, records: Sequence[logging.LogRecord]) -> None:
        """Write lines; a console that is gone is no error."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with suppress(OSError, ValueError):
            text = _text(self, records)
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()


class Aside(logging.Handler):
    """Hands records to a thread of its own that writes them; never waits."""

    def __init__(self, target: LogFile | ConsoleLines, on_trouble: Callable[[str], None]) -> None:
        """Start the thread that writes to `target`."""
        super().__init__()
        self._lines: deque[logging.LogRecord] = deque()
        self._target, self._on_trouble, self._trouble = target, on_trouble, ""
        self.dropped = 0
        self._called = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record in line, or count it as dropped.

        Its message is fixed now: what it is made of may change before it is written.
        """
        if len(self._lines) >= WAITING:
            self.dropped += 1
            return
        try:
            record.msg, record.args = record.getMessage(), None
        except Exception:  # noqa: BLE001 - as `logging` has it: a bad line is no harm to its teller
            self.handleError(record)
            return
        self._lines.append(record)
        if not self._called.is_set():  # else the thread comes in any case, and takes it along
            self._called.set()

    def _write(self) -> None:
        while records := self._next():
            self._handle(records)
            if self.dropped and not self._lines:
                self._handle([self._confession()])

    def _next(self) -> list[logging.LogRecord]:
        """Wait for a line, and take those that stand behind it; nothing at the end."""
        while not self._lines and not self._ending.is_set():
            self._called.wait()
            self._called.clear()  # before looking, so that what comes meanwhile calls again
        return [self._lines.popleft() for _ in range(min(len(self._lines), _TOGETHER))]

    def _handle(self, records: Sequence[logging.LogRecord]) -> None:
        self._target.write(records)  # not `handle`: its lock would hold up the process's end
        trouble = self._target.trouble
        if bool(trouble) != bool(self._trouble):
            self._trouble = trouble
            self._on_trouble(trouble)
        self._trouble = trouble

    def _confession(self) -> logging.LogRecord:
        number, self.dropped = self.dropped, 0
        text = f"{number:,} lines were dropped here: writing them was too slow"
        return logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, (), None)

    def finish(self) -> bool:
        """Write what waits and end the thread; False if the target doesn't take it."""
        self._ending.set()
        self._called.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            return False
        try:
            self._target.close()
        except OSError:  # what it still held can't be written: the disk is full, or gone
            return False
        return True


def setup(
    level: str,
    form: str,
    file: str,
    keep: int,
    console: TextIO | None = None,
    on_trouble: Callable[[str], None] = lambda _text: None,
) -> Callable[[], bool]:
    """Send all log lines of this process where they belong.

    Args:
        level: the name of the lowest level of ours that is written; others' begin at warning.
        form: `text` or `json`.
        file: the log file, in a folder that exists.
        keep: how many old files to keep.
        console: where lines are shown too; `sys.stdout`, which may be None.
        on_trouble: told when the log can't be written, and with an empty text when it can again;
            from a thread of the log.

    Returns:
        Ends it: writes what waits, puts logging back as it was, and tells whether all targets
        took it within two seconds.

    """
    targets: list[LogFile | ConsoleLines] = [LogFile(os.path.abspath(file), keep)]
    targets += [ConsoleLines(console)] if console is not None else []
    for target in targets:
        target.setFormatter(Json() if form == "json" else OneLine())
    handlers = [Aside(target, on_trouble) for target in targets]
    return _install(handlers, logging.getLevelNamesMapping()[level.upper()])


def _install(handlers: list[Aside], level: int) -> Callable[[], bool]:
    root, ours = logging.getLogger(), logging.getLogger("watcher")
    levels = root.level, ours.level
    root.setLevel(max(level, logging.WARNING))
    ours.setLevel(level)
    logging.captureWarnings(True)
    for handler in handlers:
        root.addHandler(handler)

    def stop() -> bool:
        for handler in handlers:
            root.removeHandler(handler)
        logging.captureWarnings(False)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        finished = [handler.finish() for handler in handlers]
        return all(finished)

    return stop


class Narrator:
    """Listens to the activity and logs a line for each thing that happened."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._before = Before()

    def __call__(self, news: News) -> None:
        """Log it; called by one teller at a time."""
        now = time.time()
        told = [line for line in lines(news, self._before, now) if _news.isEnabledFor(line[0])]
        if told:
            file, number, name, _ = _news.findCaller(stacklevel=_TELLER)
            for level, message in told:
                record = _news.makeRecord(_news.name, level, file, number, message, (), None, name)
                _news.handle(record)
        self._before = remember(news, self._before, now)

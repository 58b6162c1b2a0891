"""The file that the ledger is in: opening it, writing to it, and living without it.

Nothing that happens to it stops the archiving. What can't be written waits in memory; a ledger
that is damaged, or from a newer version, or was replaced, is set aside, and a new one begun.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from watcher.activity import Notice
from watcher.ledger.schema import ForeignDatabase, NewerLedger, is_whole, migrate, version_of

T = TypeVar("T")
Tell = Callable[[Notice], None]
Step = tuple[str, Sequence[tuple[Any, ...]]]
"""A statement, and the rows to run it with."""
Batch = tuple[Step, ...]
"""What is written together or not at all."""

KEPT = 10_000
"""How many rows wait in memory while the ledger can't be written."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
FAILURES = (sqlite3.Error, OSError, ValueError, TypeError, NewerLedger, ForeignDatabase)
"""ValueError and TypeError: a row that is no receipt any more."""
_IMPOSSIBLE = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    ValueError,
)
_REPEATED = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_AT_ONCE = (256, 64, 16, 4, 1)
"""Rows of one statement: few different numbers, so that each is prepared once."""
_PATIENCE = 5.0
"""Seconds to wait for another program that writes to the ledger."""
_COMPANIONS = ("-wal", "-shm", "-journal")
_PREPARE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -8000",
    "PRAGMA journal_size_limit = 16777216",
)


class Store(Protocol):
    """Where the ledger reads and writes."""

    trouble: str

    def read(self, sql: str, arguments: Sequence[object], make: Callable[..., T]) -> list[T]:
        """Run a query and make a value of each row."""

    def write(self, *steps: Step) -> None:
        """Run all steps in one commit, together with what was to be written later."""

    def write_later(self, *steps: Step) -> bool:
        """Keep steps for the next commit, which reading is, too; False if they hold no row."""

    def commit(self) -> None:
        """Write what was to be written later."""

    def close(self) -> None:
        """Let go of the file."""


def rows_of(
    connection: sqlite3.Connection, sql: str, arguments: Sequence[object], make: Callable[..., T]
) -> list[T]:
    """Run a query; whatever happens, its cursor doesn't keep the file open."""
    with (
        _held_to_its_tables(connection),
        contextlib.closing(connection.execute(sql, arguments)) as cursor,
    ):
        return [make(*row) for row in cursor]


@contextlib.contextmanager
def _held_to_its_tables(connection: sqlite3.Connection) -> Iterator[None]:
    """Say that tables are missing, where that is why a statement is an error."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if _code(error) == sqlite3.SQLITE_ERROR and not is_whole(connection):
            raise ForeignDatabase(str(error)) from error
        raise


def _code(error: sqlite3.DatabaseError) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _run(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement for all rows; many of them at once, where it takes many."""
    if not _REPEATED.search(sql):
        connection.executemany(sql, rows)
        return
    done = 0
    while done < len(rows):
        count = next(n for n in _AT_ONCE if n <= len(rows) - done)
        values = itertools.chain.from_iterable(rows[done : done + count])
        connection.execute(_written_out(sql, count), tuple(values))
        done += count


@functools.lru_cache(maxsize=128)
def _written_out(sql: str, count: int) -> str:
    return _REPEATED.sub(lambda found: ", ".join([found[1]] * count), sql)


def _is_busy(error: Exception) -> bool:
    busy = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return isinstance(error, sqlite3.DatabaseError) and _code(error) in busy


def is_damage(error: Exception) -> bool:
    """Tell a broken ledger from one that can't be reached or written now."""
    if isinstance(error, sqlite3.DatabaseError):
        return _code(error) in _DAMAGE
    return isinstance(error, (NewerLedger, ForeignDatabase, ValueError, TypeError))


class Database:
    """The one writing connection; any thread may use it."""

    def __init__(self, path: str, tell: Tell) -> None:
        """Open or create it; where that can't be done, live without it until it can."""
        self.trouble = ""
        self._path = path
        self._tell = tell
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._late: list[Batch] = []
        self._lost = 0
        with self._lock:
            self._attempt(self._connected)

    def read(self, sql: str, arguments: Sequence[object], make: Callable[..., T]) -> list[T]:
        """Run a query and make a value of each row; there are none while it can't be read."""

        def rows() -> list[T]:
            connection = self._connection if self.trouble else self._connected()
            return rows_of(connection, sql, arguments, make) if connection else []

        with self._lock:
            if self._late and not self.trouble:
                self._attempt(self._drain)
            return self._attempt(rows) or []

    def write(self, *steps: Step) -> None:
        """Run all steps in one commit; what can't be written now is kept and written later."""
        with self._lock:
            if self.write_later(*steps):
                self.commit()

    def write_later(self, *steps: Step) -> bool:
        """Keep steps for the next commit; tells whether there is anything in them."""
        steps = tuple((sql, rows) for sql, rows in steps if rows)
        if steps:
            with self._lock:
                self._late.append(steps)
                if self.trouble:
                    self._forget_surplus()
        return bool(steps)

    def commit(self) -> None:
        """Write what was kept; whoever finds another at it waits until that is done."""
        if not self._late:  # nothing leaves it before it is written
            return
        with self._lock:
            if self._late:
                self._attempt(self._drain)
                self._forget_surplus()

    def close(self) -> None:
        """Write what is still waiting, if that can be, and let go of the file."""
        with self._lock:
            if self._late:
                self._attempt(self._drain)
            self._disconnect()

    # What can go wrong

    def _attempt(self, action: Callable[[], T]) -> T | None:
        """Do it; on damage begin a new ledger and do it again; on trouble say so, once."""
        for is_last in (False, True):
            try:
                return action()
            except FAILURES as error:
                if is_last or not is_damage(error) or not self._begin_anew(error):
                    self._trouble_began(error)
                    return None
        return None

    def _trouble_began(self, error: Exception) -> None:
        is_new, self.trouble = not self.trouble, str(error) or type(error).__name__
        if is_new:
            mend = f"free space on the disk of {self._path}, or make it writable"
            if _is_busy(error):
                mend = f"close the program that has {self._path} open"
            self._be_patient(0.0)  # nobody waits as long once more
            text = f"the ledger can't be used, archiving goes on without it: {self.trouble}"
            self._tell(Notice("error", text, mend))

    def _trouble_ended(self) -> None:
        lost = f"; {self._lost} records were lost" if self._lost else ""
        self.trouble, self._lost = "", 0
        self._be_patient(_PATIENCE)
        self._tell(Notice("info", f"the ledger is written again{lost}"))

    def _be_patient(self, seconds: float) -> None:
        """Say how long to wait for another program that writes to the ledger."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def _forget_surplus(self) -> None:
        """Keep memory flat: the oldest go first, and are counted."""
        sizes = [sum(len(rows) for _, rows in batch) for batch in self._late]
        while sum(sizes) > KEPT:
            self._late.pop(0)
            self._lost += sizes.pop(0)

    # Writing

    def _drain(self) -> None:
        """Write what waits: in trouble the first batch alone, to see whether it is over."""
        connection, is_one_wrong = self._connected(), False
        while self._late:
            count = 1 if self.trouble or is_one_wrong else len(self._late)
            try:
                self._commit(connection, self._late[:count])
            except _IMPOSSIBLE as error:  # would fail again and again, and hold up all that follow
                is_one_wrong = True
                if count > 1:  # each alone, to see which it is
                    continue
                self._tell(Notice("error", f"the ledger can't hold some records: {error}"))
            del self._late[:count]
            if self.trouble:
                self._trouble_ended()

    def _commit(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            with _held_to_its_tables(connection):
                for sql, rows in (step for batch in batches for step in batch):
                    _run(connection, sql, rows)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    # Opening

    def _connected(self) -> sqlite3.Connection:
        """Return the connection, made anew if there is none or its file is another now."""
        if self._identity is not None and self._identity != _identity(self._path):
            self._moved()
        if self._connection is None:
            self._connection = self._connect()
            self._identity = _identity(self._path)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        if os.path.isdir(self._path):
            raise ForeignDatabase("a folder is in its place")
        if os.path.isfile(self._path) and not os.path.getsize(self._path):
            self._tell(Notice("warning", f"the ledger {self._path} was empty; a new one is begun"))
        connection = sqlite3.connect(
            self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            version_of(connection)  # before anything is changed in it
            for pragma in _PREPARE:
                connection.execute(pragma).fetchall()
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # Beginning anew

    def _begin_anew(self, error: Exception) -> bool:
        """Set a broken ledger aside; False if that can't be done now."""
        self._disconnect()
        label = "newer" if isinstance(error, NewerLedger) else "corrupt"
        try:
            self._set_aside(label, f"the ledger can't be read: {error}")
        except OSError:
            return False
        return True

    def _moved(self) -> None:
        """The file was deleted or replaced while we had it open: what we wrote to is gone."""
        self._disconnect()
        if os.path.lexists(self._path):
            self._set_aside("replaced", "the ledger was replaced by another file")
            return
        for companion in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path + companion)
        self._identity = None
        self._tell(Notice("error", f"the ledger {self._path} was deleted; a new one is begun"))

    def _set_aside(self, label: str, reason: str) -> None:
        """Rename it and what belongs to it; the main file first, since it says what the rest is."""
        aside = _free_name(self._path, label)
        os.rename(self._path, aside)
        self._identity = None
        for companion in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path + companion, aside + companion)
        mend = f"no file is lost, only the history; what it was is kept as {aside}"
        self._tell(Notice("error", f"{reason}; it is set aside and a new one begun", mend))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def _free_name(path: str, label: str) -> str:
    """Return a name beside `path` that nothing has, to keep what is set aside."""
    stem = f"{os.path.splitext(path)[0]}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}{count}.{label}.sqlite" for count in _counts())
    return next(name for name in names if not os.path.lexists(name))


def _counts() -> Iterator[str]:
    yield ""
    yield from (f"-{number}" for number in itertools.count(2))

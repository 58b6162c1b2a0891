"""Reading the ledger from another process, without leaving a trace in its folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Callable, Sequence
from typing import TypeVar

from watcher.errors import WatcherError
from watcher.ledger.database import FAILURES, Step, is_damage, rows_of
from watcher.ledger.schema import NewerLedger, version_of
from watcher.platform import system

T = TypeVar("T")


class Peek:
    """A connection that only reads.

    Merely opening a database in WAL mode makes files beside it, even for reading. So:

    - There is a `-shm`: a daemon runs, or was killed. With `readonly_shm` it is read together
      with the `-wal`; if nobody is alive to keep the `-shm`, SQLite makes one in memory.
    - There is none, and nothing in a `-wal`: nobody has it open, and it is all in one file, which
      `immutable` reads without a lock.
    - There is none, but something in a `-wal` (the folder was copied): both are read elsewhere.
    """

    trouble = ""

    def __init__(self, path: str) -> None:
        """Open it.

        Raises:
            FileNotFoundError: there is no ledger.
            WatcherError: it can't be read.

        """
        self._path = path
        self._copy = contextlib.ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._guarded(self._connected)

    def read(self, sql: str, arguments: Sequence[object], make: Callable[..., T]) -> list[T]:
        """Run a query and make a value of each row.

        Raises:
            WatcherError: it can't be read.

        """
        return self._guarded(lambda: rows_of(self._connected(), sql, arguments, make))

    def write(self, *_steps: Step) -> None:
        """Refuse.

        Raises:
            WatcherError: always.

        """
        raise WatcherError("the ledger was opened for reading only", path=self._path)

    def write_later(self, *_steps: Step) -> bool:
        """Refuse, as `write` does."""
        raise WatcherError("the ledger was opened for reading only", path=self._path)

    def commit(self) -> None:
        """Do nothing: nothing can have been kept."""

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._copy.close()

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return self._again(action)
        except NewerLedger as error:
            mend = "use the version of the program that wrote it"
            raise WatcherError(_said(error), path=self._path, mend=mend) from error
        except FileNotFoundError:
            raise
        except FAILURES as error:
            mend = "the next `watcher run` will set it aside" if is_damage(error) else "try again"
            raise WatcherError(_said(error), path=self._path, mend=mend) from error

    def _again(self, action: Callable[[], T]) -> T:
        """Look afresh if it fails: the watcher may have started or stopped since."""
        try:
            return action()
        except sqlite3.Error:
            self.close()
            return action()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._address(), uri=True, timeout=5.0, isolation_level=None, check_same_thread=False
        )
        try:
            if not version_of(connection):
                raise FileNotFoundError(self._path)
        except BaseException:
            connection.close()
            self._copy.close()
            raise
        return connection

    def _address(self) -> str:
        if not os.stat(self._path).st_size:
            raise FileNotFoundError(self._path)
        if os.path.exists(f"{self._path}-shm") and os.path.exists(f"{self._path}-wal"):
            return _address(self._path, "mode=ro&readonly_shm=1")
        if not _size(f"{self._path}-wal"):
            return _address(self._path, "mode=ro&immutable=1")
        return _address(self._copied(), "mode=rw")

    def _copied(self) -> str:
        folder = self._copy.enter_context(tempfile.TemporaryDirectory(prefix="watcher-"))
        copy = os.path.join(folder, "ledger.sqlite")
        for companion in ("", "-wal"):
            shutil.copyfile(self._path + companion, copy + companion)
        return copy


def _said(error: Exception) -> str:
    return f"the ledger can't be read: {error}"


def _address(path: str, options: str) -> str:
    """Make a URI as SQLite reads it; `Path.as_uri` puts the server of a share elsewhere."""
    quoted = urllib.parse.quote(os.fsencode(system.plain(path).replace(os.sep, "/")))
    start = "" if quoted.startswith("/") else "/"
    return f"file://{start}{quoted}?{options}"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0

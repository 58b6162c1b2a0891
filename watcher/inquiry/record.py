"""The ledger, for who only asks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from watcher.config import Config
from watcher.ledger import Ledger
from watcher.wiring import LEDGER_NAME


@contextlib.contextmanager
def ledger_of(config: Config) -> Iterator[Ledger | None]:
    """Open the ledger for reading while it lasts; None if there is none.

    Raises:
        WatcherError: it can't be read.

    """
    ledger = Ledger.peek(os.path.join(config.state_dir, LEDGER_NAME))
    try:
        yield ledger
    finally:
        if ledger is not None:
            ledger.close()

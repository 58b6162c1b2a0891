"""That the benchmarks can still be run: they are by hand only, and the program moves on."""

from __future__ import annotations

import pytest

from tests.benchmarks import standing
from watcher.ledger import Ledger

RECEIPTS = 100


def test_a_long_history_is_made_in_today_s_tables(tmp_path):
    standing.write_history(tmp_path / "state", RECEIPTS)
    ledger = Ledger.open(
        str(tmp_path / "state" / "ledger.sqlite"), lambda notice: pytest.fail(str(notice))
    )
    try:
        assert len(list(ledger.history())) == RECEIPTS
    finally:
        ledger.close()

"""A clock that jumps: nothing stalls, nothing goes early; durations are monotonic (R2, R8, R9)."""

import glob
import os
import time

import pytest

from tests.faults import living
from tests.faults.results import tally
from tests.harness import Instrument
from tests.rules.evidence import SCANS, away, check_with_coreutils, files_of

LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")
pytestmark = pytest.mark.skipif(os.name == "nt" or not LIBRARY, reason="needs Linux and faketime")
JUMPS = {
    "an hour back": -3600.0,
    "a day on": 86400.0,
    "1999": time.mktime((1999, 12, 31, 23, 59, 50, 0, 0, -1)) - time.time(),
    "2038": 2**31 - time.time(),
    "while waiting": -7200.0,
}
"""Seconds that the clock is off after the jump."""


class Clock:
    """The clock that a watcher sees: files keep their true times, durations theirs."""

    def __init__(self, folder):
        self.file = folder / "clock"
        self.set(0.0)

    def set(self, offset):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{offset:+.0f}s\n")
        fresh.rename(self.file)

    @property
    def environment(self):
        return {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.mark.parametrize("jump", JUMPS)
def test_R8_the_clock_jumps(tmp_path, jump):
    """R2, R8, R9: before, while and after an outage; hints, rescan and the status go on."""
    with Instrument(tmp_path, rescan_interval="2s") as instrument:
        clock = Clock(tmp_path)
        living.start(instrument, **clock.environment)
        wanted = {}

        def finish(name, when=None):
            path = instrument.write(f"RB1/{SCANS}/{name}", name.encode())
            if when is not None:
                os.utime(path, (when, when))
            path.chmod(0o444)
            wanted[name] = name.encode()

        def all_gone():
            return not [n for n in instrument.sources() if "unfinished" not in n]

        finish("before.txt")
        instrument.wait_until(all_gone)
        instrument.write(f"RB1/{SCANS}/unfinished.txt", b"not yet")
        if jump != "while waiting":
            clock.set(JUMPS[jump])
        with away(instrument.share):
            for number in range(20):
                finish(f"{number}.txt", time.time() + JUMPS[jump] if number % 2 else None)
            instrument.wait_until(lambda: living.state(instrument) == "offline")
            if jump == "while waiting":
                clock.set(JUMPS[jump])
                written = living.reported(instrument)["written_at"]
                instrument.wait_until(lambda: living.reported(instrument)["written_at"] != written)
            assert len(instrument.sources()) == 21, "a source went before it was archived"
        instrument.wait_until(all_gone, 20)
        instrument.wait_until(lambda: living.state(instrument) == "online")
        finish("after.txt")
        instrument.wait_until(all_gone, 10)
        beside = tmp_path / "moved in" / SCANS
        beside.mkdir(parents=True)
        (beside / "found.txt").write_bytes(b"found")
        (beside / "found.txt").chmod(0o444)
        beside.parent.rename(instrument.root / "RB2")  # for the rescan, or the look below
        instrument.wait_until(all_gone, 10)

        def counted():
            report = living.reported(instrument)
            return report["running"] and (report["backlog"], report["archived"]) == (0, 23)

        instrument.wait_until(counted, 10)
        assert instrument.stop() == 0
        assert "Traceback" not in instrument.watcher.output
        found = files_of(instrument.archive / "RB1")
        del found["checksums.sha256"]
        assert found == wanted
        check_with_coreutils(instrument.archive / "RB1")
        assert list(instrument.sources()) == [f"RB1/{SCANS}/unfinished.txt"]
    tally("clock", 1)

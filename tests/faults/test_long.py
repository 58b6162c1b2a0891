"""Thousands of files and a thousand faults in one life: nothing grows (R12)."""

import errno
import os
from pathlib import Path

import pytest

from tests.faults import living
from tests.faults.results import tally
from tests.faults.victim import CHANGING, How, Plan
from tests.harness import Instrument, wait_until
from tests.rules.evidence import SCANS, check_with_coreutils, files_of, leftovers

ROUNDS, FILES = 20, 1000
FAULTS = 1000
EVERY = 97
"""Calls at the archive from one failure to the next."""
GROWTH = 12.0
"""Megabytes that the second half of its life may add: it remembers the last 20,000 hints."""


def resident(pid):
    """Return a process's memory in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measured(pid):
    """Return a process's open files, threads and megabytes."""
    return living.descriptors(pid), len(os.listdir(f"/proc/{pid}/task")), resident(pid)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_R12_many_faults_in_one_life(library, tmp_path):
    """R2, R12: descriptors and threads +0, memory flat, and all is archived."""
    retry = {"initial": "20ms", "maximum": "200ms", "stalled_after": "30s"}
    with Instrument(tmp_path, retry=retry, rescan_interval="60s") as instrument:
        plan = Plan(How.FAIL_EVERY, EVERY, errno.EIO, CHANGING, below=f"{instrument.share}/")
        watcher = living.start(instrument, plan=plan, library=library)
        pid, figures = watcher.process.pid, []
        for number in range(ROUNDS):
            for file in range(FILES):
                name = f"RB{file % 5}/{SCANS}/{number}-{file}.txt"
                instrument.finish(name, b"%d %d" % (number, file))

            def archived(wanted=(number + 1) * FILES):
                report = living.reported(instrument)
                return report["archived"] == wanted and not report["in_flight"]

            wait_until(archived, 120, lambda: watcher.output[-3000:], every=0.05)
            figures.append(measured(pid))
        trace = tmp_path.with_suffix(".trace").read_text().splitlines()
        faults = sum(line.startswith("struck") for line in trace)
        assert instrument.stop() == 0
        assert "Traceback" not in watcher.output
        assert not instrument.sources()
        assert not leftovers(instrument)
        for experiment in range(5):
            folder = instrument.archive / f"RB{experiment}"
            check_with_coreutils(folder)
            assert len(files_of(folder)) == ROUNDS * FILES / 5 + 1
    half, last = figures[ROUNDS // 2 - 1], figures[-1]
    print(f"open files, threads, MB: {figures}")
    assert last[:2] == half[:2] == figures[0][:2], figures
    assert last[2] - half[2] < GROWTH, figures
    assert faults >= FAULTS
    grown = f"+0 files, +0 threads, {last[2] - half[2]:+.1f} MB"
    tally("long", faults, note=f"{ROUNDS * FILES:,} files, {grown}")

"""When the faults are injected, where they can be, and the table at the end.

`make test-faults` runs all of it. Elsewhere (`make test`) only what is marked `quick` runs.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import results
from tests.faults.victim import Victims, build, can_build

HERE = Path(__file__).parent
CREWS = 2
"""Cases at a time."""
_LIMIT = 900


def pytest_configure(config):
    config.addinivalue_line("markers", "faults: injects faults; run by `make test-faults`")
    config.addinivalue_line("markers", "quick: a part of the fault suite that `make test` runs too")


def pytest_collection_modifyitems(config, items):
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.faults)
        item.add_marker(pytest.mark.timeout(_LIMIT))
    if config.option.markexpr or any("faults" in str(argument) for argument in config.args):
        return
    left_out = [item for item in ours if not item.get_closest_marker("quick")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    if results.ROWS:
        terminalreporter.section("faults injected")
        for line in results.table():
            terminalreporter.write_line(line)
        spent = sum(row.seconds for row in results.ROWS.values())
        terminalreporter.write_line(f"(lost/partial/overwritten or double; {spent:.0f} s)")


@pytest.fixture(scope="session")
def arena(tmp_path_factory):
    """A folder for cases: in memory where we may have some, bounded."""
    folder = tmp_path_factory.mktemp("arena")
    is_mounted = is_root() and not _run("mount", "-t", "tmpfs", "-o", "size=1g", "none", folder)
    yield folder
    if is_mounted:
        _run("umount", "-l", folder)


def _run(*command):
    return subprocess.run([str(word) for word in command], check=False).returncode


def is_root():
    return sys.platform == "linux" and os.geteuid() == 0


@pytest.fixture(scope="session")
def crews(arena):
    """Who runs the program with its calls under control."""
    if not can_build():
        pytest.skip("needs Linux and gcc to count and fail a process's calls")
    library = build(arena)
    crews = [Victims(library) for _ in range(CREWS)]
    yield crews
    for crew in crews:
        crew.__exit__()


@pytest.fixture
def crew(crews):
    return crews[0]


@pytest.fixture(scope="session")
def as_root():
    """Skip what only root may do."""
    if not is_root():
        pytest.skip("needs root on Linux")

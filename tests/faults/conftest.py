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
CREWS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
"""Cases at a time, in each process that runs tests."""
_LIMIT = 900


def pytest_addoption(parser):
    text = "fail if a kind of fault had fewer cases than it must have"
    parser.addoption("--whole", action="store_true", help=text)


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


_TABLE = results.rows()
_HERE = HERE.relative_to(HERE.parent.parent).as_posix()


@pytest.fixture(autouse=True)
def told(request):
    """Let what a test has counted travel with its report."""
    results.told()
    yield
    request.node.user_properties += [("fault", line) for line in results.told()]


def pytest_runtest_logreport(report):
    if report.when == "call" and report.nodeid.startswith(_HERE):
        _SECONDS[report.nodeid] = report.duration
    lines = [value for name, value in report.user_properties if name == "fault"]
    if report.when == "teardown":
        for line in lines:
            results.add(_TABLE, line, _SECONDS.pop(report.nodeid, 0.0))


_SECONDS = {}


def pytest_terminal_summary(terminalreporter):
    if any(row.cases for row in _TABLE.values()):
        terminalreporter.section("what was broken on purpose")
        for line in results.markdown(_TABLE):
            terminalreporter.write_line(line)
        terminalreporter.write_line("(0/0/0: none lost, none partial, none overwritten or double)")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Fail the whole suite if it was less than it should be, and nothing was skipped."""
    if not session.config.option.whole or hasattr(session.config, "workerinput"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    is_skipped = bool(reporter.stats.get("skipped"))
    less = [r for r in _TABLE.values() if r.cases < r.least and (r.cases or not is_skipped)]
    if less or any(row.wrong for row in _TABLE.values()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
def library(arena):
    """What counts and fails a process's calls."""
    if not can_build():
        pytest.skip("needs Linux and gcc to count and fail a process's calls")
    return build(arena)


@pytest.fixture(scope="session")
def crews(library):
    """Who runs the program with its calls under control."""
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

"""Commands that only ask, where a share hangs: they say so, and Ctrl-C ends them."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults import share as shares
from tests.harness import CYCLE, NAME, Instrument, wait_until

pytestmark = pytest.mark.quick


@pytest.fixture
def share(as_root, tmp_path):
    """A share whose server can be stopped: calls to it aren't ended by a signal, only by death."""
    if reason := shares.why_not():
        pytest.skip(reason)
    (tmp_path / "backing").mkdir()
    with shares.Share(tmp_path / "backing", tmp_path / "mounted") as share:
        yield share


@pytest.fixture
def instrument(share, tmp_path):
    """One that has archived a file to the share."""
    with Instrument(tmp_path / "instrument") as instrument:
        instrument.share = share.mount
        instrument.cycle = share.mount / NAME / "Instrument" / "data" / CYCLE
        instrument.cycle.mkdir(parents=True)
        instrument.configure()
        instrument.finish("RB1/bluesky_scans/scan.txt")
        assert instrument.run("rescan").returncode == 0
        yield instrument


@contextlib.contextmanager
def stopped(share):
    """Let it answer nothing for as long as it lasts."""
    share._process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        share._process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("command", [["verify"], ["doctor", "--live"]])
def test_R8_a_share_that_hangs_is_told(instrument, share, command):
    """R8: with the time that it had, and the command ends with 1."""
    instrument.configure(retry={"stalled_after": "1s"})
    with stopped(share):
        done = instrument.run(*command)
    assert "no answer for 1 s" in done.stdout
    assert done.returncode == 1, done.stderr


@pytest.mark.parametrize("command", [["verify"], ["doctor", "--live"]])
def test_R8_ctrl_c_ends_what_waits_for_a_share_that_hangs(instrument, share, command):
    """R8: no call to a share can be interrupted, and nobody has to wait for one."""
    command = instrument.command(*command)
    with (
        subprocess.Popen(command, env=instrument.environment(), stdout=subprocess.PIPE) as process,
        stopped(share),
    ):
        try:
            wait_until(lambda: waits_for_fuse(process.pid))
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 1
            assert time.monotonic() - began < 5
        finally:
            process.kill()


def waits_for_fuse(pid):
    """Tell whether one of a process's threads is in a call to a share."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return any("request_wait_answer" in (thread / "wchan").read_text() for thread in threads)

"""The state of one destination: who probes, how often, and what is said."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator

import pytest

from tests.harness import wait_until
from watcher.activity import Activity, DestinationChanged, News
from watcher.errors import DestinationDown, SourceBusy
from watcher.model import DestinationState
from watcher.outage import Fault, Gate, Patience, Pulses, Stopped, fault_of, words_of


class Share:
    """A gate before a destination that is there or not, as the test says; counts who asks."""

    def __init__(self, initial: float = 0.05, maximum: float = 0.4) -> None:
        self.error: Exception | None = None
        self.probes = 0
        self.opened = self.closed = 0
        self.is_closed: bool | None = None
        self.stop = threading.Event()
        self.news: list[News] = []
        activity = Activity()
        activity.listen(self.news.append)
        patience = Patience(initial, maximum, self.stop)
        self.gate = Gate("archive", self.probe, patience, activity, self.open, self.close)
        self.threads: list[threading.Thread] = []

    def probe(self, writing: bool) -> None:
        self.probes += 1
        if self.error:
            raise self.error

    def open(self) -> None:
        self.opened += 1
        self.is_closed = False

    def close(self) -> None:
        self.closed += 1
        self.is_closed = True

    def waiting(self, count: int) -> list[bool]:
        """Let threads wait at the gate; returns what they were let through with."""
        through: list[bool] = []
        for _ in range(count):
            thread = threading.Thread(target=lambda: through.append(self.gate.wait()))
            thread.start()
            self.threads.append(thread)
        return through

    def end(self) -> None:
        self.stop.set()
        self.gate.wake()
        for thread in self.threads:
            thread.join(5.0)

    @property
    def states(self) -> list[DestinationState]:
        return [n.state for n in self.news if isinstance(n, DestinationChanged)]


@pytest.fixture
def share() -> Iterator[Share]:
    one = Share()
    yield one
    one.end()


def test_one_probes_for_all_who_wait(share: Share):
    """R8: a thousand files that wait are one probe, and its pauses grow."""
    share.error = OSError(errno.EHOSTUNREACH, "no route")
    through = share.waiting(20)
    began = time.monotonic()
    wait_until(lambda: share.probes >= 6)
    assert time.monotonic() - began > 0.05 + 0.1 + 0.2 + 0.4
    assert share.states == [DestinationState.OFFLINE]
    share.error = None
    wait_until(lambda: len(through) == 20, 5.0)
    assert all(through)
    assert share.opened == 1
    assert share.states == [DestinationState.OFFLINE, DestinationState.ONLINE]


def test_stopping_ends_every_wait_at_once():
    """R8: an outage doesn't delay stopping."""
    share = Share(300.0, 600.0)
    share.error = OSError(errno.EHOSTUNREACH, "no route")
    through = share.waiting(4)
    wait_until(lambda: share.states == [DestinationState.OFFLINE])
    probes = share.probes
    share.end()  # joins them, for far less than they would wait
    assert through == [False] * 4
    assert share.probes == probes


def test_a_failure_closes_the_gate_and_says_so_once(share: Share):
    """R8: all who take work are called back; R11: a line when it changes, not for each file."""
    assert share.gate.wait()
    share.error = OSError(errno.ENETDOWN, "network is down")
    assert share.gate.failed(share.error)
    probes = share.probes
    assert all(share.gate.failed(share.error) for _ in range(10))
    assert share.probes == probes
    assert share.closed == 1
    assert share.states == [DestinationState.ONLINE, DestinationState.OFFLINE]


def test_a_destination_that_was_never_there_is_down_too(share: Share):
    """R8: what waits for it alone makes room for others from the first failed probe on."""
    share.error = OSError(errno.ENETDOWN, "network is down")
    share.waiting(1)
    wait_until(lambda: share.probes >= 3)
    assert share.closed == 1
    share.error = None
    wait_until(lambda: share.is_closed is False)
    assert share.opened == 1


def test_what_is_told_last_is_how_it_is(share: Share):
    """R8: whoever opens it meanwhile is told of after the failure, and so is what waits for it."""
    assert share.gate.wait()

    class Slow(DestinationDown):
        """While it is put into words, the destination is back, and somebody wants to use it."""

        @property
        def mend(self) -> str:
            share.error = None
            thread = threading.Thread(target=share.gate.wait)
            thread.start()
            share.threads.append(thread)
            thread.join(0.2)  # longer than a gate that lets it through takes
            return ""

        @mend.setter
        def mend(self, _text: str) -> None:
            pass

    share.error = Slow("gone for a moment")
    share.gate.failed(share.error)
    wait_until(lambda: share.gate.is_open)
    wait_until(lambda: share.is_closed is False)
    assert share.states[-1] is DestinationState.ONLINE


def test_a_late_success_is_no_end_of_an_outage(share: Share):
    """R8: what another thread had begun before tells nothing of how it is now."""
    assert share.gate.wait()
    share.error = OSError(errno.ENETDOWN, "network is down")
    share.gate.failed(share.error)
    share.gate.succeeded()
    assert share.states[-1] is DestinationState.OFFLINE


def test_a_destination_that_answers_leaves_the_fault_to_the_file(share: Share):
    """R8: one file's trouble is no outage."""
    assert share.gate.wait()
    assert not share.gate.failed(OSError(errno.EACCES, "denied"))
    assert share.gate.is_open


def test_a_defect_in_the_probe_is_said_and_tried_again(share: Share):
    """R11: whatever a probe raises, the thread that probes lives."""
    share.error = ValueError("never seen before")
    through = share.waiting(1)
    wait_until(lambda: share.probes >= 2)
    said = next(n for n in share.news if isinstance(n, DestinationChanged))
    assert "never seen before" in said.error
    share.error = None
    wait_until(lambda: through == [True])


def test_full_is_said_until_something_was_taken(share: Share):
    """R8: a full destination is a state of its own."""
    share.error = OSError(errno.ENOSPC, "no space left")
    through = share.waiting(1)
    wait_until(lambda: share.states == [DestinationState.FULL])
    share.error = None
    wait_until(lambda: through == [True])
    share.gate.failed(OSError(errno.ENOSPC, "no space left"))
    share.gate.succeeded()
    expected = [DestinationState.FULL, DestinationState.ONLINE] * 2
    assert share.states == expected


def test_stalled_and_back(share: Share):
    """R8: a call that hangs is seen, and seen to be over."""
    share.gate.wait()
    share.gate.stalled(30.0)
    assert share.gate.is_stalled
    share.gate.moved()
    share.gate.moved()
    assert all(n.mend for n in share.news if isinstance(n, DestinationChanged) and n.error)
    online, stalled = DestinationState.ONLINE, DestinationState.STALLED
    assert share.states == [online, stalled, online]


def test_what_hangs_is_told_from_what_moves():
    """R8: a destination is still only when none of its calls move."""
    pulses = Pulses()
    with pulses.watching("a"), pulses.watching("b") as beat:
        wait_until(lambda: pulses.stillness()["a"] > 0.1)
        beat()
        still = pulses.stillness()
        assert still["b"] < still["a"]
    assert pulses.stillness() == {}


def test_a_temporary_name_is_no_new_reason():
    """R11: the same trouble at the next attempt reads the same."""
    said = {
        words_of(OSError(errno.EPERM, "not permitted", f"/archive/RB1/.watcher-1-{n}.part"))
        for n in range(3)
    }
    assert len(said) == 1
    assert "/archive/RB1" in next(iter(said))[0]


def test_waits_grow_to_a_limit_and_never_expire():
    """R11: retries slow down, and go on."""
    patience = Patience(1.0, 30.0, threading.Event())
    assert 1.0 <= patience.delay(1, Fault.UNKNOWN) <= 2.0
    assert 4.0 <= patience.delay(3, Fault.UNKNOWN) <= 5.0
    assert patience.delay(100_000, Fault.UNKNOWN) == 30.0
    assert patience.delay(1, Fault.BUSY) <= 0.1


def test_a_wait_that_is_interrupted_makes_no_more_attempts():
    """R8: stopping isn't answered with one more try."""
    stop = threading.Event()
    stop.set()
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise OSError(errno.EIO, "broken")

    with pytest.raises(Stopped):
        Patience(60.0, 60.0, stop).until_it_works(attempt, lambda _: None)
    assert tries == [1]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENOSPC, ""), Fault.FULL),
        (OSError(errno.EMFILE, ""), Fault.UNKNOWN),
        (OSError(errno.EACCES, ""), Fault.DENIED),
        (OSError(errno.ESTALE, ""), Fault.OUTAGE),
        (SourceBusy("open"), Fault.BUSY),
        (DestinationDown("not there"), Fault.OUTAGE),
        (RuntimeError("?"), Fault.UNKNOWN),
    ],
)
def test_what_an_error_means(error: Exception, fault: Fault):
    """R8: what is worth waiting for is decided in one place."""
    assert fault_of(error) is fault

"""The state of one destination, what an error means, and how long to wait.

The only home of tenacity. An error is judged in one place (`fault_of`), by Windows' number before
errno. Whether a destination is down is not guessed from a number alone: a probe of the
destination decides. If it fails, that is an outage, and all files wait for one probing thread; if
it succeeds, the error was one file's own, which backs off alone.
"""

from __future__ import annotations

import enum
import errno
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tenacity
from tenacity.wait import wait_base, wait_exponential, wait_random

from watcher.activity import Activity, DestinationChanged
from watcher.destination import without_part
from watcher.errors import DestinationDown, SourceBusy, WatcherError
from watcher.model import DestinationState


class Fault(enum.Enum):
    """What kind of trouble an error means."""

    OUTAGE = enum.auto()
    """It can't be reached."""
    FULL = enum.auto()
    DENIED = enum.auto()
    BUSY = enum.auto()
    """Another program has it open."""
    UNKNOWN = enum.auto()


_WINERRORS = {
    Fault.OUTAGE: {
        *(3, 15, 20, 21, 22, 23, 31, 1005, 1006, 1117, 1167, 1392, 1393),  # the drive, or its disk
        *(51, 53, 54, 55, 56, 57, 58, 59, 60, 64, 66, 67, 68, 69, 70, 71, 88),  # the share
        *(109, 121, 170, 231, 233, 240, 258, 1130, 1450, 1460, 2404),  # no answer, no means
        *(1203, 1208, 1214, 1219, 1220, 1222, 1225, 1226, 1229, 2250),  # the connection
        *(*range(1231, 1238), 10050, 10051, 10053, 10054, 10060, 10061, 10064, 10065),  # the way
        *(1265, 1311, 1326, 1355, 1786, 1787, 1788, 1789, 1790, 1792),  # logging on to the server
    },
    Fault.FULL: {39, 112, 1295},
    Fault.DENIED: {5, 19, 65, 86, 1240, 1244, 1307, 1314, *range(1327, 1332), 1385, 1907, 1909},
    Fault.BUSY: {32, 33, 36, 303},
}
"""The numbers of winerror.h that a file on a disk or on a share can end with."""
_ERRNOS = {
    Fault.OUTAGE: {
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ECONNREFUSED),
        *(errno.ECONNABORTED, errno.EPIPE, errno.ENXIO, errno.ENODEV),
        *(getattr(errno, n) for n in ("EHOSTDOWN", "EREMOTEIO") if hasattr(errno, n)),
    },
    Fault.FULL: {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EMFILE, errno.ENFILE},
    Fault.DENIED: {errno.EACCES, errno.EPERM, errno.EROFS},
    Fault.BUSY: {errno.EBUSY, errno.ETXTBSY, errno.EAGAIN},
}


def fault_of(error: BaseException) -> Fault:
    """Say what kind of trouble an error from a destination means."""
    if isinstance(error, SourceBusy):
        return Fault.BUSY
    if isinstance(error, DestinationDown) and isinstance(error.__cause__, OSError):
        return fault_of(error.__cause__)
    if isinstance(error, DestinationDown):
        return Fault.OUTAGE
    if not isinstance(error, OSError):
        return Fault.UNKNOWN
    number = getattr(error, "winerror", None)
    if number is None and error.errno == errno.EINVAL and hasattr(error, "winerror"):
        return Fault.OUTAGE  # what Windows' C library makes of a number that it doesn't know
    table, value = (_WINERRORS, number) if number else (_ERRNOS, error.errno)
    return next((fault for fault, values in table.items() if value in values), Fault.UNKNOWN)


def words_of(error: BaseException) -> tuple[str, str]:
    """Say an error in plain words, and what to do about it."""
    if isinstance(error, WatcherError):
        place = f": {error.path}" if error.path and error.path not in error.what else ""
        return f"{error.what}{place}", error.mend
    if not isinstance(error, OSError):
        return f"{type(error).__name__}: {error}", "please report this; the file is kept"
    fault = fault_of(error)
    place = without_part(str(error.filename2 or error.filename or ""))
    number = getattr(error, "winerror", None)
    detail = f"{error.strerror} (Windows error {number})" if number else f"{error.strerror}"
    return f"{detail}{f': {place}' if place else ''}", _MENDS[fault]


_MENDS = {
    Fault.OUTAGE: "check the network and the server; it goes on by itself",
    Fault.FULL: "free some space there; it goes on by itself",
    Fault.DENIED: "give the account that runs the watcher the right to write there",
    Fault.BUSY: "close the program that has it open; it goes on by itself",
    Fault.UNKNOWN: "it is tried again; look at the path by hand if this stays",
}


_HANGS = "check the network and the server; if it never answers, start the watcher again"


class Stopped(Exception):  # noqa: N818 - no error: the way out of a wait
    """The program stops; whoever waits ends at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait between attempts: exponentially, with jitter, interrupted by stopping."""

    initial: float
    """Seconds before the second attempt."""
    maximum: float
    """Seconds between attempts at the most."""
    stop: threading.Event

    _BUSY = 0.05

    def delay(self, attempts: int, fault: Fault) -> float:
        """Return how many seconds to wait after so many attempts at one file."""
        initial = min(self._BUSY, self.initial) if fault is Fault.BUSY else self.initial
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = attempts
        return min(self.maximum, self._waiting(initial)(state))

    def until_it_works(
        self, attempt: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Call `attempt` until it raises nothing any more, not even for a defect of ours (R11).

        Args:
            attempt: what to try.
            failed: told each error.

        Raises:
            Stopped: the program stops.

        """

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is not None:
                failed(error)

        tenacity.Retrying(
            wait=self._waiting(self.initial),
            sleep=self._sleep,
            retry=tenacity.retry_if_exception_type(Exception),
            before_sleep=tell,
        )(attempt)

    def _waiting(self, initial: float) -> wait_base:
        return wait_exponential(multiplier=initial, max=self.maximum) + wait_random(0, initial)

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(min(seconds, self.maximum)):
            raise Stopped


class Watch:
    """One stay inside the calls to a destination, for a `with` statement; a cheap one."""

    __slots__ = ("_beats", "_destination", "_token")

    def __init__(self, beats: dict[int, tuple[str, float]], token: int, destination: str) -> None:
        """Use `Pulses.watching`."""
        self._beats = beats
        self._token = token
        self._destination = destination

    def __enter__(self) -> Callable[[], None]:
        """Begin; what is given is called whenever it moves."""
        self._beat()
        return self._beat

    def __exit__(self, *_: object) -> None:
        """End."""
        del self._beats[self._token]

    def _beat(self) -> None:
        self._beats[self._token] = (self._destination, time.monotonic())


class Pulses:
    """Who is inside a call to which destination, and when it last moved; durations only."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._beats: dict[int, tuple[str, float]] = {}
        self._tokens = itertools.count()

    def watching(self, destination: str) -> Watch:
        """Watch the calls to a destination made inside; call what is given whenever it moves."""
        return Watch(self._beats, next(self._tokens), destination)

    def stillness(self) -> dict[str, float]:
        """Return for each destination in use for how many seconds nothing has moved there."""
        now, still = time.monotonic(), dict[str, float]()
        for destination, at in list(self._beats.values()):
            still[destination] = min(now - at, still.get(destination, float("inf")))
        return still


class Gate:
    """The state of one destination: closed in an outage, opened by the one probe for all."""

    def __init__(
        self,
        name: str,
        probe: Callable[[bool], None],
        patience: Patience,
        activity: Activity,
        opened: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        """Begin closed: the first who waits probes.

        Args:
            name: the destination.
            probe: raises OSError or DestinationDown if the destination can't be used; with True
                it also tries to write there.
            patience: how to wait between probes.
            activity: told of transitions.
            opened: called when an outage is over.
            closed: called when one begins; those who wait for work must come here instead.

        """
        self.name = name
        self._probe = probe
        self._patience = patience
        self._activity = activity
        self._opened = opened
        self._closed = closed
        self._condition = threading.Condition()
        self._is_open = False
        self._is_probing = False
        self._was_down = False
        self._said: tuple[DestinationState, str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the destination can be used, as far as is known."""
        return self._is_open

    @property
    def is_down(self) -> bool:
        """Whether a probe has failed, and none has succeeded since."""
        return self._was_down and not self._is_open

    def wait(self) -> bool:
        """Wait until the destination can be used; one of those who wait probes for all.

        Returns:
            False when the program stops.

        """
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._has_stopped or not self._is_probing)
                if self._has_stopped:
                    return False
                if self._is_open:
                    return True
                self._is_probing = True
            self._probe_for_all()

    @property
    def _has_stopped(self) -> bool:
        return self._patience.stop.is_set()

    def wake(self) -> None:
        """Make all who wait look at the stop event."""
        with self._condition:
            self._condition.notify_all()

    def failed(self, error: BaseException) -> bool:
        """Judge an error met while using the destination.

        Returns:
            True if the destination is down; False if it answers, so that the fault is the file's.

        """
        if self.is_down:  # somebody is probing already
            return True
        try:
            self._probe(True)
        except Exception as second:  # noqa: BLE001 - whatever it is, nothing can be done there now
            self._down(second)
            return True
        if fault_of(error) is Fault.FULL:
            self._say(DestinationState.FULL, error)
        return False

    def look(self) -> None:
        """Look at an idle destination, so that an outage shows before a file needs it."""
        try:
            self._probe(False)
        except Exception as error:  # noqa: BLE001 - likewise
            self._down(error)

    def succeeded(self) -> None:
        """Say that the destination took something: whatever was wrong with it is over."""
        if self._said is None or self._said[0] is not DestinationState.ONLINE:
            self._say(DestinationState.ONLINE, None)

    def stalled(self, seconds: float) -> None:
        """Say that a call to the destination hasn't moved for so long."""
        what = f"no answer for {seconds:.0f} s"
        self._say(DestinationState.STALLED, DestinationDown(what, mend=_HANGS))

    @property
    def is_stalled(self) -> bool:
        """Whether a call to it hangs."""
        return self._said is not None and self._said[0] is DestinationState.STALLED

    def moved(self) -> None:
        """Say that a stalled destination answers again; the next call shows how it is."""
        if self.is_stalled:
            self._say(DestinationState.ONLINE if self._is_open else DestinationState.OFFLINE, None)

    def _probe_for_all(self) -> None:
        try:
            self._patience.until_it_works(lambda: self._probe(self._was_down), self._down)
        except Stopped:
            return
        else:
            self._say(DestinationState.ONLINE, None)
            with self._condition:
                was_down, self._was_down, self._is_open = self._was_down, False, True
        finally:
            with self._condition:
                self._is_probing = False
                self._condition.notify_all()
        if was_down:
            self._opened()

    def _down(self, error: BaseException) -> None:
        with self._condition:
            was_open, self._is_open, self._was_down = self._is_open, False, True
        full = fault_of(error) is Fault.FULL
        self._say(DestinationState.FULL if full else DestinationState.OFFLINE, error)
        if was_open:
            self._closed()

    def _say(self, state: DestinationState, error: BaseException | None) -> None:
        text, mend = words_of(error) if error else ("", "")
        with self._condition:
            if self._said == (state, text):
                return
            self._said = (state, text)
            # Told under the lock, so that the last that is said is the last that is heard.
            self._activity.tell(DestinationChanged(self.name, state, text, mend))


class Stalls:
    """Notices calls to destinations that don't come back."""

    def __init__(self, pulses: Pulses, gates: Mapping[str, Gate], after: float) -> None:
        """Make it ready; a call counts as hanging once it hasn't moved for `after` seconds."""
        self._pulses = pulses
        self._gates = gates
        self._after = after

    def look(self) -> bool:
        """Say which destinations hang, and which do no more; tells whether any is in use."""
        still = self._pulses.stillness()
        for name, gate in self._gates.items():
            if still.get(name, 0.0) >= self._after:
                gate.stalled(self._after)
            else:
                gate.moved()
        return bool(still)

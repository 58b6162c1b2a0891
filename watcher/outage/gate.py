"""Whether a destination can be used: found out by one probe for all, and told when it changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from watcher.activity import Activity, DestinationChanged
from watcher.errors import DestinationDown
from watcher.model import DestinationState
from watcher.outage.faults import Fault, fault_of, words_of
from watcher.outage.patience import Patience, Stopped
from watcher.outage.pulses import Pulses

_HANGS = "check the network and the server; if it never answers, start the watcher again"


class Gate:
    """The state of one destination: closed in an outage, opened by the one probe for all.

    Whatever changes is told under the lock under which it changes, so that the last that is heard
    of a destination is how it is.
    """

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
            opened: called when an outage is over, under the lock; must not come back here.
            closed: called likewise when one begins, also with the first failed probe; those who
                wait for work must come here instead.

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
        if self._said is not None and self._said[0] is DestinationState.ONLINE:
            return
        with self._condition:
            if self._is_open:  # else it is down by now, and was begun before that
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
        with self._condition:
            if self.is_stalled:
                is_open = self._is_open
                self._say(DestinationState.ONLINE if is_open else DestinationState.OFFLINE, None)

    def _probe_for_all(self) -> None:
        try:
            self._patience.until_it_works(lambda: self._probe(self._was_down), self._down)
        except Stopped:
            return
        else:
            with self._condition:
                was_down, self._was_down, self._is_open = self._was_down, False, True
                self._say(DestinationState.ONLINE, None)
                if was_down:
                    self._opened()
        finally:
            with self._condition:
                self._is_probing = False
                self._condition.notify_all()

    def _down(self, error: BaseException) -> None:
        is_full = fault_of(error) is Fault.FULL
        with self._condition:
            was_down, self._is_open, self._was_down = self.is_down, False, True
            self._say(DestinationState.FULL if is_full else DestinationState.OFFLINE, error)
            if not was_down:
                self._closed()

    def _say(self, state: DestinationState, error: BaseException | None) -> None:
        text, mend = words_of(error) if error else ("", "")
        with self._condition:
            if self._said == (state, text):
                return
            self._said = (state, text)
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

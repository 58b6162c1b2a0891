"""Who is inside a call to which destination, and when it last moved."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable


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

"""The state of one destination, what an error means, and how long to wait.

faults    what an error means: judged in one place, by Windows' number before errno
patience  how to wait between attempts; the only home of tenacity
pulses    who is inside a call to a destination, and since when nothing has moved
gate      whether a destination can be used, and whether it hangs
hanging   what may hang is done in a thread of its own, for those who ask but once

Whether a destination is down is not guessed from a number alone: a probe of the destination
decides. If it fails, that is an outage, and all files wait for one probing thread; if it succeeds,
the error was one file's own, which backs off alone.
"""

from watcher.outage.faults import Fault, fault_of, words_of
from watcher.outage.gate import Gate, Stalls
from watcher.outage.hanging import Attended, Hangs, within
from watcher.outage.patience import Patience, Stopped
from watcher.outage.pulses import Pulses

__all__ = [
    "Attended",
    "Fault",
    "Gate",
    "Hangs",
    "Patience",
    "Pulses",
    "Stalls",
    "Stopped",
    "fault_of",
    "within",
    "words_of",
]

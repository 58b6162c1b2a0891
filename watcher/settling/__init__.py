"""The end of a file: every destination has its receipt, so the source may go.

Each published copy is looked at once more, then the source, then it is removed; or, where one
destination lies on the source's own volume, the source itself is renamed into place there, last,
without a byte being written again.
"""

from watcher.settling.ending import Settling
from watcher.settling.outcome import CopyGone, Unsettled, receipt_for

__all__ = ["CopyGone", "Settling", "Unsettled", "receipt_for"]

"""What would happen, and what became of a file: answers that touch nothing and need no watcher.

rehearsal  what a rescan would do
reasons    what holds a file back, or where it went
sites      what stands at the destinations now
record     the ledger, opened for reading
"""

from watcher.inquiry.reasons import why
from watcher.inquiry.record import ledger_of
from watcher.inquiry.rehearsal import preview

__all__ = ["ledger_of", "preview", "why"]

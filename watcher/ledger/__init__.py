"""SQLite: receipts, the cycles of waiting files, reasons. A record, never the truth (R10).

book      what it is asked and told
sql       the statements
rows      from words to rows and back
search    what a person asks of the history, as conditions
database  the writing connection, and what can go wrong with its file
peek      reading from another process, leaving no trace
schema    the tables, and how an older ledger becomes one of today
"""

from watcher.ledger.book import Ledger
from watcher.ledger.rows import Check, Waiting
from watcher.ledger.search import Checks, Wanted

__all__ = ["Check", "Checks", "Ledger", "Waiting", "Wanted"]
"""The room's doors."""

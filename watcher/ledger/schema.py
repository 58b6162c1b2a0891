"""The tables, and how an older ledger becomes one of today."""

from __future__ import annotations

import contextlib
import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    INSERT INTO meta VALUES ('born', (julianday('now') - 2440587.5) * 86400.0);

    -- The last cycle that could be read at each destination.
    CREATE TABLE cycle (destination TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;

    -- Finished files that are not archived yet; cycles is a JSON object.
    CREATE TABLE waiting (
        source BLOB PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        size INTEGER NOT NULL,
        first_seen REAL NOT NULL,
        cycles TEXT NOT NULL
    ) WITHOUT ROWID;

    -- Why a file stays behind; words is a JSON array: reason, mend, destination.
    CREATE TABLE held (
        source BLOB PRIMARY KEY,
        since REAL NOT NULL,
        words TEXT NOT NULL
    ) WITHOUT ROWID;

    -- One row a version of a file that was ever copied anywhere.
    CREATE TABLE file (
        id INTEGER PRIMARY KEY,
        source BLOB NOT NULL,
        fingerprint TEXT NOT NULL,
        experiment BLOB NOT NULL,
        UNIQUE (source, fingerprint)
    );

    -- The experiments' folders at the destinations, each written once.
    CREATE TABLE folder (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);

    -- state: 0 pending (a rename is intended), 1 valid, 2 void (the copy is gone).
    -- conflict: 0 none, 1 not seen by anyone yet, 2 seen.
    -- more: further checksums as 'md5:01ab sha1:23cd'.
    CREATE TABLE receipt (
        id INTEGER PRIMARY KEY,
        file INTEGER NOT NULL REFERENCES file,
        destination TEXT NOT NULL,
        folder INTEGER NOT NULL REFERENCES folder,
        name BLOB NOT NULL,
        algorithm TEXT NOT NULL,
        digest TEXT NOT NULL,
        more TEXT NOT NULL,
        archived_at REAL NOT NULL,
        seconds REAL NOT NULL,
        attempts INTEGER NOT NULL,
        manner TEXT NOT NULL,
        conflict INTEGER NOT NULL,
        state INTEGER NOT NULL,
        UNIQUE (file, destination)
    );
    CREATE INDEX receipt_place ON receipt (folder, name);
    CREATE INDEX receipt_digest ON receipt (digest);
    CREATE INDEX receipt_more ON receipt (more) WHERE more <> '';
    CREATE INDEX receipt_time ON receipt (archived_at) WHERE state > 0;
    CREATE INDEX receipt_pending ON receipt (id) WHERE state = 0;
    CREATE INDEX receipt_conflict ON receipt (id) WHERE conflict = 1;
    """,
    """
    -- The start time in the file's name, which the files of one scan share; empty if there is none.
    ALTER TABLE file ADD COLUMN stamp TEXT NOT NULL DEFAULT '';
    CREATE INDEX file_experiment ON file (experiment, stamp);

    -- What a scan's text file says of its scan; motors is a JSON array.
    CREATE TABLE scan (
        file INTEGER PRIMARY KEY REFERENCES file,
        uid TEXT NOT NULL,
        number INTEGER,
        plan TEXT NOT NULL,
        motors TEXT NOT NULL,
        started TEXT NOT NULL
    );
    CREATE INDEX scan_uid ON scan (uid);
    CREATE INDEX scan_plan ON scan (plan);

    -- Files that a person took as they are, though their producer promised another checksum.
    CREATE TABLE resolved (
        source BLOB NOT NULL,
        fingerprint TEXT NOT NULL,
        promised TEXT NOT NULL,
        actual TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (source, fingerprint, promised)
    ) WITHOUT ROWID;

    -- When a copy was last read again, and what it was like then.
    CREATE TABLE verified (
        receipt INTEGER PRIMARY KEY REFERENCES receipt,
        at REAL NOT NULL,
        result TEXT NOT NULL
    );
    CREATE INDEX verified_at ON verified (at);
    """,
    """
    -- What a file that stays behind waits for: 0 time, 1 a person, 2 a decision.
    ALTER TABLE held ADD COLUMN waits_for INTEGER NOT NULL DEFAULT 0;
    UPDATE held SET waits_for = CASE
        WHEN words LIKE '%, true]' THEN 2 WHEN words LIKE '%", "", %' THEN 0 ELSE 1 END;
    CREATE INDEX held_waits_for ON held (waits_for, since);

    CREATE INDEX verified_faulty ON verified (receipt) WHERE result IN ('missing', 'altered');
    """,
)
"""One script a version, in order; a script that was released is never changed again."""

LATEST = len(MIGRATIONS)


class NewerLedger(Exception):  # noqa: N818 - a state, not a defect
    """A newer version of the program wrote this ledger."""


class ForeignDatabase(Exception):  # noqa: N818
    """It is a database, but no ledger of ours, or one that has lost tables."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many migrations a database has seen; 0 if it is empty.

    Raises:
        NewerLedger: more than this program knows.
        ForeignDatabase: none, but it has tables.

    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > LATEST:
        raise NewerLedger(f"its version is {version}, this program knows {LATEST}")
    if not 0 <= version or bool(version) != bool(tables):
        raise ForeignDatabase("it is not a ledger")
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database up to date, each step whole or not at all.

    Raises:
        NewerLedger: a newer version of the program wrote it.
        ForeignDatabase: it is no ledger.
        sqlite3.Error: it can't be read or written.

    """
    version = version_of(connection)
    while version < LATEST:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = version_of(connection)  # another process may have been quicker
            for statement in _statements(MIGRATIONS[version]) if version < LATEST else ():
                connection.execute(statement)
            version = min(version + 1, LATEST)
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def is_whole(connection: sqlite3.Connection) -> bool:
    """Tell whether a database of today's version has all tables and columns of a ledger."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model)
        return _columns(model) <= _columns(connection)


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute(_COLUMNS))


_COLUMNS = "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c"


def _statements(script: str) -> list[str]:
    """Take a script apart: `executescript` would end the transaction it stands in."""
    return [part for part in script.split(";\n") if part.strip()]

"""The statements; the tables they work on are in `schema`.

What stands in double brackets is repeated for each row, so that one statement takes many: running
one for each row costs more in changing threads than in writing.
"""

from __future__ import annotations

# Waiting files

RECALL = "SELECT source, fingerprint, first_seen, cycles FROM waiting WHERE source IN ({marks})"
ADMIT = """
    INSERT INTO waiting (source, fingerprint, size, first_seen, cycles)
    VALUES [[(?, ?, ?, ?, ?)]]
    ON CONFLICT (source) DO UPDATE SET
        first_seen = CASE WHEN fingerprint = excluded.fingerprint THEN first_seen
                          ELSE excluded.first_seen END,
        fingerprint = excluded.fingerprint,
        size = excluded.size,
        cycles = excluded.cycles
"""
# The join looks each up by its key; comparing rows with the list as it is would read all that wait.
FORGET = """
    WITH gone (source, fingerprint) AS (VALUES [[(?, ?)]])
    DELETE FROM waiting WHERE source IN (
        SELECT w.source FROM gone CROSS JOIN waiting AS w
        ON w.source = gone.source AND w.fingerprint = gone.fingerprint)
"""
WAITING = "SELECT count(*) FROM waiting"
WAITING_TOTALS = "SELECT count(*), coalesce(sum(size), 0), min(first_seen) FROM waiting"
WAITING_VERSIONS = """
    SELECT source, fingerprint FROM waiting WHERE source > ? ORDER BY source LIMIT ?
"""
LAST_CYCLE = "SELECT name FROM cycle WHERE destination = ?"
REMEMBER_CYCLE = "INSERT OR REPLACE INTO cycle (destination, name) VALUES (?, ?)"

# Held back

HOLD = "INSERT OR REPLACE INTO held (source, since, words, waits_for) VALUES (?, ?, ?, ?)"
RELEASE = "DELETE FROM held WHERE source IN ([[?]])"
HELD_AMONG = "SELECT source FROM held WHERE source IN ({marks})"
HELD = "SELECT source, since, words FROM held WHERE source = ?"
HELD_COUNTS = "SELECT waits_for, count(*) FROM held GROUP BY waits_for"
LAST_HELD = "SELECT source, since, words FROM held ORDER BY waits_for DESC, since DESC LIMIT ?"

# Receipts

FILE = """
    INSERT INTO file (source, fingerprint, experiment, stamp) VALUES [[(?, ?, ?, ?)]]
    ON CONFLICT DO NOTHING
"""
SCAN = """
    INSERT OR REPLACE INTO scan (file, uid, number, plan, motors, started)
    VALUES [[((SELECT id FROM file WHERE source = ? AND fingerprint = ?), ?, ?, ?, ?, ?)]]
"""
FOLDER = "INSERT INTO folder (path) VALUES [[(?)]] ON CONFLICT DO NOTHING"
RECEIPT = """
    INSERT INTO receipt (file, destination, folder, name, algorithm, digest, more,
                         archived_at, seconds, attempts, manner, conflict, state)
    VALUES [[((SELECT id FROM file WHERE source = ? AND fingerprint = ?), ?,
              (SELECT id FROM folder WHERE path = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]
    ON CONFLICT (file, destination) DO UPDATE SET
        conflict = CASE WHEN excluded.conflict AND conflict AND folder = excluded.folder
                             AND name = excluded.name THEN conflict ELSE excluded.conflict END,
        folder = excluded.folder, name = excluded.name, algorithm = excluded.algorithm,
        digest = excluded.digest, more = excluded.more, archived_at = excluded.archived_at,
        seconds = excluded.seconds, attempts = excluded.attempts, manner = excluded.manner,
        state = excluded.state
"""
FULFIL = """
    UPDATE receipt SET state = 1
    WHERE state = 0 AND file IN (SELECT id FROM file WHERE source IN ([[?]]))
"""
# A pending one first, which becomes 3 and is then deleted: it never was; else the newest valid one.
VOID = """
    UPDATE receipt SET state = CASE state WHEN 0 THEN 3 ELSE 2 END WHERE id = (
        SELECT receipt.id FROM file JOIN receipt ON receipt.file = file.id
        WHERE source = ?1 AND destination = ?2 AND (?3 IS NULL OR fingerprint = ?3) AND state < 2
        ORDER BY state, archived_at DESC LIMIT 1)
"""
DROP = """
    DELETE FROM receipt WHERE state = 3 AND file IN (SELECT id FROM file WHERE source = ?)
"""

COLUMNS = """
    source, fingerprint, experiment, destination, folder.path, name, algorithm, digest, more,
    archived_at, seconds, attempts, manner, conflict, state, at, result, receipt.id
"""
_READ_AGAIN = "LEFT JOIN verified ON verified.receipt = receipt.id"
RECEIPTS = f"""
    SELECT {COLUMNS} FROM receipt
    CROSS JOIN file ON file.id = receipt.file CROSS JOIN folder ON folder.id = receipt.folder
    {_READ_AGAIN}
"""
RECEIPTS_OF_FILES = f"""
    SELECT {COLUMNS} FROM file CROSS JOIN receipt ON receipt.file = file.id
    CROSS JOIN folder ON folder.id = receipt.folder
    {_READ_AGAIN}
"""
PENDING = f"{RECEIPTS} WHERE state = 0 ORDER BY receipt.id"
VALID_RECEIPTS = f"{RECEIPTS_OF_FILES} WHERE state = 1 AND source IN ({{marks}})"
RECEIPTS_OF = f"""
    {RECEIPTS_OF_FILES} WHERE state > 0 AND source = ? ORDER BY archived_at DESC, receipt.id DESC
"""
RECEIPTS_BELOW = f"""
    SELECT {COLUMNS} FROM folder CROSS JOIN receipt ON receipt.folder = folder.id
    CROSS JOIN file ON file.id = receipt.file
    {_READ_AGAIN}
    WHERE folder.path = ? AND (name, receipt.id) > (?, ?) AND destination = ? AND state = 1
    ORDER BY name, receipt.id LIMIT ?
"""
RECEIPT_AT = f"""
    SELECT {COLUMNS} FROM folder CROSS JOIN receipt ON receipt.folder = folder.id
    CROSS JOIN file ON file.id = receipt.file
    {_READ_AGAIN}
    WHERE folder.path = ? AND name = ? AND destination = ? AND state = 1
    ORDER BY archived_at DESC LIMIT 1
"""
# What still waits was killed between its last receipt and its end: it is to be settled once more.
ARCHIVED = """
    SELECT source, fingerprint, destination FROM file
    CROSS JOIN receipt ON receipt.file = file.id WHERE state = 1 AND source IN ({marks})
    AND NOT EXISTS (SELECT 1 FROM waiting AS w WHERE w.source = file.source
                    AND w.fingerprint = file.fingerprint)
"""

# History

HISTORY = f"""
    {RECEIPTS} WHERE state > 0 AND (archived_at, receipt.id) < (?, ?) {{filter}}
    ORDER BY archived_at DESC, receipt.id DESC LIMIT ?
"""
HISTORY_OF_FILES = f"""
    {RECEIPTS_OF_FILES} WHERE state > 0 AND source IN ({{marks}}) {{filter}}
    ORDER BY archived_at DESC, receipt.id DESC
"""
# The experiment is part of the source's path, so it needs no look of its own.
BY_NAME = r"""
    CAST(source AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\'
    OR CAST(folder.path AS TEXT) || ? || CAST(name AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\'
"""
OR_CHECKSUM = "OR digest GLOB ? OR more LIKE ?"
BY_DIGEST = """
    receipt.id IN (SELECT id FROM receipt WHERE digest >= ? AND digest < ?
                   UNION SELECT id FROM receipt WHERE more <> '' AND more LIKE ?)
"""

# Without a separator the pattern can't span folder and name, so that each table is read once.
BY_PART = r"""
    +receipt.file IN
        (SELECT id FROM file WHERE CAST(source AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\')
    OR +receipt.folder IN
        (SELECT id FROM folder WHERE CAST(path AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\')
    OR CAST(name AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\'
"""
AT_DESTINATION = "AND destination = ?"
IN_EXPERIMENT = "AND receipt.file IN (SELECT id FROM file WHERE experiment = ?)"
# Few experiments have many files: their names come from the index, then those alone are looked up.
OF_EXPERIMENT = """
    AND receipt.file IN (SELECT id FROM file WHERE experiment IN (
        SELECT DISTINCT experiment FROM file
        WHERE CAST(experiment AS TEXT) COLLATE NOCASE IN (CAST(? AS TEXT), CAST(? AS TEXT))))
"""
OR_THAT_DAY = "OR (archived_at >= ? AND archived_at < ?)"
# A fit and a plot say nothing of their scan: they are known by the start time in their names.
OF_SCANS = """
    AND receipt.id IN (SELECT receipt.id FROM receipt WHERE file IN (
        SELECT file FROM scan WHERE {which}
        UNION
        SELECT mate.id FROM scan JOIN file ON file.id = scan.file
        JOIN file AS mate ON mate.experiment = file.experiment AND mate.stamp = file.stamp
        WHERE {which} AND mate.stamp <> '' AND NOT EXISTS (
            SELECT 1 FROM scan AS other WHERE other.file = mate.id AND other.uid <> scan.uid)))
"""
OF_UID = OF_SCANS.format(which="scan.uid >= ? AND scan.uid < ?")
OF_PLAN = OF_SCANS.format(
    which="scan.plan IN (SELECT DISTINCT plan FROM scan WHERE plan = ? COLLATE NOCASE)"
)
OF_NUMBER = OF_SCANS.format(which="scan.number = ?")
SCANS = """
    SELECT source, fingerprint, uid, number, plan, motors, started FROM file
    CROSS JOIN scan ON scan.file = file.id WHERE source IN ({marks})
"""

# What a person decided

ACCEPT = "INSERT OR REPLACE INTO resolved VALUES (?, ?, ?, ?, ?)"
ACCEPTED = "SELECT 1 FROM resolved WHERE source = ? AND fingerprint = ? AND promised = ?"
RESOLVED = "SELECT promised, actual, at FROM resolved WHERE source = ? ORDER BY at DESC"

# Verification: those that were never read again first, then the oldest check

_CHECKED = "archived_at < ? AND destination = ? AND state = 1 {filter}"
_CHECK = """
    receipt.id, source, experiment, folder.path, name, algorithm, digest,
    CAST(fingerprint AS INTEGER)
"""
UNCHECKED = f"""
    SELECT {_CHECK}, 0 FROM receipt
    CROSS JOIN file ON file.id = receipt.file CROSS JOIN folder ON folder.id = receipt.folder
    WHERE receipt.id > ? AND {_CHECKED}
    AND NOT EXISTS (SELECT 1 FROM verified WHERE verified.receipt = receipt.id)
    ORDER BY receipt.id LIMIT ?
"""
CHECKED = f"""
    SELECT {_CHECK}, at FROM verified CROSS JOIN receipt ON receipt.id = verified.receipt
    CROSS JOIN file ON file.id = receipt.file CROSS JOIN folder ON folder.id = receipt.folder
    WHERE (at, verified.receipt) > (?, ?) AND at < ? AND {_CHECKED}
    ORDER BY at, verified.receipt LIMIT ?
"""
TO_CHECK = f"""
    SELECT count(*), coalesce(sum(CAST(fingerprint AS INTEGER)), 0)
    FROM receipt CROSS JOIN file ON file.id = receipt.file
    LEFT JOIN verified ON verified.receipt = receipt.id
    WHERE coalesce(at, 0) < ? AND {_CHECKED}
"""
VERIFIED = "INSERT OR REPLACE INTO verified (receipt, at, result) VALUES [[(?, ?, ?)]]"
# What was copied there again since is another copy; the index has exactly these results.
FAULTY = """
    SELECT count(DISTINCT file) FROM verified CROSS JOIN receipt ON receipt.id = verified.receipt
    WHERE result IN ('missing', 'altered') AND at >= archived_at AND state = 1
"""
NAMES_BELOW = """
    SELECT name FROM folder CROSS JOIN receipt ON receipt.folder = folder.id
    WHERE folder.path = ? AND destination = ? AND state = 1
"""

# Conflicts

UNSEEN_CONFLICTS = "SELECT count(DISTINCT file) FROM receipt WHERE conflict = 1 AND state = 1"
LAST_UNSEEN = f"""
    {RECEIPTS} WHERE receipt.id IN
        (SELECT max(id) FROM receipt WHERE conflict = 1 AND state = 1 GROUP BY file)
    ORDER BY receipt.id DESC LIMIT ?
"""
UNSEEN_OF = """
    SELECT count(DISTINCT file) FROM file JOIN receipt ON receipt.file = file.id
    WHERE source = ? AND conflict = 1 AND state = 1
"""
SEEN = """
    UPDATE receipt SET conflict = 2
    WHERE conflict = 1 AND file IN (SELECT id FROM file WHERE source = ?)
"""

# Of the ledger itself, and of destinations

LAST_MOUNT = "SELECT value FROM meta WHERE key = 'mount ' || ?"
REMEMBER_MOUNT = "INSERT OR REPLACE INTO meta (key, value) VALUES ('mount ' || ?, ?)"
BORN = "SELECT value FROM meta WHERE key = 'born'"

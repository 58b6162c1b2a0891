"""What the ledger is asked and told; what each statement looks like is in `sql`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from watcher.activity import Notice
from watcher.ledger import rows, sql
from watcher.ledger.database import Database, Step, Store
from watcher.ledger.peek import Peek
from watcher.ledger.rows import Check, Version, Waiting, key, receipt_of, version
from watcher.ledger.search import Checks, Condition, Wanted, matching
from watcher.model import Checksum, FinishedFile, HeldBack, Receipt, Scan, WaitsFor

T = TypeVar("T")
_PAGE = 500
_LARGEST_PAGE = 8000


class Ledger:
    """The record of receipts, of waiting files and their cycles, of reasons; never the truth.

    All methods may be called from any thread. None raises because the ledger can't be read or
    written: while there is `trouble`, queries find nothing, and what is told is kept for later
    (the last 10,000 rows). Only a ledger from `peek` raises `WatcherError`.
    """

    def __init__(self, store: Store) -> None:
        """Use `open` or `peek`."""
        self._store = store

    @classmethod
    def open(cls, path: str, tell: Callable[[Notice], None]) -> Ledger:
        """Open the ledger for writing, creating it (and its folder) if missing.

        Args:
            path: the file.
            tell: called with what an operator should know, from any thread; must not wait.

        """
        return cls(Database(os.path.abspath(path), tell))

    @classmethod
    def peek(cls, path: str) -> Ledger | None:
        """Open it for reading while another process may write; changes nothing in its folder.

        Returns:
            None if there is no ledger.

        Raises:
            WatcherError: it can't be read, is damaged, or a newer version wrote it.

        """
        try:
            return cls(Peek(os.path.abspath(path)))
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Write what is still kept in memory, if that can be, and let go of the file."""
        self._store.close()

    @property
    def trouble(self) -> str:
        """Why nothing can be written now; empty when all is well."""
        return self._store.trouble

    @property
    def born(self) -> float:
        """When this ledger was begun; infinitely late if it can't be read."""
        return self._one(sql.BORN, (), math.inf)

    # Waiting files

    def recall(self, files: Sequence[FinishedFile]) -> dict[str, Waiting]:
        """Return what is known of those `files` that are not archived yet, by their `path`.

        Only what belongs to the very fingerprint counts. A file that has valid receipts but was
        never admitted (or was settled since) is there too, with `first_seen` None.
        """
        found: dict[str, Waiting] = {}
        for chunk in rows.chunks(files):
            wanted = rows.wanted(chunk)
            receipts: dict[bytes, dict[str, Receipt]] = {}
            for source, fingerprint, receipt in self._among(
                sql.VALID_RECEIPTS, wanted, rows.keyed_receipt
            ):
                if fingerprint == wanted[source][1]:
                    receipts.setdefault(source, {})[receipt.destination] = receipt
            for source, fingerprint, first_seen, cycles in self._among(
                sql.RECALL, wanted, rows.whole
            ):
                path, current = wanted[source]
                if fingerprint == current:
                    fixed = rows.read_cycles(cycles)
                    found[path] = Waiting(first_seen, fixed, receipts.pop(source, {}))
            for source, valid in receipts.items():
                found[wanted[source][0]] = Waiting(None, {}, valid)
        return found

    def admit(self, admitted: Sequence[tuple[FinishedFile, float, Mapping[str, str]]]) -> None:
        """Record files that wait: when they were first seen, and their cycles by destination.

        A row of the same fingerprint keeps the time of its first look. They are written together
        with what is told next, or by `commit`.
        """
        told = [
            (
                key(file.path),
                version(file.fingerprint),
                file.fingerprint.size,
                seen,
                rows.write_cycles(cycles),
            )
            for file, seen, cycles in admitted
        ]
        self._store.write_later((sql.ADMIT, told))

    def commit(self) -> None:
        """Write what was only admitted yet; durable when this returns, whoever wrote it."""
        self._store.commit()

    def forget(self, versions: Sequence[Version]) -> None:
        """Drop the waiting rows and the reasons of files that are gone; no newer version's row."""
        self._store.write(*_ends(versions))

    def waiting(self) -> int:
        """Count the waiting rows."""
        return self._one(sql.WAITING, (), 0)

    def waiting_totals(self) -> tuple[int, int, float | None]:
        """Sum the waiting rows up: how many, their bytes, and when the oldest was first seen."""
        found = self._store.read(sql.WAITING_TOTALS, (), rows.whole)
        return found[0] if found else (0, 0, None)

    def waiting_versions(self, after: str, limit: int) -> list[Version]:
        """Return the next `limit` waiting files (by plain paths) after `after`, in their order."""
        return self._store.read(sql.WAITING_VERSIONS, (key(after), limit), rows.version_of)

    def last_cycle(self, destination: str) -> str | None:
        """Return the last cycle that could be read at a destination."""
        return next(iter(self._store.read(sql.LAST_CYCLE, (destination,), str)), None)

    def remember_cycle(self, destination: str, cycle: str) -> None:
        """Record the cycle that was just read."""
        if self.last_cycle(destination) != cycle:
            self._store.write((sql.REMEMBER_CYCLE, [(destination, cycle)]))

    def last_mount(self, place: str) -> str:
        """Return the mount point that a place was last seen on; empty if on none.

        Args:
            place: a destination's name, or a data root.

        """
        found = self._store.read(sql.LAST_MOUNT, (os.fsencode(place),), bytes)
        return next(map(os.fsdecode, found), "")

    def remember_mount(self, place: str, mount: str) -> None:
        """Record the mount point that a place was seen on."""
        if self.last_mount(place) != mount:
            self._store.write((sql.REMEMBER_MOUNT, [(os.fsencode(place), os.fsencode(mount))]))

    # Receipts

    def record(self, receipts: Sequence[Receipt]) -> None:
        """Record receipts in one commit; one of the same file and destination is replaced."""
        self._store.write(*_steps(receipts, rows.VALID))

    def intend(self, receipts: Sequence[Receipt]) -> None:
        """Record what is about to be renamed into place; it counts for nothing until settled."""
        self._store.write(*_steps(receipts, rows.PENDING))

    def settle(self, receipts: Sequence[Receipt], versions: Sequence[Version]) -> None:
        """Record the last receipts of files that all destinations hold now, in one commit.

        What was intended for the `versions` is valid from now on; their waiting rows and reasons
        are gone, but not the row of a newer version that has taken a path meanwhile.
        """
        fulfilled = [(key(source),) for source, _ in versions]
        self._store.write(*_steps(receipts, rows.VALID), (sql.FULFIL, fulfilled), *_ends(versions))

    def pending(self) -> list[Receipt]:
        """Return what was intended and neither settled nor voided."""
        return self._store.read(sql.PENDING, (), receipt_of)

    def void(self, source: str, destination: str, receipt: Receipt | None = None) -> None:
        """Take a receipt back: an intended one is dropped, a valid one stays as history.

        Args:
            source: the file.
            destination: where its copy is not.
            receipt: which one; else the intended one, else the newest.

        """
        fingerprint = version(receipt.fingerprint) if receipt else None
        self._store.write(
            (sql.VOID, [(key(source), destination, fingerprint)]), (sql.DROP, [(key(source),)])
        )

    def archived(self, files: Sequence[FinishedFile], destinations: Collection[str]) -> set[str]:
        """Return the paths of those files that have valid receipts from all `destinations`."""
        paths: set[str] = set()
        for chunk in rows.chunks(files):
            wanted = rows.wanted(chunk)
            holders: dict[str, set[str]] = {}
            for source, fingerprint, destination in self._among(sql.ARCHIVED, wanted, rows.whole):
                path, current = wanted[source]
                if fingerprint == current:
                    holders.setdefault(path, set()).add(destination)
            paths |= {path for path, held in holders.items() if held.issuperset(destinations)}
        return paths

    def receipts_of(self, source: str) -> list[Receipt]:
        """Return all receipts of a source, the newest first; void ones are marked."""
        return self._store.read(sql.RECEIPTS_OF, (key(source),), receipt_of)

    def receipts_below(self, destination: str, folder: str) -> Iterator[Receipt]:
        """Yield the valid receipts whose experiment's folder is `folder`, in the order of names."""
        last: tuple[bytes, int] = (b"", 0)
        while page := self._store.read(
            sql.RECEIPTS_BELOW, (key(folder), *last, destination, _PAGE), rows.numbered_receipt
        ):
            yield from (receipt for receipt, _ in page)
            last = page[-1][1][5], page[-1][1][-1]

    def receipt_at(self, destination: str, path: str) -> Receipt | None:
        """Return the valid receipt for the copy at `path`."""
        for folder, name in rows.places(path):
            arguments = (folder, name, destination)
            for receipt in self._store.read(sql.RECEIPT_AT, arguments, receipt_of):
                return receipt
        return None

    def history(self, wanted: Wanted | str = "", limit: int | None = None) -> Iterator[Receipt]:
        """Yield receipts, the newest first; void ones are marked.

        Args:
            wanted: which; a text alone is `Wanted.text`.
            limit: how many at most.

        """
        asked = Wanted(text=wanted) if isinstance(wanted, str) else wanted
        for page in self._pages(matching(asked), limit):
            yield from (receipt for receipt, _ in page)

    def history_by_file(self, wanted: Wanted, limit: int) -> Iterator[list[Receipt]]:
        """Yield files, the newest first, each with all its receipts that are wanted.

        Args:
            wanted: which.
            limit: how many files at most.

        """
        condition = matching(wanted)
        told: set[tuple[bytes, str]] = set()
        for page in self._pages(condition) if limit else ():
            files = dict.fromkeys(row[:2] for _, row in page)
            fresh = [file for file in files if file not in told][: limit - len(told)]
            told.update(fresh)
            yield from self._receipts_of_files(fresh, condition)
            if len(told) == limit:
                return

    def _receipts_of_files(
        self, files: Sequence[tuple[bytes, str]], condition: Condition
    ) -> Iterator[list[Receipt]]:
        wanted, arguments = condition
        for chunk in rows.chunks(files):
            marks = ",".join("?" * len(chunk))
            statement = sql.HISTORY_OF_FILES.format(marks=marks, filter=wanted)
            found: dict[tuple[bytes, str], list[Receipt]] = {file: [] for file in chunk}
            sources = [source for source, _ in chunk]
            for receipt, row in self._store.read(
                statement, (*sources, *arguments), rows.numbered_receipt
            ):
                if row[:2] in found:
                    found[row[:2]].append(receipt)
            yield from filter(None, found.values())

    def _pages(
        self, condition: Condition, limit: int | None = None
    ) -> Iterator[list[tuple[Receipt, rows.Row]]]:
        """Yield receipts with their rows, the newest first."""
        wanted, arguments = condition
        statement = sql.HISTORY.format(filter=wanted)
        last: tuple[float, float] = (math.inf, math.inf)
        left, size = math.inf if limit is None else limit, _PAGE
        while left > 0 and (
            page := self._store.read(
                statement, (*last, *arguments, min(left, size)), rows.numbered_receipt
            )
        ):
            size = min(2 * size, _LARGEST_PAGE)  # finding where a page begins may cost much
            yield page
            left -= len(page)
            last = page[-1][0].archived_at, page[-1][1][-1]

    def scans(self, receipts: Iterable[Receipt]) -> dict[str, Scan]:
        """Return what is known of the scans of files, by their source."""
        found: dict[str, Scan] = {}
        for chunk in rows.chunks(receipts):
            versions = {r.source: version(r.fingerprint) for r in chunk}
            keys = [key(source) for source in versions]
            for (source, fingerprint), scan in self._among(sql.SCANS, keys, rows.scan_of):
                if versions.get(source) == fingerprint:
                    found[source] = scan
        return found

    # What a person decided

    def accept(self, file: FinishedFile, promised: Checksum, actual: Checksum, at: float) -> None:
        """Record that a file is taken as it is, though its producer promised another checksum."""
        row = (key(file.path), version(file.fingerprint), str(promised), str(actual), at)
        self._store.write((sql.ACCEPT, [row]))

    def accepted(self, file: FinishedFile, promised: Checksum) -> bool:
        """Tell whether that was decided of this very version of a file."""
        arguments = (key(file.path), version(file.fingerprint), str(promised))
        return bool(self._store.read(sql.ACCEPTED, arguments, rows.first))

    def resolutions(self, source: str) -> list[tuple[str, str, float]]:
        """Return what was promised of a file, what it was taken as, and when; the newest first."""
        return self._store.read(sql.RESOLVED, (key(source),), rows.whole)

    # Verification

    def to_check(self, wanted: Checks) -> tuple[int, int]:
        """Count the copies that are to be read again, and their bytes."""
        condition, arguments = wanted.condition
        statement = sql.TO_CHECK.format(filter=condition)
        every = (wanted.before, wanted.before, wanted.destination, *arguments)
        return next(iter(self._store.read(statement, every, rows.whole)), (0, 0))

    def checks(self, wanted: Checks) -> Iterator[Check]:
        """Yield the copies that are to be read again.

        Those that never were come first, then the oldest check.
        """
        condition, arguments = wanted.condition
        last = 0
        while page := self._store.read(
            sql.UNCHECKED.format(filter=condition),
            (last, wanted.before, wanted.destination, *arguments, _PAGE),
            rows.check_of,
        ):
            yield from page
            last = page[-1].number
        mark = (0.0, 0)
        while page := self._store.read(
            sql.CHECKED.format(filter=condition),
            (*mark, wanted.before, wanted.before, wanted.destination, *arguments, _PAGE),
            rows.check_of,
        ):
            yield from page
            mark = page[-1].at, page[-1].number

    def checked(self, results: Sequence[tuple[int, float, str]]) -> None:
        """Record when copies were read again, and what they were like: number, time, state."""
        self._store.write((sql.VERIFIED, list(results)))

    def faulty(self) -> int:
        """Count the files of which a copy was missing or altered when it was read again last."""
        return self._one(sql.FAULTY, (), 0)

    def names_below(self, destination: str, folder: str) -> set[str]:
        """Return the paths, from an experiment's folder, of the copies that have valid receipts."""
        arguments = (key(folder), destination)
        return set(self._store.read(sql.NAMES_BELOW, arguments, os.fsdecode))

    # Held back

    def hold(self, *held: HeldBack) -> None:
        """Record the one reason why each of some files stays behind."""
        self._store.write((sql.HOLD, [rows.held_row(one) for one in held]))

    def release(self, source: str) -> None:
        """Drop the reason."""
        self._store.write((sql.RELEASE, [(key(source),)]))

    def held(self, source: str) -> HeldBack | None:
        """Return the reason why a file stays behind."""
        return next(iter(self._store.read(sql.HELD, (key(source),), rows.held_of)), None)

    def held_among(self, files: Sequence[FinishedFile]) -> set[str]:
        """Return the paths of those files that stay behind for a reason."""
        paths: set[str] = set()
        for chunk in rows.chunks(files):
            wanted = {key(file.path): file.path for file in chunk}
            paths.update(wanted[source] for source in self._among(sql.HELD_AMONG, wanted, bytes))
        return paths

    def held_counts(self) -> dict[WaitsFor, int]:
        """Count the files that stay behind for a reason, by what they wait for."""
        found: list[tuple[int, int]] = self._store.read(sql.HELD_COUNTS, (), rows.whole)
        return {WaitsFor(kind): count for kind, count in found}

    def last_held(self, limit: int) -> list[HeldBack]:
        """Return the last of them, the newest first, those that wait for somebody before others."""
        return self._store.read(sql.LAST_HELD, (limit,), rows.held_of)

    # Conflicts

    def unseen_conflicts(self) -> int:
        """Count the files that had to take a conflict name and that nobody has marked as seen."""
        return self._one(sql.UNSEEN_CONFLICTS, (), 0)

    def last_unseen(self, limit: int) -> list[Receipt]:
        """Return the last receipt of each of the last of them, the newest first."""
        return self._store.read(sql.LAST_UNSEEN, (limit,), receipt_of)

    def mark_conflict_seen(self, source: str) -> int:
        """Mark a source's conflicts as seen and return how many there were."""
        count = self._one(sql.UNSEEN_OF, (key(source),), 0)
        self._store.write((sql.SEEN, [(key(source),)]))
        return count

    def _one(self, statement: str, arguments: Sequence[object], default: T) -> T:
        """Return the one value that a query finds."""
        return next(iter(self._store.read(statement, arguments, rows.first)), default)

    def _among(self, statement: str, keys: Collection[bytes], make: Callable[..., T]) -> list[T]:
        """Run a query about a chunk of sources."""
        marks = ",".join("?" * len(keys))
        return self._store.read(statement.format(marks=marks), tuple(keys), make)


def _ends(versions: Sequence[Version]) -> tuple[Step, ...]:
    known = [(key(source), version(fingerprint)) for source, fingerprint in versions]
    return (sql.FORGET, known), (sql.RELEASE, [(source,) for source, _ in known])


def _steps(receipts: Sequence[Receipt], state: int) -> tuple[Step, ...]:
    files = [rows.file_row(receipt) for receipt in receipts]
    pairs = list(zip(files, receipts, strict=True))
    return (
        (sql.FILE, files),
        (sql.FOLDER, [(rows.folder_key(f),) for f in {receipt.folder for receipt in receipts}]),
        (sql.SCAN, [rows.scan_row(file, r.scan) for file, r in pairs if r.scan]),
        (sql.RECEIPT, [rows.receipt_row(file, receipt, state) for file, receipt in pairs]),
    )

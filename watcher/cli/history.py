"""`watcher history`: which files went where, and when."""

from __future__ import annotations

import csv as csv_module
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher.cli.moments import day, span
from watcher.cli.options import ConfigFile, Json, refuse_unknown
from watcher.cli.printing import Array, say

if TYPE_CHECKING:
    from watcher.config import DestinationConfig
    from watcher.ledger import Ledger, Wanted
    from watcher.model import Receipt, Scan

_SHOWN = 50
_PAGE = 500


def history(
    text: Annotated[
        str, typer.Argument(help="A part of a name or path, a date, a checksum or its beginning.")
    ] = "",
    config: ConfigFile = None,
    uid: Annotated[
        str, typer.Option(help="The files of the scan with this uid, or its beginning.")
    ] = "",
    plan: Annotated[str, typer.Option(help="The files of the scans of this plan.")] = "",
    scan: Annotated[
        int | None,
        typer.Option(help="The files of the scans of this number.", show_default=False),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(help="One experiment, with or without its RB.", show_default=False),
    ] = None,
    destination: Annotated[
        str | None, typer.Option(help="The copies at one destination only.", show_default=False)
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DATE", help="Since a date (2026-07-01), or so long ago (7d).")
    ] = "",
    until: Annotated[
        str, typer.Option(metavar="DATE", help="Until a date, that day included, or so long ago.")
    ] = "",
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0, help="How many files at most; 50 unless for programs.", show_default=False
        ),
    ] = None,
) -> None:
    """Tell which files went where, when, and with what checksum; the newest first.

    Places where copies stay come before those that others clean.

    Example: watcher history scan_12 --since 7d
    """
    from watcher.config import load
    from watcher.inquiry import ledger_of
    from watcher.ledger import Wanted

    loaded, now = load(config), time.time()
    refuse_unknown(destination, [one.name for one in loaded.destinations])
    start = span(since, now)[0] if since else None
    end = span(until, now)[1] if until else None
    wanted = Wanted(
        text,
        day=day(text),
        uid=uid,
        plan=plan,
        scan=scan,
        experiment=experiment,
        destination=destination,
        since=start,
        until=end,
    )
    if limit is None:
        limit = None if json or csv else _SHOWN
    with ledger_of(loaded) as ledger:
        files = _files(ledger, wanted, limit, loaded.destinations) if ledger else iter(())
        found = itertools.chain.from_iterable(files)
        if json:
            array = Array()
            for row in _rows(found, ledger):
                array.add(row)
            array.end()
        elif csv:
            _print_csv(_rows(found, ledger))
        else:
            _print_lines(files, ledger, limit)


def _files(
    ledger: Ledger, wanted: Wanted, limit: int | None, known: Sequence[DestinationConfig]
) -> Iterator[list[Receipt]]:
    """Yield the receipts of each file, those of lasting copies first.

    Without a limit each is alone: what is asked for all the history must not keep all in mind.
    """
    if limit is None:
        yield from ([receipt] for receipt in ledger.history(wanted))
        return
    order = {d.name: (d.cleaned_by_others, number) for number, d in enumerate(known)}
    for receipts in ledger.history_by_file(wanted, limit):
        yield sorted(receipts, key=lambda one: order.get(one.destination, (True, len(order))))


def _rows(found: Iterator[Receipt], ledger: Ledger | None) -> Iterator[dict[str, Any]]:
    while page := list(itertools.islice(found, _PAGE)):
        scans = ledger.scans(page) if ledger else {}
        yield from (_row(receipt, scans.get(receipt.source)) for receipt in page)


def _row(receipt: Receipt, scan: Scan | None) -> dict[str, Any]:
    from watcher.views.words import iso

    return {
        "archived_at": iso(receipt.archived_at),
        "source": receipt.source,
        "experiment": receipt.experiment,
        "destination": receipt.destination,
        "path": receipt.path,
        "bytes": receipt.fingerprint.size,
        "checksum": str(receipt.checksum),
        "checksums": [str(checksum) for checksum in receipt.checksums],
        "took_s": round(receipt.seconds, 3),
        "attempts": receipt.attempts,
        "manner": receipt.manner.value,
        "conflict": receipt.conflict,
        "void": receipt.void,
        "verified_at": iso(receipt.proof.at) if receipt.proof else None,
        "verified_as": receipt.proof.state if receipt.proof else None,
        "uid": scan.uid if scan else None,
        "scan_id": scan.scan_id if scan else None,
        "plan_name": scan.plan_name if scan else None,
        "motors": list(scan.motors) if scan else None,
        "start_time": scan.start_time if scan else None,
    }


def _print_csv(rows: Iterable[dict[str, Any]]) -> None:
    """Print a table; what is no text in a name is escaped."""
    from watcher.views.words import visible

    writer = None
    encoding = sys.stdout.encoding or "ascii"
    for row in rows:
        plain = {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()}
        cells = {k: visible(v, encoding) if isinstance(v, str) else v for k, v in plain.items()}
        if writer is None:
            writer = csv_module.DictWriter(sys.stdout, list(cells), lineterminator="\n")
            writer.writeheader()
        writer.writerow(cells)


def _print_lines(
    files: Iterable[Sequence[Receipt]], ledger: Ledger | None, limit: int | None
) -> None:
    from watcher.views import words

    count = 0
    for count, receipts in enumerate(files, start=1):  # noqa: B007 - counted beyond the loop
        for line in _lines(receipts):
            say(line)
        for scan in ledger.scans(receipts).values() if ledger else ():
            say(f"    {_words(scan)}")
    if not count:
        say("nothing of that is on record")
    elif count == limit:
        say(f"(the newest {words.count(count, 'file')}; --limit shows more)")


def _words(scan: Scan) -> str:
    number = "scan" if scan.scan_id is None else f"scan {scan.scan_id}"
    return f"{number} ({scan.plan_name})" if scan.plan_name else number


def _lines(receipts: Sequence[Receipt]) -> Iterator[str]:
    from watcher.views import words

    for receipt in receipts:
        when = words.dated(receipt.archived_at)
        gone = ", gone since" if receipt.void else ""
        proof = receipt.proof
        again = f", read again {words.dated(proof.at)}: {proof.state}" if proof else ""
        kept = ", beside another of its name" if receipt.conflict else ""
        took = words.duration(receipt.seconds)
        size = words.size(receipt.fingerprint.size)
        yield f"{when}  {receipt.destination}  {receipt.path}"
        yield f"    {size}, {receipt.manner} in {took}{kept}{gone}, {receipt.checksum}{again}"
        if os.path.basename(receipt.source) != os.path.basename(receipt.path):
            yield f"    from {receipt.source}"

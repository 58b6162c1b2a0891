"""`watcher verify`: whether the copies still are what was recorded."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watcher.cli import moments
from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile, Json, refuse_unknown
from watcher.cli.printing import Array, say
from watcher.cli.progress import is_terminal

if TYPE_CHECKING:
    from watcher.verification import Finding, Tally

_EVERY = 0.2
"""Seconds between two looks of the progress bar."""


def verify(
    config: ConfigFile = None,
    destination: Annotated[
        str | None, typer.Option(help="One destination only.", show_default=False)
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="One experiment only, as in RB123456.", show_default=False)
    ] = None,
    older_than: Annotated[
        str,
        typer.Option(metavar="AGE", help="Only what was not proven for so long, as in 30d."),
    ] = "",
    sample: Annotated[
        str, typer.Option(metavar="SHARE", help="Only so much, as in 5%, the oldest check first.")
    ] = "",
    json: Json = False,
) -> int:
    """Read archived copies again and compare them with what is on record.

    Works without a ledger too, from manifests, sidecars and streams. Ctrl-C ends it with what was
    found so far; the next one goes on with what was not read. Ends with 0 if all is well.

    Example: watcher verify --experiment RB123456 --destination archive
    """
    from watcher.config import load
    from watcher.verification import Asked, Tally
    from watcher.verification import verify as findings_of

    loaded = load(config)
    refuse_unknown(destination, [one.name for one in loaded.destinations])
    asked = Asked(
        destination,
        experiment,
        moments.age(older_than) if older_than else None,
        moments.share(sample) if sample else None,
    )
    tally, started = Tally(), time.monotonic()
    array = Array()
    findings = findings_of(loaded, asked, tally)
    with _bar(tally) as look:
        try:
            for finding in findings:
                if json:
                    array.add(_row(finding))
                elif finding.state.is_fault:
                    say(_line(finding))
                look()
        except KeyboardInterrupt:
            tally.interrupted = True
        finally:
            findings.close()
    if tally.nowhere:
        raise typer.BadParameter(
            f"--experiment: found {experiment!r}, of which there is no record, and no folder at "
            f"{', '.join(tally.nowhere)}"
        )
    if json:
        array.end()
    for line in _summary(tally, time.monotonic() - started):
        _tell(line, json=json)
    return Exit.DONE if tally.is_clean else Exit.LEFT_BEHIND


def _row(finding: Finding) -> dict[str, Any]:
    from watcher.platform import system
    from watcher.views.words import iso

    copy = finding.copy
    return {
        "source": copy.source,
        "destination": copy.destination,
        "path": system.plain(copy.path),
        "checksum": str(copy.checksum) if copy.checksum else None,
        "state": finding.state.value,
        "found": finding.found or None,
        "verified_at": iso(finding.at),
    }


def _line(finding: Finding) -> str:
    from watcher.platform import system

    copy = finding.copy
    line = f"{finding.state:<10}  {copy.destination}  {system.plain(copy.path)}"
    if finding.state == "altered":
        return f"{line}: it is {finding.found}, on record is {copy.checksum}"
    return f"{line}: {finding.found}" if finding.found else line


def _summary(tally: Tally, seconds: float) -> Iterator[str]:
    from watcher.views import words

    counts = [f"{count:,} {state}" for state, count in sorted(tally.counts.items())]
    for name, reason in tally.unreachable.items():
        yield f"{name} can't be looked at: {reason}"
    yield from tally.remarks
    if tally.unkept:
        yield f"the result is not kept: {tally.unkept}"
    if tally.interrupted:
        yield "interrupted: the next `watcher verify` goes on with what was not read"
    read = f"read {words.size(tally.done)} in {words.duration(seconds)}"
    yield f"{', '.join(counts) or 'nothing to verify'}; {read}"


def _tell(line: str, *, json: bool) -> None:
    """Say it; beside an array for programs, on standard error."""
    if not json:
        say(line)
    elif sys.stderr is not None:
        with contextlib.redirect_stdout(sys.stderr):
            say(line)


@contextlib.contextmanager
def _bar(tally: Tally) -> Iterator[Callable[[], None]]:
    """Show bytes and the time left on a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda: None
        return
    tally.is_shown = True
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task, last = progress.add_task("verify", total=None), 0.0

        def look() -> None:
            nonlocal last
            if time.monotonic() - last > _EVERY:
                last = time.monotonic()
                total = max(tally.size, tally.done)
                progress.update(task, completed=tally.done, total=total or None)

        yield look

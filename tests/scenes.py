"""States of an instrument that views are shown in, told as news like the real ones."""

from __future__ import annotations

import ntpath
from collections.abc import Iterable
from datetime import datetime

from watcher.activity import (
    Archived,
    BacklogChanged,
    BatchBegan,
    ConflictKept,
    DestinationChanged,
    FileHeldBack,
    HintsMissed,
    News,
    RescanEnded,
    Snapshot,
    SpaceMeasured,
    Started,
    fold,
)
from watcher.model import (
    Checksum,
    DestinationState,
    Fingerprint,
    HeldBack,
    Manner,
    Receipt,
    Stranded,
    WalkResult,
)

NOW = datetime(2026, 7, 1, 15, 15, 7).timestamp()
"""A local time, so that what is shown is the same in every time zone."""
ROOT = r"C:\Data"
ARCHIVE = r"\\isis.cclrc.ac.uk\inst$\NDXLARMOR\Instrument\data\cycle_26_2\autoreduced\bluesky_scans"
CACHE = r"C:\Data\Export only"
WICKED = "[red]\x1b[31m\u202egpj\nrm -rf\udcff 日本語 שלום.txt"


def receipts(
    name: str, archived_at: float, *, size: int = 12_345, seconds: float = 0.064, clash: str = ""
) -> tuple[Receipt, ...]:
    def receipt(destination: str, folder: str, leaf: str, conflict: bool) -> Receipt:
        return Receipt(
            source=ntpath.join(ROOT, "RB123456", "bluesky_scans", name),
            experiment="RB123456",
            fingerprint=Fingerprint(size, int(archived_at * 1e9), "2a"),
            destination=destination,
            path=ntpath.join(folder, leaf),
            folder=folder,
            checksums=(Checksum("sha256", "1a2b3c4d" * 8),),
            archived_at=archived_at,
            seconds=seconds,
            attempts=1,
            manner=Manner.COPIED,
            conflict=conflict,
        )

    return (
        receipt("archive", rf"{ARCHIVE}\RB123456", clash or name, bool(clash)),
        receipt("cache", rf"{CACHE}\RB123456\bluesky_scans", name, False),
    )


def told(news: Iterable[tuple[float, News]], state: Snapshot | None = None) -> Snapshot:
    """Fold news, each told some seconds before `NOW`."""
    state = state or Snapshot()
    for ago, one in news:
        state = fold(state, one, NOW - ago)
    return state


STARTED: tuple[tuple[float, News], ...] = (
    (
        11_530,
        Started(
            "NDXLARMOR",
            "0.1.0",
            4711,
            (ROOT,),
            ("archive", "cache"),
            r"C:\ProgramData\watcher\watcher.yaml",
            r"C:\ProgramData\watcher\watcher.log",
        ),
    ),
    (11_529, DestinationChanged("archive", DestinationState.ONLINE)),
    (11_529, DestinationChanged("cache", DestinationState.ONLINE)),
)


def starting() -> Snapshot:
    """Nobody has looked at anything yet."""
    return told(STARTED[:1])


def calm() -> Snapshot:
    """All is well, and nothing is to be done."""
    files = [
        (60.0 * n + 7, Archived((receipts(f"scan_{n:03}.txt", NOW - 60 * n - 7),) * (1 + n % 7)))
        for n in range(40, 0, -1)
    ]
    rescan = (18.0, RescanEnded(WalkResult(unfinished=2, folders=214, seconds=0.4), NOW + 42))
    return told([*STARTED, *files, rescan, (5.0, BacklogChanged(0, 0, None))])


def outage() -> Snapshot:
    """The archive is gone; files wait for it."""
    down = DestinationChanged(
        "archive",
        DestinationState.OFFLINE,
        "the network path was not found (53)",
        "check the network cable and that isis.cclrc.ac.uk answers",
    )
    return told(
        [
            (252.0, down),
            (3.0, BacklogChanged(128, 3_456_789, NOW - 249)),
            (2.0, BatchBegan("cache-1", "cache", rf"{ROOT}\RB123456\bluesky_scans\scan_999.txt", 3,
                             36_000, 12_000)),
        ],
        calm(),
    )  # fmt: skip


def draining() -> Snapshot:
    """The archive is back, and the backlog goes there."""
    news: list[tuple[float, News]] = [
        (25.0, DestinationChanged("archive", DestinationState.ONLINE))
    ]
    big = BatchBegan("archive-1", "archive", rf"{ROOT}\RB123456\bluesky_scans\big\huge_map.nxs", 1,
                     2_500_000_000)  # fmt: skip
    news.append((24.0, big))
    for n in range(20, 0, -1):
        some = Archived(
            tuple(receipts(f"back_{n}_{i}.txt", NOW - n, seconds=260.0) for i in range(5))
        )
        news.append((float(n), some))
    news += [
        (1.0, BatchBegan("archive-1", "archive", big.name, 1, big.size, 1_100_000_000)),
        (1.0, BatchBegan("archive-2", "archive", rf"{ROOT}\RB123456\bluesky_scans\back_0_0.txt", 28,
                         345_678, 123_456)),
        (0.5, BacklogChanged(28, 2_500_345_678, NOW - 274)),
    ]  # fmt: skip
    return told(news, outage())


def trouble() -> Snapshot:
    """A bit of everything that needs a person, with names that would like to be obeyed."""
    clash = receipts("scan_007.txt", NOW - 30, clash="scan_007.1a2b3c4d.txt")
    here = rf"{ROOT}\RB123456\bluesky_scans"
    mismatch = HeldBack(
        rf"{here}\{WICKED}",
        "its content doesn't match its producer's checksum",
        "look at it, then: watcher resolve FILE --accept",
        NOW - 600,
        mismatch=True,
    )
    busy = HeldBack(rf"{here}\open.txt", "somebody has it open for writing", "", NOW - 30)
    walk = WalkResult(
        finished=2,
        unfinished=3,
        stranded=(Stranded(rf"{here}\died.txt", 812, NOW - 200_000),),
        stranded_count=1,
        folders=214,
        seconds=0.4,
        errors=(rf"{ROOT}\RB9: access is denied",),
    )
    return told(
        [
            (30.0, ConflictKept(clash[0].source, "archive", clash[0].path)),
            (30.0, Archived((clash, receipts(WICKED, NOW - 31)))),
            (29.0, FileHeldBack(mismatch)),
            (29.0, FileHeldBack(busy)),
            (20.0, HintsMissed(3, rf"{here}\late.txt")),
            (18.0, RescanEnded(walk, NOW + 42)),
            (5.0, BacklogChanged(2, 24_690, NOW - 600)),
        ],
        outage(),
    )


def full() -> Snapshot:
    """The archive is full: a file waits for room there, and another for a person."""
    down = DestinationChanged(
        "archive",
        DestinationState.FULL,
        "No space left on device",
        "free some space there; it goes on by itself",
    )
    held = HeldBack(
        rf"{ROOT}\RB123456\bluesky_scans\scan_998.txt",
        "it differs from its producer's checksum: it is sha256:1a2b3c4d",
        "look at both; `watcher resolve FILE --accept` archives it as it is",
        NOW - 120,
        "archive",
        mismatch=True,
    )
    news: list[tuple[float, News]] = [
        (100.0, down),
        (30.0, FileHeldBack(held)),
        (5.0, SpaceMeasured(ROOT, 76 * 10**9, 271 * 10**9, None)),
        (5.0, BacklogChanged(2, 60_000_000, NOW - 120)),
    ]
    return told(news, calm())


ALL = {scene.__name__: scene for scene in (starting, calm, outage, draining, trouble, full)}

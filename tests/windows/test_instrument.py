"""A whole instrument on Windows: real processes, a share, the cache, and what goes wrong there."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("can only hold on Windows", allow_module_level=True)

from tests.harness import CYCLE, IS_WINE, NAME, Instrument
from tests.platforms import drive_for, remove_tree, set_mark, wine_excuses
from tests.rules.evidence import SCANS, assert_exact, away, destination, files_of, leftovers, said
from watcher.platform import system
from watcher.platform import windows_api as api

LARGE = 256 << 20


class Site(Instrument):
    """An instrument whose archive is a UNC share."""

    def __init__(self, folder: Path, share: Path, below: Path) -> None:
        """Put the archive's cycle on the share, which lies at `below` on this computer."""
        self.unc, self.below = share, below
        super().__init__(folder)
        self.share = share
        self.cycle = share / NAME / "Instrument" / "data" / CYCLE
        self.archive = self.cycle / "autoreduced" / "bluesky_scans"
        self.cycle.mkdir(parents=True)
        self.configure(rescan_interval="2s")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Under Wine a UNC path is a folder of this computer, which can be moved away."""
    if IS_WINE:
        server = f"site{secrets.token_hex(4)}"
        below = Path("Z:" + os.environ["WINEPREFIX"], "dosdevices", "unc", server)
        (below / tmp_path.name).mkdir(parents=True)
        share = Path(rf"\\{server}\{tmp_path.name}")
    else:
        below = tmp_path / "shared"
        below.mkdir()
        share = Path(rf"\\localhost\{tmp_path.drive[0]}$", *below.parts[1:])
        if not share.exists():
            pytest.skip("this account may not use the administrative shares")
    with Site(tmp_path, share, below) as instrument:
        yield instrument
    if IS_WINE:
        remove_tree(str(below))


def source(site: Site, name: str) -> str:
    """Return the native path of a file in RB1's scan folder."""
    return system.native(str(site.root / "RB1" / SCANS / name))


def finish(path: str, content: bytes = b"1 2 3\n") -> None:
    """Write a file by its native path, which may say what no other path can, and mark it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    set_mark(path)


def why(site: Site, path: str) -> str:
    """Return what `watcher why` tells of a file."""
    return site.run("why", system.plain(path)).stdout


def test_files_go_to_the_share_and_to_the_cache(site: Site) -> None:
    """The contract's own example: an archive with {cycle} on a share, and `Export only`."""
    site.start()
    site.finish(f"RB1/{SCANS}/sub/scan.txt")
    site.wait_until(lambda: not site.sources())
    assert_exact(site.archive / "RB1", {"sub/scan.txt": b"1 2 3\n"})
    assert_exact(site.cache / "RB1" / SCANS, {"sub/scan.txt": b"1 2 3\n"})
    told = site.run("why", str(site.root / "RB1" / SCANS / "sub" / "scan.txt")).stdout
    assert str(site.archive / "RB1" / "sub" / "scan.txt") in told
    assert "\\\\?\\" not in told


def test_a_share_that_goes_and_comes_back(site: Site) -> None:
    """R2, R8: while it is away the sources stay; soon after its return all have moved."""
    site.start()
    site.finish(f"RB1/{SCANS}/before.txt", b"before")
    site.wait_until(lambda: not site.sources())
    with away(site.below):
        site.finish(f"RB1/{SCANS}/meanwhile.txt", b"meanwhile")
        site.wait_until(lambda: destination(site, "archive") == "offline")
        assert list(site.sources()) == [f"RB1/{SCANS}/meanwhile.txt"]
        told = site.run("why", str(site.root / "RB1" / SCANS / "meanwhile.txt")).stdout
        assert "archive" in told
    site.wait_until(lambda: not site.sources())
    expected = {"before.txt": b"before", "meanwhile.txt": b"meanwhile"}
    assert_exact(site.archive / "RB1", expected)
    assert_exact(site.cache / "RB1" / SCANS, expected)
    assert leftovers(site) == []


def test_killed_in_a_large_copy_and_started_again(site: Site) -> None:
    """R5: the source is still there, and the second life ends what the first began."""
    site.start()
    content = os.urandom(1 << 20) * (LARGE >> 20)
    path = site.finish(f"RB1/{SCANS}/large.nxs", content)
    folder = site.archive / "RB1"
    site.wait_until(lambda: any(p.stat().st_size > 1 << 20 for p in folder.glob(".watcher-*.part")))
    site.kill()
    assert path.stat().st_size == LARGE
    assert not (folder / "large.nxs").exists()
    site.start()
    site.wait_until(lambda: not site.sources())
    for place in (folder, site.cache / "RB1" / SCANS):
        assert_exact(place, {"large.nxs": content})


def test_a_file_that_another_program_holds_is_delayed(site: Site) -> None:
    """R11: `why` says so, and it goes on once the file is let go."""
    site.start()
    path = source(site, "scan.txt")
    finish(path, b"")
    holder = api.open_file(path, api.GENERIC_READ, api.SHARE_READ | api.SHARE_WRITE)
    try:
        locked = source(site, "locked.txt")
        finish(locked + ".tmp", b"locked")
        lock = api.open_file(locked + ".tmp", api.GENERIC_READ, api.SHARE_DELETE)
        os.rename(locked + ".tmp", locked)
        try:
            site.wait_until(lambda: "open in another program" in why(site, locked))
        finally:
            os.close(lock)
        site.wait_until(lambda: not os.path.exists(locked))
        assert os.path.exists(path)
    finally:
        os.close(holder)
    site.wait_until(lambda: not os.path.exists(path))
    assert_exact(site.archive / "RB1", {"locked.txt": b"locked", "scan.txt": b""})


def test_locks_of_milliseconds_lose_nothing(site: Site) -> None:
    """Virus scanners open each new file for a moment, and let nobody else at it."""
    site.start()
    names = [f"{number}.txt" for number in range(20)]
    for name in names:
        finish(source(site, name), name.encode())
        try:
            os.close(api.open_file(source(site, name), api.GENERIC_READ, 0))
        except OSError:  # the watcher was faster
            continue
    site.wait_until(lambda: not site.sources())
    assert_exact(site.archive / "RB1", {name: name.encode() for name in names})


def test_case_does_not_matter_where_windows_ignores_it(site: Site) -> None:
    """Scan folders in any case; twins that differ only in case are a conflict, not a loss."""
    site.start()
    site.finish("RB1/Bluesky_Scans/scan.txt", b"one")
    site.wait_until(lambda: not site.sources())
    site.finish("rb1/BLUESKY_SCANS/SCAN.TXT", b"two")
    site.wait_until(lambda: not site.sources())
    found = files_of(site.archive / "RB1")
    assert sorted(c for n, c in found.items() if not n.startswith("checksums")) == [b"one", b"two"]


LONG = "\\".join(["a rather long name of a folder, as scripts make them"] * 6)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("NUL.txt", id="NUL.txt"),
        pytest.param("con", id="con"),
        pytest.param("dots...", id="dots"),
        pytest.param("space ", id="space"),
        pytest.param(f"{LONG}\\scan.txt", id="long"),
        pytest.param("日本 [red] é.txt", id="unicode"),
    ],
)
def test_odd_names_arrive_as_they_are(site: Site, name: str) -> None:
    """R13: names that only the long form of a path can say, and paths over 260 characters."""
    finish(source(site, name))
    done = site.run("rescan")
    assert done.returncode == 0, done.stdout + done.stderr
    for top in (site.archive / "RB1", site.cache / "RB1" / SCANS):
        copy = os.path.join(system.native(str(top)), name)
        with open(copy, "rb") as file:
            assert file.read() == b"1 2 3\n"
        assert system.is_marked(os.lstat(copy))
    assert not os.path.exists(source(site, name))


@wine_excuses("`mklink /J` ends well and makes no junction")
def test_a_junction_is_not_followed(site: Site) -> None:
    """R13: what lies behind it is not ours."""
    elsewhere = site.folder / "elsewhere"
    (elsewhere / SCANS).mkdir(parents=True)
    finish(system.native(str(elsewhere / SCANS / "scan.txt")))
    junction = ["cmd", "/c", "mklink", "/J", str(site.root / "RB1"), str(elsewhere)]
    subprocess.run(junction, stdin=subprocess.PIPE, capture_output=True, check=True)
    assert site.run("rescan").returncode == 0
    assert (elsewhere / SCANS / "scan.txt").exists()


def test_a_destination_on_a_drive_that_stands_for_the_root_is_refused(site: Site) -> None:
    """R7: `subst`, or a mapped drive, makes source and destination one file; it stays."""
    with drive_for(str(site.root), "W:"):
        here = {"name": "here", "path": rf"W:\{{experiment}}\{SCANS}"}
        site.configure(destinations=[here])
        path = site.finish(f"RB1/{SCANS}/scan.txt", b"all there is")
        assert site.run("rescan").returncode in {1, 2}
        assert path.read_bytes() == b"all there is"
        assert list(site.sources()) == [f"RB1/{SCANS}/scan.txt"]


def test_without_a_console_it_runs_and_logs(site: Site) -> None:
    """`pythonw` has no standard output at all: no crash, a log in the state folder."""
    pythonw = Path(sys.executable).with_name("pythonw.exe")
    if not pythonw.exists():
        pytest.skip("this Python has no pythonw")
    command = [str(pythonw), *site.command("run")[1:]]
    process = subprocess.Popen(command, env=site.environment(), cwd=site.folder)
    try:
        site.finish(f"RB1/{SCANS}/scan.txt")
        site.wait_until(lambda: not site.sources())
        site.wait_until(said(site, "archived"))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert_exact(site.archive / "RB1", {"scan.txt": b"1 2 3\n"})

"""Names are data: any that the system allows is archived, or refused with one reason (R13)."""

import itertools
import os
import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.results import tally
from tests.faults.stage import EXPERIMENT, Stage
from tests.rules.evidence import SCANS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX")
TABLE = {
    "not UTF-8": b"caf\xe9 \xff\xfe.txt",
    "all bytes": bytes(set(range(1, 256)) - {ord("/")}),
    "newlines": b"two\nlines\r\n.txt",
    "255 bytes": b"x" * 255,
    "255 bytes, two each": "é".encode() * 127,
    "leading dash": b"-rf --config=x",
    "leading and trailing space": b"  scan.txt  ",
    "markup": b"[red]scan[/red] [link=file:///]x[/].txt",
    "braces": b"{experiment}{0}{cycle!r}{}.txt",
    "percent": b"%s%d%n%(x)s.txt",
    "escape codes": b"\x1b[2J\x1b]0;title\x07.txt",
    "right to left": "\u202egpj.txt".encode(),
    "shell": b"$(touch x); `id` && '\".txt",
    "backslashes": b"..\\..\\C:\\scan.txt",
    "dots": b"...",
    "like a part": b".watcher-0-0.part.txt",
    "like a device": b"CON",
    "like a manifest": b"checksums.sha1",
}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \(\d+\) watcher[.\w]* ")
OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Kinds of characters that a terminal doesn't just show."""
SUM = re.compile(r"archived \d+, left behind \d+$")
_names = st.binary(min_size=1, max_size=40) | st.text(min_size=1, max_size=60).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


def clean(raw):
    """Make a name that the system allows of any bytes; `sha256sum -c` takes `-` for its input."""
    raw = raw.replace(b"/", b"_").replace(b"\0", b"_")[:255]
    is_taken = raw in {b".", b"..", b"-", b"checksums.sha256"} or raw.startswith(b".watcher-")
    return os.fsdecode(b"_" + raw if is_taken else raw)


def finish_all(stage, names, folder=""):
    for number, name in enumerate(names):
        stage.finish(os.path.join(folder, name), b"%d of its kind" % number)
    stage.ready()


def assert_lines_are_lines(run):
    """What was printed and logged has a line a message, and nothing that a terminal obeys."""
    lines = run.output.splitlines()
    assert lines
    for line in lines:
        assert not {unicodedata.category(c) for c in line} & OBEYED, line
        assert LINE.match(line) or SUM.match(line), line


@pytest.mark.quick
def test_R13_every_name_of_the_table(crew, arena):
    """R13: as a file, and as a folder."""
    names = [os.fsdecode(name) for name in TABLE.values()]
    with Stage(crew, arena) as stage:
        finish_all(stage, names)
        run = stage.rescan()
        assert_lines_are_lines(run)
        assert (end := stage.end()), str(end)
    with Stage(crew, arena) as stage:
        for name in names:
            stage.finish(os.path.join(name, "scan.txt"), os.fsencode(name))
        stage.ready()
        assert (end := stage.end()), str(end)
    tally("names", 2 * len(names))


def test_R13_names_that_nobody_thought_of(crew, arena):
    """R13: whatever bytes there may be in a name."""
    count = itertools.count()

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(_names.map(clean), min_size=5, max_size=15, unique=True))
    def archived(names):
        with Stage(crew, arena) as stage:
            finish_all(stage, names)
            run = stage.rescan()
            assert_lines_are_lines(run)
            assert (end := stage.end()), str(end)
        for _ in names:
            next(count)

    archived()
    tally("names", next(count))


@pytest.mark.quick
@pytest.mark.parametrize("levels", [60, 200])
def test_R13_many_levels(crew, arena, levels):
    """R13: however deep, as long as a path can be used."""
    with Stage(crew, arena) as stage:
        stage.finish("/".join(["deeper"] * levels) + "/scan.txt", b"deep")
        stage.ready()
        assert (end := stage.end()), str(end)
    tally("names", 1)


@pytest.mark.quick
def test_R13_a_path_that_no_call_takes_is_refused_with_one_reason(crew, arena):
    """R11, R13: over 4096 bytes: it stays, is said once, and holds nobody up."""
    with Stage(crew, arena) as stage:
        top = stage.instrument.root / EXPERIMENT / SCANS
        top.mkdir(parents=True)
        below = os.open(top, os.O_RDONLY)
        for _ in range(20):
            os.mkdir("x" * 250, dir_fd=below)
            deeper = os.open("x" * 250, os.O_RDONLY, dir_fd=below)
            os.close(below)
            below = deeper
        file = os.open("scan.txt", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=below)
        os.write(file, b"deep")
        os.fchmod(file, 0o444)
        os.close(file)
        stage.finish("other.txt", b"other")
        stage.ready()
        runs = [stage.rescan() for _ in range(2)]
        for run in runs:
            assert run.code == 1, run.output
            assert_lines_are_lines(run)
            assert run.output.count("too long") == 1, run.output
        assert stage.now()
        for place in stage.places.values():
            assert (place / "other.txt").read_bytes() == b"other"
        assert os.stat("scan.txt", dir_fd=below).st_mode & 0o777 == 0o444
        _remove_all(below)
    tally("names", 1)


def _remove_all(below):
    """Bring what is too deep to be removed up, a folder at a time."""
    os.unlink("scan.txt", dir_fd=below)
    while True:
        above = os.open("..", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = above
        if "x" * 250 not in os.listdir(below):
            break
        os.rmdir("x" * 250, dir_fd=below)
    os.close(below)

"""Where a file goes: pure, and the same for any name."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.platforms import on_posix
from watcher.destination import PartNames, Template, conflict_names, cycles_in
from watcher.model import Checksum, Fingerprint, FinishedFile
from watcher.platform import system

TOP = "C:\\" if os.name == "nt" else "/"
DIGEST = Checksum("sha512", "0123456789abcdef" * 8)


def template(*segments: str) -> Template:
    return Template.parse(os.path.join(TOP, *segments), "NDX")


def file(experiment: str = "RB1", relative: str = "scan.txt", mtime_ns: int = 10**18):
    fingerprint = Fingerprint(1, mtime_ns, "2a")
    return FinishedFile(
        os.path.join(TOP, "data"), experiment, "bluesky_scans", relative, fingerprint
    )


def native(*segments: str) -> str:
    return system.native(os.path.join(TOP, *segments))


def test_every_word_is_written_out_and_the_fixed_part_ends_with_the_cycle():
    place = template("a", "{instrument}", "{cycle}", "b", "{experiment}", "y{year}").place(
        file(os.path.join("deep", "RB1")), "cycle_26_2"
    )
    year = time.localtime(10**9).tm_year
    assert place.fixed == native("a", "NDX", "cycle_26_2")
    assert place.folder == native("a", "NDX", "cycle_26_2", "b", "deep", "RB1", f"y{year}")
    assert place.path == os.path.join(place.folder, "scan.txt")


def test_an_empty_experiment_drops_its_segment():
    assert template("a", "{experiment}", "b").place(file(""), None).folder == native("a", "b")


@pytest.mark.parametrize("name", ["{cycle}", "{year}", "{experiment}", "{", "a{instrument}b"])
def test_what_is_put_in_is_never_read_as_a_template(name):
    """R13."""
    place = template("a", "{cycle}", "{experiment}").place(file(name, name), "cycle_26_2")
    assert place.path == native("a", "cycle_26_2", name, name)


@pytest.mark.parametrize("mtime_ns", [-(10**19), -1, 0, 2**62, 10**30])
def test_an_absurd_time_is_placed_like_any_other(mtime_ns):
    """R11: one such file must not stop those beside it."""
    place = template("a", "{year}").place(file(mtime_ns=mtime_ns), None)
    assert os.path.basename(place.folder).isdigit()


def test_the_last_nanosecond_of_a_year_belongs_to_it():
    end = int(time.mktime((2027, 1, 1, 0, 0, 0, 0, 0, -1))) * 10**9 - 1
    assert template("a", "{year}").place(file(mtime_ns=end), None).folder == native("a", "2026")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a/{cycel}", "did you mean {cycle}"),
        ("a/x{cycle}", "whole segment"),
        ("a/{cycle}/{cycle}", "only once"),
        ("a/{experiment}/{cycle}", "before {experiment}"),
        ("a/../b", "'..'"),
        ("a/{b", "partner"),
    ],
)
def test_a_wrong_template_is_refused_with_its_reason(text, part):
    with pytest.raises(ValueError, match=part.replace("{", r"\{")):
        template(*text.split("/"))


def test_a_relative_template_is_refused():
    with pytest.raises(ValueError, match="absolute"):
        Template.parse("a/b", "NDX")


def test_cycles_are_ordered_by_year_and_number():
    names = ["cycle_25_5", "cycle_26_10", "cycle_26_9", "cycle_26", "xcycle_27_1", "CYCLE_24_1"]
    assert cycles_in(names) == ["cycle_26_10", "cycle_26_9", "cycle_25_5", "CYCLE_24_1"]


@on_posix
@given(
    stem=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=300),
    suffix=st.text("abc.\xe4", max_size=260),
)
def test_conflict_names_fit_differ_and_tell_the_digest(stem, suffix):
    """R4, R13: whatever the name, and the longest digest there is."""
    name = os.fsdecode(os.fsencode(f"{stem}.{suffix}")[:255])
    names = list(conflict_names(name, DIGEST))
    assert len(set(names)) == 4
    for conflict in names:
        assert len(os.fsencode(conflict)) <= 255
        assert DIGEST.digest[:8] in conflict


def test_a_conflict_name_keeps_stem_and_suffix():
    assert next(conflict_names("scan.tar.gz", DIGEST)) == "scan.tar.01234567.gz"
    assert next(conflict_names("scan", DIGEST)) == "scan.01234567"
    assert next(conflict_names(".hidden", DIGEST)) == ".hidden.01234567"


def test_a_long_suffix_gives_way_too():
    """R11: at the full digest, the longest suffix left no room, and it never ended."""
    for length in range(1, 255):
        for conflict in conflict_names("s." + "x" * length, DIGEST):
            assert len(conflict) <= 255


def test_parts_tell_whose_they_are():
    """R5: an earlier life of the same host and state folder, nobody else."""
    mine, earlier = PartNames("host", "state"), PartNames("host", "state")
    assert mine.is_left_over(earlier.new())
    assert not mine.is_left_over(mine.new())
    assert not mine.is_left_over(PartNames("other", "state").new())
    assert not mine.is_left_over(PartNames("host", "other").new())
    assert not mine.is_left_over("scan.txt")

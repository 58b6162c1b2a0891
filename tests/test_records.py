"""Every algorithm in every record, from one read: to the byte, and as the real tools check it."""

import hashlib
import importlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Instrument
from tests.platforms import wine_excuses
from watcher.checksums import known

TOOLS = {name: f"{name}sum" for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")}
TOOLS |= {"blake2b": "b2sum", "blake3": "b3sum"}
NAMES = ["scan.txt", "sub/a b.txt", "ünï 図.txt", "[red].txt"]
ODD = ["new\nline.txt", "back\\slash.txt", "back\\slash\nand line.txt", "return\r.txt"]
RECORDS = ["manifest", "sidecar", pytest.param("stream", marks=wine_excuses("no streams"))]


def digest(algorithm: str, content: bytes) -> str:
    if algorithm == "blake3":
        return str(importlib.import_module("blake3").blake3(content).hexdigest())
    return hashlib.new(algorithm, content).hexdigest()


def line(algorithm: str, name: str, content: bytes) -> bytes:
    """What the algorithm's tool itself writes of a file."""
    escapes = {"\\": "\\\\", "\n": "\\n"} | ({} if algorithm == "blake3" else {"\r": "\\r"})
    escaped = "".join(escapes.get(letter, letter) for letter in name)
    start, mark = "\\" if escaped != name else "", " " if algorithm == "blake3" else "*"
    return f"{start}{digest(algorithm, content)} {mark}{escaped}\n".encode()


def content_of(name: str) -> bytes:
    return name.encode() * 100


def check(algorithm: str, folder: Path, lines: bytes) -> None:
    """Let the real tool check lines, where there is one."""
    if tool := shutil.which(TOOLS.get(algorithm, "no such tool")):
        command = [tool, "-c"] if algorithm == "blake3" else [tool, "--strict", "-c"]
        done = subprocess.run(command, cwd=folder, input=lines, capture_output=True, check=False)
        assert done.returncode == 0, (done, lines)


@pytest.fixture(scope="module", params=RECORDS)
def instrument(request, tmp_path_factory) -> Iterator[Instrument]:
    checksums = {"algorithms": known(), "record": request.param}
    with Instrument(tmp_path_factory.mktemp("records"), checksums=checksums) as made:
        for name in names():
            made.finish(f"RB1/bluesky_scans/{name}", content_of(name))
        done = made.run("rescan")
        assert done.returncode == 0, done
        yield made


def names() -> list[str]:
    return NAMES + (ODD if os.name == "posix" else [])


def recorded(folder: Path, algorithm: str) -> Iterator[tuple[Path, str, bytes]]:
    """Find what is on record: the folder that names are meant from, the name, the line."""
    manifest = folder / f"checksums.{algorithm}"
    for name in names():
        place, base = folder / name, name.rpartition("/")[2]
        sidecar = place.with_name(f"{base}.{algorithm}")
        if manifest.exists():
            wanted = line(algorithm, name, content_of(name))
            assert manifest.read_bytes().count(wanted) == 1
            yield folder, name, wanted
        elif sidecar.exists():
            yield place.parent, base, sidecar.read_bytes()
        else:
            yield place.parent, base, stream(place, algorithm)


def stream(path: Path, algorithm: str) -> bytes:
    name = "checksum" if algorithm == known()[0] else f"checksum.{algorithm}"
    if os.name == "nt":
        return Path(f"{path}:{name}").read_bytes()
    return os.getxattr(path, f"user.{name}")


@pytest.mark.parametrize("algorithm", known())
def test_a_line_is_to_the_byte_that_of_its_tool_which_finds_the_file_unharmed(
    instrument, algorithm
):
    for destination in (instrument.archived("RB1", ""), instrument.cached("RB1", "")):
        found = list(recorded(destination, algorithm))
        assert len(found) == len(names())
        for folder, name, text in found:
            whole = next(n for n in names() if n.rpartition("/")[2] == name.rpartition("/")[2])
            assert text == line(algorithm, name, content_of(whole))
            check(algorithm, folder, text)

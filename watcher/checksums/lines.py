r"""The lines of checksum files, to the byte as coreutils 9 writes and reads them.

A line is `<hex> *<name>` and LF. Names are the bytes of the file system on POSIX and UTF-8 on
Windows (`os.fsencode` is both), with `/` between folders. A name with a backslash, a newline or
a carriage return is written as `\\`, `\n`, `\r`, and its line then begins with a backslash.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass

from watcher.checksums.algorithms import digest_length, spelled
from watcher.model import Checksum

_BINARY, _TEXT = b" *", b"  "
_ESCAPED = {True: re.compile(rb"[\\\n]"), False: re.compile(rb"[\\\n\r]")}
"""What is escaped by `b3sum`, and what by coreutils."""
_ESCAPES = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r"}
_MEANINGS = {escape: plain for plain, escape in _ESCAPES.items()}
_ESCAPE = re.compile(rb"\\(.?)", re.DOTALL)
_START = rb"(?:\xef\xbb\xbf)?[ \t]*(?P<escaped>\\)?"
_TAGGED = re.compile(
    _START + rb"(?P<tag>[A-Za-z0-9-]+) ?\((?P<name>.+)\) ?= ?(?P<digest>[0-9A-Fa-f]+)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a checksum file."""

    name: str
    """The file's path as written, with the separators of this system."""
    checksum: Checksum
    at: int
    """Where in the line the digest begins, in bytes."""


def written(name: str, digest: str, algorithm: str = "") -> bytes:
    """Return the whole line for a file, with its LF.

    `b3sum` knows no mark for binary files: two spaces stand in the lines of blake3. And it knows
    no escape for a carriage return, which stands there as it is.
    """
    is_b3sum = algorithm == "blake3"
    plain = os.fsencode(name.replace(os.sep, "/"))
    escaped = _ESCAPED[is_b3sum].sub(lambda found: _ESCAPES[found[0]], plain)
    start, mark = b"\\" if escaped != plain else b"", _TEXT if is_b3sum else _BINARY
    return start + digest.encode("ascii") + mark + escaped + b"\n"


def parsed(line: bytes, algorithm: str) -> Line | None:
    """Read one line, with or without its end (LF or CRLF), in binary, text or BSD (`--tag`) form.

    Returns:
        The line; None if it is anything else than a checksum by this algorithm.

    """
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    found = _plain(algorithm).fullmatch(line) or _tagged(line, algorithm)
    if not found:
        return None
    name = _named(found["name"], escaped=found["escaped"] is not None)
    if not name:
        return None
    digest = found["digest"].decode("ascii").lower()
    return Line(name, Checksum(algorithm, digest), found.start("digest"))


@functools.cache
def _plain(algorithm: str) -> re.Pattern[bytes]:
    """Match `<hex> *<name>`, `<hex>  <name>`, and `<hex> <name>` as some BSDs write it."""
    digest = rb"(?P<digest>[0-9A-Fa-f]{%d})" % digest_length(algorithm)
    return re.compile(_START + digest + rb" [ *]?+(?P<name>.+)", re.DOTALL)


def _tagged(line: bytes, algorithm: str) -> re.Match[bytes] | None:
    found = _TAGGED.fullmatch(line)
    if not found or spelled(found["tag"].decode("ascii")) != algorithm:
        return None
    return found if len(found["digest"]) == digest_length(algorithm) else None


def _named(name: bytes, *, escaped: bool) -> str | None:
    """Undo the escape; None if it is no escape that coreutils knows, or no name of this system."""
    try:
        plain = _ESCAPE.sub(lambda found: _MEANINGS[found[0]], name) if escaped else name
        return os.fsdecode(plain).replace("/", os.sep)
    except (KeyError, UnicodeDecodeError):
        return None


def is_torn(rest: bytes, algorithm: str) -> bool:
    """Tell whether bytes without an LF can be the beginning of a line that `written` made.

    A line that lacks nothing but its LF counts too: only a look at the file that it names can
    tell whether the name is whole. Where the power went, zeros may stand for the end.
    """
    length = digest_length(algorithm)
    start = rb"\\?(?:[0-9a-f]{0,%d}|[0-9a-f]{%d} (?:[* ].*)?)" % (length, length)
    return re.fullmatch(start, rest.rstrip(b"\0"), re.DOTALL) is not None

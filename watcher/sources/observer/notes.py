"""What Windows writes into a buffer of directory changes: one note after the other."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD = struct.Struct("<III")
"""Bytes from here to the next note (0: this is the last), what happened, bytes of the name."""


def read_notes(buffer: bytes) -> Iterator[tuple[int, str]]:
    """Yield what happened and to which name, in a buffer of `FILE_NOTIFY_INFORMATION`.

    Names can be no text: NTFS takes halves of a surrogate pair as they come (R13).
    """
    at, ahead = 0, len(buffer)
    while ahead:
        ahead, action, length = _HEAD.unpack_from(buffer, at)
        name = buffer[at + _HEAD.size : at + _HEAD.size + length]
        yield action, name.decode("utf-16-le", "surrogatepass")
        at += ahead

"""Which checksums there are, and making several of them from one read."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, cast

from watcher.model import Checksum

READ_BACK = "xxh3_128"
"""What a copy is read back by: it finds whatever a disk or a share does to a file, and costs next
to nothing beside reading. It is made of the same bytes as those that go on record, and never is
on record itself, for no common tool checks it.
"""
_BLAKE3 = "blake3"
_MODULES = {READ_BACK: "xxhash", _BLAKE3: _BLAKE3}
"""Where those are that hashlib hasn't; loaded when they are needed."""
_USUAL = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


_Data: TypeAlias = bytes | bytearray | memoryview


class _Hash(Protocol):
    def update(self, data: _Data, /) -> object: ...
    def hexdigest(self) -> str: ...


@functools.cache
def _guaranteed() -> frozenset[str]:
    """Return what hashlib has everywhere, without those whose length is chosen by the caller."""
    names = hashlib.algorithms_guaranteed
    return frozenset(n for n in names if hashlib.new(n, usedforsecurity=False).digest_size)


@functools.cache
def _has_blake3() -> bool:
    return importlib.util.find_spec(_BLAKE3) is not None


def is_known(name: str) -> bool:
    """Tell whether checksums of this name can be made here."""
    return name in _guaranteed() or (name == _BLAKE3 and _has_blake3())


def known() -> list[str]:
    """Return the names of all checksums that can be made here, sorted."""
    return sorted({*_guaranteed(), *([_BLAKE3] if _has_blake3() else [])})


@functools.cache
def digest_length(name: str) -> int:
    """Return the number of hexadecimal digits of a digest."""
    return len(_new(name).hexdigest())


def spelled(text: str) -> str | None:
    """Return the algorithm that a tag or a suffix means (`SHA3-256`, `SHA1`), None if none does."""
    plain = text.lower().replace("-", "_")
    return next((name for name in (plain, plain.replace("_", "")) if is_known(name)), None)


def usual(digits: int) -> str | None:
    """Return what a digest of so many hexadecimal digits is, where nothing else says it."""
    return next((name for name in _USUAL if digest_length(name) == digits), None)


def _new(name: str) -> _Hash:
    return _maker(name)()


@functools.cache
def _maker(name: str) -> Callable[[], _Hash]:
    """Return what makes a hash; found once, since looking for it takes longer than making it."""
    if name in _MODULES:
        return cast(Callable[[], _Hash], getattr(importlib.import_module(_MODULES[name]), name))
    # not for security: md5 must work where a policy forbids it as such
    return functools.partial(getattr(hashlib, name), usedforsecurity=False)


class Hashing:
    """Several checksums at once from one read."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begin with no bytes.

        Args:
            names: known algorithms, the first of which counts; one given twice counts once.

        """
        self._hashes = {name: _new(name) for name in names}

    def update(self, data: _Data) -> None:
        """Take in the next bytes; large pieces are hashed without holding up other threads."""
        for one in self._hashes.values():
            one.update(data)

    def checksums(self) -> tuple[Checksum, ...]:
        """Return the checksums of all bytes so far, in the order of the names."""
        return tuple(Checksum(name, one.hexdigest()) for name, one in self._hashes.items())

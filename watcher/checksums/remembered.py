"""What is remembered of manifests, so that adding to a long one reads nothing but its news."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator

from watcher.checksums.lines import parsed

_BLOCK = 256 * 1024
_TAIL = 512
"""A line and its digest fit, so that an edited manifest is not taken for one that has grown."""
_SEVERAL = -1


def key(name: str) -> bytes:
    """Return what two spellings of one name in a manifest have in common."""
    plain = os.path.normcase(name)
    return os.fsencode(plain.removeprefix(os.curdir + os.sep))


def lines_from(descriptor: int, start: int) -> Iterator[tuple[int, bytes]]:
    """Read lines with their LF, each with its offset; the last may lack its LF."""
    os.lseek(descriptor, start, os.SEEK_SET)
    rest = b""
    while block := os.read(descriptor, _BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield start, line + b"\n"
            start += len(line) + 1
    if rest:
        yield start, rest


class Known:
    """The whole lines of one manifest by one algorithm, as numbers: some 100 bytes a line."""

    def __init__(self, algorithm: str, limit: int) -> None:
        """Begin with nothing read.

        Args:
            algorithm: whose digests they are.
            limit: how many names are kept at most; beyond it only those that are asked for.

        """
        self.is_whole = True
        self._algorithm = algorithm
        self._limit = limit
        self._size = 0
        self._tail = b""
        self._digests: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many names are held."""
        return len(self._digests)

    def still_begins(self, descriptor: int) -> bool:
        """Tell whether the file is the one that was read, or what it has grown into."""
        return self._read_tail(descriptor) == self._tail

    def read_on(self, descriptor: int, wanted: Collection[bytes]) -> bytes:
        """Take in what was added since.

        Returns:
            What follows the last whole line: empty, unless it was torn or edited.

        """
        asked = {hash(name) for name in wanted}
        for _, line in lines_from(descriptor, self._size):
            if not line.endswith(b"\n"):
                return line
            self.add(line, asked)
        return b""

    def add(self, line: bytes, asked: Collection[int] = ()) -> None:
        """Take in the next whole line."""
        self._pass(line)
        if read := parsed(line, self._algorithm):
            self._keep(key(read.name), read.checksum.digest, asked)

    def append(self, line: bytes, name: bytes, digest: str) -> None:
        """Take in a line that was just written, whose meaning is known."""
        self._pass(line)
        self._keep(name, digest, ())

    def _pass(self, line: bytes) -> None:
        self._size += len(line)
        self._tail = (self._tail + line)[-_TAIL:]

    def states(self, name: bytes, digest: str) -> bool | None:
        """Tell whether the manifest has this digest for a name; None if it has none."""
        known = self._digests.get(hash(name))
        return None if known is None else known == _number(digest)

    def corrected(self, descriptor: int, digests: dict[bytes, str]) -> None:
        """Take in that digests were written over others."""
        self._tail = self._read_tail(descriptor)
        self._digests.update({hash(name): _number(digests[name]) for name in digests})

    def _keep(self, key: bytes, digest_text: str, asked: Collection[int]) -> None:
        name, digest = hash(key), _number(digest_text)
        if self._digests.get(name, digest) != digest:
            self._digests[name] = _SEVERAL
        elif len(self._digests) < self._limit or name in asked:
            self._digests[name] = digest
        else:
            self.is_whole = False

    def _read_tail(self, descriptor: int) -> bytes:
        os.lseek(descriptor, self._size - len(self._tail), os.SEEK_SET)
        return os.read(descriptor, len(self._tail))


def _number(digest: str) -> int:
    """Return the first 64 bits of a digest: enough to tell two contents under one name apart."""
    return int(digest[:16], 16)


class Memory:
    """What is known of the manifests used last, bounded in names.

    What is being used is taken out, so that an error on the way forgets it.
    """

    def __init__(self, limit: int) -> None:
        """Begin empty; `limit` is how many names are remembered at most, over all manifests."""
        self._limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Known] = OrderedDict()

    def taken(self, path: str, algorithm: str, descriptor: int) -> Known:
        """Take out what is known of a manifest; nothing, if it is another than it was."""
        with self._lock:
            known = self._known.pop(path, None)
        if known is not None and known.still_begins(descriptor):
            return known
        return Known(algorithm, self._limit)

    def keep(self, path: str, known: Known) -> None:
        """Remember it, and forget the least used of the others."""
        if not known.is_whole:
            return
        with self._lock:
            self._known[path] = known
            while sum(len(one) for one in self._known.values()) > self._limit:
                self._known.popitem(last=False)

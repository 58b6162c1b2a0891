"""The way to a share, which can be cut: `python -m tests.faults.proxy PORT` passes on to PORT.

It listens at a port of its own, which is the first line it prints. Each line on standard input is
a mode, and is answered once it holds: pass, slow, stall (nothing comes through, nothing is
closed), reset (all connections are torn down, new ones pass), refuse (torn down, none let in).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from typing import Self

from tests.harness import PROJECT

_CHUNK = 16 << 10
_PAUSE = 0.03
"""Seconds for each chunk of a slow way: about half a megabyte a second."""


class _Way:
    """What lies between the share and its server."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._mode = "pass"
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self, port: int = 0) -> int:
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", port)
        found: int = self._listener.sockets[0].getsockname()[1]
        return found

    async def switch(self, mode: str, port: int) -> None:
        if self._mode == "refuse" and mode != "refuse":
            await self.listen(port)
        if mode == "refuse" and self._mode != "refuse":
            self._listener.close()
        if mode in {"reset", "refuse"}:
            self._tear_down()
        self._mode = "pass" if mode == "reset" else mode
        self._changed.set()
        self._changed = asyncio.Event()

    def _tear_down(self) -> None:
        for writer in list(self._writers):
            connection = writer.get_extra_info("socket")
            if connection is not None:
                at_once = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server)
        self._writers |= {writer, far_writer}
        await asyncio.gather(
            self._pump(reader, far_writer), self._pump(far_reader, writer), return_exceptions=True
        )

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                while self._mode == "stall":
                    await self._changed.wait()
                if self._mode == "slow":
                    await asyncio.sleep(_PAUSE)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
            self._writers.discard(writer)


async def serve(server: int) -> None:
    """Pass on until standard input ends."""
    way = _Way(server)
    port = await way.listen()
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    while mode := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        await way.switch(mode, port)
        print(mode, flush=True)


class Proxy:
    """Such a process."""

    def __init__(self, server: int) -> None:
        """Start it.

        Args:
            server: the port to pass on to.

        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.proxy", str(server)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def switch(self, mode: str) -> None:
        """Return when the mode holds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{mode}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == mode

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

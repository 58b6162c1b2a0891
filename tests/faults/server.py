"""A process that has the program in memory, and forks one child a case.

One request a line on standard input, one answer a line on standard output, both JSON. A child
runs one command of the program with its calls counted, failed or killed as the request says.
With a request on its command line the process becomes that one child.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import sys
import threading
import traceback
from typing import Any

MOST = 256 << 20
"""Bytes that any one file of a child may have: a runaway must not fill the machine's memory."""


def main() -> None:
    """Serve until standard input ends."""
    for module in ("app", "rescan", "run", "logs"):  # only this process may know the program
        importlib.import_module(f"watcher.cli.{module}")
    for module in ("daemon", "config", "views.log", "activity", "sources.observer"):
        importlib.import_module(f"watcher.{module}")
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    child = os.fork()
    if not child:
        os.setpgid(0, 0)  # what a hook starts ends with it
        _run(request)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    watched = os.pidfd_open(child)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    is_hung = not poll.poll(request["seconds"] * 1000)
    os.close(watched)
    if is_hung:
        os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return {"code": code, "hung": is_hung, "cpu": cpu, "memory": usage.ru_maxrss}


def _run(request: dict[str, Any]) -> None:
    code = 99
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))
    try:
        if request.get("output"):
            output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
        if request.get("seed"):
            from tests.faults import seeds  # noqa: PLC0415

            seeds.sow(request["seed"])
        if request.get("plan"):
            _arm(**request["plan"])
        from watcher.cli.app import run_app  # noqa: PLC0415

        os.environ["WATCHER_DEBUG"] = "1"
        code = run_app(request["arguments"])
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - nothing of a child may get into the server's loop
        traceback.print_exc()
    finally:
        if any(t.is_alive() and not t.daemon for t in threading.enumerate()[1:]):
            code = 98
        os._exit(code)


def _arm(  # noqa: PLR0913, PLR0917
    below: str,
    skipped: list[str],
    kinds: int,
    how: int,
    at: int,
    error: int,
    trace: str,
    without_renameat2: bool,
    hook: str,
) -> None:
    library = ctypes.CDLL(None)
    to = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    words = b"\0".join(os.fsencode(word) for word in skipped) + b"\0\0"
    library.faults_arm(
        os.fsencode(below),
        words,
        ctypes.c_size_t(len(words)),
        ctypes.c_ulong(kinds),
        how,
        ctypes.c_long(at),
        error,
        to,
        int(without_renameat2),
        os.fsencode(hook),
    )


if __name__ == "__main__":
    _run(json.loads(sys.argv[1])) if len(sys.argv) > 1 else main()

"""A share that can be broken: FUSE on a folder; `python -m tests.faults.share ...` serves it.

What is to go wrong stands in the control file, which is looked at with every operation: JSON with
`op` (the operation), `how` (hang, error, flip, drop, short), `skip` (so many go well before),
`times` (so many go wrong; -1: all), `name` (only paths with this in them), `error` (the number).
An empty file ends it, and lets go of those that hang.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from tests.harness import PROJECT, wait_until

_NOREPLACE = 1
_FDCWD = -100


def serve(backing: str, mount: str, control: str) -> None:
    """Serve the mount until it is unmounted; only this process loads FUSE."""
    os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    import mfusepy  # noqa: PLC0415 - may not be installed

    libc = ctypes.CDLL(None, use_errno=True)

    class Broken(mfusepy.Operations):  # type: ignore[misc]
        """Passes on to the backing folder, but for what the control file says."""

        use_ns = True

        def __init__(self) -> None:
            self._guard = threading.Lock()
            self.read_at = -1
            self.fault: dict[str, Any] = {}

        def _at(self, path: str) -> str:
            return backing + path

        def _fault(self, op: str, path: str | None) -> str:
            """Say what goes wrong with an operation; hang or fail at once if it is that."""
            with self._guard:
                self._look()
                how = self._strike(op, path or "")
            if how == "hang":
                pause = threading.Event()
                while self._is_hanging():
                    pause.wait(0.02)
                return ""
            if how == "error":
                raise mfusepy.FuseOSError(self.fault["error"])
            return how

        def _is_hanging(self) -> bool:
            with self._guard:
                self._look()
                return bool(self.fault)

        def _look(self) -> None:
            changed = os.stat(control).st_mtime_ns
            if changed != self.read_at:
                self.read_at = changed
                text = Path(control).read_text()
                self.fault = json.loads(text) if text else {}

        def _strike(self, op: str, path: str) -> str:
            fault = self.fault
            if not fault or fault["op"] not in {op, "any"} or fault.get("name", "") not in path:
                return ""
            if fault.get("skip", 0) > 0:
                fault["skip"] -= 1
                return ""
            if fault.get("times", 1) == 0:
                return ""
            fault["times"] = fault.get("times", 1) - 1
            with open(f"{control}.struck", "a", encoding="utf-8") as struck:
                struck.write(f"{op} {path}\n")
            return str(fault["how"])

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            self._fault("stat", path)
            look = os.lstat(self._at(path))
            names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
            found = {name: getattr(look, name) for name in names}
            times = {f"st_{t}time": getattr(look, f"st_{t}time_ns") for t in "amc"}
            return found | times

        def readdir(self, path: str, fh: int) -> list[str]:
            self._fault("readdir", path)
            return [".", "..", *os.listdir(self._at(path))]

        def open(self, path: str, flags: int) -> int:
            self._fault("open", path)
            return os.open(self._at(path), flags & ~os.O_APPEND)

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            self._fault("create", path)
            return os.open(self._at(path), os.O_RDWR | os.O_CREAT, mode)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            data = os.pread(fh, size, offset)
            return _flipped(data) if self._fault("read", path) == "flip" else data

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            how = self._fault("write", path)
            if how == "drop":
                os.pwrite(fh, bytes(len(data)), offset)
                return len(data)
            if how == "flip":
                data = _flipped(data)
            return os.pwrite(fh, data[: len(data) // 2] if how == "short" else data, offset)

        def flush(self, path: str, fh: int) -> int:
            self._fault("flush", path)
            return 0

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            self._fault("fsync", path)
            os.fsync(fh)
            return 0

        def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
            self._fault("fsyncdir", path)
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def rename_with(self, old: str, new: str, flags: int) -> int:
            self._fault("rename", new)
            names = [os.fsencode(self._at(name)) for name in (old, new)]
            if libc.renameat2(_FDCWD, names[0], _FDCWD, names[1], flags):
                raise mfusepy.FuseOSError(ctypes.get_errno())
            return 0

        def rename(self, old: str, new: str) -> int:
            return self.rename_with(old, new, 0)

        def link(self, target: str, source: str) -> int:
            self._fault("link", target)
            os.link(self._at(source), self._at(target))
            return 0

        def unlink(self, path: str) -> int:
            self._fault("unlink", path)
            os.unlink(self._at(path))
            return 0

        def mkdir(self, path: str, mode: int) -> int:
            self._fault("mkdir", path)
            os.mkdir(self._at(path), mode)
            return 0

        def rmdir(self, path: str) -> int:
            os.rmdir(self._at(path))
            return 0

        def chmod(self, path: str, mode: int) -> int:
            self._fault("chmod", path)
            os.chmod(self._at(path), mode)
            return 0

        def utimens(self, path: str, times: Any = None) -> int:
            self._fault("utime", path)
            os.utime(self._at(path), ns=times)
            return 0

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            os.truncate(self._at(path), length)
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            look = os.statvfs(self._at(path))
            return {name: getattr(look, name) for name in dir(look) if name.startswith("f_")}

    class Mount(mfusepy.FUSE):  # type: ignore[misc]
        """Passes the flags of renameat2 on, which the library drops."""

        def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
            names = [name.decode("utf-8", "surrogateescape") for name in (old, new)]
            return int(self.operations.rename_with(*names, flags))

    Mount(
        Broken(),
        mount,
        foreground=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        default_permissions=True,
        allow_other=True,
    )


def _flipped(data: bytes) -> bytes:
    """Flip one bit in the middle."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)


class Share:
    """A mounted share; a context manager that ends it whatever state it is in."""

    def __init__(self, backing: Path, mount: Path) -> None:
        """Mount it."""
        mount.mkdir(exist_ok=True)
        self.backing, self.mount = backing, mount
        self._control = backing.with_name(f"{backing.name}.control")
        self.restore()
        self._process = self._mount()

    def _mount(self) -> subprocess.Popen[bytes]:
        before = _identity(self.mount)
        command = [sys.executable, "-m", "tests.faults.share"]
        process = subprocess.Popen(
            [*command, str(self.backing), str(self.mount), str(self._control)],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            cwd="/",
        )
        wait_until(lambda: process.poll() is not None or _identity(self.mount) != before)
        assert process.poll() is None, "the share could not be mounted"
        self._number = os.minor(_identity(self.mount))
        return process

    def break_(self, op: str, how: str, **more: Any) -> None:
        """Let something go wrong from now on."""
        self._control.with_suffix(".control.struck").unlink(missing_ok=True)
        self._write(json.dumps({"op": op, "how": how, **more}))

    def restore(self) -> None:
        """Let all go well again."""
        self._write("")

    @property
    def struck(self) -> list[str]:
        """What went wrong since it was last told to."""
        path = Path(f"{self._control}.struck")
        return path.read_text("utf-8", "replace").splitlines() if path.exists() else []

    def _write(self, text: str) -> None:
        fresh = self._control.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self._control)

    def unmount(self) -> None:
        """Take the mount away, so that the bare folder is there; open files stay served."""
        subprocess.run(["umount", "-l", str(self.mount)], check=False)

    def end(self) -> None:
        """Abort all that hangs, then unmount."""
        if self._process.poll() is None:  # else another mount may have its number
            abort(self._number)
        self.unmount()
        self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.restore()
        self.end()


def _identity(path: Path) -> int:
    return os.stat(path).st_dev


def abort(number: int) -> None:
    """Let all that hangs in a FUSE connection go, with an error.

    Args:
        number: the minor number of the mount's device.

    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "fusectl", "none", folder], check=True)
        with contextlib.suppress(OSError):  # it is gone
            Path(folder, str(number), "abort").write_text("1")
        subprocess.run(["umount", "-l", folder], check=True)


def why_not() -> str:
    """Say why there can be no such share here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK):
        return "needs root and /dev/fuse"
    try:
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
        import mfusepy  # noqa: F401, PLC0415
    except (ImportError, OSError, AttributeError):
        return "needs libfuse3 (fuse3) and mfusepy"
    return ""


if __name__ == "__main__":
    serve(*sys.argv[1:])


__all__ = ["Share", "abort", "errno", "why_not"]

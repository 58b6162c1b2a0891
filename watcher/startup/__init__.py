"""Starting at log-on: the entry that a desktop starts, written, read back and removed.

windows    a shortcut in the Startup folder
xdg        an autostart file, as freedesktop.org specifies it
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys

from watcher.errors import WatcherError
from watcher.platform import system
from watcher.startup.command import Command, Kind
from watcher.startup.windows import Shortcut
from watcher.startup.xdg import Autostart

__all__ = [
    "Command",
    "Kind",
    "command_for",
    "install",
    "kind",
    "problems",
    "read",
    "remove",
]


_ELSEWISE = "let the Task Scheduler start it: README's examples/task-scheduler.xml"


def kind() -> Kind:
    """Return what this system starts at log-on."""
    return Shortcut() if system.name == "windows" else Autostart()


def command_for(config_file: str) -> Command:
    """Work out what is to be started, so that it doesn't depend on who starts it, or where.

    Args:
        config_file: the absolute path of the configuration.

    """
    start: tuple[str, ...] = ("-m", "watcher")
    if sys.argv[0].endswith((".pyz", ".zip")):  # one file, built by `make dist`
        start = (os.path.abspath(sys.argv[0]),)
    arguments = (*start, "run", "--headless", "--config", config_file)
    return Command(_interpreter(), arguments, os.path.dirname(config_file))


def _interpreter() -> str:
    """Prefer the one without a console, where there is one."""
    folder, name = os.path.split(os.path.abspath(sys.executable))
    silent = os.path.join(folder, name.replace("python", "pythonw", 1))
    return silent if name.lower().endswith(".exe") and os.path.exists(silent) else sys.executable


def read(all_users: bool) -> Command | None:
    """Return what is started at log-on; None if nothing is.

    Raises:
        WatcherError: the entry can't be read.

    """
    path = kind().path(all_users)
    if not os.path.exists(path):
        return None
    try:
        return kind().read(path)
    except (OSError, ValueError) as error:
        mend = "`watcher startup install` writes it anew"
        raise WatcherError(f"can't be read: {error}", path=path, mend=mend) from error


def install(command: Command, all_users: bool) -> bool:
    """Have it started at log-on.

    Returns:
        Whether anything was written; False if it is there already.

    Raises:
        WatcherError: it can't be written.

    """
    with contextlib.suppress(WatcherError):
        if read(all_users) == command:
            return False
    path = kind().path(all_users)
    aside = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        kind().write(aside, command)
        os.replace(aside, path)
    except OSError as error:
        mend = "for all users it takes an administrator" if all_users else ""
        raise WatcherError(f"can't be written: {error.strerror}", path=path, mend=mend) from error
    except ValueError as error:
        raise WatcherError(f"can't be written: {error}", path=path, mend=_ELSEWISE) from error
    return True


def remove(all_users: bool) -> bool:
    """Have it started no more; returns whether it was.

    Raises:
        WatcherError: it can't be removed.

    """
    path = kind().path(all_users)
    try:
        os.remove(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise WatcherError(f"can't be removed: {error.strerror}", path=path) from error
    return True


def problems(command: Command) -> list[str]:
    """Tell what of an entry is not there any more."""
    missing = []
    if not shutil.which(command.program):
        missing.append(f"there is no program {command.program}")
    if command.script and not os.path.isfile(command.script):
        missing.append(f"there is no file {command.script}")
    if not os.path.isdir(command.folder):
        missing.append(f"there is no folder {command.folder}")
    if command.config_file and not os.path.isfile(command.config_file):
        missing.append(f"there is no configuration {command.config_file}")
    return missing

"""A shortcut in the Startup folder, which Windows starts when somebody logs on."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess

from watcher.startup.command import COMMENT, Command

_BELOW = ("Microsoft", "Windows", "Start Menu", "Programs", "Startup")
_NAME = "watcher.lnk"


class Shortcut:
    """A `.lnk` file, written by pylnk3, which is only installed on Windows."""

    def path(self, all_users: bool) -> str:
        """Below %ProgramData% for all users, below %APPDATA% for this one."""
        if all_users:
            top = os.environ.get("PROGRAMDATA", r"C:\ProgramData")
        else:
            top = os.environ.get("APPDATA") or os.path.expanduser(r"~\AppData\Roaming")
        return os.path.join(top, *_BELOW, _NAME)

    def write(self, path: str, command: Command) -> None:
        """Write a shortcut that starts minimised."""
        import pylnk3  # noqa: PLC0415 - not there on other systems

        link = pylnk3.for_file(
            command.program,
            arguments=subprocess.list2cmdline(command.arguments),
            description=COMMENT,
            work_dir=command.folder,
            window_mode=pylnk3.WINDOW_MINIMIZED,
        )
        with open(path, "wb") as file:
            link.write(file)

    def read(self, path: str) -> Command:
        """Read a shortcut."""
        import pylnk3  # noqa: PLC0415

        try:
            with open(path, "rb") as file:
                link = pylnk3.Lnk(io.BytesIO(file.read()))
            program, arguments = str(link.path), link.arguments or ""
        except (pylnk3.FormatException, pylnk3.MissingInformationException, struct.error) as error:
            raise ValueError(f"no shortcut: {error}") from error
        return Command(program, split(arguments), link.work_dir or "")


def split(line: str) -> tuple[str, ...]:
    """Undo `subprocess.list2cmdline` for arguments in which no quote can stand, as in names."""
    return tuple(quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line))

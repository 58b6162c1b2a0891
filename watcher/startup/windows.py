"""A shortcut in the Startup folder, which Windows starts when somebody logs on."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
from dataclasses import replace

from watcher.startup.command import COMMENT, Command

_BELOW = ("Microsoft", "Windows", "Start Menu", "Programs", "Startup")
_NAME = "watcher.lnk"
_LONGEST = 259
"""Characters of a program's path that a shortcut starts."""


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
        """Write a shortcut that starts minimised; what it has no words for is not written."""
        if len(command.program) > _LONGEST:
            raise ValueError(f"a shortcut can't name a program of more than {_LONGEST} characters")
        try:
            content = _written(command)
            is_said = _folded(_read(content)) == _folded(command)
        except UnicodeError:
            is_said = False
        if not is_said:
            raise ValueError("a shortcut can't name all of what is to be started")
        with open(path, "wb") as file:
            file.write(content)

    def read(self, path: str) -> Command:
        """Read a shortcut."""
        with open(path, "rb") as file:
            return _read(file.read())


def _written(command: Command) -> bytes:
    import pylnk3  # noqa: PLC0415 - not there on other systems

    link = pylnk3.for_file(
        command.program,
        arguments=subprocess.list2cmdline(command.arguments),
        description=COMMENT,
        work_dir=command.folder,
        window_mode=pylnk3.WINDOW_MINIMIZED,
    )
    # Each name stands there twice: in UTF-16, which counts, and in the computer's old code page,
    # of which pylnk3 makes something that nothing can read where it isn't ASCII.
    if command.program.startswith("\\\\"):
        (block,) = link.extra_data.blocks
        block.target_ansi = _in_ascii(command.program)
        if not command.program.isascii():
            link.link_info = None
    else:
        for item in link.shell_item_id_list.items[2:]:
            item.short_name = _in_ascii(item.full_name)
    content = io.BytesIO()
    link.write(content)
    return content.getvalue()


def _read(content: bytes) -> Command:
    import pylnk3  # noqa: PLC0415

    try:
        link = pylnk3.Lnk(io.BytesIO(content))
        blocks = link.extra_data.blocks if link.extra_data else []
        on_share = [b.target_unicode for b in blocks if hasattr(b, "target_unicode")]
        program = on_share[0].rstrip("\0") if on_share else str(link.path)
        arguments, folder = link.arguments or "", link.work_dir or ""
    except (pylnk3.FormatException, pylnk3.MissingInformationException, struct.error) as error:
        raise ValueError(f"no shortcut: {error}") from error
    return Command(program, split(arguments), folder)


def _folded(command: Command) -> Command:
    """Leave the case of the program's path out, of which pylnk3 changes the drive's."""
    return replace(command, program=command.program.casefold())


def _in_ascii(name: str) -> str:
    """Put `?` for what isn't ASCII: no file is called so, and none is taken for another."""
    return name.encode("ascii", "replace").decode("ascii")


def split(line: str) -> tuple[str, ...]:
    """Undo `subprocess.list2cmdline` for arguments in which no quote can stand, as in names."""
    return tuple(quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line))

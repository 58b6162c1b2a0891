"""An autostart file, which desktops on Linux and its kin start when somebody logs on."""

from __future__ import annotations

import os
import re

from watcher.startup.command import COMMENT, Command

_NAME = "watcher.desktop"
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_TEXT = """\
[Desktop Entry]
Type=Application
Name=watcher
Comment={comment}
Exec={command}
Path={folder}
Terminal=false
"""


class Autostart:
    """A `.desktop` file."""

    def path(self, all_users: bool) -> str:
        """Below /etc/xdg for all users, below $XDG_CONFIG_HOME for this one."""
        own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return os.path.join("/etc/xdg" if all_users else own, "autostart", _NAME)

    def write(self, path: str, command: Command) -> None:
        """Write a file, with every character of a name as it is."""
        line = " ".join(_quoted(word) for word in (command.program, *command.arguments))
        text = _TEXT.format(
            comment=COMMENT, command=_escaped(line), folder=_escaped(command.folder)
        )
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(text)

    def read(self, path: str) -> Command:
        """Read a file."""
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            keys = dict(line.split("=", 1) for line in file.read().split("\n") if "=" in line)
        words = _words(_unescaped(keys.get("Exec", "")))
        if not words:
            raise ValueError("it starts nothing")
        return Command(words[0], tuple(words[1:]), _unescaped(keys.get("Path", "")))


def _quoted(word: str) -> str:
    """Quote as a value of `Exec` wants it; `%` begins a field code there."""
    return '"' + re.sub(r'(["`$\\])', r"\\\1", word).replace("%", "%%") + '"'


def _words(line: str) -> list[str]:
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line, re.DOTALL)
    return [(re.sub(r"\\(.)", r"\1", q, flags=re.DOTALL) or w).replace("%%", "%") for q, w in found]


def _escaped(text: str) -> str:
    for code, character in reversed(_ESCAPES.items()):
        text = text.replace(character, f"\\{code}") if character != " " else text
    return text


def _unescaped(text: str) -> str:
    return re.sub(r"\\([sntr\\])", lambda match: _ESCAPES[match[1]], text)

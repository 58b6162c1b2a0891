"""`watcher startup`: the entry that starts it at log-on."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

from watcher.cli.exits import Exit
from watcher.cli.options import ConfigFile
from watcher.cli.printing import say

AllUsers = Annotated[
    bool, typer.Option("--all-users", help="For whoever logs on; it takes an administrator.")
]

startup = typer.Typer(
    help="Start the watcher at log-on: the Windows Startup folder, XDG autostart elsewhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@startup.command()
def install(config: ConfigFile = None, all_users: AllUsers = False) -> int:
    """Have `watcher run --headless` started at log-on, with this configuration.

    Example: watcher startup install --all-users
    """
    from watcher import startup as entries
    from watcher.config import load

    command = entries.command_for(load(config).file)
    written = entries.install(command, all_users)
    say(f"{'written' if written else 'is there already'}: {entries.kind().path(all_users)}")
    return Exit.DONE


@startup.command()
def remove(all_users: AllUsers = False) -> int:
    """Have it started no more.

    Example: watcher startup remove
    """
    from watcher import startup as entries

    removed = entries.remove(all_users)
    say(f"{'removed' if removed else 'there was none'}: {entries.kind().path(all_users)}")
    return Exit.DONE


@startup.command()
def show() -> int:
    """Tell what is started at log-on, and whether all of it is still there; ends with 1 if not.

    Example: watcher startup show
    """
    from watcher import startup as entries

    code = Exit.LEFT_BEHIND
    for all_users, whose in ((False, "this user"), (True, "all users")):
        path, command = entries.kind().path(all_users), entries.read(all_users)
        if command is None:
            say(f"{whose}: none ({path})")
            continue
        say(f"{whose}: {path}")
        say(f"    starts {subprocess.list2cmdline([command.program, *command.arguments])}")
        say(f"    in     {command.folder}")
        for problem in (missing := entries.problems(command)):
            say(f"    {problem}; `watcher startup install` writes it anew")
        if missing:
            return Exit.LEFT_BEHIND
        code = Exit.DONE
    return code

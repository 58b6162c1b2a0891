"""The commands together, and what becomes of their errors."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

import typer

import watcher
from watcher.cli.exits import Exit, exit_for
from watcher.errors import WatcherError
from watcher.platform import system

COMMANDS = (
    *("run", "rescan", "status", "check", "why", "history", "verify", "resolve"),
    *("doctor", "init", "demo", "startup"),
)
"""In the order in which `--help` shows them; each is a module of its own."""
_SELDOM = 10_000, 10, 10
"""How many objects more there must be before rings among them are searched for, and how often the
older ones are searched too. Thousands of files under way are none; a few megabytes wait, at most.
"""

_WrongUsage: type[Exception] = typer.BadParameter.__mro__[2]
"""What all complaints about the command line have in common; its home depends on typer's age."""

_INTERRUPTED = 130
"""What typer makes of Ctrl-C; no command of ours ends with it."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"watcher {watcher.__version__}")
        raise typer.Exit


def _top(
    _version: bool = typer.Option(
        False, "--version", "-V", callback=_version, is_eager=True, help="Show the version, end."
    ),
) -> None:
    """Take finished bluesky scan files to the archive and the cache, and never lose one.

    A file is finished when its producer has marked it read-only. The watcher copies it to every
    destination, reads the copies back, records their checksums, and only then removes the source.

    \b
    To begin:   watcher init              write a configuration, to be edited
                watcher rescan --dry-run  see what would go where
                watcher run               watch, with a live dashboard
    To look:    watcher status            from another console
                watcher check             one line for Nagios
                watcher doctor            what could go wrong at the next boot
                watcher why FILE          what became of a file, or what holds it back
    To try:     watcher demo              a whole instrument in a temporary folder
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines


def make_app(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """Put commands together; each is imported only here."""
    app = typer.Typer(
        name="watcher",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    for name in commands:
        module = importlib.import_module(f"watcher.cli.{name}")
        command = getattr(module, name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def run_app(arguments: Sequence[str]) -> int:
    """Run the command line; every error ends in a sentence and an exit code."""
    system.prepare()
    gc.set_threshold(*_SELDOM)
    try:
        app = make_app([c for c in COMMANDS if c in arguments[:1]] or COMMANDS)
        result = app(list(arguments), standalone_mode=False, prog_name="watcher")
        if result == _INTERRUPTED:
            raise KeyboardInterrupt("interrupted")
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - it is told
        code = _explained(error)
        return _unknown(error) if _is_check(arguments) else code
    return int(result) if isinstance(result, int) else Exit.DONE


def _explained(error: BaseException) -> Exit:
    match error:
        case WatcherError():
            _complain(str(error))
            return exit_for(error)
        case _WrongUsage():
            error.show()  # type: ignore[attr-defined]
            return Exit.USAGE
        case typer.Abort() | KeyboardInterrupt():
            return Exit.LEFT_BEHIND
    # a defect of ours: still a sentence, not a traceback
    _complain(f"unexpected {type(error).__name__}: {error}; please report this")
    if os.environ.get("WATCHER_DEBUG"):
        raise error
    return Exit.LEFT_BEHIND


def _is_check(arguments: Sequence[str]) -> bool:
    return next((a for a in arguments if not a.startswith("-")), "") == "check"


def _unknown(error: BaseException) -> int:
    """Say it once more as Nagios wants it: on one line of standard output."""
    from watcher.cli.printing import say
    from watcher.views.check import unknown

    code, line = unknown(str(error))
    say(line)
    return code


def _complain(text: str) -> None:
    if sys.stderr is not None:
        safe = text.encode(sys.stderr.encoding or "ascii", "backslashreplace")
        print(f"watcher: {safe.decode(sys.stderr.encoding or 'ascii')}", file=sys.stderr)

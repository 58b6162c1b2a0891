"""The configuration: one YAML file, checked as a whole, frozen. It stops at the wiring.

complaints    what is wrong, in the operator's words
reading       YAML to plain values
values        what each kind of key accepts
combinations  what is impossible together
schema        keys, types and defaults
commented     the file to start from
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from platformdirs import user_config_dir
from pydantic import ValidationError

from watcher.config import complaints, reading
from watcher.config.commented import commented
from watcher.config.complaints import Key, Problem
from watcher.config.schema import (
    OUTPUT_VARIABLE,
    SECTIONS,
    AfterArchiving,
    ChecksumsConfig,
    Config,
    DestinationConfig,
    LogConfig,
    LogFormat,
    LogLevel,
    MetricsConfig,
    RetryConfig,
)
from watcher.errors import ConfigurationError

__all__ = [
    "AfterArchiving",
    "ChecksumsConfig",
    "Config",
    "DestinationConfig",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "MetricsConfig",
    "RetryConfig",
    "commented",
    "find",
    "load",
]

FILE_VARIABLE = "WATCHER_CONFIG"
FILE_NAME = "watcher.yaml"
_DEFAULTS: dict[tuple[str | int, ...], str] = {
    ("data_roots", 0): f"from ${OUTPUT_VARIABLE}",
    ("instrument",): "from this computer's host name",
}
"""Where a value comes from that isn't in the file."""
_AT_THE_END = 1 << 30
_LINES_TOLD = 50
_MEND = "`watcher init` writes one to start from"


def load(path: str | None = None) -> Config:
    """Find, read and check the configuration.

    Args:
        path: the file; without it, it is looked for as `find` says.

    Raises:
        ConfigurationError: it isn't there, can't be read or can't be used; the text names the
            file and, a line each, every key that is wrong, what was found and what was expected.

    """
    file = find(path)
    document = _read(file)
    problems = document.problems
    try:
        config = Config.model_validate(document.values, context={"file": file})
    except ValidationError as error:
        told = {problem.key for problem in problems}
        problems += [p for p in _problems(error, document) if p.key not in told]
    if problems:
        problems.sort(key=lambda problem: document.line(problem.key) or _AT_THE_END)
        raise _refusal(file, [_line(problem, document) for problem in problems])
    return config


def find(path: str | None = None) -> str:
    """Return the absolute path of the configuration.

    Args:
        path: what the operator named; else $WATCHER_CONFIG, else `watcher.yaml` in the current
            folder, else in the folder for the user's configurations.

    Raises:
        ConfigurationError: there is none; the text says where it was looked for.

    """
    named = path or os.environ.get(FILE_VARIABLE)
    own = user_config_dir("watcher", appauthor=False)
    places = [named] if named else [FILE_NAME, os.path.join(own, FILE_NAME)]
    try:
        places = [os.path.abspath(place) for place in places]
        found = next((place for place in places if os.path.lexists(place)), None)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't be looked for: {error}", path=str(named or "")) from None
    if found is not None:
        return found
    looked = f"${FILE_VARIABLE} names" if named and not path else "looked for"
    where = " and ".join(map(complaints.printable, places))
    raise ConfigurationError(f"no configuration found, {looked} {where}", mend=_MEND)


def _read(file: str) -> reading.Document:
    try:
        if os.path.isdir(file):
            raise ConfigurationError("found a folder, expected a YAML file", path=file)
        with open(file, "rb") as stream:
            document = reading.read(stream.read(reading.LARGEST + 1))
    except OSError as error:
        raise ConfigurationError(f"can't be read: {error.strerror}", path=file) from None
    except reading.NoYamlError as error:
        raise ConfigurationError(str(error), path=file) from None
    if document is None:
        raise ConfigurationError(
            "found an empty file, expected at least destinations", path=file, mend=_MEND
        )
    if not isinstance(document.values, dict):
        found = document.found(())
        raise ConfigurationError(f"found {found}, expected keys with values", path=file, mend=_MEND)
    return document


def _problems(error: ValidationError, document: reading.Document) -> Iterator[Problem]:
    for one in error.errors(include_url=False):
        section = SECTIONS.get(str(one["loc"][0]), Config) if len(one["loc"]) > 1 else Config
        for problem in complaints.explain(one, section.model_fields):
            written = problem.found or document.found(problem.key)
            deeper = problem.key[len(one["loc"]) :]
            yield replace(problem, found=written or complaints.shown(_at(one["input"], deeper)))


def _at(value: Any, key: Key) -> Any:  # noqa: ANN401 - whatever was given
    """Return what stands below a value that isn't in the file, as far down as there is anything."""
    for part in key:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
    return value


def _line(problem: Problem, document: reading.Document) -> str:
    line = document.line(problem.key)
    place = f"line {line}" if line else _DEFAULTS.get(problem.key)
    key = f"{complaints.dotted(problem.key)}{f' ({place})' if place else ''}: "
    return f"{key if problem.key else ''}found {problem.found}, expected {problem.expected}"


def _refusal(file: str, lines: list[str]) -> ConfigurationError:
    """Put the file's name before each line; the first one gets it from the error itself."""
    if len(lines) > _LINES_TOLD:
        lines = [*lines[:_LINES_TOLD], f"and {len(lines) - _LINES_TOLD} more"]
    return ConfigurationError(f"\n{file}: ".join(lines), path=file)

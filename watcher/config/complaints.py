"""What is wrong with a configuration, in the operator's words: key, line, found, expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Key = tuple[str | int, ...]

_LONGEST_SHOWN = 100
_EXPECTED = {
    "bool_type": "true or false",
    "model_type": "keys with values",
    "dict_type": "keys with values",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    key: Key
    """Where it stands, from the top of the file."""
    expected: str
    found: str | None = None
    """What to show as found; None shows the value as it is written in the file."""


class Problems(ValueError):  # noqa: N818 - there may be several
    """Several things wrong in one section; their keys start at that section."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Collect them."""
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.expected for problem in self.problems))


def dotted(key: Key) -> str:
    """Write a key as an operator reads it: `destinations[1].path`."""
    words = "".join(f"[{k}]" if isinstance(k, int) else f".{printable(k)}" for k in key)
    return words.removeprefix(".")


def shown(value: object) -> str:
    """Show a value on one line, whatever it is, and however long."""
    if isinstance(value, str):
        return f"'{printable(value)}'"
    if isinstance(value, dict | list | tuple):
        return "keys with values" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else printable(str(value).lower())


def close_to(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean X?` where a known word is close to `word`, else nothing."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:_LONGEST_SHOWN], by_lower, n=1)
    return f", did you mean {by_lower[close[0]]}?" if close else ""


def explain(error: ErrorDetails, known: Iterable[str]) -> Iterator[Problem]:
    """Translate one error of pydantic's.

    Args:
        error: one entry of `ValidationError.errors()`.
        known: the keys that may stand where the error is.

    """
    key, kind, cause = error["loc"], error["type"], error.get("ctx", {}).get("error")
    if isinstance(cause, Problems):
        for p in cause.problems:
            yield Problem((*key, *p.key), p.expected, p.found)
    elif kind == "extra_forbidden":
        names = sorted(known)
        hint = close_to(str(key[-1]), names)
        yield Problem(key, f"one of {', '.join(names)}{hint}", "an unknown key")
    elif kind == "missing":
        yield Problem(key, _MISSING.get(str(key[-1]), "a value"), "nothing")
    else:
        yield Problem(key, _expected(kind, cause, error["msg"]))


_MISSING = {
    "destinations": "a list of destinations, each with a name and a path",
    "name": "a name, such as archive",
    "path": "the path of a folder",
}


def _expected(kind: str, cause: Any, message: str) -> str:  # noqa: ANN401 - pydantic's own
    if kind == "value_error" and cause is not None:
        return str(cause)
    return _EXPECTED.get(kind, message.removeprefix("Input should be "))


def printable(text: str) -> str:
    """Return text for one line of a terminal: cut where it is long, other characters spelt out."""
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)

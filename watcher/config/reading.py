"""YAML to plain values, keeping where each stands. Nothing in a file can make this do more.

Only what a configuration needs is understood: keys, lists, text, numbers, true and false, nothing.
Aliases, tags and dates are refused or taken as text, so that no file can blow up, call anything or
mean something else than what it looks like (`030` and `1:30` are no numbers here).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from watcher.config.complaints import Key, Problem, shown

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"

LARGEST = 100_000
"""Bytes that a configuration may have; most have about two thousand."""
_DEEPEST = 16
_TAG = "tag:yaml.org,2002:"
_PLAIN_TEXT = {_TAG + name for name in ("str", "timestamp", "merge", "value")}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]{1,18}\.[0-9]*|\.[0-9]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)")


class NoYamlError(ValueError):
    """The file is no YAML that can be understood; the message says where and why."""


@dataclass(slots=True)
class Document:
    """What a file says, and where it says it."""

    root: yaml.Node
    values: Value = None
    problems: list[Problem] = field(default_factory=list)

    def found(self, key: Key) -> str | None:
        """Show the value at `key` as it is written; None where nothing is written."""
        _, node = self._look(key)
        if not isinstance(node, yaml.ScalarNode):
            return (
                None if node is None else shown([] if isinstance(node, yaml.SequenceNode) else {})
            )
        if node.tag in _PLAIN_TEXT or node.style:
            return shown(node.value)
        return shown(node.value).strip("'") or shown(None)

    def line(self, key: Key) -> int | None:
        """Return the line in which `key` is written, counted from 1."""
        line, node = self._look(key)
        return None if node is None else line + 1

    def _look(self, key: Key) -> tuple[int, yaml.Node | None]:
        line, node = 0, self.root
        for part in key:
            if isinstance(node, yaml.MappingNode):
                pair = next(((k, v) for k, v in node.value if k.value == part), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                pair = (node.value[part],) * 2 if part < len(node.value) else None
            else:
                pair = None
            if pair is None:
                return line, None
            line, node = pair[0].start_mark.line, pair[1]
        return line, node


def read(data: bytes) -> Document | None:
    """Read a configuration.

    Args:
        data: the file's bytes.

    Returns:
        The document, or None if it is empty.

    Raises:
        NoYamlError: it is no YAML, or more than a configuration may be.

    """
    if len(data) > LARGEST:
        raise NoYamlError(f"found more than {LARGEST} bytes, expected a configuration")
    try:
        node = _Composer(data).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise NoYamlError(_where_and_why(error)) from None
    except yaml.reader.ReaderError as error:
        raise NoYamlError(_undecodable(error, data)) from None
    if node is None:
        return None
    document = Document(node)
    document.values = _value(node, (), document.problems)
    return document


class _Composer(yaml.SafeLoader):
    """PyYAML's own steps up to nodes; its constructors, which can do more, are never called."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="found an alias (*name), expected the value itself", problem_mark=mark
            )
        if self.depth >= _DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deep", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _where_and_why(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    why = error.problem or error.context or "no valid YAML"
    why = why.removeprefix("but ")
    hint = ""
    if "escape" in why or "hexadecimal" in why:
        hint = r"; write Windows paths in single quotes: 'C:\Data'"
    elif r"'\t'" in why:
        hint = "; indent with spaces, not tabs"
    return f"{place}{' '.join(why.split())}{hint}"


def _undecodable(error: yaml.reader.ReaderError, data: bytes) -> str:
    position = error.position if isinstance(error.position, int) else 0
    line = data.count(b"\n", 0, position) + 1
    return f"line {line}: this is no text in UTF-8; save the file as UTF-8"


def _value(node: yaml.Node, key: Key, problems: list[Problem]) -> Value:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*key, i), problems) for i, item in enumerate(node.value)]
    return _scalar(node, key, problems)


def _mapping(node: yaml.MappingNode, key: Key, problems: list[Problem]) -> Value:
    values: dict[str, Value] = {}
    for name, item in node.value:
        if not isinstance(name, yaml.ScalarNode) or not name.value.isprintable():
            found = f"an odd key in line {name.start_mark.line + 1}"
            problems.append(Problem(key, "a plain word as key", found))
        elif name.value in values:
            found = f"the key a second time, in line {name.start_mark.line + 1}"
            problems.append(Problem((*key, name.value), "each key once", found))
        else:
            values[name.value] = _value(item, (*key, name.value), problems)
    return values


def _scalar(node: yaml.Node, key: Key, problems: list[Problem]) -> Value:
    text, kind = str(node.value), node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return yaml.SafeLoader.bool_values.get(text.lower(), text)
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[in])", "", text.lower()))
    if kind not in {"int", "float"} and node.tag not in _PLAIN_TEXT:
        problems.append(Problem(key, "a plain value", f"the tag {shown(node.tag)}"))
    return text

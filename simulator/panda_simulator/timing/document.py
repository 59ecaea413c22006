"""A script is YAML whose scalars stay the text that was written, each with its line.

Text, because values go to the box as they are: `No` is a label of the box and no
boolean, `1e-6` a time that the box reads itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

_DEPTH = 10


class ScriptError(Exception):
    """A script is malformed, or the box refuses it; the text is one line: file, line, reason."""

    def __init__(self, path: Path | str, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = Path(path)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text at a place."""

    path: Path
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list at a place."""

    path: Path
    line: int
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping at a place, in the order of the file."""

    path: Path
    line: int
    nodes: Mapping[str, Node] = field(default_factory=dict[str, "Node"])
    lines: Mapping[str, int] = field(default_factory=dict[str, int])


Node: TypeAlias = Scalar | Items | Entries


def error(node: Node, reason: str) -> ScriptError:
    """Say what is wrong with a node."""
    return ScriptError(node.path, node.line, reason)


def load(path: Path) -> Entries:
    """Read a file, which must hold one mapping.

    Raises:
        OSError: it cannot be read.
        ScriptError: it is no YAML, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise ScriptError(path, line, "this is no UTF-8 text") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Entries:
    """Read a text, which must hold one mapping; the path is for messages only.

    Raises:
        ScriptError: it is no YAML, or no mapping.
    """
    try:
        root: Any = yaml.SafeLoader(text).get_single_node()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        reason = problem.problem or problem.context or "cannot be read"
        if "alias" in f"{problem.context} {reason}":
            reason += "; a name that begins with a star needs quotes"
        raise ScriptError(path, mark.line + 1 if mark else 1, f"not YAML: {reason}") from None
    except yaml.YAMLError as problem:
        reason = str(problem).splitlines()[0]
        raise ScriptError(path, 1, f"not YAML: {reason}") from None
    if root is None:
        raise ScriptError(path, 1, "the script is empty")
    node = _convert(root, path, 0)
    if not isinstance(node, Entries):
        raise error(node, "a script is a mapping: lines like `show: [PULSE1.OUT]`")
    return node


def _convert(node: Any, path: Path, depth: int) -> Node:
    line: int = node.start_mark.line + 1
    if depth > _DEPTH:
        raise ScriptError(path, line, "nested too deeply")
    if isinstance(node, yaml.ScalarNode):
        return Scalar(path, line, str(node.value))
    if isinstance(node, yaml.SequenceNode):
        return Items(path, line, tuple(_convert(item, path, depth + 1) for item in node.value))
    nodes = dict[str, Node]()
    lines = dict[str, int]()
    for key, value in node.value:
        name = _convert(key, path, depth + 1)
        if not isinstance(name, Scalar):
            raise error(name, "a key has to be a plain text")
        if name.text in nodes:
            raise error(name, f"{name.text} is there twice, first in line {lines[name.text]}")
        nodes[name.text] = _convert(value, path, depth + 1)
        lines[name.text] = name.line
    return Entries(path, line, nodes, lines)


def entries(node: Node, what: str) -> Entries:
    """Return a node that must be a mapping; nothing at all is an empty one.

    Raises:
        ScriptError: it is something else.
    """
    if isinstance(node, Scalar) and not node.text:
        return Entries(node.path, node.line)
    if not isinstance(node, Entries):
        raise error(node, f"{what}: lines like `NAME: VALUE` expected")
    return node


def items(node: Node, what: str) -> tuple[Node, ...]:
    """Return the items of a node that must be a list; nothing at all is an empty one.

    Raises:
        ScriptError: it is something else.
    """
    if isinstance(node, Scalar) and not node.text:
        return ()
    if not isinstance(node, Items):
        raise error(node, f"{what}: a list expected, each item after a dash")
    return node.nodes


def scalar(node: Node, what: str) -> Scalar:
    """Return a node that must be one value.

    Raises:
        ScriptError: it is something else.
    """
    if not isinstance(node, Scalar):
        raise error(node, f"{what}: one value expected")
    return node


def check_keys(node: Entries, known: Iterable[str], what: str) -> None:
    """Refuse keys that mean nothing.

    Raises:
        ScriptError: there is one.
    """
    known = list(known)
    for key, line in node.lines.items():
        if key not in known:
            raise ScriptError(node.path, line, f"{what}: {unknown(key, known)}")


def unknown(key: str, known: Iterable[str]) -> str:
    """Say that a key means nothing, and which one may have been meant."""
    known = list(known)
    close = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    return f"unknown key {key!r}; {hint}"


def walk(node: Entries) -> Iterator[tuple[str, int, Node]]:
    """Yield keys with their lines and values."""
    for key, value in node.nodes.items():
        yield key, node.lines[key], value

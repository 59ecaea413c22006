"""A script says how a box is wired, what happens to it and what of it is shown.

Here it is only read; whether its names are some of the box shows when it is played.
The keys, and what they may hold, are explained in docs/simulator.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

from panda_simulator.builtin import DEFAULT_BOX
from panda_simulator.timing.document import (
    Entries,
    Items,
    Node,
    Scalar,
    ScriptError,
    check_keys,
    entries,
    error,
    items,
    load,
    parse,
    scalar,
    walk,
)
from panda_simulator.timing.times import parse_ticks

T = TypeVar("T")

MOST_TIMES = 1_000_000
"""How often a stimulus may happen."""

KEYS = (
    "title", "box", "config_dir", "box_file", "hardware_latency", "axes", "cables", "set",
    "stimuli", "show", "until", "notes",
)  # fmt: skip
_BOX_KEYS = ("box", "config_dir", "box_file")
_WHEN = ("at", "every", "times")
_AXIS_KEYS = (
    "encoder", "counts_per_unit", "offset", "resolution", "noise", "seed",
    "position", "velocity", "acceleration", "limits",
)  # fmt: skip
_SHOW_KEYS = ("signal", "label", "style", "columns")
_NOTE_KEYS = ("at", "from", "to", "text", "on")
_CABLE = re.compile(r"(\S+) +to +(\S+)")
_EDGE = re.compile(r"(\S+) +(rise|fall|change|capture)(?: +([1-9]\d*))?")
_VALUE = re.compile(r"(\S+) *= *(.+?)(?: +#([1-9]\d*))?")


class Style(Enum):
    """How values are drawn: as it suits them, as a bus or as a line."""

    AUTO = "auto"
    BUS = "bus"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Action:
    """Something done to the box or its world."""

    name: str
    line: int
    value: Node


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Actions at a tick, and perhaps again and again."""

    line: int
    tick: int
    every: int
    times: int
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class AxisSetup:
    """What is different from the standard about an axis."""

    name: str
    line: int
    numbers: Mapping[str, float]
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable from an output connector to an input connector."""

    line: int
    output: str
    target: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A signal to show."""

    name: str
    line: int
    label: str = ""
    style: Style = Style.AUTO
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """A tick, or the n-th edge of a signal."""

    line: int
    tick: int = 0
    signal: str = ""
    edge: str = ""
    """"rise", "fall", "change", "capture", or "=" for a value."""
    value: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Note:
    """A remark at a point, or a distance between two."""

    line: int
    text: str
    start: Point
    end: Point | None = None
    on: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it was written."""

    path: Path
    title: str
    box: str
    config_dir: Path | None
    box_file: Path | None
    box_key: str
    """Which of the three is given."""
    box_line: int
    hardware_latency: bool
    axes: tuple[AxisSetup, ...]
    cables: tuple[Cable, ...]
    settings: tuple[Action, ...]
    stimuli: tuple[Stimulus, ...]
    shown: tuple[Shown, ...]
    until: int
    notes: tuple[Note, ...]


def read_script(path: Path) -> Script:
    """Read a script from a file.

    Raises:
        OSError: it cannot be read.
        ScriptError: it is malformed.
    """
    return _script(load(path))


def parse_script(text: str, path: Path | str = "script") -> Script:
    """Read a script from a text; the path is for messages, and where `config_dir` begins.

    Raises:
        ScriptError: it is malformed.
    """
    return _script(parse(text, Path(path)))


def _script(root: Entries) -> Script:
    check_keys(root, KEYS, "script")
    for key in ("show", "until"):
        if key not in root.nodes:
            raise error(root, f"there is no {key!r}: the script has to say it")
    given = {key: _text(root, key) for key in _BOX_KEYS if key in root.nodes}
    if len(given) > 1:
        raise error(root, f"a script has one box: {' and '.join(given)} are given")
    box_key = next(iter(given), "box")
    if not _list(root, "show"):
        raise error(root.nodes["show"], "show: nothing is shown")
    until = scalar(root.nodes["until"], "until")
    return Script(
        path=root.path,
        title=_text(root, "title"),
        box=given.get("box", DEFAULT_BOX),
        config_dir=root.path.parent / given["config_dir"] if "config_dir" in given else None,
        box_file=root.path.parent / given["box_file"] if "box_file" in given else None,
        box_key=box_key,
        box_line=root.lines.get(box_key, 1),
        hardware_latency=_flag(root, "hardware_latency"),
        axes=tuple(_axis(name, line, node) for name, line, node in _walk(root, "axes")),
        cables=tuple(_cable(node) for node in _list(root, "cables")),
        settings=tuple(Action(name, line, node) for name, line, node in _walk(root, "set")),
        stimuli=tuple(_stimulus(node) for node in _list(root, "stimuli")),
        shown=tuple(_shown(node) for node in _list(root, "show")),
        until=_number(until, "until", parse_ticks),
        notes=tuple(_note(node) for node in _list(root, "notes")),
    )


def _text(node: Entries, key: str) -> str:
    """Return a text on one line, nothing if it is not there."""
    return " ".join(scalar(node.nodes[key], key).text.split()) if key in node.nodes else ""


def _flag(root: Entries, key: str) -> bool:
    """Return true or false, false if it is not there."""
    text = _text(root, key) or "false"
    if text not in {"true", "false"}:
        raise error(root.nodes[key], f"{key}: {text!r} is neither true nor false")
    return text == "true"


def _walk(root: Entries, key: str) -> list[tuple[str, int, Node]]:
    return list(walk(entries(root.nodes[key], key))) if key in root.nodes else []


def _list(root: Entries, key: str) -> tuple[Node, ...]:
    return items(root.nodes[key], key) if key in root.nodes else ()


def _number(node: Scalar, what: str, convert: Callable[[str], T]) -> T:
    try:
        return convert(node.text)
    except ValueError as problem:
        reason = str(problem)
        if "could not convert" in reason or "invalid literal" in reason:
            reason = f"{node.text!r} is no number"
        raise error(node, f"{what}: {reason}") from None


def _axis(name: str, line: int, node: Node) -> AxisSetup:
    setup = entries(node, f"axis {name}")
    check_keys(setup, _AXIS_KEYS, f"axis {name}")
    numbers = dict[str, float]()
    limits = None
    for key, _, value in walk(setup):
        if key == "limits":
            pair = [_number(scalar(item, key), key, float) for item in items(value, key)]
            if len(pair) != 2:  # noqa: PLR2004 (lowest and highest)
                raise error(value, "limits: two numbers expected, as [-10, 10]")
            limits = pair[0], pair[1]
        else:
            numbers[key] = _number(scalar(value, key), key, float)
    return AxisSetup(name, line, numbers, limits)


def _cable(node: Node) -> Cable:
    text = scalar(node, "cable").text
    match = _CABLE.fullmatch(text.strip())
    if match is None:
        raise error(node, f"cable: {text!r}: `TTLOUT1 to TTLIN2` expected")
    return Cable(node.line, match[1], match[2])


def _stimulus(node: Node) -> Stimulus:
    stimulus = entries(node, "stimulus")
    if "at" not in stimulus.nodes:
        raise error(node, "stimulus: there is no 'at': it says when")
    ticks = {
        key: _number(scalar(stimulus.nodes[key], key), key, parse_ticks)
        for key in ("at", "every")
        if key in stimulus.nodes
    }
    times = 1
    if "times" in stimulus.nodes:
        times = _number(scalar(stimulus.nodes["times"], "times"), "times", int)
        if times < 1 or "every" not in ticks:
            raise error(stimulus.nodes["times"], "times: a number above 0, together with 'every'")
    elif "every" in ticks:
        times = 0
    if ticks.get("every") == 0:
        raise error(stimulus.nodes["every"], "every: has to be one tick at least")
    if times > MOST_TIMES:
        raise error(stimulus.nodes["times"], f"times: {MOST_TIMES} is the most")
    actions = tuple(Action(*entry) for entry in walk(stimulus) if entry[0] not in _WHEN)
    if not actions:
        raise error(node, "stimulus: nothing happens in it")
    return Stimulus(stimulus.line, ticks["at"], ticks.get("every", 0), times, actions)


def _shown(node: Node) -> Shown:
    if isinstance(node, Scalar):
        return Shown(node.text, node.line)
    entry = entries(node, "show")
    if "signal" not in entry.nodes:
        if len(entry.nodes) != 1:
            raise error(node, "show: a name, or `NAME: label`, or a mapping with 'signal' expected")
        name, line, value = next(walk(entry))
        if isinstance(value, Items):
            return Shown(name, line, columns=_columns(value))
        return Shown(name, line, scalar(value, name).text)
    check_keys(entry, _SHOW_KEYS, "show")
    style = _text(entry, "style") or Style.AUTO.value
    if style not in {known.value for known in Style}:
        known = ", ".join(known.value for known in Style)
        raise error(entry.nodes["style"], f"style: {style!r} is none of {known}")
    columns = _columns(entry.nodes["columns"]) if "columns" in entry.nodes else ()
    return Shown(_text(entry, "signal"), entry.line, _text(entry, "label"), Style(style), columns)


def _columns(node: Node) -> tuple[str, ...]:
    return tuple(scalar(item, "columns").text for item in items(node, "columns"))


def _note(node: Node) -> Note:
    note = entries(node, "note")
    check_keys(note, _NOTE_KEYS, "note")
    text = _text(note, "text")
    points = {key: _point(note.nodes[key]) for key in ("at", "from", "to") if key in note.nodes}
    if set(points) == {"from", "to"}:
        return Note(note.line, text, points["from"], points["to"])
    if set(points) != {"at"}:
        raise error(node, "note: 'at', or both 'from' and 'to' expected")
    if not text:
        raise error(node, "note: there is no 'text'")
    return Note(note.line, text, points["at"], on=_text(note, "on"))


def _point(node: Node) -> Point:
    text = scalar(node, "note").text.strip()
    match = _EDGE.fullmatch(text)
    if match:
        return Point(node.line, signal=match[1], edge=match[2], count=int(match[3] or 1))
    match = _VALUE.fullmatch(text)
    if match:
        return Point(node.line, 0, match[1], "=", match[2], int(match[3] or 1))
    try:
        return Point(node.line, parse_ticks(text))
    except ValueError:
        raise ScriptError(
            node.path,
            node.line,
            f"note: {text!r} is neither a time nor an edge, as `PULSE1.OUT rise 2`",
        ) from None

"""Whatever a test touches is read before and put back after it, also when it fails.

What has no value to read (actions, `write` fields, `*VERBOSE`) cannot be put back:
only a box that is ours is used that way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest

from .survey import Survey
from .wire import Address, Control, Reply

# units of a time come before its ticks: they change what is reported, not the ticks
_BY_RAW = {"time", "param time", "param scalar"}


class Keeper:
    """Remembers settings and puts them back, the last one first."""

    def __init__(self, box: Survey) -> None:
        self._box = box
        self._undo: list[Callable[[Control], Reply]] = []
        self._kept: set[str] = set()

    def __call__(self, *targets: str) -> str:
        """Remember values; return the first target for convenience."""
        with Control(self._box.address) as control:
            for target in targets:
                if target not in self._kept:
                    self._kept.add(target)
                    self._remember(control, target)
        return targets[0]

    def irreversible(self, what: str) -> None:
        """Skip the test unless the box is ours."""
        if not self._box.ours:
            pytest.skip(f"{what} cannot be put back (--scratch allows it)")

    def capture(self) -> None:
        """Remember all that is captured, and capture nothing."""
        self(*(f"{name}.CAPTURE" for name in self._box.captured))
        with Control(self._box.address) as control:
            control.ok("*CAPTURE=")

    def put_back(self) -> None:
        undo, self._undo = self._undo, []
        if not undo:
            return
        failed: list[Reply] = []
        with Control(self._box.address) as control:
            for step in reversed(undo):
                reply = step(control)
                if reply != "OK":
                    failed.append(reply)
        assert not failed, f"could not be put back: {failed}"

    def _remember(self, control: Control, target: str) -> None:
        if target.startswith("*METADATA."):
            self._remember_metadata(control, target)
            return
        info = self._info(control, target)
        if info == "table":
            self._remember_table(control, target)
        elif info in _BY_RAW:
            self._assign_back(control, f"{target}.RAW")
            if info != "param scalar":
                self(f"{target}.UNITS")
        else:
            self._assign_back(control, target)

    def _info(self, control: Control, target: str) -> str:
        if target.count(".") > 1:
            return "attribute"
        return control.value(f"{target}.INFO")

    def _assign_back(self, control: Control, target: str) -> None:
        reply = control.ask(f"{target}?")
        if isinstance(reply, str) and reply.startswith("OK ="):
            value = reply.removeprefix("OK =")
            self._undo.append(lambda control: control.ask(f"{target}={value}"))
        else:
            self.irreversible(f"{target}, which reads {reply}")

    def _remember_table(self, control: Control, target: str) -> None:
        mode = control.value(f"{target}.MODE")
        if mode not in {"INIT", "FIXED"}:
            self.irreversible(f"{target}, which is {mode},")
        lines = control.lines(f"{target}.B")

        def undo(control: Control) -> Reply:
            control.table(target, "")
            return control.table(target, "B", *lines) if lines else "OK"

        self._undo.append(undo)

    def _remember_metadata(self, control: Control, target: str) -> None:
        reply = control.ask(f"{target}?")
        if isinstance(reply, list):
            self._undo.append(lambda control: control.table(target, "", *reply))
        elif control.ask(f"{target}={reply.removeprefix('OK =')}") == "OK":
            self._assign_back(control, target)
        # what does not take its own value is a constant


def settings(box: Survey) -> dict[str, str]:
    """Everything that can be set, by name: what must be the same afterwards."""
    with Control(box.address) as control:
        found = {
            line
            for group in ("CONFIG", "ATTR", "METADATA")
            for line in control.lines(f"*CHANGES.{group}")
            if ".QUEUED_LINES=" not in line
        }
        tables = [t for field in box.of("table") for t in field.instances]
        multiline = [line.removesuffix("<") for line in found if _is_multiline(line)]
        named = dict.fromkeys(found, "")
        for target in (*(f"{t}.B" for t in tables), *multiline):
            named[target] = "\n".join(control.lines(target))
    return named


def _is_multiline(line: str) -> bool:
    return line.startswith("*METADATA.") and "=" not in line


def differences(before: dict[str, str], after: dict[str, str]) -> Iterable[str]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name)!r} before, {after.get(name)!r} after"


class Snapshot:
    """All that can be set on a box, put back as far as it was changed since.

    A connection of its own is told of changes, so that putting back costs nothing
    where nothing was changed. Attributes come before values: units say what these mean.
    """

    def __init__(self, address: Address) -> None:
        self._control = Control(address)
        values: dict[str, str] = {}
        lists: dict[str, list[str]] = {}
        for group in ("ATTR", "CONFIG", "METADATA", "TABLE"):
            for line in self._control.lines(f"*CHANGES.{group}"):
                name, separator, value = line.partition("=")
                if separator and not name.endswith(".QUEUED_LINES"):
                    values[name] = value
                elif line.endswith("<"):
                    name = line.removesuffix("<")
                    lists[name] = self._control.lines(name + (".B" if group == "TABLE" else ""))
        self._values = values
        self._lists = lists
        self._ticks = self._read_ticks()

    def put_back(self) -> None:
        """Write what was changed since the last time."""
        for group in ("ATTR", "CONFIG", "METADATA", "TABLE"):
            for line in self._control.lines(f"*CHANGES.{group}"):
                self._put_back_line(line)
        self._control.ok("*CHANGES=")

    def close(self) -> None:
        self._control.close()

    def _read_ticks(self) -> dict[str, str]:
        """Whole ticks of times, which their texts round."""
        names = list(self._values)
        replies = self._control.ask_all(f"{name}.RAW?" for name in names)
        return {
            name: reply.removeprefix("OK =")
            for name, reply in zip(names, replies, strict=True)
            if re.fullmatch(r"OK =-?\d+", reply)
        }

    def _put_back_line(self, line: str) -> None:
        name = re.split("=|<| ", line)[0]
        if name in self._ticks:
            self._control.ok(f"{name}.RAW={self._ticks[name]}")
        elif name in self._values:
            if line != f"{name}={self._values[name]}":
                self._control.ok(f"{name}={self._values[name]}")
        elif name in self._lists:
            body = self._lists[name]
            is_table = not name.startswith("*")
            if is_table:
                assert self._control.table(name, "") == "OK"
            if body or not is_table:
                assert self._control.table(name, "B" if is_table else "", *body) == "OK"

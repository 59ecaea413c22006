"""Metadata: three kinds of keys.

Source: protocol.md 2.3 (`*METADATA`), 4.12.
"""

from __future__ import annotations

import pytest

from .survey import Survey
from .wire import Control, to_text


def keys(control: Control, box: Survey) -> dict[str, str]:
    """Kind by key: lines are lines, and a constant does not take its own value."""
    kinds: dict[str, str] = {}
    for key in box.metadata:
        reply = control.ask(f"*METADATA.{key}?")
        if isinstance(reply, list):
            kinds[key] = "multiline"
        elif reply.startswith("OK ="):
            again = control.ask(f"*METADATA.{key}={reply.removeprefix('OK =')}")
            kinds[key] = "string" if again == "OK" else "constant"
    return kinds


def key_of(control: Control, box: Survey, kind: str) -> str:
    for key, found in keys(control, box).items():
        if found == kind:
            return f"*METADATA.{key}"
    pytest.skip(f"this box has no {kind} metadata")


def test_strings(control, box: Survey, keep):
    target = keep(key_of(control, box, "string"))
    for text in ("", "plain", " µ with = ? < ", "x" * 255):
        control.ok(f"{target}={text}")
        assert control.value(target) == text
    assert control.error(f"{target}=\udcff") == "Malformed UTF-8 encoding"
    assert control.value(target) == "x" * 255
    assert control.table(target, "", "line") == "ERR Not a multi-line field"
    control.ok(f"{target}={'y' * 256}")
    assert control.error(f"{target}?") == "Result too long"
    line = f"{target}="
    control.ok(line + "z" * (1022 - len(line)))
    control.ok(f"{target}=")


def test_lines(control, box: Survey, keep):
    target = keep(key_of(control, box, "multiline"))
    text = ["one", " two ", ".", "!", '<xml attr="µ"/>', "\r", "x" * 1022]
    assert control.table(target, "", *text) == "OK"
    assert control.lines(target) == text
    assert control.error(f"{target}=x") == "Cannot write to this field"
    assert control.table(target, "", "good", to_text(b"bad \xff"), "good") == (
        "ERR Malformed UTF-8 encoding"
    )
    assert control.lines(target) == text
    for modifiers, error in (
        ("<", "Streaming mode not supported"),
        ("<|", "Streaming mode not supported"),
        ("<B", "Streaming mode not supported"),
        ("B", "Binary writes not supported"),
        ("x", "Unexpected character after input"),
    ):
        assert control.table(target, modifiers, "line") == f"ERR {error}"
    assert control.table(target, "") == "OK"
    assert control.lines(target) == []


def test_constants(control, box: Survey):
    target = key_of(control, box, "constant")
    value = control.value(target)
    for text in ("", "x"):
        assert control.error(f"{target}={text}") == "Cannot write to this field"
    assert control.error(f"{target}=\udcff") == "Malformed UTF-8 encoding"
    assert control.table(target, "", "x") == "ERR Not a multi-line field"
    assert control.value(target) == value


def test_keys_that_are_none(control):
    assert control.error("*METADATA.NO_SUCH?") == "Metadata key NO_SUCH not found"
    assert control.error("*METADATA.NO_SUCH=x") == "Metadata key NO_SUCH not found"
    assert control.table("*METADATA.NO_SUCH", "", "x") == "ERR Metadata key NO_SUCH not found"
    for separator in "?=":
        assert control.error(f"*METADATA{separator}") == "Character '.' expected"
        assert control.error(f"*METADATA.{separator}") == "No name found"
        assert control.error(f"*METADATA.1{separator}") == "No name found"
        assert control.error(f"*METADATA.{'K' * 32}{separator}") == "Name too long"
        assert control.error(f"*METADATA.K {separator}") == "Unexpected character after input"
    assert control.error("*METADATA.*X?") == "Unexpected character after input"
    assert control.error("*METADATA.*=") == "No name found"

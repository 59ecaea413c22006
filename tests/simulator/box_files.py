"""Boxes for tests: one of the reference's own application, one that has every class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from panda_simulator.box import Box
from panda_simulator.builtin import box_directory
from panda_simulator.echo import EchoHardware

TRANSCRIPTS = Path(__file__).parent / "transcripts"
EVERY_CLASS = TRANSCRIPTS / "every_class"


def echo_box(directory: Path | None = None, **options) -> Box:
    return Box(directory or box_directory("pandabox-no-fmc"), lambda _: EchoHardware(), **options)


def exchanges(name: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield who asked, the lines sent and the lines received of a transcript."""
    sent: list[str] = []
    received: list[str] = []
    who = ""
    for line in (TRANSCRIPTS / name).read_text("utf-8").splitlines():
        mark, space, text = line.partition(" ")
        if mark.endswith(">"):
            if received:
                yield who, sent, received
                sent, received = [], []
            who = mark[:-1]
            sent.append(text)
        else:
            received.append(text if space else mark)
    yield who, sent, received


def found(pattern, text):
    """Return the match of a pattern that must be in a text."""
    match = re.search(pattern, text)
    assert match, text
    return match

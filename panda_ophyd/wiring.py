"""Which block drives which input, read from settings as the server writes them.

Settings are a mapping of target on the wire to text, ``{"PCAP.TRIG": "SEQ1.OUTA"}``, as
``*CHANGES?`` lists them; what is not in it is not known. No I/O, no framework.

Source: blocks.md 1.2 and the sections of the blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Settings = Mapping[str, str]

CONSTANTS = ("ZERO", "ONE")

UNIT_SECONDS = {"min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}

_OUTPUT = re.compile(r"([A-Z][A-Z0-9_]*?)(\d*)\.([A-Z0-9_]+)", re.ASCII)

DRIVES: Mapping[str, tuple[str, ...]] = {
    "PULSE": ("TRIG",),
    "DIV": ("INP",),
    "PCOMP": ("INP",),
    "FILTER": ("INP",),
    "PGEN": ("TRIG",),
}
"""Inputs without which a block never does anything, ENABLE apart: a wire that nobody connects."""

STARTS: Mapping[str, tuple[str, ...]] = {
    "CLOCK": ("ENABLE",),
    "COUNTER": ("ENABLE",),
    "DIV": ("ENABLE",),
    "PCOMP": ("ENABLE",),
    "PGEN": ("ENABLE",),
    "PULSE": ("ENABLE",),
    "SEQ": ("ENABLE",),
    "SRGATE": ("ENABLE",),
}
"""Inputs that start a block: a flyer connects them last, so before that they say nothing."""


def block_of(output: str) -> str:
    """Return the block that an output belongs to, ``SEQ1`` of ``SEQ1.OUTA``."""
    return output.partition(".")[0]


def type_of(block: str) -> str:
    """Return the type of a block, ``SEQ`` of ``SEQ1``."""
    match = _OUTPUT.fullmatch(f"{block}.X")
    return match[1] if match else block


def is_output(text: str) -> bool:
    """Whether a text names an output rather than a constant, a number or a word."""
    return _OUTPUT.fullmatch(text) is not None and not text[0].isdigit()


def is_off(settings: Settings, target: str) -> bool:
    """Whether an input is known to be connected to nothing."""
    return settings.get(target) == "ZERO"


def upstream(settings: Settings, target: str) -> Iterator[str]:
    """Yield the inputs that decide over one input, that input first, each once.

    From an input to the block that drives it, and on to those inputs of that block that
    it cannot do without; not through those that only modify it.
    """
    seen: set[str] = set()
    waiting = [target]
    while waiting:
        here = waiting.pop(0)
        if here in seen:
            continue
        seen.add(here)
        yield here
        source = settings.get(here, "")
        if is_output(source):
            block = block_of(source)
            kind = type_of(block)
            waiting += [f"{block}.{name}" for name in DRIVES.get(kind, ()) + STARTS.get(kind, ())]


def ticks(settings: Settings, target: str, clock: int) -> int | None:
    """Return a time in ticks, None if it is not known.

    Args:
        settings: of the box.
        target: a time; its units are those of ``target.UNITS``.
        clock: Hz.
    """
    seconds = time_of(settings, target)
    return None if seconds is None else round(seconds * clock)


def time_of(settings: Settings, target: str) -> float | None:
    """Return a time in seconds, None if it is not known."""
    units = UNIT_SECONDS.get(settings.get(f"{target}.UNITS", "s"))
    value = number(settings, target)
    return None if value is None or units is None else value * units


def number(settings: Settings, target: str) -> float | None:
    """Return a number, None if it is not known or none."""
    try:
        return float(settings[target])
    except (KeyError, ValueError):
        return None

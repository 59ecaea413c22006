"""Before PCAP is armed: a table of checks, each finds a reason why no good rows would come.

A check finds something only where it is known; a scan that works is never refused. What a
flyer still has to set (ENABLE inputs, tables, the numbers of a position compare) is no
reason. Each check has a name by which it can be waived.

Source: blocks.md 4.1 to 4.4; protocol.md 7.2, 7.5, 8.8; pains.md 10, 11 and 15.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from panda_ophyd.errors import FieldValueError
from panda_ophyd.preflight.setup import MOST_WORDS, Setup
from panda_ophyd.wiring import DRIVES, is_off, type_of, upstream

LINK_BYTES = 60e6
"""Bytes a second that a PandA gets rid of; its 1 Gb/s link could take twice that."""

RING_BYTES = 256 * 1024 * 1024
"""What the server holds for a client that is slower. Source: protocol.md 8.8."""

FEW = 12
"""How many candidates a message names."""

GATED = frozenset({"Diff", "Sum", "Min", "Max", "Mean", "StdDev"})
"""Options that are about the time the gate is open."""

GATED_FIELDS = ("PCAP.TS_START", "PCAP.TS_END", "PCAP.GATE_DURATION", "PCAP.SAMPLES")

ALL = "all"
"""Waives every check."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        look: returns what is wrong, None if nothing is known to be.
        about: what it is about, for documents.
        ticking: needs an FPGA that acts on its settings.
    """

    look: Callable[[Setup], str | None]
    about: str
    ticking: bool = True


def _nothing_captured(setup: Setup) -> str | None:
    if setup.captured:
        return None
    names = [*setup.candidates[:FEW]]
    more = len(setup.candidates) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    can = f"; it can capture {listed}" if names else ""
    return f"nothing is set to be captured: set one of the *_capture signals{can}"


def _enable(setup: Setup) -> str | None:
    if not is_off(setup.settings, "PCAP.ENABLE"):
        return None
    return "PCAP.ENABLE is ZERO, so it would never start: connect it, or set it to ONE"


def _trigger(setup: Setup) -> str | None:
    source = setup.settings.get("PCAP.TRIG")
    if source not in ("ZERO", "ONE"):
        return None
    return f"PCAP.TRIG is {source}, so no row would ever be taken: connect it to what triggers"


def _gate(setup: Setup) -> str | None:
    if not is_off(setup.settings, "PCAP.GATE"):
        return None
    needing = [
        f"{name} {option}"
        for name, options in setup.captured
        for option in options
        if option in GATED or name in GATED_FIELDS
    ]
    if not needing:
        return None
    listed = ", ".join(needing[:FEW])
    return (
        f"PCAP.GATE is ZERO, so it never opens, and {listed} would be without a value:"
        " connect it, or set it to ONE"
    )


def _words(setup: Setup) -> str | None:
    if setup.words <= MOST_WORDS:
        return None
    return (
        f"a sample would have {setup.words} words of 32 bits, and {MOST_WORDS} is the most:"
        " capture fewer fields (Sum and Mean are 2 words, StdDev is 5)"
    )


def _dangling(setup: Setup) -> str | None:
    for start in ("PCAP.TRIG", "PCAP.ENABLE", "PCAP.GATE"):
        for target in upstream(setup.settings, start):
            block, _, name = target.partition(".")
            wire = name in DRIVES.get(type_of(block), ())
            if wire and is_off(setup.settings, target):
                return (
                    f"{start} comes from {block}, whose {name} is connected to nothing: connect it"
                )
    return None


def _close(setup: Setup) -> str | None:
    found = setup.spacing
    if found is None or found.closest >= setup.words:
        return None
    return (
        f"triggers come {found.closest} ticks apart ({found.why}), and a sample of {setup.words}"
        f" words takes {setup.words}: PCAP would end with a framing error; capture fewer fields or"
        " slow down"
    )


def _link(setup: Setup) -> str | None:
    rate = setup.rate
    if rate is None or setup.rows is None or setup.spacing is None:
        return None
    speed = rate * setup.sample_bytes
    total = setup.rows * setup.sample_bytes
    if speed <= LINK_BYTES or total * (1 - LINK_BYTES / speed) < RING_BYTES:
        return None
    return (
        f"{setup.rows} rows at {rate:.4g} Hz ({setup.spacing.why}) are {speed / 1e6:.0f} MB/s, and"
        f" a PandA sends {LINK_BYTES / 1e6:.0f} MB/s: it would lose rows; capture fewer fields or"
        " slow down"
    )


def _space(setup: Setup) -> str | None:
    if setup.rows is None or setup.free is None:
        return None
    needed = setup.rows * setup.row_bytes
    if needed <= setup.free:
        return None
    return (
        f"{setup.rows} rows are {needed / 1e9:.3g} GB on the disk, which has {setup.free / 1e9:.3g}"
        " GB left: make room, or choose another directory"
    )


def _disk(setup: Setup) -> str | None:
    rate = setup.rate
    if rate is None or setup.rows is None or setup.written is None:
        return None
    speed, total = rate * setup.row_bytes, setup.rows * setup.sample_bytes
    if speed <= setup.written or total * (1 - setup.written / speed) < RING_BYTES:
        return None
    return (
        f"{setup.rows} rows at {rate:.4g} Hz are {speed / 1e6:.0f} MB/s on the disk, which was"
        f" seen to take {setup.written / 1e6:.0f} MB/s: choose another directory, or capture less"
    )


CHECKS: Mapping[str, Check] = {
    "nothing-captured": Check(_nothing_captured, "a field is set to be captured", ticking=False),
    "too-many-words": Check(_words, "a sample has at most 63 words", ticking=False),
    "enable": Check(_enable, "PCAP.ENABLE is connected"),
    "trigger": Check(_trigger, "PCAP.TRIG is connected"),
    "gate": Check(_gate, "PCAP.GATE can open, where what is captured needs it"),
    "dangling": Check(_dangling, "blocks on the way to PCAP have an input"),
    "too-close": Check(_close, "triggers are as many ticks apart as a sample has words"),
    "link": Check(_link, "rows come no faster than the PandA can send them"),
    "disk-space": Check(_space, "the rows that are expected fit the disk", ticking=False),
    "disk-speed": Check(_disk, "rows come no faster than the disk can take them"),
}
"""By name, in the order in which problems are told."""


def problems(setup: Setup, waived: Collection[str] = ()) -> dict[str, str]:
    """Return what is wrong by the name of the check, nothing if nothing is known to be.

    Args:
        setup: what is about to be captured.
        waived: names of checks not to make.
    """
    if ALL in waived:
        return {}
    found: dict[str, str] = {}
    for name, check in CHECKS.items():
        if name in waived or (check.ticking and not setup.ticking):
            continue
        problem = check.look(setup)
        if problem:
            found[name] = problem
    return found


def waivers(text: str | Collection[str], where: str) -> frozenset[str]:
    """Read the names of checks that are not to be made.

    Args:
        text: separated by blanks or commas, or one by one.
        where: for messages.

    Raises:
        FieldValueError: there is no such check.
    """
    words = text.replace(",", " ").split() if isinstance(text, str) else list(text)
    unknown = [word for word in words if word not in CHECKS and word != ALL]
    if unknown:
        raise FieldValueError(
            where, ", ".join(unknown), f"the checks are {', '.join(CHECKS)}, {ALL}"
        )
    return frozenset(words)

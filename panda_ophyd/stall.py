"""Why does no row come? What is known of the box, in one line that ends with what to check.

Settings and levels in, a sentence out; no I/O. Source: pains.md 3; blocks.md 4.2, 5.3 to 5.12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from panda_ophyd.wiring import Settings, block_of, is_output, type_of, upstream

INPUTS = ("PCAP.ENABLE", "PCAP.GATE", "PCAP.TRIG")

RUNNING = "Busy"
"""How ``*PCAP.COMPLETION?`` says that an acquisition is under way."""

FACTS: Mapping[str, tuple[str, ...]] = {
    "CLOCK": ("ENABLE", "PERIOD"),
    "COUNTER": ("ENABLE", "OUT"),
    "DIV": ("ENABLE", "INP", "COUNT"),
    "PCOMP": ("STATE", "HEALTH", "PRODUCED", "INP"),
    "PULSE": ("ENABLE", "TRIG", "QUEUED", "DROPPED"),
    "SEQ": ("STATE", "HEALTH", "TABLE_LINE", "TABLE_REPEAT"),
    "SRGATE": ("ENABLE", "SET", "RST"),
}
"""Of a block on the way to PCAP, what is worth knowing; the rest of its fields is not."""

MOST_BLOCKS = 4
"""Blocks that a report tells of."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known when no row comes.

    Attributes:
        quiet: seconds since the last row, or since somebody waits.
        rows: on the disk.
        wanted: rows that are waited for, None if for ever.
        received: of this acquisition.
        captured: of this acquisition, as the box says.
        completion: what the box says of the acquisition.
        settings: target to text, as ``*CHANGES?`` lists them.
        ages: target to seconds since it changed, of what has changed at all.
    """

    quiet: float
    rows: int
    wanted: int | None
    received: int
    captured: int
    completion: str
    settings: Settings
    ages: Mapping[str, float]

    def level(self, target: str) -> str | None:
        """Return ``0`` or ``1``, what an input is at; None if that is not known."""
        source = self.settings.get(target, "")
        constant = {"ZERO": "0", "ONE": "1"}.get(source)
        return constant if constant is not None else self.settings.get(source)

    def source_is(self, target: str, kind: str) -> str | None:
        """Return the block of that type in front of an input, None if there is none."""
        for each in upstream(self.settings, target):
            source = self.settings.get(each, "")
            if is_output(source) and type_of(block_of(source)) == kind:
                return block_of(source)
        return None


def report(scene: Scene) -> str:
    """Say in one line what is known, and what to check."""
    of = "" if scene.wanted is None else f" of {scene.wanted}"
    parts = [
        f"no row for {scene.quiet:.1f} s, {scene.rows}{of} rows are on the disk",
        _pcap(scene),
        ", ".join(_input(scene, target) for target in INPUTS),
        *_blocks(scene),
        _latest(scene),
        f"check {'; '.join(_advice(scene))}",
    ]
    return "; ".join(part for part in parts if part)


def _pcap(scene: Scene) -> str:
    if scene.completion != RUNNING:
        return f"PCAP has ended ({scene.completion})"
    doing = "waits for ENABLE" if scene.level("PCAP.ENABLE") == "0" else "runs"
    return f"PCAP is armed and {doing}, has captured {scene.captured} and sent {scene.received}"


def _input(scene: Scene, target: str) -> str:
    name, source, level = target.partition(".")[2], scene.settings.get(target), scene.level(target)
    if source is None:
        return f"{name} unknown"
    edge = scene.settings.get(f"{target}_EDGE", "") if name == "TRIG" else ""
    told = f"{name} is {source}" + (f"={level}" if level is not None and is_output(source) else "")
    return f"{told} ({edge})" if edge else told


def _on_the_way(scene: Scene) -> list[str]:
    blocks: dict[str, None] = {}
    for start in INPUTS:
        for target in upstream(scene.settings, start):
            source = scene.settings.get(target, "")
            if is_output(source) and type_of(block_of(source)) in FACTS:
                blocks[block_of(source)] = None
    return list(blocks)


def _blocks(scene: Scene) -> list[str]:
    told: list[str] = []
    for block in _on_the_way(scene)[:MOST_BLOCKS]:
        facts = [
            f"{name}={scene.settings[target]}"
            for name in FACTS[type_of(block)]
            if (target := f"{block}.{name}") in scene.settings
        ]
        if facts:
            told.append(f"{block} {' '.join(facts)}")
    return told


def _latest(scene: Scene) -> str:
    near = {*_on_the_way(scene), "PCAP"}
    mine = {t: age for t, age in scene.ages.items() if block_of(t) in near}
    mine |= {
        source: scene.ages[source]
        for start in INPUTS
        if (source := scene.settings.get(start, "")) in scene.ages
    }
    for ages, where in ((mine, " on the way to PCAP"), (scene.ages, "")):
        if ages:
            latest = min(ages, key=lambda target: ages[target])
            value = scene.settings.get(latest)
            shown = f"{latest}={value}" if value is not None else latest
            return f"the last change{where} was {shown}, {ages[latest]:.1f} s ago"
    return "nothing has changed since"


def _advice(scene: Scene) -> list[str]:
    found = [text for rule in _RULES if (text := rule(scene))]
    return found[:2] or [
        f"that {scene.settings.get('PCAP.TRIG', 'the trigger')} does what it shall"
    ]


def _over(scene: Scene) -> str | None:
    if scene.completion == RUNNING:
        return None
    return "who or what ended the acquisition, and arm again"


def _disk(scene: Scene) -> str | None:
    return "the disk: rows wait to be written" if scene.received > scene.rows else None


def _sequencer(scene: Scene) -> str | None:
    block = scene.source_is("PCAP.TRIG", "SEQ") or scene.source_is("PCAP.ENABLE", "SEQ")
    if block is None:
        return None
    line = scene.settings.get(f"{block}.TABLE_LINE", "?")
    states = {
        "UNREADY": f"that {block} has a table",
        "WAIT_ENABLE": f"that {block}.ENABLE rises ({scene.settings.get(f'{block}.ENABLE')})",
        "WAIT_TRIGGER": f"what line {line} of {block}'s table waits for: its bit or position",
    }
    return states.get(scene.settings.get(f"{block}.STATE", ""))


def _compare(scene: Scene) -> str | None:
    block = scene.source_is("PCAP.TRIG", "PCOMP") or scene.source_is("PCAP.ENABLE", "PCOMP")
    if block is None:
        return None
    health = scene.settings.get(f"{block}.HEALTH", "OK")
    if health != "OK":
        return f"{block}: {health}"
    axis = scene.settings.get(f"{block}.INP", "its position")
    states = {
        "WAIT_ENABLE": f"that {block}.ENABLE rises ({scene.settings.get(f'{block}.ENABLE')})",
        "WAIT_DIR": f"that {axis} moves",
        "WAIT_PRE_START": f"that {axis} starts on the other side of {block}.START by PRE_START",
        "WAIT_RISING": f"that {axis} moves, and the right way",
        "WAIT_FALLING": f"that {axis} moves on by {block}.WIDTH",
    }
    return states.get(scene.settings.get(f"{block}.STATE", ""))


def _clock(scene: Scene) -> str | None:
    block = scene.source_is("PCAP.TRIG", "CLOCK")
    if block is None:
        return None
    if scene.level(f"{block}.ENABLE") == "0":
        return f"that {block}.ENABLE is high ({scene.settings.get(f'{block}.ENABLE')})"
    off = all(scene.settings.get(f"{block}.{name}") == "0" for name in ("PERIOD", "WIDTH"))
    return f"{block}.PERIOD, which is 0" if off else None


def _pulse(scene: Scene) -> str | None:
    block = scene.source_is("PCAP.TRIG", "PULSE")
    if block is None:
        return None
    if scene.level(f"{block}.ENABLE") == "0":
        return f"that {block}.ENABLE is high ({scene.settings.get(f'{block}.ENABLE')})"
    dropped = scene.settings.get(f"{block}.DROPPED", "0")
    if dropped not in ("0", "0.0"):
        return f"{block}, which has dropped {dropped} triggers: its train is too long for them"
    return None


def _enable(scene: Scene) -> str | None:
    if scene.completion == RUNNING and scene.level("PCAP.ENABLE") == "0":
        return f"what makes PCAP.ENABLE high ({scene.settings.get('PCAP.ENABLE')})"
    return None


def _trigger(scene: Scene) -> str | None:
    source = scene.settings.get("PCAP.TRIG", "")
    if not is_output(source):
        return f"PCAP.TRIG, which is {source or 'unknown'}"
    if source not in scene.ages:
        return f"the cable or block behind {source}, which has not moved"
    return None


_RULES: tuple[Callable[[Scene], str | None], ...] = (
    _over,
    _disk,
    _sequencer,
    _compare,
    _clock,
    _pulse,
    _enable,
    _trigger,
)
"""What to check, the likeliest cause first."""

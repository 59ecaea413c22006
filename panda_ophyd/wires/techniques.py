"""What each way of scanning needs connected; pure tables.

PCAP's ENABLE is the block that drives the scan, unless `keep_enabled`: then it is ONE, which
sweeps and pause and resume need, because an acquisition ends when ENABLE falls.

Source: flyscan.md 1, 3.3, 5; blocks.md 4.2, 5.8 to 5.10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panda_ophyd.errors import FieldValueError
from panda_ophyd.wires.trains import PulseTrain
from panda_ophyd.wires.values import Wire, Wires

TIMES = ("PCAP.TS_START", "PCAP.TS_END", "PCAP.TS_TRIG", "PCAP.GATE_DURATION")
"""What tells of each row when it was."""

OPTIONS = ("Value", "Diff", "Sum", "Min", "Max", "Mean", "StdDev")
"""What PCAP makes of a position, in the server's order."""

POSITIONS = ("Value", "Min", "Max", "Mean")
LETTERS = "ABC"


def _pcap(enable: str, gate: str, trig: str, edge: str, *, keep_enabled: bool) -> Wires:
    if keep_enabled:
        first = Wire("PCAP.ENABLE", "ONE", "so that the acquisition goes on between sweeps")
    else:
        first = Wire("PCAP.ENABLE", enable, "so that the acquisition ends with the scan")
    straight = "so that no input of an earlier user is late"
    return Wires(
        first,
        Wire("PCAP.GATE", gate, "so that values belong to the time a frame is live"),
        Wire("PCAP.TRIG", trig, "so that each frame gives a row"),
        Wire("PCAP.TRIG_EDGE", edge, "so that a row is taken at the right end of a frame"),
        *(Wire(f"PCAP.{name}.DELAY", "0", straight) for name in ("ENABLE", "GATE", "TRIG")),
    )


def time_resolved(seq: int = 1, *, keep_enabled: bool = False) -> Wires:
    """Frames timed by a sequencer: live while its OUTA is high, a row when it falls."""
    block = f"SEQ{seq}"
    stopped = Wire(f"{block}.ENABLE", "ZERO", "so that the scan starts it, and nothing before")
    live = f"{block}.OUTA"
    pcap = _pcap(f"{block}.ACTIVE", live, live, "Falling", keep_enabled=keep_enabled)
    return Wires(stopped) | pcap


def position_compare(
    position: str, pcomp: int = 1, *, gate: str = "ONE", keep_enabled: bool = False
) -> Wires:
    """Rows at equal distances of one position, by a PCOMP: a row when its OUT rises.

    Args:
        position: ``INENC1.VAL``.
        pcomp: number of the block.
        gate: what PCAP looks at meanwhile; ONE for all there is between rows, ``PCOMP1.OUT``
            for the width of each pulse.
        keep_enabled: see the module.
    """
    block = f"PCOMP{pcomp}"
    return Wires(
        Wire(f"{block}.ENABLE", "ZERO", "so that the scan starts it, and nothing before"),
        Wire(f"{block}.INP", position, "so that it compares the axis that is scanned"),
    ) | _pcap(f"{block}.ACTIVE", gate, f"{block}.OUT", "Rising", keep_enabled=keep_enabled)


def spec(
    positions: Sequence[str] | Mapping[str, str] = (),
    *,
    gate: str | None = None,
    seq: int = 1,
    keep_enabled: bool = False,
) -> Wires:
    """A trajectory: windows begin at a position, or when a motion controller says.

    Args:
        positions: to compare with, at most three: ``("INENC1.VAL", "INENC2.VAL")`` for POSA,
            POSB, or ``{"C": "INENC3.VAL"}``.
        gate: the bit that is high in a window, for a guard of gates: ``TTLIN1.VAL``; None for
            a guard of positions or times.
        seq: number of the sequencer.
        keep_enabled: see the module.

    Raises:
        FieldValueError: more positions than a sequencer has inputs.
    """
    return time_resolved(seq, keep_enabled=keep_enabled) | _inputs(f"SEQ{seq}", positions, gate)


def _inputs(block: str, positions: Sequence[str] | Mapping[str, str], gate: str | None) -> Wires:
    if not isinstance(positions, Mapping):
        if len(positions) > len(LETTERS):
            reason = f"a sequencer compares with {len(LETTERS)} positions at most"
            raise FieldValueError(f"{block}.POSA", tuple(positions), reason)
        positions = dict(zip(LETTERS, positions, strict=False))
    for letter in positions:
        if letter not in LETTERS or len(letter) != 1:
            raise FieldValueError(f"{block}.POS{letter}", positions[letter], "it is A, B or C")
    found = [
        Wire(f"{block}.POS{letter}", position, "so that windows begin where they should")
        for letter, position in positions.items()
    ]
    if gate is not None:
        found.append(Wire(f"{block}.BITA", gate, "so that windows begin when motion says"))
        found.append(Wire(f"{block}.BITA.DELAY", "0", "so that no window begins late"))
    return Wires(*found)


def spec_in_turns(
    turns: Mapping[str, str], *, run: str, live: str, keep_enabled: bool = False
) -> Wires:
    """A trajectory of two sequencers that take turns, for servers that cannot stream.

    Args:
        turns: settings that make them take turns, ``TurnWiring.settings()`` of `loading`.
        run: output that is high while the scan runs, ``SRGATE1.OUT``.
        live: output that is high while a frame is live, ``LUT3.OUT``.
        keep_enabled: see the module.
    """
    return Wires.of(turns, "so that two sequencers take turns") | _pcap(
        run, live, live, "Falling", keep_enabled=keep_enabled
    )


def position_list(
    position: str, seq: int = 1, *, gate: str = "ONE", keep_enabled: bool = False
) -> Wires:
    """A row at each position of a list: when the pulse of its line rises.

    Args:
        position: ``INENC1.VAL``.
        seq: number of the sequencer.
        gate: what PCAP looks at meanwhile, see `position_compare`.
        keep_enabled: see the module.
    """
    block = f"SEQ{seq}"
    stopped = Wire(f"{block}.ENABLE", "ZERO", "so that the scan starts it, and nothing before")
    pcap = _pcap(f"{block}.ACTIVE", gate, f"{block}.OUTA", "Rising", keep_enabled=keep_enabled)
    return Wires(stopped) | _inputs(block, (position,), None) | pcap


def gated_bursts(gate: str = "TTLIN1.VAL", seq: int = 1, *, keep_enabled: bool = False) -> Wires:
    """A burst of frames at each rise of a gate."""
    return spec(gate=gate, seq=seq, keep_enabled=keep_enabled)


def externally_triggered(bit: str = "TTLIN1.VAL", pulse: int = 1, *, edge: str = "Rising") -> Wires:
    """A frame at each edge of a bit, delayed and as wide as a PULSE says; a row when it ends.

    The end of a scan is a disarm: PCAP's ENABLE is ONE.
    """
    block = f"PULSE{pulse}"
    out = f"{block}.OUT"
    return Wires(
        Wire(f"{block}.TRIG", bit, "so that frames begin when the trigger comes"),
        Wire(f"{block}.TRIG.DELAY", "0", "so that frames begin when the trigger comes"),
        Wire(f"{block}.TRIG_EDGE", edge, "so that each trigger counts once"),
        Wire(f"{block}.ENABLE", "ONE", "so that the block acts"),
    ) | _pcap("ONE", out, out, "Falling", keep_enabled=True)


def detector_pulses(
    train: PulseTrain, pulse: int = 1, *, trigger: str = "SEQ1.OUTA", output: str | None = None
) -> Wires:
    """A PULSE that triggers one detector.

    Args:
        train: what it does at each frame.
        pulse: number of the block.
        trigger: bit whose rise begins a frame.
        output: connector of the detector, ``TTLOUT1``; None if it is connected already.
    """
    block = f"PULSE{pulse}"
    times = dict(zip(("DELAY", "WIDTH", "STEP"), train.seconds, strict=True))
    why = "so that the detector exposes as it was worked out"
    found = [Wire(f"{block}.{name}.UNITS", "s", why) for name in times]
    found += [Wire(f"{block}.{name}", f"{value:.12g}", why) for name, value in times.items()]
    found += [
        Wire(f"{block}.PULSES", str(train.pulses), why),
        Wire(f"{block}.TRIG", trigger, "so that the train begins with the frame"),
        Wire(f"{block}.TRIG.DELAY", "0", "so that the train begins with the frame"),
        Wire(f"{block}.TRIG_EDGE", "Rising", "so that there is one train a frame"),
        Wire(f"{block}.ENABLE", "ONE", "so that the block acts"),
    ]
    if output is not None:
        found.append(Wire(f"{output}.VAL", f"{block}.OUT", "so that the detector is triggered"))
    return Wires(*found)


def capture(
    positions: Mapping[str, str] | Sequence[str] = (),
    options: Sequence[str] = POSITIONS,
    *,
    times: Sequence[str] = TIMES,
) -> Wires:
    """What PCAP captures.

    Args:
        positions: ``{"INENC1.VAL": "x"}`` with the names of datasets; or without names.
        options: of `OPTIONS`, for each of them.
        times: fields that tell when; on servers before 2.1 GATE_DURATION is called SAMPLES.

    Raises:
        FieldValueError: an option that PCAP has not.
    """
    unknown = [option for option in options if option not in OPTIONS]
    if unknown or not options:
        raise FieldValueError("CAPTURE", " ".join(options), f"give some of {', '.join(OPTIONS)}")
    text = " ".join(option for option in OPTIONS if option in options)
    why = "so that it is in the file"
    found = [Wire(f"{field}.CAPTURE", "Value", "so that frames can be told in time")
             for field in times]  # fmt: skip
    names = positions if isinstance(positions, Mapping) else dict.fromkeys(positions, "")
    for position, name in names.items():
        found.append(Wire(f"{position}.CAPTURE", text, why))
        if name:
            found.append(Wire(f"{position}.DATASET", name, "so that it is found by its name"))
    return Wires(*found)

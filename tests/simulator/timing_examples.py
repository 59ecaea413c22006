"""The worked examples of the specification, as scripts, and what it says that they do.

Ticks of inputs are one less in the scripts than in the tables of the specification: a
connector or an encoder changes a bus hop before the block sees it.

Source: blocks.md 4.3, 4.4, 5.3 to 5.12.
"""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "timing"
EXAMPLES = {path.stem: path for path in DOCS.glob("*.yaml")}

MOST, LEAST = str(2**31 - 1), str(-(2**31))


def toggles(*ticks: int) -> list[tuple[int, int]]:
    """A bit that is low at first and changes at each of the ticks."""
    return [(tick, 1 - number % 2) for number, tick in enumerate(ticks)]


EXPECTED_EDGES: dict[str, dict[str, list[tuple[int, int]]]] = {
    "clock": {
        "CLOCK1.OUT": toggles(3, 5, 8, 10, 12, 15, 17, 20, 21, 24, 26, 27, 29, 35, 36, 39, 40, 41)
    },
    "counter-wrap": {
        "COUNTER1.OUT": [
            (3, 3), (5, 4), (8, 0), (10, 1), (12, 0), (15, 3), (19, 7), (21, 3),
        ],
        "COUNTER1.CARRY": toggles(8, 12, 15, 17),
    },
    "div": {
        "DIV1.INP": toggles(4, 6, 7, 9, 10, 13, 15),
        "DIV1.OUTN": toggles(4, 6, 10, 11),
        "DIV1.OUTD": toggles(7, 9, 15, 17),
        "DIV1.COUNT": [(4, 1), (7, 0), (10, 1), (15, 0), (17, 1)],
    },
    "filter-average": {
        "FILTER1.OUT": [(43, -8)],
        "FILTER1.READY": toggles(43, 44),
        "FILTER1.HEALTH": [(62, 2), (95, 0)],
    },
    "lut-edges": {
        "LUT1.INPB": toggles(7 + 1 + 4, 15 + 1 + 4),
        # edges of INPA at 5, 9, 15, 16, 18, 19, 21, 22, of which INPB lets these through
        "LUT1.OUT": toggles(15, 17, 18, 20),
    },
    "pcap-frames": {
        # seven words, the last of them at 32 + 4 + 6, and ACTIVE falls two ticks later
        "PCAP.ACTIVE": toggles(10, 44),
    },
    "pcap-too-close": {
        "PCAP.TRIG": toggles(14, 15, 17, 18, 19, 20),
        "PCAP.ACTIVE": toggles(5, 23),
        "PCAP.HEALTH": [(23, 1)],
    },
    "pcomp-axis": {},
    "pcomp-counts": {
        "PCOMP1.STATE": [
            (3, 2), (6, 3), (9, 4), (12, 3), (15, 4), (18, 3), (20, 4), (22, 0),
        ],
        "PCOMP1.PRODUCED": [(9, 1), (15, 2), (20, 3)],
        "PCOMP1.ACTIVE": toggles(3, 22),
        "PCOMP1.OUT": toggles(9, 12, 15, 18, 20, 22),
    },
    "pgen": {
        "PGEN1.ACTIVE": toggles(16, 23, 25, 32),
        "PGEN1.STATE": [(16, 2), (23, 1), (25, 2), (32, 1)],
        "PGEN1.OUT": [(18, 70), (21, -80), (26, 70), (28, -80), (30, 70), (32, -80)],
    },
    "pulse-delay-line": {
        "PULSE1.TRIG": toggles(6, 7, 8, 20, 34, 36),
        "PULSE1.OUT": toggles(11, 12, 13, 25, 34, 36),
        "PULSE1.QUEUED": [
            (7, 1), (8, 2), (9, 3), (11, 2), (12, 1), (13, 0), (21, 1), (25, 0),
        ],
    },
    "pulse-train": {
        "PULSE1.ENABLE": toggles(4, 50),
        "PULSE1.TRIG": toggles(6, 7, 12, 14, 19, 20, 21, 22, 41, 42),
        "PULSE1.OUT": toggles(13, 18, 21, 26, 28, 33, 36, 38, 48, 50),
        "PULSE1.QUEUED": [(7, 1), (22, 2), (26, 1), (38, 0), (42, 1), (50, 0)],
        "PULSE1.DROPPED": [(12, 1), (19, 2), (39, 0)],
    },
    "seq-position-trigger": {
        "SEQ1.OUTA": toggles(20, 23, 25, 28, 37, 40, 42, 45, 58, 60),
        "SEQ1.OUTB": toggles(23, 25, 28, 33, 40, 42, 45, 47),
        "SEQ1.OUTC": toggles(33, 37, 47, 51),
        "SEQ1.ACTIVE": toggles(20, 51, 58, 60),
        "SEQ1.TABLE_REPEAT": [(20, 1), (37, 2), (58, 1)],
        "SEQ1.TABLE_LINE": [(20, 1), (30, 2), (37, 1), (47, 2), (58, 1)],
        "SEQ1.LINE_REPEAT": [(20, 1), (25, 2), (30, 1), (42, 2), (47, 1)],
        "SEQ1.STATE": [
            (20, 3), (23, 4), (25, 3), (28, 4), (30, 2), (33, 4), (37, 3), (40, 4), (42, 3),
            (45, 4), (51, 1), (58, 3), (60, 1),
        ],
    },
    "srgate-gating": {
        "SRGATE1.OUT": toggles(251, 776, 1001),
        # the clock rises one tick after its ENABLE, a hop after SRGATE, and stops likewise
        "CLOCK1.OUT": toggles(
            253, 315, 378, 440, 503, 565, 628, 690, 753, 778, 1003, 1065, 1128, 1190
        ),
        "COUNTER1.OUT": [
            (254, 1), (379, 2), (504, 3), (629, 4), (754, 5), (1002, 0), (1004, 1), (1129, 2),
        ],
        "PCAP.ACTIVE": toggles(63, 777),
    },
}  # fmt: skip

EXPECTED_ROWS: dict[str, list[tuple[int, tuple[str, ...] | None]]] = {
    "pcap-frames": [
        (16, ("40", "20", "10", "15", "2.4e-08", "36")),
        (24, ("50", "0", MOST, LEAST, "0", "0")),
        (32, ("55", "5", "50", "60", "6.4e-08", "440")),
    ],
    "pcap-too-close": [
        (14, ("0", "7.2e-08")),
        (17, ("0", "9.6e-08")),
        (19, None),
    ],
    "srgate-gating": [
        # since ENABLE at 252; the falling edge of the clock comes 62 ticks after its rise
        (316, ("1", f"{64 * 8e-9:.6g}")),
        (441, ("2", f"{189 * 8e-9:.6g}")),
        (566, ("3", f"{314 * 8e-9:.6g}")),
        (691, ("4", f"{439 * 8e-9:.6g}")),
        # the edge that the fall of ENABLE makes
        (777, None),
    ],
}

MORE: dict[str, tuple[str, dict[str, list[tuple[int, int]]]]] = {
    "FILTER difference": (
        """
set: {FILTER1.ENABLE: TTLIN1.VAL, FILTER1.TRIG: TTLIN2.VAL, FILTER1.INP: INENC1.VAL, INENC1.VAL: 5}
stimuli:
- {at: 1, TTLIN1.VAL: 1}
- {at: 5, INENC1.VAL: 9}
- {at: 7, TTLIN2.VAL: pulse 1}
- {at: 11, TTLIN2.VAL: pulse 3, INENC1.VAL: 1}
show: [FILTER1.OUT, FILTER1.READY]
until: 20
""",
        {"FILTER1.OUT": [(8, 4), (12, -8)], "FILTER1.READY": toggles(8, 9, 12, 13)},
    ),
    "PCOMP relative, direction found out": (
        """
set:
  PCOMP1.START: 5
  PCOMP1.STEP: 10
  PCOMP1.WIDTH: 4
  PCOMP1.RELATIVE: Relative
  PCOMP1.DIR: Either
  PCOMP1.PRE_START: 2
  PCOMP1.INP: INENC1.VAL
  PCOMP1.ENABLE: TTLIN1.VAL
  INENC1.VAL: 50
stimuli:
- {at: 2, TTLIN1.VAL: pulse 21}
- {at: 5, INENC1.VAL: 56}
- {at: 7, INENC1.VAL: 57}
- {at: 9, INENC1.VAL: 51}
- {at: 11, INENC1.VAL: 45}
- {at: 13, INENC1.VAL: 40}
- {at: 15, INENC1.VAL: 33}
- {at: 19, INENC1.VAL: 27}
show: [PCOMP1.OUT, PCOMP1.STATE, PCOMP1.ACTIVE, PCOMP1.PRODUCED]
until: 30
""",
        {
            "PCOMP1.OUT": toggles(12, 14, 16, 20),
            "PCOMP1.STATE": [
                (3, 1), (8, 2), (9, 3), (12, 4), (14, 3), (16, 4), (20, 3), (24, 0),
            ],
            "PCOMP1.ACTIVE": toggles(3, 24),
            "PCOMP1.PRODUCED": [(12, 1), (16, 2)],
        },
    ),
    "SRGATE": (
        """
set:
  SRGATE1.RST_EDGE: Falling
  SRGATE1.ENABLE: TTLIN1.VAL
  SRGATE1.SET: TTLIN2.VAL
  SRGATE1.RST: TTLIN3.VAL
stimuli:
- {at: 1, TTLIN2.VAL: 1}
- {at: 2, TTLIN1.VAL: pulse 12}
- {at: 3, TTLIN2.VAL: 0}
- {at: 4, TTLIN2.VAL: 1}
- {at: 5, TTLIN3.VAL: pulse 2}
- {at: 9, SRGATE1.FORCE_SET: ""}
- {at: 10, SRGATE1.FORCE_RST: "", TTLIN2.VAL: 0}
- {at: 11, TTLIN2.VAL: pulse 1, TTLIN3.VAL: pulse 1}
- {at: 13, SRGATE1.WHEN_DISABLED: Keep current output}
- {at: 14, SRGATE1.FORCE_SET: ""}
- {at: 17, SRGATE1.FORCE_RST: ""}
- {at: 18, SRGATE1.WHEN_DISABLED: Set output low}
show: [SRGATE1.OUT]
until: 30
""",
        {"SRGATE1.OUT": toggles(5, 8, 9, 10, 12, 13, 14, 18)},
    ),
    "LUT that inverts itself": (
        """
set: {LUT1.INPA: LUT1.OUT}
stimuli:
- {at: 3, LUT1.FUNC: "~A"}
show: [LUT1.OUT]
until: 8
""",
        {"LUT1.OUT": toggles(3, 4, 5, 6, 7, 8)},
    ),
    "CALC": (
        """
set: {CALC1.INPA: INENC1.VAL, CALC1.TYPEA: -Value, CALC1.SHIFT: 1}
stimuli:
- {at: 4, INENC1.VAL: 7}
show: [CALC1.OUT]
until: 8
""",
        {"CALC1.OUT": [(5, -4)]},
    ),
}  # fmt: skip

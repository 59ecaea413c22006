"""Every block answers recorded stimuli exactly as the FPGA logic does."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from panda_simulator import trace

VECTORS = Path(__file__).parent / "vectors"


def load_vectors() -> list[Any]:
    return [
        pytest.param(vector["in"], vector["out"], id=f"{path.stem} {vector['name']}")
        for path in sorted(VECTORS.glob("*.jsonl"))
        for vector in map(json.loads, path.read_text().splitlines())
    ]


def run_trace(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give input objects to the trace program and return its answers."""
    stdout = StringIO()
    trace.main(StringIO("".join(json.dumps(line) + "\n" for line in lines)), stdout)
    return [json.loads(line) for line in stdout.getvalue().splitlines()]


def events(lines: list[dict[str, Any]]) -> list[tuple[int, str, int]]:
    """Reduce output lines to changes: tick, name, unsigned value."""
    known: dict[str, int] = {}
    changes: list[tuple[int, str, int]] = []
    for line in lines:
        for name, signed in line.get("out", {}).items():
            value = signed & 0xFFFFFFFF
            if name == "DATA" or known.get(name, 0) != value:
                changes.append((line["t"], name, value))
                known[name] = value
    return sorted(changes)


@pytest.mark.parametrize(("stimuli", "expected"), load_vectors())
def test_a_block_does_what_the_fpga_did(stimuli, expected):
    answers = run_trace(stimuli)
    assert [answer for answer in answers if "error" in answer] == []
    assert events(answers) == events(expected)
    assert answers[-1] == {"done": stimuli[-1]["end"]}

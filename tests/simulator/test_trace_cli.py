"""`panda-simulator trace` as another program uses it: a process, its input and its output."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from .test_behaviours import VECTORS, events

SPECIFIED = {
    "BITS", "CALC", "CLOCK", "COUNTER", "DIV", "FILTER", "LUT", "PCAP", "PCOMP", "PGEN", "PULSE",
    "SEQ", "SRGATE", "POSENC", "QDEC",
}  # fmt: skip


def start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "panda_simulator", "trace"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def traced(text: str) -> tuple[list[dict[str, Any]], str]:
    """Send a whole input at once; return the answers and what was said besides."""
    with start() as process:
        out, err = process.communicate(text, timeout=50)
        assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()], err


def lines(messages: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


def sessions_of(answers: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split answers after every done."""
    sessions: list[list[dict[str, Any]]] = [[]]
    for answer in answers:
        sessions[-1].append(answer)
        if "done" in answer:
            sessions.append([])
    assert sessions.pop() == []
    return sessions


def vectors() -> list[tuple[Path, dict[str, Any]]]:
    return [
        (path, json.loads(line))
        for path in sorted(VECTORS.glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_every_vector_is_answered_in_one_process_as_the_fpga_did():
    known = vectors()
    recorded = {path.stem for path, _ in known} & SPECIFIED
    assert recorded == SPECIFIED
    assert sum(path.stem in SPECIFIED for path, _ in known) == 120
    answers, said = traced("".join(lines(vector["in"]) for _, vector in known))
    assert said == ""
    assert not [answer for answer in answers if "error" in answer]
    for (path, vector), session in zip(known, sessions_of(answers), strict=True):
        assert events(session) == events(vector["out"]), f"{path.stem} {vector['name']}"
        assert session[-1] == {"done": vector["in"][-1]["end"]}


def test_vectors_are_answered_the_same_line_by_line():
    """Whatever is due can be read before more is sent, and nothing else comes."""
    with start() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in sorted(SPECIFIED):
            vector = json.loads((VECTORS / f"{name}.jsonl").read_text().splitlines()[0])
            for message in vector["in"]:
                process.stdin.write(json.dumps(message) + "\n")
                process.stdin.flush()
            session: list[dict[str, Any]] = []
            while not session or "done" not in session[-1]:
                session.append(json.loads(process.stdout.readline()))
            assert events(session) == events(vector["out"]), name
        process.stdin.close()
        assert process.wait(20) == 0
        assert process.stdout.read() == ""


def test_it_survives_what_is_no_text_and_answers_the_rest():
    garbage = bytes(range(256)) * 3 + b"\n\xff\xfe{\n"
    sessions = b'{"block":"BITS"}\n{"t":1,"set":{"A":1}}\n{"end":2}'
    with subprocess.Popen(
        [sys.executable, "-m", "panda_simulator", "trace"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ) as process:
        out, err = process.communicate(garbage + sessions, timeout=50)
    answers = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, b"")
    assert [list(answer) for answer in answers] == [["error"], ["t", "out"], ["done"]]


def test_the_sums_of_calc_are_those_of_the_table():
    """The examples of blocks.md 5.2 that are no sequence."""
    rows = [
        ((7, 0, 0, 0), (0, 0, 0, 0), 1, 3),
        ((7, 0, 0, 0), (1, 0, 0, 0), 1, -4),
        ((2147483647, 1, 0, 0), (0, 0, 0, 0), 0, -2147483648),
        ((2147483647, 1, 0, 0), (0, 0, 0, 0), 1, 1073741824),
        ((-2147483648, 0, 0, 0), (1, 0, 0, 0), 2, 536870912),
    ]
    messages: list[dict[str, Any]] = []
    for terms, types, shift, _ in rows:
        named = {f"INP{x}": term for x, term in zip("ABCD", terms, strict=True)}
        named |= {f"TYPE{x}": kind for x, kind in zip("ABCD", types, strict=True)}
        messages += [{"block": "CALC"}, {"t": 1, "set": {**named, "SHIFT": shift}}, {"end": 1}]
    answers, _ = traced(lines(messages))
    assert [answer["out"]["OUT"] for answer in answers if "out" in answer] == [
        row[-1] for row in rows
    ]


EXAMPLES = """
> {"block":"PCOMP"}
> {"t":1,"set":{"START":100,"STEP":10,"WIDTH":4,"PULSES":1}}
> {"t":2,"set":{"INP":99}}
> {"t":3,"set":{"ENABLE":1}}
> {"t":7,"set":{"INP":101}}
> {"t":9,"set":{"INP":104}}
> {"end":12}
< {"t": 3, "out": {"ACTIVE": 1, "STATE": 2}}
< {"t": 4, "out": {"STATE": 3}}
< {"t": 7, "out": {"OUT": 1, "PRODUCED": 1, "STATE": 4}}
< {"t": 9, "out": {"OUT": 0, "ACTIVE": 0, "STATE": 0}}
< {"done": 12}
> {"block":"PCAP"}
> {"t":2,"set":{"START_WRITE":0}}
> {"t":3,"set":{"WRITE":576}}
> {"t":4,"set":{"WRITE":80}}
> {"t":5,"set":{"WRITE":624}}
> {"t":6,"set":{"ENABLE":1},"pos":{"5":-7}}
> {"t":8,"set":{"ARM":0}}
> {"t":11,"set":{"TRIG":1},"bits":{"3":1}}
> {"t":12,"set":{"TRIG":0},"pos":{"5":12}}
> {"end":20}
< {"t": 8, "out": {"ACTIVE": 1}}
< {"t": 15, "out": {"DATA": 3}}
< {"t": 16, "out": {"DATA": -7}}
< {"t": 17, "out": {"DATA": 8}}
< {"done": 20}
> {"block":"SEQ"}
> {"t":2,"set":{"REPEATS":1}}
> {"t":4,"set":{"TABLE":[269484033,0,3,2],"TABLE_LENGTH":4}}
> {"t":20,"set":{"ENABLE":1}}
> {"end":30}
< {"t": 15, "out": {"STATE": 1}}
< {"t": 20, "out": {"ACTIVE": 1, "OUTA": 1, "TABLE_LINE": 1, "LINE_REPEAT": 1, "TABLE_REPEAT": 1, "STATE": 3}}
< {"t": 23, "out": {"OUTA": 0, "OUTC": 1, "STATE": 4}}
< {"t": 25, "out": {"ACTIVE": 0, "OUTC": 0, "STATE": 1}}
< {"done": 30}
"""  # noqa: E501


def test_the_sessions_of_the_protocol_are_answered_as_it_says():
    asked = re.findall(r"^> (.*)$", EXAMPLES, re.MULTILINE)
    expected = [json.loads(text) for text in re.findall(r"^< (.*)$", EXAMPLES, re.MULTILINE)]
    answers, _ = traced("\n".join(asked))
    for answer, right in zip(answers, expected, strict=True):
        answer["out"] = {n: v & 0xFFFFFFFF for n, v in answer.get("out", {}).items()}
        right["out"] = {n: v & 0xFFFFFFFF for n, v in right.get("out", {}).items()}
        assert answer == right


def test_a_reader_that_has_gone_is_no_error():
    with start() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        # more than a pipe holds: a clock that ticks for long
        process.stdin.write('{"block":"CLOCK"}\n{"t":1,"set":{"ENABLE":1,"PERIOD":2}}\n')
        process.stdin.write('{"end":20000}\n')
        process.stdin.close()
        assert process.wait(50) == 0
        assert process.stderr.read() == ""

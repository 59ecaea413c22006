"""The trace program frames sessions, reports changes once and survives nonsense."""

from __future__ import annotations

import json
from io import StringIO

import pytest

from panda_simulator import trace


def answers(*lines: str) -> list[dict[str, object]]:
    stdout = StringIO()
    trace.main(StringIO("".join(f"{line}\n" for line in lines)), stdout)
    return [json.loads(line) for line in stdout.getvalue().splitlines()]


def test_a_change_is_reported_at_the_tick_at_which_it_is_due_and_once():
    assert answers(
        '{"block":"PULSE"}',
        '{"t":1,"set":{"DELAY_L":6}}',
        '{"t":3,"set":{"ENABLE":1}}',
        "",
        '{"t":5,"set":{"TRIG":1}}',
        '{"end":14}',
    ) == [
        {"t": 6, "out": {"QUEUED": 1}},
        {"t": 11, "out": {"OUT": 1, "QUEUED": 0}},
        {"done": 14},
    ]


def test_nothing_is_reported_after_the_end():
    assert answers('{"block":"CLOCK"}', '{"t":1,"set":{"PERIOD":10,"ENABLE":1}}', '{"end":5}') == [
        {"t": 2, "out": {"OUT": 1}},
        {"done": 5},
    ]


def test_a_new_block_starts_from_power_up_state():
    session = ['{"block":"BITS"}', '{"t":1,"set":{"A":1}}', '{"end":1}']
    assert answers(*session, *session) == [{"t": 1, "out": {"OUTA": 1}}, {"done": 1}] * 2


def test_a_block_in_the_middle_of_a_session_drops_it_silently():
    assert answers(
        '{"block":"BITS"}', '{"block":"BITS"}', '{"t":1,"set":{"B":1}}', '{"end":2}'
    ) == [
        {"t": 1, "out": {"OUTB": 1}},
        {"done": 2},
    ]


def test_an_unknown_block_is_an_error_and_its_session_is_ignored():
    replies = answers(
        '{"block":"TEAPOT"}', '{"t":1,"set":{"A":1}}', '{"end":9}', '{"block":"BITS"}', '{"end":2}'
    )
    assert [list(reply) for reply in replies] == [["error"], ["done"]]


@pytest.mark.parametrize(
    "nonsense",
    [
        "{",
        "[]",
        "7",
        '{"t":1}',
        '{"t":"x"}',
        '{"t":0}',
        '{"t":2,"set":{"A":null}}',
        '{"t":2,"pos":3}',
    ],
)
def test_nonsense_is_an_error_and_the_next_session_works(nonsense):
    replies = answers(
        '{"block":"BITS"}', nonsense, nonsense, '{"end":3}', '{"block":"BITS"}', '{"end":4}'
    )
    assert replies[-1] == {"done": 4}


def test_numbers_may_come_signed_or_unsigned():
    for value in (-1, 4294967295):
        assert answers(
            '{"block":"CALC"}', json.dumps({"t": 1, "set": {"INPA": value}}), '{"end":1}'
        ) == [{"t": 1, "out": {"OUT": -1}}, {"done": 1}]


def test_repeated_words_of_a_capture_are_all_reported():
    lines = answers(
        '{"block":"PCAP"}',
        '{"t":1,"set":{"START_WRITE":0}}',
        '{"t":2,"set":{"WRITE":0}}',
        '{"t":3,"set":{"WRITE":0}}',
        '{"t":4,"set":{"ENABLE":1,"ARM":0},"pos":{"0":7}}',
        '{"t":6,"set":{"TRIG":1}}',
        '{"end":20}',
    )
    assert lines[1:] == [
        {"t": 10, "out": {"DATA": 7}},
        {"t": 11, "out": {"DATA": 7}},
        {"done": 20},
    ]

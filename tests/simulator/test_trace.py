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
    ("nonsense", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "it is no JSON object"),
        ("7", "it is no JSON object"),
        ("[" * 100_000, "recursion"),
        ('{"t":"x"}', 't is "x", but has to be a whole number'),
        ('{"t":2.0}', "t is 2.0, but has to be a whole number"),
        ('{"t":NaN}', "t is NaN, but"),
        ('{"t":true}', "t is true, but"),
        ("{}", "t is null, but"),
        ('{"t":0}', "t is 0, but has to come after 0"),
        ('{"t":-3}', "t is -3, but has to be in 0 ... "),
        ('{"t":2,"set":{"A":null}}', "A is null, but"),
        ('{"t":2,"set":{"A":0.5}}', "A is 0.5, but"),
        ('{"t":2,"set":{"A":4294967296}}', "A is 4294967296, but has to be in -2147483648 ... "),
        ('{"t":2,"set":[1]}', "set is [1], but has to be an object"),
        ('{"t":2,"pos":3}', "pos is 3, but has to be an object"),
        ('{"t":2,"pos":{"32":3}}', "pos has no entry '32': they are 0 to 31"),
        ('{"t":2,"bits":{"-1":1}}', "bits has no entry '-1': they are 0 to 127"),
        ('{"t":2,"bits":{"1":"1"}}', 'bits 1 is "1", but'),
    ],
)
def test_nonsense_is_one_error_that_says_why_and_the_next_session_works(nonsense, reason):
    replies = answers(
        '{"block":"BITS"}', nonsense, nonsense, '{"t":5}', '{"end":6}', '{"block":"BITS"}',
        '{"end":4}',
    )  # fmt: skip
    error, done = replies
    assert str(error["error"]).startswith(f"cannot make sense of {nonsense[:200]}: ")
    assert reason in str(error["error"])
    assert done == {"done": 4}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('"TABLE":[1,2,3,4],"TABLE_LENGTH":8', "TABLE_LENGTH is 8, but TABLE has 4 words"),
        ('"TABLE":[1,2,3,4]', "TABLE_LENGTH is null, but"),
        ('"TABLE":7,"TABLE_LENGTH":4', "TABLE is 7, but has to be a list of words"),
        ('"TABLE":["a"],"TABLE_LENGTH":1', 'a word of TABLE is "a", but'),
    ],
)
@pytest.mark.parametrize("block", ["SEQ", "PGEN"])
def test_a_table_that_is_none_is_an_error(block, table, reason):
    (error,) = answers(f'{{"block":"{block}"}}', f'{{"t":1,"set":{{{table}}}}}', '{"end":20}')
    assert reason in str(error["error"])


def test_an_end_before_the_last_stimulus_is_an_error():
    replies = answers('{"block":"BITS"}', '{"t":9}', '{"end":8}', '{"block":"BITS"}', '{"end":0}')
    assert "end is 8, but time has come to 9 already" in str(replies[0])
    assert replies[1:] == [{"done": 0}]
    (error,) = answers('{"block":"BITS"}', '{"end":"3"}')
    assert 'end is "3", but has to be a whole number' in str(error["error"])


def test_a_block_that_is_not_there_says_which_are():
    (error,) = answers('{"block":["x"]}')
    assert "no block ['x']: choose one of BITS, CALC, CLOCK" in str(error["error"])


@pytest.mark.parametrize("block", ["BITS", "CALC", "CLOCK", "COUNTER", "DIV", "FILTER", "LUT",
                                   "PCAP", "PCOMP", "PGEN", "PULSE", "SEQ", "SRGATE", "POSENC",
                                   "QDEC"])  # fmt: skip
def test_what_a_block_does_not_know_is_ignored(block):
    assert answers(
        f'{{"block":"{block}","comment":"µ"}}',
        '{"t":1,"set":{"TABLE_ADDRESS":4096,"NO_SUCH_FIELD":-1},"note":[]}',
        '{"t":2,"bits":{},"pos":{}}',
        '{"end":50,"x":null}',
    ) == [{"done": 50}]


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

"""States that the `pandablocks` client saved, on a box of other firmware."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandablocks  # pyright: ignore[reportMissingTypeStubs]
import pandablocks.commands as pb  # pyright: ignore[reportMissingTypeStubs]
import pytest

from panda_ophyd import FieldValueError, PandaClient
from panda_ophyd.control import Assign, AssignTable
from panda_ophyd.settings import apply_saved_state
from panda_ophyd.settings.saved import requests_of


@pytest.fixture
async def client(simulator) -> Any:
    async with PandaClient(simulator.address) as client:
        yield client


async def test_a_saved_state_of_the_client_is_as_it_was(client):
    await client.send(pb.Put("PULSE1.DELAY.UNITS", "ms"))
    await client.send(pb.Put("PULSE1.DELAY", "250"))
    await client.send(pb.Put("CALC1.INPA", "INENC1.VAL"))
    words = base64.b64encode(np.arange(8, dtype="<u4").tobytes()).decode()
    await client.send(pb.SetState(["SEQ1.TABLE<B", words, ""]))
    saved = await client.send(pb.GetState())
    for target, value in (("PULSE1.DELAY.UNITS", "s"), ("CALC1.INPA", "ZERO")):
        await client.send(pb.Put(target, value))
    await client.send(pb.SetState(["SEQ1.TABLE<B", ""]))
    report = await apply_saved_state(client, saved)
    assert (report.unknown, report.refused) == ((), {})
    assert "SEQ1.TABLE.QUEUED_LINES" in report.state  # a reading, which the client saves too
    assert await client.query("PULSE1.DELAY") == "250"
    assert await client.query("PULSE1.DELAY.UNITS") == "ms"
    assert await client.query("CALC1.INPA") == "INENC1.VAL"
    assert await client.query_lines("SEQ1.TABLE.B") == (words,)


async def test_what_a_box_has_not_is_named_as_is_what_it_refuses(client):
    lines = ["PCAP.SAMPLES.CAPTURE=No", "NOSUCH1.TRIG=ZERO", "PULSE99.TRIG=ZERO"]
    lines += ["PULSE1.TRIG=NOSUCH1.OUT", "DIV1.DIVISOR=3", "*METADATA.LABEL_SEQ1=Mine"]
    report = await apply_saved_state(client, lines)
    assert set(report.unknown) == {"PCAP.SAMPLES.CAPTURE", "NOSUCH1.TRIG", "PULSE99.TRIG"}
    assert list(report.refused) == ["PULSE1.TRIG"]
    assert set(report.applied) == {"DIV1.DIVISOR", "*METADATA.LABEL_SEQ1"}
    assert not report.complete


async def test_presets_are_left_out_unless_asked_for(client):
    lines = ["INENC1.SETP=5", "COUNTER1.SET=7", "SRGATE1.SET=ONE"]
    report = await apply_saved_state(client, lines)
    assert set(report.state) == {"INENC1.SETP", "COUNTER1.SET"}
    assert await client.query("COUNTER1.SET") == "0"
    await apply_saved_state(client, lines, state=True)
    assert await client.query("COUNTER1.SET") == "7"


def test_units_come_first_and_enables_last():
    lines = ["SEQ1.ENABLE=ONE", "SEQ1.TABLE<B", "AAAA", "", "SEQ1.PRESCALE=1"]
    assert requests_of([*lines, "SEQ1.PRESCALE.UNITS=us\n"]) == [
        Assign("SEQ1.PRESCALE.UNITS", "us"),
        Assign("SEQ1.PRESCALE", "1"),
        AssignTable("SEQ1.TABLE", ("AAAA",), "B"),
        Assign("SEQ1.ENABLE", "ONE"),
    ]


def test_an_equals_sign_in_a_table_or_a_less_in_a_value_are_no_ends():
    lines = ["LUT1.FUNC=A<B", "SEQ1.TABLE<B", "AQAQ==", ""]
    assert requests_of(lines) == [
        Assign("LUT1.FUNC", "A<B"),
        AssignTable("SEQ1.TABLE", ("AQAQ==",), "B"),
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [(["SEQ1.TABLE<B", "AAAA"], "no empty line ends its table"), (["hello"], "it sets nothing")],
)
async def test_what_is_no_saved_state_is_refused_before_anything_is_sent(client, lines, words):
    with pytest.raises(FieldValueError, match=words):
        await apply_saved_state(client, ["DIV1.DIVISOR=3", *lines])
    assert await client.query("DIV1.DIVISOR") == "0"


async def test_the_clients_own_saved_state_of_older_firmware_is_applied_as_far_as_it_fits(client):
    path = Path(pandablocks.__file__).parent / "saves" / "tutorial.sav"
    with path.open() as file:
        report = await apply_saved_state(client, file)
    assert (len(report.applied), len(report.unknown), report.refused) == (747, 20, {})
    assert {name.split(".")[0] for name in report.unknown} == {
        "PCAP", "SFP3_SYNC_OUT", "CALC1", "CALC2", "SYSTEM",
    }  # fmt: skip
    assert await client.query("PCAP.TS_START.CAPTURE") == "Value"

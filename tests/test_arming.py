"""Arming and disarming as a table of transitions, and the I/O around it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd import CaptureError, PandaClient, PandaConnectionError, PandaTimeoutError
from panda_ophyd.capture import Arm, Arming, pcap_state
from panda_ophyd.capture.armstate import MAYBE_ARMED, TRANSITIONS, Action, Event, step
from panda_simulator import Simulator

ANSWERS = {
    Arm.CHECKING: (Event.RUNS, Event.OVER),
    Arm.COUNTING: (Event.UNCOUNTED, Event.UNABLE, Event.ABLE, Event.LATE),
    Arm.CLEARING: (Event.UNCOUNTED, Event.UNABLE, Event.ABLE, Event.LATE),
    Arm.ARMING: (Event.ACCEPTED, Event.REFUSED, Event.REFUSED_FOR_NOW),
    Arm.LAST_TRY: (Event.ACCEPTED, Event.REFUSED, Event.REFUSED_FOR_NOW),
    Arm.CONFIRMING: (Event.RUNS, Event.OVER),
    Arm.STOPPING: (Event.ACCEPTED, Event.REFUSED, Event.RUNS, Event.OVER, Event.LATE),
}
"""What can be answered to what is done in a state."""

AT_REST = (Arm.IDLE, Arm.RUNNING, Arm.UNKNOWN)
"""Where something can be asked for."""

GOES_ON = (Action.LOOK, Action.SEND_ARM, Action.SEND_DISARM)


@pytest.mark.parametrize("state", list(Arm))
def test_a_lost_link_is_foreseen_everywhere(state):
    following, action = step(state, Event.LOST)
    assert action is Action.FAIL_LOST
    sent = state in {*MAYBE_ARMED, Arm.ARMING, Arm.LAST_TRY}
    assert following is (Arm.UNKNOWN if sent else Arm.IDLE)


@pytest.mark.parametrize("state", AT_REST)
@pytest.mark.parametrize("asked", [Event.ARM, Event.DISARM, Event.OVER])
def test_at_rest_anything_can_be_asked_for(state, asked):
    step(state, asked)


@pytest.mark.parametrize(("state", "event"), [(s, e) for s, a in ANSWERS.items() for e in a])
def test_every_answer_is_foreseen(state, event):
    following, action = step(state, event)
    assert (following in AT_REST) == (action not in GOES_ON)


def test_what_cannot_happen_is_an_error_of_this_program():
    with pytest.raises(RuntimeError, match="ACCEPTED cannot happen in state IDLE"):
        step(Arm.IDLE, Event.ACCEPTED)


@given(st.data())
def test_disarming_always_ends_idle_or_says_that_it_failed(data):
    state = data.draw(st.sampled_from(AT_REST))
    event = Event.DISARM
    for _ in range(20):
        state, action = step(state, event)
        if action not in GOES_ON:
            break
        answers = [e for e in (*ANSWERS[state], Event.LOST) if (state, e) in TRANSITIONS]
        event = data.draw(st.sampled_from(answers))
    else:
        state, action = step(state, Event.LATE)
    assert (state is Arm.IDLE) == (action is Action.REST)


@given(st.data())
def test_arm_is_sent_only_to_a_box_that_counts_us_or_when_it_is_too_late_for_more(data):
    state, event, told = Arm.IDLE, Event.ARM, []
    for _ in range(30):
        told.append(event)
        state, action = step(state, event)
        if action is Action.SEND_ARM:
            assert Event.ABLE in told or told[-1] is Event.LATE
        if action not in GOES_ON:
            return
        event = data.draw(st.sampled_from(ANSWERS[state]))


@pytest.fixture
async def ready(simulator: Simulator) -> Any:
    async with PandaClient(simulator.address) as client:
        await client.assign("PCAP.TS_TRIG.CAPTURE", "Value")
        yield client


async def test_armed_means_that_the_box_runs(ready):
    arming, accepted = Arming(ready), []
    await arming.arm(accepted=lambda: accepted.append(arming.state))
    assert (await pcap_state(ready)).running
    assert (arming.state, len(accepted)) == (Arm.RUNNING, 1)
    await arming.arm(accepted=lambda: accepted.append(arming.state))
    assert len(accepted) == 1
    await arming.disarm()
    assert (arming.state, (await pcap_state(ready)).completion) == (Arm.IDLE, "Disarmed")


async def test_what_has_ended_meanwhile_is_armed_anew(ready):
    arming, accepted = Arming(ready), []
    await arming.arm()
    await ready.assign("*PCAP.DISARM")
    await arming.arm(accepted=lambda: accepted.append(True))
    assert accepted == [True]
    assert (await pcap_state(ready)).running


async def test_disarming_may_be_asked_for_at_once_by_many(ready):
    arming = Arming(ready)
    await arming.arm()
    await asyncio.gather(*(arming.disarm() for _ in range(5)))
    assert arming.state is Arm.IDLE


async def test_arming_and_disarming_take_turns(ready):
    arming = Arming(ready)
    await asyncio.gather(arming.arm(), arming.disarm(), arming.arm(), arming.disarm())
    assert arming.state is Arm.IDLE
    assert not (await pcap_state(ready)).running


async def test_the_acquisition_of_another_is_not_taken_for_ours(ready):
    await ready.assign("*PCAP.ARM")
    arming = Arming(ready)
    with pytest.raises(CaptureError, match="somebody has armed it"):
        await arming.arm(timeout=0.05)
    assert not arming.maybe_armed
    await arming.disarm()
    assert not (await pcap_state(ready)).running


async def test_refusals_that_pass_are_tried_again_but_not_for_ever(simulator, ready):
    simulator.faults.inject("refuse-arm", times=3)
    arming = Arming(ready)
    await arming.arm()
    assert arming.state is Arm.RUNNING
    await arming.disarm()
    fault = simulator.faults.inject("refuse-arm", times=0)
    with pytest.raises(CaptureError, match="already in progress"):
        await arming.arm(timeout=0.1)
    assert fault.fired > 2
    assert arming.state is Arm.IDLE


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("lost-reply:command=*PCAP.ARM=", PandaTimeoutError),
        ("half-line:command=*PCAP.ARM=", PandaConnectionError),
        ("lost-reply:command=*PCAP.COMPLETION?,times=0", PandaTimeoutError),
    ],
)
async def test_whoever_does_not_know_whether_it_is_armed_says_so(simulator, text, error):
    async with PandaClient(simulator.address, timeout=0.3) as client:
        await client.assign("PCAP.TS_TRIG.CAPTURE", "Value")
        arming = Arming(client)
        if "COMPLETION" in text:
            await arming.arm()
        simulator.faults.inject_text(text)
        with pytest.raises(error):
            await arming.arm()
        assert (arming.state, arming.maybe_armed) == (Arm.UNKNOWN, True)
    simulator.faults.clear()
    async with PandaClient(simulator.address) as client:
        assert (await pcap_state(client)).running
        await Arming(client).disarm()


async def test_what_cannot_be_stopped_is_said(simulator, ready):
    await Arming(ready).arm()
    simulator.faults.inject("wrong-reply", command="*PCAP.COMPLETION?", text="OK =Busy", times=0)
    arming = Arming(ready)
    with pytest.raises(PandaTimeoutError, match=r"still capturing 0\.05 s after DISARM"):
        await arming.disarm(timeout=0.05)
    assert arming.maybe_armed

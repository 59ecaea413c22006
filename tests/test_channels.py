"""A value on the wire: what may be put, what is read, how a change arrives."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from ophyd_async.core import observe_value, wait_for_value
from ophyd_async.fastcs.panda import PandaBitMux, PandaPcompDirection

from panda_ophyd import CommandError, FieldValueError, PandaClient, PandaConnectionError
from panda_ophyd.channels import fields


@pytest.mark.parametrize("given", [True, 1, "1", 1.0, np.True_])
async def test_a_bit_takes_whatever_means_true(panda, given):
    children: Any = panda
    await children.bits.a.set(given)
    assert await children.bits.a.get_value() is True


@pytest.mark.parametrize("given", [200, 200.0, "200", np.int32(200), np.float64(200)])
async def test_a_whole_number_takes_whatever_means_it(panda, given):
    await panda.pcomp[1].step.set(given)
    assert await panda.pcomp[1].step.get_value() == 200


@pytest.mark.parametrize("given", [1.5, "x", None, 2**40])
async def test_what_is_no_whole_number_is_refused_before_it_is_sent(panda, given):
    await panda.pcomp[1].step.set(7)
    with pytest.raises(FieldValueError, match=r"PCOMP1\.STEP"):
        await panda.pcomp[1].step.set(given)
    assert await panda.pcomp[1].step.get_value() == 7


async def test_an_enum_takes_its_member_and_its_label(panda):
    await panda.pcomp[1].dir.set(PandaPcompDirection.NEGATIVE)
    assert await panda.pcomp[1].dir.get_value() is PandaPcompDirection.NEGATIVE
    direction: Any = panda.pcomp[1].dir
    await direction.set("Either")
    assert await panda.pcomp[1].dir.get_value() is PandaPcompDirection.EITHER


async def test_a_label_that_does_not_exist_is_refused_with_those_that_do(panda):
    direction: Any = panda.pcomp[1].dir
    with pytest.raises(FieldValueError, match="Positive"):
        await direction.set("Sideways")


async def test_a_mux_takes_any_bit_by_name(panda):
    enable: Any = panda.seq[1].enable
    await enable.set("TTLIN1.VAL")
    assert await enable.get_value() == "TTLIN1.VAL"
    await enable.set(PandaBitMux.ZERO)
    assert await enable.get_value() is PandaBitMux.ZERO


async def test_a_bit_the_box_has_not_is_refused(panda):
    enable: Any = panda.seq[1].enable
    with pytest.raises((FieldValueError, CommandError), match=r"SEQ1\.ENABLE"):
        await enable.set("TTLIN99.VAL")


async def test_a_write_only_field_reads_as_what_was_written(panda):
    children: Any = panda
    assert await children.inenc[1].setp.get_value() == 0
    await children.inenc[1].setp.set(1234.0)
    assert await children.inenc[1].setp.get_value() == 1234


async def test_the_capture_of_a_bit_is_that_of_its_word(panda):
    children: Any = panda
    await children.ttlin[1].val_capture.set(True)
    assert await children.pcap.bits0_capture.get_value() == "Value"
    assert await children.lvdsin[1].val_capture.get_value() is True
    await children.pcap.bits0_capture.set("No")
    assert await children.ttlin[1].val_capture.get_value() is False


async def test_a_label_is_the_description_until_somebody_sets_one(panda):
    children: Any = panda
    assert await children.pulse[1].label.get_value() == panda.box.block("PULSE").description
    await children.pulse[1].label.set("Shutter")
    assert await children.pulse[1].label.get_value() == "Shutter"


async def test_what_somebody_else_writes_arrives_at_a_monitor(panda, simulator):
    seen: list[float] = []
    panda.pulse[1].delay.subscribe(
        lambda reading: seen.append(reading["panda-pulse-1-delay"]["value"])
    )
    async with PandaClient(simulator.address) as client:
        await client.assign("PULSE1.DELAY", "0.5")
    await wait_for_value(panda.pulse[1].delay, 0.5, timeout=5)
    assert seen[-1] == 0.5
    panda.pulse[1].delay.clear_sub(seen.append)


async def test_a_table_somebody_else_writes_arrives_at_a_monitor(panda, simulator):
    async for table in observe_value(panda.seq[1].table, done_timeout=5):
        if len(table):
            assert list(table.time1) == [3]
            break
        async with PandaClient(simulator.address) as client:
            await client.assign_table("SEQ1.TABLE", ("1 0 3 2",))


async def test_what_only_a_query_gives_is_asked_for_less_often_once_it_is_quiet(panda, monkeypatch):
    monkeypatch.setattr(fields, "QUIET_PERIOD", 3600.0)
    monkeypatch.setattr(fields, "QUIET_AFTER", 0.3)
    client = panda._panda_connector.session.client
    children: Any = panda
    children.seq[1].table_mode.subscribe_reading(lambda _: None)
    asked = [-2, -1]
    while asked[-1] > asked[-2]:  # until it is quiet
        await asyncio.sleep(0.5)
        asked.append(client.round_trips)
    assert asked[2] >= 1


async def test_a_bit_that_pulses_between_two_polls_is_seen(panda):
    children: Any = panda
    await children.pulse[1].width.set(1e-6)
    await children.pulse[1].trig.set("BITS.OUTA")
    await children.pulse[1].enable.set("ONE")
    out = children.pulse[1].out
    seen: list[bool] = []
    listening = asyncio.Event()

    async def watch() -> None:
        async for value in observe_value(out, done_timeout=10):
            seen.append(value)
            listening.set()
            if seen[-3:] == [False, True, False]:
                return

    watching = asyncio.create_task(watch())
    await listening.wait()
    await children.bits.a.set(True)
    await watching
    assert seen[-3:] == [False, True, False]


async def test_a_pulse_before_anybody_listened_is_seen_if_it_came_of_the_last_write(panda):
    children: Any = panda
    await children.pulse[1].width.set(1e-6)
    await children.pulse[1].trig.set("BITS.OUTA")
    await children.pulse[1].enable.set("ONE")
    for _ in range(5):
        await children.bits.a.set(True)
        await asyncio.sleep(0.06)  # long enough for a poll to have taken the pulse already
        await wait_for_value(children.pulse[1].out, True, timeout=5)
        await children.bits.a.set(False)
        await asyncio.sleep(0.06)


async def test_writing_the_value_a_bit_has_is_no_pulse(panda):
    children: Any = panda
    await children.bits.a.set(True)
    seen: list[bool] = []
    children.bits.a.subscribe(lambda reading: seen.append(reading["panda-bits-a"]["value"]))
    await wait_for_value(children.bits.a, True, timeout=5)
    for _ in range(3):
        await children.bits.a.set(True)
        await asyncio.sleep(0.05)
    assert set(seen) == {True}


async def test_a_sequence_between_write_and_wait_is_seen_however_it_meets_the_poll(panda):
    children: Any = panda
    await children.pulse[1].width.set(3e-3)
    await children.pulse[1].trig.set("BITS.OUTA")
    await children.pulse[1].enable.set("ONE")
    for pause in (0, 1e-3, 2e-3, 4e-3, 6e-3, 1e-2, 2e-2, 3e-2, 5e-2):
        await children.bits.a.set(True)
        await asyncio.sleep(pause)
        await wait_for_value(children.pulse[1].out, True, timeout=5)
        await wait_for_value(children.pulse[1].out, False, timeout=5)
        await children.bits.a.set(False)


async def test_a_wait_without_time_out_fails_when_the_link_is_lost(panda, simulator):
    waits = [
        asyncio.create_task(wait_for_value(signal, value, timeout=None))
        for signal, value in [
            (panda.pcomp[1].active, True),
            (panda.pcomp[1].start, 12345),
            (panda.pulse[1].delay, lambda delay: delay > 1),
            (panda.pcap.enable, "ONE"),
            (panda.pcap.arm, True),
        ]
    ]
    await asyncio.sleep(0.05)
    await simulator.stop()
    results = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 5)
    assert [type(result) for result in results] == [PandaConnectionError] * len(waits)


async def test_a_subscribed_signal_shows_no_old_value_after_the_link_is_lost(
    panda, simulator, until
):
    panda.pulse[1].delay.subscribe(lambda _: None)
    await wait_for_value(panda.pulse[1].delay, 0.0, timeout=5)
    await simulator.stop()
    await until(lambda: panda._panda_connector.session.lost is not None)
    value = await panda.pulse[1].delay.get_value()
    with pytest.raises(PandaConnectionError):
        assert value == 0.0
    with pytest.raises(PandaConnectionError):
        await panda.pulse[2].delay.get_value()


async def test_a_wait_that_begins_after_the_loss_fails_at_once(panda, simulator, until):
    children: Any = panda
    panda.seq[1].repeats.subscribe(lambda _: None)
    await wait_for_value(panda.seq[1].repeats, 0, timeout=5)
    await simulator.stop()
    await until(lambda: panda._panda_connector.session.lost is not None)
    for signal, value in [
        (panda.pcomp[1].active, False),
        (panda.seq[1].repeats, 0),
        (children.inenc[1].val_scaled, 0.0),
        (panda.pcap.arm, False),
    ]:
        with pytest.raises(PandaConnectionError):
            await asyncio.wait_for(wait_for_value(signal, value, timeout=None), 5)


async def test_a_callback_that_raises_does_not_end_the_updates(panda, until):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    seen: list[float] = []

    def callback(reading: Any) -> None:
        seen.append(reading["panda-inenc-1-val_scaled"]["value"])
        raise RuntimeError("mine")

    children: Any = panda
    children.inenc[1].val_scaled.subscribe(callback)
    await until(lambda: bool(seen))
    await children.inenc[1].val_offset.set(7)
    await until(lambda: seen[-1] == 7)


async def test_a_label_put_back_as_it_was_read_is_no_label(panda, simulator):
    children: Any = panda
    await children.pulse[1].label.set(await children.pulse[1].label.get_value())
    async with PandaClient(simulator.address) as client:
        assert await client.query("*METADATA.LABEL_PULSE1") == ""


async def test_a_wait_is_not_answered_with_a_value_from_before_the_write(panda):
    children: Any = panda
    for _ in range(20):
        await children.bits.a.set(True)
        await wait_for_value(children.bits.outa, True, timeout=5)
        await children.bits.a.set(False)
        await wait_for_value(children.bits.outa, False, timeout=5)


async def test_the_scaled_position_follows_scale_and_offset(panda, simulator):
    children: Any = panda
    await children.inenc[1].setp.set(100)
    await children.inenc[1].val_scale.set(0.5)
    await children.inenc[1].val_offset.set(3)
    raw = await children.inenc[1].val.get_value()
    assert await children.inenc[1].val_scaled.get_value() == pytest.approx(raw * 0.5 + 3)


@pytest.mark.parametrize("given", [True, 1, "Arm", "1"])
async def test_arming_takes_the_words_of_existing_plans(panda, given):
    children: Any = panda
    await children.pcap.ts_trig_capture.set("Value")
    await panda.pcap.arm.set(given)
    assert await panda.pcap.arm.get_value() is True
    await wait_for_value(panda.pcap.active, True, timeout=5)
    arm: Any = panda.pcap.arm
    await arm.set("Disarm")
    assert await panda.pcap.arm.get_value() is False


async def test_arming_twice_goes_on_with_the_first(panda):
    children: Any = panda
    await children.pcap.ts_trig_capture.set("Value")
    await panda.pcap.arm.set(True)
    await panda.pcap.arm.set(True)
    await panda.pcap.arm.set(False)
    await panda.pcap.arm.set(False)


async def test_arming_with_nothing_to_capture_says_what_to_do(panda):
    with pytest.raises(Exception, match="_capture"):
        await panda.pcap.arm.set(True)

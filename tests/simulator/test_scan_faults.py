"""What goes wrong on the box is seen by a client: health, changes, rows and the last line."""

from __future__ import annotations

from .rehearsal import Rehearsal, rehearsed, seq_row

STREAMED = (
    "SEQ1.ENABLE=BITS.OUTA",
    "PCAP.ENABLE=SEQ1.ACTIVE",
    "PCAP.TRIG=SEQ1.OUTA",
    "PCAP.GATE=SEQ1.ACTIVE",
    "PCAP.TS_TRIG.CAPTURE=Value",
)


async def changes(box: Rehearsal, *names: str) -> dict[str, str]:
    """Return those of ``*CHANGES?`` that begin with a name."""
    reply = await box.ask("*CHANGES?")
    lines = [line.removeprefix("!") for line in reply.splitlines()]
    return dict(line.split("=", 1) for line in lines if line.startswith(names))


async def begin(box: Rehearsal) -> int:
    """Let the table load, enable SEQ; return the tick at which it is."""
    await box.run(100_000)
    assert await box.value("SEQ1.STATE") == "WAIT_ENABLE"
    await box.arm()
    await changes(box)
    await box.set("BITS.A=1")
    return box.simulator.tick + 1


async def test_a_stream_that_comes_too_late_is_an_underrun_and_no_row_is_invented():
    rows = [seq_row(1, 0, 0, 100, "A", 900)] * 20
    async with rehearsed(*STREAMED) as box:
        assert await box.table("SEQ1.TABLE", rows, "<<") == "OK"
        enabled = await begin(box)
        await box.run(50_000)
        # no word of it was sent in time: 20 lines of 1000 ticks
        assert await box.value("SEQ1.HEALTH") == "DMA underrun"
        assert await box.value("SEQ1.ACTIVE") == "0"
        assert await box.value("SEQ1.STATE") == "UNREADY"
        assert await box.value("SEQ1.TABLE_LINE") == "20"
        seen = await changes(box, "SEQ1.HEALTH", "SEQ1.STATE", "SEQ1.ACTIVE", "SEQ1.TABLE_LINE")
        assert seen == {
            "SEQ1.ACTIVE": "0",
            "SEQ1.TABLE_LINE": "20",
            "SEQ1.STATE": "UNREADY",
            "SEQ1.HEALTH": "DMA underrun",
        }
        # a field that is read comes twice (protocol.md 6.4), then no more
        await changes(box)
        assert await changes(box, "SEQ1.") == {}
        got = await box.acquired()
        # SEQ's ACTIVE has fallen, which is the good end of an acquisition: the health tells
        assert got.end == "END 20 Ok"
        assert got.start == enabled + 1
        assert got["PCAP.TS_TRIG"] == [1000 * k for k in range(20)]
        assert await box.value("PCAP.HEALTH") == "OK"
        # what comes now is too late for ever
        reply = await box.table("SEQ1.TABLE", rows, "<<|")
        assert reply.startswith("ERR ")
        assert reply.endswith("(32) Broken pipe")
        await box.run(50_000)
        assert await box.value("SEQ1.STATE") == "UNREADY"
        # only an empty table, then a new one, revives it
        await box.set("BITS.A=0", "SEQ1.REPEATS=1")
        assert await box.table("SEQ1.TABLE", []) == "OK"
        assert await box.table("SEQ1.TABLE", rows[:3]) == "OK"
        assert await box.value("SEQ1.HEALTH") == "DMA underrun"
        enabled = await begin(box)
        await box.run(50_000)
        assert await box.value("SEQ1.HEALTH") == "OK"
        got = await box.acquired()
        assert got.end == "END 3 Ok"
        assert got.triggers == [enabled + 1 + 1000 * k for k in range(3)]


async def test_a_stream_fed_in_time_is_played_to_its_last_line_without_a_gap():
    segments, lines = 12, 50
    async with rehearsed(*STREAMED) as box:
        assert await box.table("SEQ1.TABLE", [seq_row(1, 0, 0, 10, "A", 990)] * lines, "<<") == "OK"
        enabled = await begin(box)
        for number in range(1, segments):
            how = "<<|" if number == segments - 1 else "<<"
            rows = [seq_row(1, 0, 0, 10, "A", 990)] * lines
            assert await box.table("SEQ1.TABLE", rows, how) == "OK"
            await box.run(lines * 1000 - 2)  # each write takes a tick
        await box.run(3 * lines * 1000)
        assert await box.value("SEQ1.HEALTH") == "OK"
        got = await box.acquired()
    assert got.end == f"END {segments * lines} Ok"
    assert got.triggers == [enabled + 1 + 1000 * k for k in range(segments * lines)]


async def test_an_underrun_of_pgen_stops_it_at_the_trigger_that_has_no_value():
    async with rehearsed(
        "PGEN1.ENABLE=BITS.OUTA",
        "PGEN1.TRIG=CLOCK1.OUT",
        "CLOCK1.ENABLE=BITS.OUTA",
        "CLOCK1.PERIOD.RAW=1000",
        "PCAP.ENABLE=BITS.OUTA",
        "PCAP.TRIG=CLOCK1.OUT",
        "PCAP.TRIG.DELAY=2",
        "PGEN1.OUT.CAPTURE=Value",
        "PCAP.TS_TRIG.CAPTURE=Value",
    ) as box:
        assert await box.table("PGEN1.TABLE", [[70], [-80], [90]], "<<") == "OK"
        await box.run(1000)
        assert await box.value("PGEN1.STATE") == "WAIT_ENABLE"
        await box.arm()
        await changes(box)
        await box.set("BITS.A=1")
        await box.run(6500)
        assert await box.value("PGEN1.HEALTH") == "DMA underrun"
        seen = await changes(box, "PGEN1.ACTIVE", "PGEN1.STATE", "PGEN1.HEALTH", "PGEN1.OUT")
        assert seen == {
            "PGEN1.ACTIVE": "0",
            "PGEN1.STATE": "UNREADY",
            "PGEN1.HEALTH": "DMA underrun",
            "PGEN1.OUT": "90",
        }
        # PCAP goes on, PGEN's position stays what it was
        assert await box.value("PCAP.ACTIVE") == "1"
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
        assert got["PGEN1.OUT"] == [70, -80, 90, 90, 90, 90, 90]
        assert got.end == "END 7 Ok"


COMPARED = (
    "PCOMP1.INP=INENC1.VAL",
    "PCOMP1.START=1000",
    "PCOMP1.STEP=500",
    "PCOMP1.WIDTH=200",
    "PCOMP1.PULSES=20",
    "PCOMP1.ENABLE=BITS.OUTA",
    "PCAP.ENABLE=PCOMP1.ACTIVE",
    "PCAP.TRIG=PCOMP1.OUT",
    "PCAP.GATE=PCOMP1.ACTIVE",
    "INENC1.VAL.CAPTURE=Value",
    "PCAP.TS_TRIG.CAPTURE=Value",
)


async def test_an_axis_that_jumps_by_more_than_a_step_is_a_fault_of_the_compare():
    async with rehearsed(*COMPARED) as box:
        axis = box.world.axes["x"]
        await box.arm()
        await box.set("BITS.A=1")
        motion = await box.move("x", 0.26)
        assert await box.value("PCOMP1.OUT") == "1"
        await changes(box)
        await changes(box)
        # out since 2500, low again from 2700, the next rise at 3000: that is too far
        axis.place(0.3)
        await box.run(10)
        assert await changes(box, "PCOMP1.") == {
            "PCOMP1.ACTIVE": "0",
            "PCOMP1.OUT": "0",
            "PCOMP1.HEALTH": "Position jumped by more than STEP",
            "PCOMP1.STATE": "WAIT_ENABLE",
        }
        got = await box.acquired()
        assert got["INENC1.VAL"] == [1000, 1500, 2000, 2500]
        assert got.triggers == [motion.arrives(n) + 2 for n in got["INENC1.VAL"]]
        # fewer rows than PULSES, ended well: PCAP cannot know, HEALTH and PRODUCED do
        assert got.end == "END 4 Ok"
        assert await box.value("PCAP.HEALTH") == "OK"
        assert await box.value("PCOMP1.PRODUCED") == "4"
        # it does nothing more until it is enabled anew
        await box.move("x", 0.0)
        await box.move("x", 0.9)
        assert await box.value("PCOMP1.PRODUCED") == "4"
        await box.move("x", 0.0)
        await box.set("BITS.A=0")
        await box.arm()
        await box.set("BITS.A=1")
        motion = await box.move("x", 1.2)
        assert await box.value("PCOMP1.HEALTH") == "OK"
        got = await box.acquired()
        assert got.triggers == [motion.arrives(1000 + 500 * k) + 2 for k in range(20)]
        assert got.end == "END 20 Ok"


async def test_a_jump_of_a_count_less_than_a_step_is_no_fault():
    async with rehearsed(*COMPARED) as box:
        await box.arm()
        await box.set("BITS.A=1")
        await box.move("x", 0.26)
        box.world.axes["x"].place(0.2999)
        await box.run(10)
        assert await box.value("PCOMP1.HEALTH") == "OK"
        assert await box.value("PCOMP1.STATE") == "WAIT_RISING"
        # a jump over the rise to before the fall is late, and counted where it is seen
        box.world.axes["x"].place(0.3199)
        await box.run(10)
        await box.set("*PCAP.DISARM=")
        got = await box.acquired()
    assert got["INENC1.VAL"] == [1000, 1500, 2000, 2500, 3199]
    assert got.end == "END 5 Disarmed"


async def test_triggers_that_come_too_close_end_the_acquisition_as_a_framing_error():
    async with rehearsed(
        "PULSE1.ENABLE=ONE",
        "PULSE1.TRIG=BITS.OUTA",
        "PULSE1.WIDTH.RAW=5",
        "PULSE1.STEP.RAW=6",
        "PULSE1.PULSES=4",
        "PCAP.ENABLE=ONE",
        "PCAP.TRIG=PULSE1.OUT",
        "PCAP.TS_TRIG.CAPTURE=Value",
        "PCAP.TS_START.CAPTURE=Value",
        "PCAP.TS_END.CAPTURE=Value",
        "PCAP.BITS0.CAPTURE=Value",
    ) as box:
        await box.arm()
        await changes(box)
        await box.set("BITS.A=1")
        risen = box.simulator.tick + 1
        await box.run(100)
        got = await box.acquired()
        # seven words need seven ticks, the pulses are six apart
        assert got.end == "END 1 Framing error"
        assert got.triggers == [risen + 1]
        assert await changes(box, "PCAP.") == {
            "PCAP.ACTIVE": "0",
            "PCAP.HEALTH": "Capture events too close together",
        }
        assert await box.value("*PCAP.COMPLETION") == "Framing error"
        assert await box.value("*PCAP.CAPTURED") == "1"
        # six words fit
        await box.set("PCAP.BITS0.CAPTURE=No", "BITS.A=0")
        await box.arm()
        await box.set("BITS.A=1")
        risen = box.simulator.tick + 1
        await box.run(100)
        await box.set("*PCAP.DISARM=")
        got = await box.acquired()
        assert got.triggers == [risen + 1 + 6 * k for k in range(4)]
        assert got.end == "END 4 Disarmed"
        assert await box.value("PCAP.HEALTH") == "OK"


async def test_pulses_that_come_too_fast_are_dropped_and_counted():
    async with rehearsed(
        "CLOCK1.ENABLE=BITS.OUTA",
        "CLOCK1.PERIOD.RAW=100",
        "PULSE1.ENABLE=BITS.OUTA",
        "PULSE1.TRIG=CLOCK1.OUT",
        "PULSE1.WIDTH.RAW=130",
        "PCAP.ENABLE=BITS.OUTA",
        "PCAP.TRIG=PULSE1.OUT",
        "PCAP.TS_TRIG.CAPTURE=Value",
    ) as box:
        await box.arm()
        await changes(box)
        await box.set("BITS.A=1")
        await box.run(100_050)
        # 1001 triggers, every second is lost
        assert await box.value("PULSE1.DROPPED") == "500"
        assert (await changes(box, "PULSE1.DROPPED")) == {"PULSE1.DROPPED": "500"}
        await box.set("BITS.A=0")
        await box.run(10)
        got = await box.acquired()
    assert got["PCAP.TS_TRIG"] == [3 + 200 * k for k in range(501)]

"""Capture control: lists, states, and why arming fails.

Source: protocol.md 7.
"""

from __future__ import annotations

import re

import pytest

from .columns import sample_words, wanted
from .rig import ENDINGS, Rig, wait_until
from .survey import Survey
from .wire import Control, Data

COMPLETIONS = {
    "Busy", "Ok", "Disarmed", "Framing error", "Driver data overrun", "DMA data error",
    "Unexpected completion error",
}  # fmt: skip


def test_states(control):
    assert re.fullmatch(r"(Busy|Idle) \d+ \d+", control.value("*PCAP.STATUS"))
    assert re.fullmatch(r"\d+", control.value("*PCAP.CAPTURED"))
    assert control.value("*PCAP.COMPLETION") in COMPLETIONS


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("*PCAP?", "Character '.' expected"),
        ("*PCAP=", "Character '.' expected"),
        ("*PCAP.?", "No name found"),
        ("*PCAP.=", "No name found"),
        ("*PCAP.X?", "Invalid *PCAP field"),
        ("*PCAP.X=", "Invalid *PCAP field"),
        ("*PCAP.ARM?", "Invalid *PCAP field"),
        ("*PCAP.STATUS=", "Invalid *PCAP field"),
        ("*PCAP.status?", "Invalid *PCAP field"),
        ("*PCAP.*?", "No name found"),
        ("*PCAP.DISARM=1", "Unexpected character after input"),
        ("*PCAP.DISARM= ", "Unexpected character after input"),
        ("*CAPTURE=1", "Unexpected character after input"),
        ("*CAPTURE.X?", "Invalid *CAPTURE option"),
        ("*CAPTURE.options?", "Invalid *CAPTURE option"),
        ("*CAPTURE.?", "No name found"),
        ("*CAPTURE.*=", "Unexpected character after input"),
        ("*CAPTURE.OPTIONS=", "Unexpected character after input"),
        ("*CAPTURE.OPTIONSX?", "Invalid *CAPTURE option"),
        ("*CAPTURE.*X?", "Unexpected character after input"),
        ("*CAPTURE.OPTIONS ?", "Unexpected character after input"),
        ("*CAPTURE ?", "Unexpected character after input"),
    ],
)
def test_errors(control, command, error):
    assert control.error(command) == error


def test_what_follows_the_letters_of_a_state_is_ignored(control):
    for extra in ("1", " x", ".Y", "-"):
        assert re.fullmatch(r"\d+", control.value(f"*PCAP.CAPTURED{extra}"))


def test_options(control):
    options = control.lines("*CAPTURE.OPTIONS")
    choices = control.lines("*CAPTURE.ENUMS")
    basic = ["No", "Value", "Diff", "Sum", "Mean", "Min", "Max", "Min Max", "Min Max Mean"]
    if "StdDev" in options:
        assert options == ["Value", "Diff", "Sum", "Min", "Max", "Mean", "StdDev"]
        assert choices == [*basic, "StdDev", "Mean StdDev"]
    else:
        assert options == ["Value", "Diff", "Sum", "Min", "Max", "Mean"]
        assert choices == basic


def test_everything_that_can_be_captured_is_listed(control, box: Survey):
    names = [t for info in ("pos_out", "ext_out") for f in box.of(info) for t in f.instances]
    assert sorted(box.captured) == sorted(names)
    assert [name for name in box.captured if name in box.positions] == box.positions


def test_what_is_captured_is_listed_in_capture_order(control, box: Survey, keep):
    keep.capture()
    assert control.lines("*CAPTURE") == []
    chosen = dict.fromkeys(box.captured[::3], "Value")
    for name in reversed(chosen):
        control.ok(f"{name}.CAPTURE=Value")
    position = box.one("pos_out")
    control.ok(f"{position}.CAPTURE=Max Min")
    chosen[position] = "Min Max"
    assert control.lines("*CAPTURE") == [
        f"{name} {chosen[name]}" for name in box.captured if name in chosen
    ]
    control.ok("*CAPTURE=")
    assert control.lines("*CAPTURE") == []


def test_arming_needs_something_to_capture(rig: Rig):
    assert rig.control.error("*PCAP.ARM=") == "Nothing configured for capture"
    assert rig.control.error("*PCAP.ARM=x") == "Unexpected character after input"
    assert rig.idle


def fill(rig: Rig, words: int) -> dict[str, str]:
    """Captures of so many words, or skip."""
    choices = {
        6: "Value Diff Sum Min Max", 5: "Value Diff Sum Min", 4: "Value Diff Min Max",
        3: "Value Min Max", 2: "Min Max", 1: "Value",
    }  # fmt: skip
    chosen: dict[str, str] = {}
    for field in rig.box.of("ext_out timestamp") + rig.box.of("ext_out bits"):
        chosen[field.instances[0]] = "Value"
    words -= sample_words(wanted(rig.box, chosen))
    for name in rig.box.positions:
        if words == 0:
            break
        chosen[name] = choices[min(words, 6)]
        words -= min(words, 6)
    if words:
        pytest.skip("this box has too few positions to capture too much")
    return chosen


def test_a_sample_has_63_words_at_most(rig: Rig):
    rig.trigger()
    rig.capture(**fill(rig, 64))
    assert rig.control.error("*PCAP.ARM=") == "Too many captures for PCAP"
    assert rig.idle
    rig.control.ok("*CAPTURE=")
    rig.capture(**fill(rig, 63))
    rig.arm()
    rig.disarm()


def test_an_acquisition_from_arming_to_its_end(rig: Rig):
    rig.trigger()
    rig.capture(**{rig.box.captured[0]: "Value"})
    rig.arm()
    assert rig.control.value("*PCAP.COMPLETION") == "Busy"
    assert rig.control.error("*PCAP.ARM=") == "Data capture already in progress"
    wait_until(lambda: rig.status[0] == "Busy", "busy")
    rig.wait_captured(2)
    rig.control.ok("*PCAP.DISARM=")
    wait_until(lambda: rig.idle, "idle again")
    assert rig.control.value("*PCAP.COMPLETION") in ENDINGS
    assert rig.captured >= 2
    rig.control.ok("*PCAP.DISARM=")
    rig.control.ok("*PCAP.DISARM1x=")


def test_the_connection_that_armed_may_go(rig: Rig, connect):
    rig.trigger()
    rig.capture(**{rig.box.captured[0]: "Value"})
    rig.arm()
    rig.control.close()
    rig.control = connect()
    assert rig.control.value("*PCAP.COMPLETION") == "Busy"
    other: Control = connect()
    other.ok("*PCAP.DISARM=")
    wait_until(lambda: rig.idle, "idle again")


def test_the_count_starts_again_with_each_acquisition(rig: Rig):
    rig.trigger()
    rig.capture(**{rig.box.captured[0]: "Value"})
    rig.acquire(0, samples=4)
    assert rig.captured >= 4
    rig.trigger(None)
    rig.arm()
    assert rig.captured <= 2
    rig.disarm()


def test_what_is_captured_is_fixed_when_arming(rig: Rig, open_data):
    rig.trigger()
    name = rig.box.positions[0]
    rig.capture(**{name: "Value"})
    data: Data = open_data("")
    assert data.line() == b"OK"
    rig.arm(1)
    for name_ in rig.box.positions[:3]:
        rig.capture(**{name_: "Diff Max"})
    rig.wait_captured(1)
    rig.disarm()
    assert [(c.name, c.capture) for c in data.header().columns] == [(name, "Value")]

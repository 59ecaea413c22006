"""Hardware that only remembers."""

from __future__ import annotations

import numpy as np

from panda_simulator.echo import EchoHardware
from panda_simulator.hardware import Completion, Hardware


class Sink:
    """Remembers what was delivered."""

    def __init__(self) -> None:
        self.events = []

    def started(self, start_time_ns, hardware_time_ns) -> None:
        self.events.append((start_time_ns, hardware_time_ns))

    def samples(self, data) -> None:
        self.events.append(np.frombuffer(data, "<u4").tolist())

    def ended(self, completion) -> None:
        self.events.append(completion)


def test_registers_keep_what_is_written():
    hardware: Hardware = EchoHardware()
    hardware.write_register("DIV", 1, "DIVISOR", -1)
    assert hardware.read_register("DIV", 1, "DIVISOR") == 0xFFFFFFFF
    assert hardware.read_register("DIV", 2, "DIVISOR") == 0
    for values, changed in (hardware.read_bits(), hardware.read_positions()):
        assert not values.any()
        assert not changed.any()


def test_an_armed_capture_counts_every_100_ms():
    now = 5.0
    hardware, sink = EchoHardware(clock=lambda: now, now_ns=lambda: 77), Sink()
    hardware.advance()
    hardware.arm([1, 2, 3], sink)
    assert sink.events == [(77, None)]
    hardware.advance()
    now += 0.25
    hardware.advance()
    hardware.disarm()
    hardware.disarm()
    hardware.advance()
    assert sink.events[1:] == [[0, 1, 2], [256, 257, 258], [512, 513, 514], Completion.OK]

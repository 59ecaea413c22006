"""An acquisition of the box under test: what it captures, what triggers it, and its end.

Source: protocol.md 7.1 to 7.3, 8.9, 11.1 (18 to 20).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from .keeper import Keeper
from .survey import Survey, exact
from .wire import Control

AGAIN = re.compile("ERR (Data capture already in progress|Unexpected error at .*)")
PATIENCE = 10.0
SILENT = "this suite does not know what triggers this box"
ENDINGS = {"Ok", "Disarmed"}
"""Of a disarm: simulated hardware may say `Ok`."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that nobody announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {PATIENCE:g} s: {what}")
        time.sleep(0.005)


class Rig:
    """Arms the box, which the options of the run allow."""

    def __init__(self, box: Survey, keep: Keeper) -> None:
        self.box = box
        self.keep = keep
        self.control = Control(box.address)
        if not self.idle:
            self.control.close()
            pytest.skip("this box is acquiring for somebody")
        self.strangers = box.strangers(self.control)
        keep.capture()
        self._wired = False

    @property
    def status(self) -> tuple[str, int, int]:
        state, readers, active = self.control.value("*PCAP.STATUS").split(" ")
        return state, int(readers), int(active)

    @property
    def readers(self) -> int:
        return self.status[1]

    @property
    def idle(self) -> bool:
        return self.status[0] == "Idle" and self.control.value("*PCAP.COMPLETION") != "Busy"

    @property
    def captured(self) -> int:
        return int(self.control.value("*PCAP.CAPTURED"))

    def capture(self, **names: str) -> None:
        """Capture some fields; the names come from `*CAPTURE.*?`."""
        for name, options in names.items():
            self.control.ok(f"{name}.CAPTURE={options}")

    def captures(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in self.control.lines("*CAPTURE"))

    def trigger(self, period: float | None = 0.01) -> None:
        """Let PCAP capture at once, with a trigger every period or never.

        What a box has none of is not touched: simulated hardware that only counts
        captures all the same.
        """
        wires = {"PCAP.ENABLE": "ONE", "PCAP.GATE": "ONE"}
        clock = next((bit for bit in self.box.bits if bit.startswith("CLOCK")), None)
        if clock is not None:
            wires |= {"PCAP.TRIG": clock if period else "ZERO", "PCAP.CAPTURE": clock}
            block = clock.split(".")[0]
            if period and self._has(f"{block}.PERIOD"):
                self.keep(f"{block}.PERIOD")
                self.control.ok(f"{block}.PERIOD.RAW={round(period * self.box.clock)}")
            if self._has(f"{block}.ENABLE"):
                wires[f"{block}.ENABLE"] = "ONE"
        known = [target for target in wires if self._has(target)]
        for target in known:
            self.keep(target)
            self.control.ok(f"{target}={wires[target]}")
        self._wired = {"PCAP.ENABLE", "PCAP.TRIG"} <= {*known}
        if not self._wired and self.box.silent:
            pytest.skip(SILENT)

    def arm(self, readers: int = 0) -> None:
        """Wait for data clients, then arm: an earlier acquisition may still be draining."""
        wait_until(lambda: self.readers == self.strangers + readers, f"{readers} data clients")
        deadline = time.monotonic() + PATIENCE
        while AGAIN.fullmatch(str(reply := self.control.ask("*PCAP.ARM="))):
            assert time.monotonic() < deadline, reply
        assert reply == "OK"
        # the count of the acquisition before is forgotten only then, by another thread
        wait_until(lambda: self.status[0] == "Busy" or self.idle, "the start")
        if not self.box.simulated:
            time.sleep(0.02)

    def wait_captured(self, samples: int) -> None:
        deadline = time.monotonic() + 3
        while not self._wired and self.captured == 0:
            if time.monotonic() > deadline:
                self.box.silent = True
                pytest.skip(SILENT)
        wait_until(lambda: self.captured >= samples, f"{samples} samples")

    def disarm(self) -> None:
        self.control.ok("*PCAP.DISARM=")
        wait_until(lambda: self.idle, "idle again")

    def acquire(self, readers: int, samples: int = 1) -> None:
        """Arm, wait for samples, disarm."""
        self.arm(readers)
        self.wait_captured(samples)
        self.disarm()

    def scalable(self) -> list[str]:
        """Positions whose scaling can be put back."""
        return [
            name
            for name in self.box.positions
            if all(exact(self.control.value(f"{name}.{key}")) for key in ("SCALE", "OFFSET"))
        ]

    def scale(self, name: str, scale: float, offset: float, units: str) -> None:
        self.keep(f"{name}.SCALE", f"{name}.OFFSET", f"{name}.UNITS")
        self.control.ok(f"{name}.SCALE={scale!r}")
        self.control.ok(f"{name}.OFFSET={offset!r}")
        self.control.ok(f"{name}.UNITS={units}")

    def factors(self, names: list[str]) -> dict[str, tuple[float, float]]:
        """Scale and offset by name; times and gates are in seconds."""
        found: dict[str, tuple[float, float]] = {}
        for name in names:
            if name in self.box.positions:
                scale, offset = (self.control.value(f"{name}.{k}") for k in ("SCALE", "OFFSET"))
                found[name] = float(scale), float(offset)
            else:
                found[name] = 1 / self.box.clock, 0.0
        return found

    def close(self) -> None:
        """End what runs, whatever it is, and leave."""
        self.control.close()
        with Control(self.box.address) as control:
            self.control = control
            self.disarm()

    def _has(self, target: str) -> bool:
        return self.control.ask(f"{target}.INFO?") in {"OK =bit_mux", "OK =param time", "OK =time"}

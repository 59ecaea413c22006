"""An encoder input on a cable: levels of lines in, tick by tick what the box makes of them.

Source: blocks.md 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from panda_simulator.behaviours.base import MASK, Outputs, earliest
from panda_simulator.behaviours.biss import BissMaster
from panda_simulator.behaviours.filters import LineFilter
from panda_simulator.behaviours.qdec import Qdec
from panda_simulator.behaviours.reading import Reading
from panda_simulator.behaviours.ssi import SsiMaster

QUADRATURE, SSI, BISS, ENDAT = range(4)
PINS = ("PIN_A", "PIN_B", "PIN_Z")
"""Levels that come in; serial data are on the pin of A."""

PIN_CLOCK = "PIN_CLK"
"""The clock that goes out to a serial encoder, on the pin of B."""

_NOT_IMPLEMENTED = 5


class WiredInput:
    """Filters, decoder and masters, one register after the other as in the box."""

    def __init__(self, registers: Mapping[str, int], *, word: int = 0, homed: int = 0) -> None:
        """Begin with all lines low.

        Args:
            registers: of the block; kept, and looked at when needed.
            word: that was read before.
            homed: whether the count has a defined origin.
        """
        self._registers = registers
        self._pins: dict[str, int] = dict.fromkeys(PINS, 0)
        self._filters = {pin: LineFilter() for pin in PINS}
        self._decoder = Qdec()
        if homed:
            self._decoder.update(0, {"LINKUP_INCR": 1, "SETP": 0})
        self._counted: Outputs = {"OUT": 0, "HOMED": homed}
        self._counts_at: int | None = None
        self._masters: dict[int, SsiMaster | BissMaster] = {SSI: SsiMaster(), BISS: BissMaster()}
        self._reading_bits = registers["BITS"]
        self._pin_clock = 0
        self._drives = False
        self.word = self.shown = word
        """What is in the register before VAL, and what VAL shows."""
        self.reading = Reading.of(registers)
        """How VAL is made of it."""
        self._status: Outputs = {}

    def step(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> Outputs:
        """Take one tick; return what is put out besides VAL."""
        levels = {pin: line.level for pin, line in self._filters.items()}
        self._read()
        clock_out = self._clock_out()
        self._status = self._seen()
        self._decode(tick, levels, changes)
        for master in self._masters.values():
            if resets or master is self._clocking:
                master.step(tick, levels["PIN_A"], self._registers if resets else None)
        self._watch_pins(tick, changes, resets=resets)
        self._pin_clock = clock_out
        self._drives = self._protocol in (SSI, BISS, ENDAT) and not resets
        return self._outputs()

    @property
    def _protocol(self) -> int:
        return self._registers["PROTOCOL"] & 7

    def _read(self) -> None:
        """Make VAL of the word and the word of what a decoder or master has."""
        self.reading = Reading.of({**self._registers, "BITS": self._reading_bits})
        self.shown, self.word = self.word, self._raw()
        self._reading_bits = self._registers["BITS"]

    @property
    def master(self) -> SsiMaster | BissMaster | None:
        """What reads serial words, in a protocol that has them."""
        return self._masters.get(self._protocol)

    @property
    def homed(self) -> int:
        """Whether the count has a defined origin, in whatever protocol."""
        return self._counted["HOMED"]

    @property
    def bits(self) -> int:
        """Bits of a serial word."""
        return self._registers["BITS"]

    def _raw(self) -> int:
        if self._protocol == QUADRATURE:
            return self._counted["OUT"] & MASK
        master = self._masters.get(self._protocol)
        return master.position if master else 0

    def _seen(self) -> Outputs:
        """Return CONN, HOMED and HEALTH."""
        if self._protocol == QUADRATURE:
            return {"CONN": 1, "HOMED": self._counted["HOMED"], "HEALTH": 0}
        master = self._masters.get(self._protocol)
        if master is None:
            return {"CONN": 0, "HOMED": 1, "HEALTH": _NOT_IMPLEMENTED}
        return {"CONN": int(master.connected), "HOMED": 1, "HEALTH": master.health}

    def _decode(self, tick: int, levels: Mapping[str, int], changes: Mapping[str, int]) -> None:
        inputs = {"LINKUP_INCR": 1, "RST_ON_Z": self._registers["RST_ON_Z"]}
        inputs.update({pin[-1]: level for pin, level in levels.items()})
        if "SETP" in changes:
            inputs["SETP"] = changes["SETP"]
        self._counted, self._counts_at = self._decoder.update(tick, inputs)
        self._counted = dict(self._counted)

    def _clock_out(self) -> int:
        if self._registers["CLK_SRC"] & 1:
            return self._registers["CLK"]
        return self._masters[BISS if self._protocol == BISS else SSI].clock

    @property
    def _clocking(self) -> SsiMaster | BissMaster | None:
        """The master that has the clock line; that of enDat is the one of SSI."""
        return self._masters.get(SSI if self._protocol == ENDAT else self._protocol)

    def _watch_pins(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> None:
        for pin in PINS:
            self._pins[pin] = changes.get(pin, self._pins[pin])
        for pin, line in self._filters.items():
            line.update(tick, self._pin(pin))
            if resets:
                line.reset()

    def _pin(self, pin: str) -> int:
        if self._protocol in (QUADRATURE, *range(ENDAT + 1, 8)) or pin == "PIN_A":
            return self._pins[pin]
        return self._pin_clock & self._drives if pin == "PIN_B" else 0

    def _outputs(self) -> Outputs:
        a, b, z = (self._filters[pin].level for pin in PINS)
        return {
            **self._status,
            "A": a,
            "B": b,
            "Z": z,
            "DATA": a,
            PIN_CLOCK: self._pin_clock & self._drives,
        }

    def wake(self, tick: int) -> int | None:
        """Return the next tick that matters, if nothing comes in."""
        levels = {pin: line.level for pin, line in self._filters.items()}
        if (
            self.word != self._raw()
            or self.shown != self.word
            or self.reading != Reading.of(self._registers)
            or self._status != self._seen()
            or self._pin_clock != self._clock_out()
            or self._drives != (self._protocol in (SSI, BISS, ENDAT))
            or any(line.pin != self._pin(pin) for pin, line in self._filters.items())
            or not self._decoder.settled(*levels.values())
        ):
            return tick + 1
        master = self._clocking
        return earliest(
            self._counts_at,
            master.wake(tick, levels["PIN_A"]) if master else None,
            *(line.wake for line in self._filters.values()),
        )

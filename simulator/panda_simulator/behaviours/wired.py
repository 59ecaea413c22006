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
_SERIAL = (SSI, BISS, ENDAT)
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
        self._protocol = registers["PROTOCOL"] & 7
        self._read_by = self._settings()
        self._stale = False
        self._pin_clock = 0
        self._drives = False
        self.word = self.shown = word
        """What is in the register before VAL, and what VAL shows."""
        self.reading = Reading.of(registers)
        """How VAL is made of it."""
        self._status = 0, 0, 0

    def step(self, tick: int, changes: Mapping[str, int], *, resets: bool) -> Outputs:
        """Take one tick; return what is put out besides VAL."""
        self._protocol = self._registers["PROTOCOL"] & 7
        level = self._filters["PIN_A"].level
        self._read()
        clock_out = self._clock_out()
        self._status = self._seen()
        self._decode(tick, changes)
        clocking = self._clocking
        if resets:
            for master in self._masters.values():
                master.step(tick, level, self._registers)
        elif clocking is not None:
            clocking.step(tick, level, None)
        self._watch_pins(tick, changes, resets=resets)
        self._pin_clock = clock_out
        self._drives = self._protocol in _SERIAL and not resets
        return self._outputs()

    def _read(self) -> None:
        """Make VAL of the word and the word of what a decoder or master has."""
        settings = self._settings()
        if settings != self._read_by:
            self.reading = Reading.of({**self._registers, "BITS": self._read_by[0]})
            self._read_by = settings
            self._stale = self.reading != Reading.of(self._registers)
        elif self._stale:
            self.reading = Reading.of(self._registers)
            self._stale = False
        self.shown, self.word = self.word, self._raw()

    def _settings(self) -> tuple[int, int, int, int]:
        now = self._registers
        return now["BITS"], now["ENCODING"], now["LSB_DISCARD"], now["MSB_DISCARD"]

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

    def _seen(self) -> tuple[int, int, int]:
        """Return CONN, HOMED and HEALTH."""
        if self._protocol == QUADRATURE:
            return 1, self._counted["HOMED"], 0
        master = self._masters.get(self._protocol)
        if master is None:
            return 0, 1, _NOT_IMPLEMENTED
        return int(master.connected), 1, master.health

    def _decode(self, tick: int, changes: Mapping[str, int]) -> None:
        a, b, z = self._filters.values()
        inputs = {
            "LINKUP_INCR": 1,
            "RST_ON_Z": self._registers["RST_ON_Z"],
            "A": a.level,
            "B": b.level,
            "Z": z.level,
        }
        if "SETP" in changes:
            inputs["SETP"] = changes["SETP"]
        self._counted, self._counts_at = self._decoder.update(tick, inputs)

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
            if pin in changes:
                self._pins[pin] = changes[pin]
        for line, level in zip(self._filters.values(), self._at_pins(), strict=True):
            line.update(tick, level)
            if resets:
                line.reset()

    def _at_pins(self) -> tuple[int, int, int]:
        """Return the levels of pins A, B and Z; the last two may be driven from inside."""
        a, b, z = self._pins.values()
        if not self._drives:
            return a, b, z
        # for a tick after the protocol both ends may drive a pin: it is not high then
        return a, self._pin_clock if self._protocol in _SERIAL else self._pin_clock & b, 0

    def _outputs(self) -> Outputs:
        a, b, z = self._filters.values()
        conn, homed, health = self._status
        return {
            "CONN": conn,
            "HOMED": homed,
            "HEALTH": health,
            "A": a.level,
            "B": b.level,
            "Z": z.level,
            "DATA": a.level,
            PIN_CLOCK: self._pin_clock & self._drives,
        }

    def wake(self, tick: int) -> int | None:
        """Return the next tick that matters, if nothing comes in."""
        a, b, z = self._filters.values()
        if (
            self.word != self._raw()
            or self.shown != self.word
            or self._stale
            or self._status != self._seen()
            or self._pin_clock != self._clock_out()
            or self._drives != (self._protocol in _SERIAL)
            or (a.pin, b.pin, z.pin) != self._at_pins()
            or not self._decoder.settled(a.level, b.level, z.level)
        ):
            return tick + 1
        master = self._clocking
        return earliest(
            self._counts_at,
            master.wake(tick, a.level) if master else None,
            a.wake,
            b.wake,
            z.wake,
        )

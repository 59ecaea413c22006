"""Two sequencers that take turns: their wiring as data, and the gates that tell whose turn it is.

Each sequencer has a gate, set by this program once its table is in and reset by hardware when
its table has ended. It is enabled while its gate is set, the other one is not active, and the
run gate is set. So the end of a table cannot be missed however short the table is, and a
sequencer that was not refilled in time does not play its old table again: it waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from panda_ophyd.control import Assign, Err, Query, first_line
from panda_ophyd.errors import CommandError, FieldValueError
from panda_ophyd.loading.port import SessionTablePort, TablePort, text_of
from panda_ophyd.session import PandaSession

HAND_OVER = 6
"""Ticks from the end of a table to the start of the other, of an FPGA of 2019 to 2024: twice
the three ticks from block to block. Of blocks as documented it is 2. Source: flyscan.md 1.7."""

_SPARE = 2
_INPUTS = "ABCDE"


@dataclass(frozen=True, slots=True)
class TurnWiring:
    """Which blocks take part.

    Attributes:
        sequencers: the two, in the order of their turns.
        run: SRGATE that the user sets to start and resets to stop.
        gates: SRGATE of each sequencer.
        enables: LUT of each sequencer.
        outputs: output of the sequencers, ``A`` to ``F``, to the LUT that has it of whichever
            plays.
        inputs: input of the sequencers, such as ``BITA`` or ``POSB``, to what both have there.
        hand_over: ticks from the end of a table to the start of the next. Measure it: how long
            a signal takes from block to block is the FPGA's.
    """

    sequencers: tuple[str, str] = ("SEQ1", "SEQ2")
    run: str = "SRGATE1"
    gates: tuple[str, str] = ("SRGATE2", "SRGATE3")
    enables: tuple[str, str] = ("LUT1", "LUT2")
    outputs: Mapping[str, str] = field(default_factory=lambda: {"A": "LUT3"})
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    hand_over: int = HAND_OVER

    def settings(self) -> dict[str, str]:
        """Return target to value of everything that is wired, in the order to write it."""
        resets = ("ZERO", *(f"{name}.ACTIVE" for name in self.sequencers))
        wired: dict[str, str] = {}
        for gate, reset in zip((self.run, *self.gates), resets, strict=True):
            wired |= _gate(gate, reset)
        for index, (name, lut) in enumerate(zip(self.sequencers, self.enables, strict=True)):
            other = self.sequencers[1 - index]
            # The second sees the start after it sees the first one active.
            delay = (self.hand_over + _SPARE) * index
            bits = (f"{self.run}.OUT", f"{self.gates[index]}.OUT", f"{other}.ACTIVE")
            wired |= _lut(lut, bits, "A&B&~C", delay)
            wired |= {f"{name}.{field}": source for field, source in self.inputs.items()}
            wired |= {
                f"{name}.PRESCALE.RAW": "0",
                f"{name}.REPEATS": "1",
                f"{name}.ENABLE.DELAY": "0",
                f"{name}.ENABLE": f"{lut}.OUT",
            }
        for letter, lut in self.outputs.items():
            wired |= _lut(lut, tuple(f"{name}.OUT{letter}" for name in self.sequencers), "A|B", 0)
        return wired


def _gate(gate: str, reset: str) -> dict[str, str]:
    # Forced low when it is enabled; it was low or is low from then on.
    return {
        f"{gate}.WHEN_DISABLED": "Set output low",
        f"{gate}.SET": "ZERO",
        f"{gate}.RST": reset,
        f"{gate}.RST.DELAY": "0",
        f"{gate}.RST_EDGE": "Falling",
        f"{gate}.ENABLE": "ONE",
        f"{gate}.FORCE_RST": "",
    }


def _lut(lut: str, bits: tuple[str, ...], function: str, delay: int) -> dict[str, str]:
    wired: dict[str, str] = {}
    for letter in _INPUTS:
        number = _INPUTS.index(letter)
        wired[f"{lut}.INP{letter}"] = bits[number] if number < len(bits) else "ZERO"
        wired[f"{lut}.INP{letter}.DELAY"] = str(delay if number == 0 else 0)
        wired[f"{lut}.TYPE{letter}"] = "Input-Level"
    return wired | {f"{lut}.FUNC": function}


async def apply_wiring(session: PandaSession, settings: Mapping[str, str]) -> None:
    """Write settings in their order, in one round trip.

    Raises:
        CommandError: the server refused one, the first of them is told; the others are set.
        PandaError: the link was lost.
    """
    requests = [Assign(target, value) for target, value in settings.items()]
    for request, reply in zip(requests, await session.client.request_all(requests), strict=True):
        if isinstance(reply, Err):
            raise CommandError(first_line(request), reply.message)


@dataclass(frozen=True, slots=True)
class Gates:
    """Levels of the gates at one time.

    Attributes:
        run: whether it was started and not stopped.
        waiting: of each sequencer, whether its table was not played to its end.
    """

    run: bool
    waiting: tuple[bool, bool]


class Turns(Protocol):
    """What loading needs of two sequencers that take turns.

    Attributes:
        hand_over: ticks from the end of a table to the start of the next.
    """

    hand_over: int

    @property
    def ports(self) -> tuple[TablePort, TablePort]:
        """Their tables, in the order of their turns."""
        ...

    async def check(self) -> None:
        """Make sure that they are wired to take turns.

        Raises:
            FieldValueError: something is set otherwise.
        """
        ...

    async def gates(self) -> Gates:
        """Return the gates."""
        ...

    async def ready(self, index: int) -> bool:
        """Set the gate of a sequencer, whose table is in.

        Returns:
            Whether the other one was still active after that.
        """
        ...

    async def reset(self) -> None:
        """Reset the gates of both sequencers, so that none starts; the run gate is the user's."""
        ...


class SessionTurns:
    """Two sequencers of a connected box, wired as `TurnWiring.settings` says; see `Turns`.

    Args:
        session: the box, connected.
        wiring: which blocks take part.

    Raises:
        FieldValueError: the box has no such sequencers.
    """

    def __init__(self, session: PandaSession, wiring: TurnWiring) -> None:
        self._session = session
        self._wiring = wiring
        first, second = wiring.sequencers
        self.ports: tuple[SessionTablePort, SessionTablePort] = (
            SessionTablePort(session, f"{first}.TABLE"),
            SessionTablePort(session, f"{second}.TABLE"),
        )
        self.hand_over = wiring.hand_over

    async def check(self) -> None:
        """Compare what is set with the wiring, in one round trip; see `Turns.check`."""
        wanted = {key: value for key, value in self._wiring.settings().items() if value}
        replies = await self._session.client.request_all([Query(target) for target in wanted])
        found = [getattr(reply, "value", None) for reply in replies]
        wrong = {
            target: f"{target} is {present} and not {value}"
            for (target, value), present in zip(wanted.items(), found, strict=True)
            if present != value
        }
        if wrong:
            reason = f"apply the wiring first: {'; '.join(wrong.values())}"
            raise FieldValueError(next(iter(wrong)), "part of the turns", reason)

    async def gates(self) -> Gates:
        """Return the gates, in one round trip."""
        targets = [f"{name}.OUT" for name in (self._wiring.run, *self._wiring.gates)]
        replies = await self._session.client.request_all([Query(target) for target in targets])
        texts = [text_of(*pair) for pair in zip(targets, replies, strict=True)]
        run, first, second = (text == "1" for text in texts)
        return Gates(run, (first, second))

    async def ready(self, index: int) -> bool:
        """Set a gate, and look at the other sequencer after that."""
        await self._session.client.assign(f"{self._wiring.gates[index]}.FORCE_SET")
        return (await self.ports[1 - index].status()).active

    async def reset(self) -> None:
        """Reset both gates."""
        for gate in self._wiring.gates:
            await self._session.client.assign(f"{gate}.FORCE_RST")

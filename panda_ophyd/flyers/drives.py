"""How lines get into sequencers and what starts them: one by its ENABLE, or two by turns.

A drive knows nothing of frames or ends; that is judged alike for all, by `Sequencer`.

Source: flyscan.md 1.7, 3.2, 3.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ophyd_async.core import wait_for_value
from ophyd_async.fastcs.panda import PandaBitMux, SeqBlock
from typing_extensions import override

from panda_ophyd.flyers.block import Block
from panda_ophyd.loading import (
    CHUNK_LINES,
    LEAST_SECONDS,
    Loading,
    SessionTablePort,
    SessionTurns,
    TablePort,
    TurnWiring,
    load,
)
from panda_ophyd.sequences import SeqLines

_LOOK_PERIOD = 0.01


@dataclass(frozen=True, slots=True)
class Loads:
    """How lines are cut when they do not all fit.

    Attributes:
        max_lines: of a fixed table, or of a table of turns; None for what the box holds. Fewer
            make a stream of what would fit.
        chunk_lines: of a segment of a stream, at most.
        wanted_seconds: playing time of a stream that waits in the box at least, s.
        least_seconds: playing time of a table of turns, where lines allow it, s.
    """

    max_lines: int | None = None
    chunk_lines: int = CHUNK_LINES
    wanted_seconds: float = 2.0
    least_seconds: float = LEAST_SECONDS

    def lower(self, port: TablePort) -> None:
        """Let a table hold no more than is wanted."""
        if self.max_lines is not None:
            port.max_lines = min(port.max_lines, self.max_lines)


class Drive(Protocol):
    """What starts and stops the playing of lines.

    Attributes:
        port: the table that is played first, None before anything is loaded, or in mock mode.
    """

    port: SessionTablePort | None

    async def reset(self, block: Block | None) -> None:
        """Stop, and forget what was loaded.

        Args:
            block: the sequencer on the wire, None in mock mode.
        """
        ...

    async def connect(self, inputs: Mapping[str, str]) -> None:
        """Connect inputs, Python name to source."""
        ...

    async def load(self, lines: Iterator[SeqLines], *, repeats: int, clock: float) -> Loading:
        """Load lines in ticks, as `panda_ophyd.loading.load`."""
        ...

    def adopt(self) -> None:
        """Take the first table as it is: it was set through the signal of its block."""
        ...

    async def enable(self) -> None:
        """Start what was loaded."""
        ...

    async def disable(self) -> None:
        """Stop at once."""
        ...

    async def until_idle(self, timeout: float) -> None:
        """Return when nothing is active any more.

        Raises:
            TimeoutError: something stays active.
        """
        ...

    async def ended(self) -> None:
        """Note that everything was played."""
        ...


@dataclass
class OneSequencer(Drive):
    """A sequencer that its ENABLE starts and stops.

    Attributes:
        seq: ``panda.seq[1]``, in mock mode too.
        loads: how lines are cut.
    """

    seq: SeqBlock
    loads: Loads
    port: SessionTablePort | None = None
    _block: Block | None = None

    @override
    async def reset(self, block: Block | None) -> None:
        self._block, self.port = block, None
        await self.disable()

    @override
    async def connect(self, inputs: Mapping[str, str]) -> None:
        for name, source in inputs.items():
            await getattr(self.seq, name).set(source)

    @override
    async def load(self, lines: Iterator[SeqLines], *, repeats: int, clock: float) -> Loading:
        self.port = _port_of(self._block)
        self.loads.lower(self.port)
        return await load(self.port, lines, repeats=repeats, clock=clock, **_streamed(self.loads))

    @override
    def adopt(self) -> None:
        self.port = _port_of(self._block)

    @override
    async def enable(self) -> None:
        await self.seq.enable.set(PandaBitMux.ONE)

    @override
    async def disable(self) -> None:
        await self.seq.enable.set(PandaBitMux.ZERO)

    @override
    async def until_idle(self, timeout: float) -> None:
        await wait_for_value(self.seq.active, False, timeout=timeout)

    @override
    async def ended(self) -> None:
        return


@dataclass
class TwoByTurns(Drive):
    """Two sequencers wired to take turns, that gates start and stop; see `TurnWiring`.

    All scans go through the gates, those too that one table holds or that can be streamed: then
    only the first sequencer plays, with the same wiring. Without a box there is nothing to do.

    Attributes:
        seq: the first one, ``panda.seq[1]``.
        wiring: which blocks take part; inputs of a scan are connected besides.
        loads: how lines are cut.
    """

    seq: SeqBlock
    wiring: TurnWiring
    loads: Loads
    port: SessionTablePort | None = None
    _block: Block | None = None
    _inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    _fills_gates: bool = False

    @override
    async def reset(self, block: Block | None) -> None:
        self._block, self.port = block, None
        self._inputs, self._fills_gates = {}, False
        await self.disable()
        if block is not None:
            await self._force("RST", *self.wiring.gates)
            await self.until_idle(1.0)

    @override
    async def connect(self, inputs: Mapping[str, str]) -> None:
        if self._block is None:
            return
        self._inputs = {name.upper(): source for name, source in inputs.items()}
        for sequencer in self.wiring.sequencers:
            for name, source in self._inputs.items():
                await self._block.session.client.assign(f"{sequencer}.{name}", source)

    @override
    async def load(self, lines: Iterator[SeqLines], *, repeats: int, clock: float) -> Loading:
        block = _connected(self._block)
        wiring = replace(self.wiring, inputs={**self.wiring.inputs, **self._inputs})
        turns = SessionTurns(block.session, wiring)
        for port in turns.ports:
            self.loads.lower(port)
        self.port = turns.ports[0]
        # With the repeats of a scan that fits set already, which is no fault of the wiring
        await self.seq.repeats.set(1)
        await turns.check()
        await self.seq.repeats.set(repeats)
        loading = await load(
            self.port, lines, repeats=repeats, clock=clock, turns=turns,
            least_seconds=self.loads.least_seconds, **_streamed(self.loads),
        )  # fmt: skip
        self._fills_gates = loading.kind == "double-buffered"
        return loading

    @override
    def adopt(self) -> None:
        self.port = _port_of(self._block)

    @override
    async def enable(self) -> None:
        if not self._fills_gates:
            await self._force("SET", self.wiring.gates[0])
        await self._force("SET", self.wiring.run)

    @override
    async def disable(self) -> None:
        await self._force("RST", self.wiring.run)

    @override
    async def until_idle(self, timeout: float) -> None:
        if self._block is None:
            return
        targets = [f"{name}.ACTIVE" for name in self.wiring.sequencers]
        async with asyncio.timeout(timeout):
            while "1" in await self._block.ask(targets):  # noqa: ASYNC110  the box tells nobody
                await asyncio.sleep(_LOOK_PERIOD)

    @override
    async def ended(self) -> None:
        """Reset the run gate, which PCAP's ENABLE may follow."""
        await self.disable()

    async def _force(self, how: str, *gates: str) -> None:
        for gate in gates if self._block else ():
            await _connected(self._block).session.client.assign(f"{gate}.FORCE_{how}")


def _streamed(loads: Loads) -> dict[str, Any]:
    return {"chunk_lines": loads.chunk_lines, "wanted_seconds": loads.wanted_seconds}


def _port_of(block: Block | None) -> SessionTablePort:
    connected = _connected(block)
    return SessionTablePort(connected.session, f"{connected.name}.TABLE")


def _connected(block: Block | None) -> Block:
    if block is None:
        raise RuntimeError("in mock mode there is no table on the wire")
    return block

"""A whole box without sockets, in time that stands still until it is told to go on.

It takes the commands of the control port and gives the data of the data port, through
the same parsers and formatters that serve clients, so that what works here works there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from panda_simulator.box import CommandError, Layout
from panda_simulator.box.capture import CapturePlan, ColumnGroup
from panda_simulator.builtin import DEFAULT_BOX
from panda_simulator.clock import Clock, SteppedClock
from panda_simulator.control import ControlConnection, Facilities
from panda_simulator.data import Acquisition, DataConnection
from panda_simulator.fabric import Fabric
from panda_simulator.original import find_original, identity_of, make_box, ticks_per_second
from panda_simulator.world import World

_ALL = b"UNFRAMED SCALED NO_HEADER NO_STATUS ONE_SHOT\n"


@dataclass(frozen=True, slots=True)
class Rows:
    """What one acquisition captured, as a client receives it.

    Attributes:
        columns: names of the columns, as ``INENC1.VAL Mean``.
        values: (rows, columns) float64, scaled.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]


class _Reader:
    """A data client that takes one acquisition."""

    def __init__(self, acquisition: Acquisition) -> None:
        self.connection = DataConnection(acquisition)
        self.connection.receive_data(_ALL)
        self.data = bytearray()
        self.plan: CapturePlan | None = None

    def rows(self) -> Rows:
        if self.plan is None:
            return Rows((), np.zeros((0, 0)))
        columns = self.plan.columns
        form = np.dtype(
            [
                (str(at), "<u4" if column.group is ColumnGroup.UNSCALED else "<f8")
                for at, column in enumerate(columns)
            ]
        )
        whole = len(self.data) // form.itemsize * form.itemsize
        table = np.frombuffer(bytes(self.data[:whole]), form)
        values = np.empty((len(table), len(columns)))
        for at in range(len(columns)):
            values[:, at] = table[str(at)]
        return Rows(tuple(f"{c.name} {c.capture}" for c in columns), values)


class SteppedBox:
    """One simulated PandA in stepped time; every write takes a tick of its own.

    Attributes:
        box: blocks and fields.
        fabric: the blocks, wired and ticking.
        world: axes and levels around it.
    """

    def __init__(
        self,
        box: str = DEFAULT_BOX,
        *,
        config_dir: Path | None = None,
        box_file: Path | None = None,
        world: Callable[[Clock], World] = World,
        hardware_latency: bool = False,
    ) -> None:
        """Make a box at power-up, which has taken some ticks when it is ready.

        Args:
            box: name of a built-in box.
            config_dir: files of another box, instead of a built-in one.
            box_file: recording of another box, which brings its settings.
            world: makes the world around it.
            hardware_latency: whether hops take the ticks that real hardware needs (Simulator).

        Raises:
            ConfigError: a file of the box is malformed.
            ValueError: there is no such box, or it is given twice.
        """
        original = find_original(box, config_dir, box_file)
        self._clock = SteppedClock(frequency=ticks_per_second(original))
        self.world = world(self._clock)

        def blocks(layout: Layout) -> Fabric:
            return Fabric(
                layout.blocks,
                layout.bit_index,
                layout.position_index,
                clock=self._clock,
                world=self.world,
                hardware_latency=hardware_latency,
            )

        self.box = make_box(original, blocks, identity_of(original), answering=True)
        fabric = self.box.hardware
        if not isinstance(fabric, Fabric):
            raise TypeError(f"{fabric} has no blocks that tick")
        self.fabric = fabric
        self._acquisition = Acquisition(
            self.box,
            later=lambda _seconds, _function: None,  # `_settle` does it
            clock=lambda: self.tick / self._clock.frequency,
            now_ns=lambda: self._clock.date_ns(self.tick),
        )
        facilities = Facilities(self.box, self._acquisition, list)
        self._control = ControlConnection(facilities)
        self._readers = [_Reader(self._acquisition)]

    @property
    def frequency(self) -> int:
        """Ticks in a second."""
        return self._clock.frequency

    @property
    def tick(self) -> int:
        """The last tick that is over; a change made now is at the next one."""
        return self.fabric.tick

    def run_until(self, tick: int) -> None:
        """Let time pass up to a tick, that one included."""
        self.fabric.run_until(tick)
        self._settle()

    def run(self, ticks: int) -> None:
        """Let some ticks pass."""
        self.run_until(self.tick + ticks)

    def set(self, name: str, value: str = "") -> None:
        """Do ``NAME=VALUE``, as a client would; ``*PCAP.ARM`` is such a name.

        Raises:
            CommandError: the box refuses it, in the server's words.
            ValueError: it is more than one line.
        """
        if "\n" in name + value:
            raise ValueError(f"{name} is given more than one line")
        self._request(f"{name}={value}")

    def get(self, name: str) -> str | list[str]:
        """Ask ``NAME?``.

        Returns:
            The value, or the lines of a multi-value reply.

        Raises:
            CommandError: the box refuses it, in the server's words.
        """
        reply = self._request(f"{name}?")
        if reply.startswith("OK ="):
            return reply.removeprefix("OK =").removesuffix("\n")
        return [line.removeprefix("!") for line in reply.splitlines()[:-1]]

    def write_table(self, name: str, words: Iterable[int], modifiers: str = "") -> None:
        """Write a table, as with ``NAME<``.

        Args:
            name: of the table.
            words: unsigned 32-bit words of its rows.
            modifiers: what follows the ``<``: "<" for a segment of a stream, "<|" for the last.

        Raises:
            CommandError: the box refuses it, in the server's words.
        """
        lines = "".join(f"{word & 0xFFFFFFFF}\n" for word in words)
        self._request(f"{name}<{modifiers}\n{lines}")

    def rows(self) -> list[Rows]:
        """Return what each acquisition so far captured."""
        self._settle()
        return [reader.rows() for reader in self._readers if reader.plan is not None]

    def _request(self, text: str) -> str:
        self._settle()
        reply = self._control.receive_data(f"{text}\n".encode()).decode("latin-1")
        self._settle()
        if reply.startswith("ERR "):
            raise CommandError(reply.removeprefix("ERR ").removesuffix("\n"))
        if not reply:
            raise CommandError("Line too long")
        return reply

    def _settle(self) -> None:
        """Set the clock to where the blocks are, and take what was captured."""
        self._clock.advance_to(self.fabric.tick)
        self._acquisition.settle()
        reader = self._readers[-1]
        while piece := reader.connection.data_to_send():
            reader.plan = self._acquisition.plan
            reader.data += piece
        if self._acquisition.completion == "Busy":
            reader.plan = self._acquisition.plan
        if reader.connection.closed:
            self._readers.append(_Reader(self._acquisition))

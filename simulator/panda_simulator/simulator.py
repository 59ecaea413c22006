"""The public face of the simulator: one box on two ports, in this process.

Source: house.md 4.7, 4.10; protocol.md 1.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Sequence
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Literal, ParamSpec, Self, TypedDict, TypeVar, Unpack, get_args

from panda_simulator.bench import Bench
from panda_simulator.box import Box, Layout
from panda_simulator.builtin import DEFAULT_BOX
from panda_simulator.clock import Clock, FreeRunningClock, Speed, SteppedClock, make_clock
from panda_simulator.echo import EchoHardware
from panda_simulator.engine import Engine
from panda_simulator.fabric import Fabric
from panda_simulator.faults import Faults, make_effect, parse_fault
from panda_simulator.firehose import Firehose
from panda_simulator.hardware import Hardware
from panda_simulator.original import find_original, identity_of, make_box, ticks_per_second
from panda_simulator.outages import Outages
from panda_simulator.server import Server
from panda_simulator.stage import Stage
from panda_simulator.state import StateTimes
from panda_simulator.world import World

P = ParamSpec("P")
T = TypeVar("T")
HardwareName = Literal["blocks", "echo", "firehose"]
_PATIENT_BLOCKS = 16
"""How far behind a data client may be before time that runs freely waits for it."""

_MEGABYTE = 1_000_000
_LAST_PORT = 65_535

_LOG = logging.getLogger(__name__)


class SimulatorOptions(TypedDict, total=False):
    """What `Simulator` may be given besides the box, explained there."""

    config_dir: Path | None
    box_file: Path | None
    hardware: HardwareName
    host: str
    control_port: int
    data_port: int
    speed: Speed
    server_version: str | None
    firehose: float | None
    firehose_samples: int | None
    state: Path | None
    state_times: tuple[float, float, float]
    rootfs: str | None
    fpga: str | None
    faults: Sequence[str]
    bench_port: int | None
    hardware_latency: bool
    dma_rate: float | None


class Simulator:
    """One simulated PandA. An async context manager that serves while it is open.

    Attributes:
        control_port: where it listens for commands, once started.
        data_port: where it listens for data clients, once started.
        world: axes and levels around it; without effect on hardware without blocks.
        faults: what goes wrong, on request.
        bench_port: where it takes commands about itself, once started; None if nowhere.
    """

    def __init__(
        self,
        box: str = DEFAULT_BOX,
        *,
        config_dir: Path | None = None,
        box_file: Path | None = None,
        hardware: HardwareName = "blocks",
        host: str = "127.0.0.1",
        control_port: int = 0,
        data_port: int = 0,
        speed: Speed = 1.0,
        server_version: str | None = None,
        firehose: float | None = None,
        firehose_samples: int | None = None,
        state: Path | None = None,
        state_times: tuple[float, float, float] = StateTimes(),
        rootfs: str | None = None,
        fpga: str | None = None,
        faults: Sequence[str] = (),
        bench_port: int | None = None,
        hardware_latency: bool = False,
        dma_rate: float | None = None,
    ) -> None:
        """Read the files of the box; nothing listens yet.

        Args:
            box: name of a built-in box (`panda_simulator.builtin.box_names`).
            config_dir: files of another box, instead of a built-in one.
            box_file: recording of another box, instead of a built-in one.
            hardware: "blocks" that tick, "echo" that only remembers registers, or "firehose"
                that does so and loads the data port.
            host: address to listen on; only this machine can connect by default.
            control_port: 0 is any free port.
            data_port: 0 is any free port.
            speed: seconds of the box that pass in one second; "free" for as fast as can be,
                time standing still while nothing happens; "stepped" for time that only
                `run_until` and `run_for` let pass. With these two nothing depends on the
                wall clock, and dates begin at the year 2000.
            server_version: what the server behaves like and calls itself, 2.0 or newer; the
                newest, or that of the recording, if not given.
            firehose: MB/s of raw samples while armed; 0, as not given, is as fast as the
                slowest client takes them.
            firehose_samples: after which an acquisition ends; None goes on until disarmed.
            state: file that keeps the settings over restarts; it is replayed now if it
                is there, and written after changes, by ``*SAVESTATE=`` and at `stop`.
            state_times: seconds between looks for changes, from a change to writing, and
                after writing.
            rootfs: text at the end of ``*IDN?``, if not that of the recording.
            fpga: versions in ``*IDN?``, such as ``4.1.7 86e5f0a2 07d202f8``, if not those of
                the recording.
            faults: what goes wrong from the start, each as ``NAME:key=value,...``.
            bench_port: a port of this machine for commands about the simulator, 0 is any
                free one, None is none.
            hardware_latency: whether signals need as many ticks from block to block as in
                the FPGA, in place of the one that is documented.
            dma_rate: MB/s that PCAP can write to memory; more, for longer than its buffer of
                1024 words lasts, ends an acquisition with ``DMA data error``. None is no limit.

        Raises:
            ConfigError: a file of the box is malformed.
            StateError: the state file cannot be read, or cannot be written where it is.
            ValueError: there is no such box, hardware, port or fault, speed or dma_rate is none
                that can be, the version is malformed or too old, or a firehose is not one.
        """
        _check(hardware, control_port, data_port, bench_port or 0)
        if dma_rate is not None and not 0 < dma_rate < math.inf:
            raise ValueError(f"dma_rate is {dma_rate}, but has to be positive and finite")
        original = find_original(box, config_dir, box_file)
        identity = identity_of(original, server_version, fpga, rootfs)
        self.host = host
        self.control_port = control_port
        self.data_port = data_port
        self.bench_port = bench_port
        self._at_start = list(faults)
        for text in self._at_start:
            make_effect(*parse_fault(text))
        clock = self._clock = make_clock(speed, ticks_per_second(original))
        self._outages = Outages(lambda: self._engine)
        self.faults = Faults(self._outages)
        self.world = World(clock)

        def blocks(layout: Layout) -> Fabric:
            return Fabric(
                layout.blocks,
                layout.bit_index,
                layout.position_index,
                clock=clock,
                world=self.world,
                readings=layout.readings,
                hardware_latency=hardware_latency,
                memory_rate=None if dma_rate is None else round(dma_rate * _MEGABYTE),
                hand_on=self._hand_on,
            )

        def registers(layout: Layout) -> EchoHardware:
            echo = EchoHardware(source)
            echo.hold(layout.readings, layout.bit_index, layout.position_index)
            return echo

        source = None
        if hardware == "firehose":
            source = Firehose(firehose or 0, firehose_samples)
        elif firehose is not None or firehose_samples is not None:
            raise ValueError(f"a firehose needs hardware 'firehose', not {hardware!r}")
        make = blocks if hardware == "blocks" else registers

        def box_at_power_up() -> Box:
            answering = hardware != "echo"
            return make_box(original, make, identity, answering=answering)

        def date() -> int:
            now = clock.date_ns(clock.now()) if hardware == "blocks" else time.time_ns()
            return now + self._outages.ahead_ns

        self._server = Server(
            box_at_power_up(), faults=self.faults, now_ns=date, paced=_paced(hardware, clock)
        )
        if isinstance(clock, FreeRunningClock):
            clock.held = lambda: self._server.acquisition.ring.lag > _PATIENT_BLOCKS
        self._server.facilities.rootfs = identity.rootfs
        self._engine = Engine(self._server, box_at_power_up, state, StateTimes(*state_times))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def box(self) -> Box:
        """Blocks and fields; another object after a reboot."""
        return self._server.box

    @property
    def hardware(self) -> Hardware:
        """What is behind the registers; another object after a reboot."""
        return self.box.hardware

    @property
    def address(self) -> str:
        """Where it listens, as ``host:control:data``."""
        return f"{self.host}:{self.control_port}:{self.data_port}"

    async def start(self) -> None:
        """Listen on both ports.

        Raises:
            OSError: a port is taken, or the host is not one of this machine.
            RuntimeError: it listens already.
        """
        if self._loop is not None:
            raise RuntimeError(f"the simulator serves {self.address} already: stop it first")
        await self._server.start(self.host, self.control_port, self.data_port)
        self.control_port = self._server.control_port
        self.data_port = self._server.data_port
        self._loop = asyncio.get_running_loop()
        self._thread = threading.current_thread()
        self._engine.start()
        self._outages.start()
        if self.bench_port is not None:
            bench = Bench(self.faults, self._status)
            bench.add(*Stage(self.world, lambda: self.tick, self.run_for).commands())
            try:
                self.bench_port = await self._server.open_bench(self.bench_port, bench.answer)
            except OSError:
                await self.stop()
                raise
        for text in self._at_start:
            self.faults.inject_text(text)

    async def stop(self) -> None:
        """Close all connections and sockets, save the settings; nothing of it goes on.

        Raises:
            Exception: what the hardware failed with, if it did.
        """
        await self._outages.stop()
        try:
            await self._server.stop()
        finally:
            try:
                await self._engine.stop()
            finally:
                self._server.settle()
                # until here the loop works on what `call` must not touch from another thread
                self._loop = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    @property
    def tick(self) -> int:
        """The tick that simulated time has come to."""
        return self._clock.now()

    async def run_until(self, tick: int) -> None:
        """Let stepped time pass up to a tick; data clients have what was captured by then.

        Raises:
            RuntimeError: the time of this simulator is not stepped.
            TypeError: the tick is no whole number.
            ValueError: the tick is in the past.
        """
        tick = index(tick)
        if not isinstance(self._clock, SteppedClock) or not isinstance(self.hardware, Fabric):
            message = "run_until needs Simulator(speed='stepped') with blocks"
            raise RuntimeError(message)  # noqa: TRY004  not a wrong argument
        if tick < self._clock.now():
            raise ValueError(f"cannot run until tick {tick}: it is {self._clock.now()} already")
        # in slices, so that clients and their commands get their turn meanwhile
        while not self.hardware.simulate(tick):  # noqa: ASYNC110  work, not waiting
            await asyncio.sleep(0)
        self._server.acquisition.settle()
        await asyncio.sleep(0)

    async def run_for(self, seconds: float) -> None:
        """Let stepped time pass; see `run_until`."""
        await self.run_until(self.tick + round(seconds * self._clock.frequency))

    async def wait_failed(self) -> None:
        """Wait until the hardware fails, which it never should, or the simulator stops."""
        await self._engine.wait_failed()

    async def reboot(self, seconds: float = 0.0, *, reset: bool = True) -> None:
        """Switch the box off and on: connections drop, settings are lost.

        Args:
            seconds: how long both ports refuse connections.
            reset: whether clients see a reset, not an end of the connection.

        Raises:
            OSError: the ports could not be had again.
            RuntimeError: the simulator does not run.
        """
        await self._outages.away(seconds, settings_lost=True, reset=reset)

    async def restart(self, seconds: float = 0.0, *, reset: bool = False) -> None:
        """Restart the server on the box: connections drop, settings stay; as `reboot`."""
        await self._outages.away(seconds, settings_lost=False, reset=reset)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function where the simulator runs, from any thread, and return its result.

        Box, hardware and world are to be touched only this way from another thread.
        """
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            return function(*args, **kwargs)

        async def on_loop() -> T:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(on_loop(), loop).result()

    def _hand_on(self) -> None:
        self._server.acquisition.settle()

    def _status(self) -> str:
        return f"control {self.host}:{self.control_port} data {self.host}:{self.data_port}"


def _check(hardware: str, *ports: int) -> None:
    names = get_args(HardwareName)
    if hardware not in names:
        raise ValueError(f"no hardware {hardware!r}: choose one of {', '.join(names)}")
    for port in ports:
        if not 0 <= port <= _LAST_PORT:
            raise ValueError(f"no port {port}: they are 0 to {_LAST_PORT}, 0 is any free one")


def _paced(hardware: HardwareName, clock: Clock) -> bool:
    """Tell whether data go on by the wall clock, as they are made by it."""
    return hardware != "blocks" or not clock.waits


@contextlib.contextmanager
def serve_in_thread(
    box: str = DEFAULT_BOX, **options: Unpack[SimulatorOptions]
) -> Generator[Simulator]:
    """Serve a box from a thread of its own, for users without an event loop.

    Args:
        box: as for `Simulator`.
        options: as for `Simulator`.

    Yields:
        The simulator, which listens; use `Simulator.call` to touch what is in it.
    """
    simulator = Simulator(box, **options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="panda-simulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.start(), loop).result()
        try:
            yield simulator
        finally:
            asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

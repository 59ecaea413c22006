"""`rehearse`: copy the box, play it, run the plan there, tell what came of it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky and ophyd-async leave the parameters of their generics open in these calls)

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bluesky.utils import FailedStatus
from ophyd_async.core import AutoIncrementFilenameProvider, StaticPathProvider

from panda_ophyd.check import State, check_file
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.detector import HDFPanda
from panda_ophyd.encoders import BoundAxis, Encoder
from panda_ophyd.errors import FieldValueError, PandaError, PreflightError, RehearsalError
from panda_ophyd.introspection import introspect
from panda_ophyd.preflight import Setup
from panda_ophyd.rehearsal.copying import Copied, copy_box
from panda_ophyd.rehearsal.engine import Engine, engine_of_its_own
from panda_ophyd.rehearsal.guard import Guard
from panda_ophyd.rehearsal.motors import MotorTwin, make_motor, place, twins_of
from panda_ophyd.rehearsal.observing import (
    Observed,
    Observer,
    columns_of,
    differences,
    health_of,
    look,
    stamps_of,
)
from panda_ophyd.rehearsal.report import Rehearsal, overrun_row
from panda_ophyd.writers import read_columns
from panda_simulator import Simulator, serve_in_thread

PATIENCE = 5.0
"""Seconds of this computer after which a row that does not come is a stall: time that passes
freely has passed by then."""

TIME_LIMIT = 600.0
"""Seconds of this computer for a plan."""

Plan = Callable[..., Generator[Any, Any, Any]]
Source = HDFPanda | PandaAddress | str | Path
Motors = Mapping[str, MotorTwin | BoundAxis | Encoder]


def rehearse(
    plan: Any,
    panda: Source,
    motors: Motors | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    before: Callable[[Simulator], None] | None = None,
    allow: Collection[Any] = (),
    keep: Path | None = None,
    watch: bool = True,
    simulator: Mapping[str, Any] | None = None,
    patience: float = PATIENCE,
    time_limit: float | None = TIME_LIMIT,
) -> Rehearsal:
    """Run a scan on a simulated copy of a box, and tell what it would do.

    The box is asked, over a connection of its own, for all that it is set to; nothing is
    written to it. The plan runs in a RunEngine of its own, in virtual time, with the copy and
    simulated motors in place of the real ones.

    Args:
        plan: a function that makes the plan, called as ``plan(panda, *motors, **options)``
            with the copy and with motors in the order given; or a scanspec ``Spec``, which
            `panda_ophyd.plans.fly_spec` flies. Not a plan that was made already: it holds
            the real devices.
        panda: the box: a device, connected or not, an address, or a file of `copy_box`.
        motors: by name, what each is in the rehearsal. A motor stands where its encoder says.
        options: more arguments, by name, for the plan.
        before: called with the simulator before the plan, where the simulator lives: to drive
            inputs, lay cables, add noise.
        allow: devices besides these that the plan may use; they are used in earnest.
        keep: a directory for the files, which are removed if none is given.
        watch: look at every trigger, for `trigger_times` and passing faults; False makes long
            regular scans much faster.
        simulator: more options of `panda_simulator.Simulator`: ``hardware_latency``, ``dma_rate``,
            ``speed``, ...
        patience: seconds of this computer that a row may be late.
        time_limit: seconds of this computer for the plan, None for any number.

    Returns:
        What came of it. A scan that fails is no exception here; see ``ok`` and ``problems``.

    Raises:
        RehearsalError: it could not be rehearsed: the box cannot be asked or played, the plan
            uses something real, or is called from within a plan.
        FieldValueError: an argument makes no sense.
    """
    make = _maker(plan)
    twins = twins_of(motors or {})
    copied = _copied(panda)
    with ExitStack() as stack:
        directory = _directory(stack, keep)
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "box.json"
        copied.save(path)
        engine = stack.enter_context(engine_of_its_own())
        box = stack.enter_context(_played(path, simulator or {}))
        box.call(place, box, twins, copied)
        if before is not None:
            box.call(before, box)
        stage = _Stage(engine, box, copied, directory, panda, patience, twins)
        try:
            stage.set_up()
            return stage.perform(make, options or {}, allow, watch, time_limit).told(bool(keep))
        finally:
            stage.strike()


async def async_rehearse(plan: Any, panda: Source, *args: Any, **kwargs: Any) -> Rehearsal:
    """Do the same as `rehearse` without holding up the event loop, as in a notebook."""
    return await asyncio.to_thread(rehearse, plan, panda, *args, **kwargs)


def _maker(plan: Any) -> Plan:
    if type(plan).__module__.partition(".")[0] == "scanspec":
        return _fly_spec(plan)
    if callable(plan) and not isinstance(plan, Iterator):
        return cast("Plan", plan)
    reason = (
        "a plan that was made already holds the real devices: pass what makes it, as in"
        " rehearse(lambda panda, x: scan(panda, x, 0, 1), panda, {'x': ...}), or a Spec"
    )
    raise FieldValueError("plan", plan, reason)


def _fly_spec(spec: Any) -> Plan:
    try:
        from panda_ophyd.plans import fly_spec  # noqa: PLC0415  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
    except ImportError as error:
        msg = "a Spec is rehearsed with panda_ophyd.plans.fly_spec, which is not there"
        raise RehearsalError(msg) from error

    def plan(panda: HDFPanda, **options: Any) -> Any:
        return fly_spec(panda, spec, **options)

    plan.binds = True  # pyright: ignore[reportFunctionMemberAccess]
    return plan


def _copied(panda: Source) -> Copied:
    return copy_box(panda.address if isinstance(panda, HDFPanda) else panda)


def _directory(stack: ExitStack, keep: Path | None) -> Path:
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-")))
    keep = keep.resolve()
    keep.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="rehearsal-", dir=keep))


@contextmanager
def _played(path: Path, options: Mapping[str, Any]) -> Generator[Simulator]:
    """Play a box; what goes wrong with that is no fault of the plan."""
    given: dict[str, Any] = {"speed": "free", **options, "box_file": path}
    with ExitStack() as stack:
        try:
            simulator = stack.enter_context(serve_in_thread(**given))
        except (TypeError, ValueError, OSError) as error:
            raise RehearsalError(f"the copy of the box cannot be played: {error}") from error
        yield simulator


@dataclass
class _Stage:
    """The copy of the box, its device, and motors, for one performance."""

    engine: Engine
    simulator: Simulator
    copied: Copied
    directory: Path
    source: Source
    patience: float
    twins: Mapping[str, MotorTwin]
    panda: Any = None
    motors: list[Any] = field(default_factory=list[Any])
    differences: list[str] = field(default_factory=list[str])
    health: dict[str, str] = field(default_factory=dict[str, str])

    def set_up(self) -> None:
        """Connect everything on the loop of the plans."""
        self.engine.call(self._connect())

    def strike(self) -> None:
        """Disconnect; a capture that has failed has said so already."""
        if self.panda is not None:
            with suppress(PandaError):
                self.engine.call(self.panda.disconnect())

    async def _connect(self) -> None:
        source = self.source
        real = source if isinstance(source, HDFPanda) else None
        kind = HDFPanda if real is None else type(real)
        # a class whose constructor takes something else cannot be made here
        kind = kind if kind.__init__ is HDFPanda.__init__ else HDFPanda
        files = AutoIncrementFilenameProvider(base_filename="rehearsal")
        panda: Any = kind(
            self.simulator.address,
            StaticPathProvider(files, self.directory),
            name=(real.name if real else "") or "panda",
            reconnect=False,
        )
        self.panda = panda
        await panda.connect()
        if real is not None:
            panda.take_over(real)
        await panda.data.hdf_directory.set(str(self.directory))
        await panda.data.stall_timeout.set(self.patience)
        self.motors = [
            await make_motor(self.simulator, name, twin) for name, twin in self.twins.items()
        ]
        async with PandaClient(self.simulator.address) as client:
            box = await introspect(client)
            self.differences = await differences(client, self.copied, box)
            self.health = await health_of(client, box)

    def perform(
        self,
        make: Plan,
        options: Mapping[str, Any],
        allow: Collection[Any],
        watch: bool,
        time_limit: float | None,
    ) -> _Performance:
        """Run the plan, and look at what became of it."""
        address = PandaAddress.parse(self.simulator.address)
        guard = Guard(self.panda, address, [*self.motors, *allow], self.directory)
        box = self.panda.box
        observer = self.simulator.call(lambda: Observer(self.simulator, box, watch=watch))
        performance = _Performance(self, guard, box.clock_frequency)
        try:
            performance.result = self.engine.run(
                lambda: self._plan(make, options), guard, time_limit
            )
        except Exception as error:  # noqa: BLE001  whatever it is: that is what is reported
            performance.exception = error
        if guard.refused is not None:
            raise guard.refused from performance.exception
        if isinstance(performance.exception, RehearsalError):
            raise performance.exception
        performance.ticks = self.simulator.tick - observer.start
        performance.observed, performance.setup = self.engine.call(self._look(observer))
        return performance

    def _plan(self, make: Plan, options: Mapping[str, Any]) -> Any:
        if not getattr(make, "binds", False):
            return make(self.panda, *self.motors, **options)
        bound = {
            motor.name: BoundAxis(motor, self.panda, self.twins[motor.name].encoder)
            for motor in self.motors
        }
        return make(self.panda, **{"motors": bound, **options})

    async def _look(self, observer: Observer) -> tuple[Observed, Setup]:
        with suppress(PandaError):  # told by the plan that met it
            await self.panda.data.capture.set(False)
        async with PandaClient(self.simulator.address) as client:
            observed = await look(client, observer, self.simulator)
            lines = await client.query_lines("*CAPTURE")
        captured = [(name, tuple(options)) for name, *options in (line.split() for line in lines)]
        return observed, Setup(settings={}, captured=captured)


@dataclass
class _Performance:
    """What is known when the plan is over."""

    stage: _Stage
    guard: Guard
    clock: int
    observed: Observed = field(default_factory=Observed)
    setup: Setup | None = None
    ticks: int = 0
    result: Any = None
    exception: Exception | None = None

    def told(self, kept: bool) -> Rehearsal:
        """Weigh it."""
        observed, asked = self.observed, self.guard.asked
        files = sorted(self.stage.directory.glob("*.h5"))
        reports = [check_file(path) for path in files]
        data = columns_of([read_columns(path) for path in files])
        rows = sum(report.rows for report in reports)
        ticks = observed.trigger_ticks
        times = stamps_of(files) if ticks is None else ticks / self.clock
        size = self.setup.sample_bytes if self.setup else 0
        causes = list(_causes(self.exception))
        problems = [_words(error) for error in causes]
        problems += [
            f"{report.path.name}: {problem}"
            for report in reports
            if report.state is not State.GOOD
            for problem in report.problems
        ]
        if not causes and asked is not None and rows != asked:
            problems.append(f"{rows} rows where {asked} were asked for")
        problems += [
            f"{block} {word}"
            for block, word in observed.health.items()
            if word not in ("OK", self.stage.health.get(block))
        ]
        problems += [f"{b} dropped {n} triggers" for b, n in observed.dropped.items()]
        if (row := overrun_row(times, size)) is not None:
            problems.append(
                f"rows come faster than a PandA sends them: at row {row} more wait than the server"
                " holds, and it would end with a data overrun"
            )
        problems = list(dict.fromkeys(problems))
        return Rehearsal(
            ok=not problems,
            source=self.stage.copied.source,
            rows=rows,
            rows_asked=asked,
            verdict=tuple(f"{r.path.name}: {r.verdict or r.state.value}" for r in reports),
            end_reason=observed.end_reason,
            problems=tuple(problems),
            preflight={
                name: text
                for error in causes
                if isinstance(error, PreflightError)
                for name, text in error.problems.items()
            },
            warnings=(*self.stage.copied.doubts, *self.stage.differences),
            duration=self.ticks / self.clock,
            trigger_times=times,
            clock=self.clock,
            bytes_per_row=size,
            tables=tuple(observed.tables),
            compares=observed.compares,
            health=observed.health,
            health_before=self.stage.health,
            dropped=observed.dropped,
            data=data,
            files=tuple(files) if kept else (),
            documents=tuple(self.stage.engine.documents),
            result=self.result,
            exception=self.exception,
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield what a plan failed with, what this project says of it first."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    ours = [each for each in chain if isinstance(each, PandaError)]
    # that a status has failed is not why
    yield from ours[-1:] or [each for each in chain if not isinstance(each, FailedStatus)][:1]


def _words(error: BaseException) -> str:
    text = str(error)
    return text if isinstance(error, PandaError) and text else f"{type(error).__name__}: {text}"

"""The world on the bench port: axes move, levels are driven and read, stepped time passes.

Each command is a row; positions are in the units of the axis.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from panda_simulator.bench import BenchCommand
from panda_simulator.world import Axis, World, connector

_SPEEDS = ("velocity", "acceleration")
_ENCODER = ("offset", "resolution", "noise", "seed", "index", "index_every")


class Stage:
    """Commands for the world around a box."""

    def __init__(
        self, world: World, tick: Callable[[], int], run_for: Callable[[float], Awaitable[None]]
    ) -> None:
        """Serve a world.

        Args:
            world: of the simulator.
            tick: the present one.
            run_for: lets stepped time pass, in seconds.
        """
        self._world = world
        self._tick = tick
        self._run_for = run_for

    def commands(self) -> list[BenchCommand]:
        """Return the rows for the bench port."""
        return [
            BenchCommand("axes", "", "all axes: name, position, moving or still", self._axes),
            BenchCommand(
                "move",
                "AXIS TARGET [velocity=V] [acceleration=A]",
                "go there; the tick at which it stands",
                self._move,
            ),
            BenchCommand("stop", "AXIS", "brake; the tick at which it stands", self._stop),
            BenchCommand("place", "AXIS POSITION", "be there at once", self._place),
            BenchCommand(
                "encoder",
                "AXIS INENC COUNTS_PER_UNIT [offset=O] [resolution=R] [noise=N] [seed=S]"
                " [index=COUNT] [index_every=COUNTS]",
                "plug an encoder of an axis into INENC number",
                self._encoder,
            ),
            BenchCommand("drive", "CONNECTOR LEVEL", "drive an input, as TTLIN1 1", self._drive),
            BenchCommand("level", "CONNECTOR", "level of an input or output", self._level),
            BenchCommand(
                "cable", "OUTPUT INPUT", "TTLOUT1 to TTLIN2, OUTENC1 to INENC1", self._cable
            ),
            BenchCommand("tick", "", "simulated time, in ticks of 8 ns", self._now),
            BenchCommand("run", "SECONDS", "let stepped time pass; the tick then", self._run),
        ]

    def _axis(self, words: Sequence[str]) -> Axis:
        known = self._world.axes
        if not words or words[0] not in known:
            raise ValueError(f"an axis is needed: choose one of {', '.join(known)}")
        return known[words[0]]

    async def _axes(self, words: Sequence[str]) -> str:
        del words
        return "; ".join(
            f"{axis.name} {axis.position():.10g} {'moving' if axis.moving() else 'still'}"
            for axis in self._world.axes.values()
        )

    async def _move(self, words: Sequence[str]) -> str:
        axis = self._axis(words)
        target = _number(words, 1, "target")
        before = {name: getattr(axis, name) for name in _SPEEDS}
        for name, value in _settings(words[2:], _SPEEDS).items():
            setattr(axis, name, value)
        try:
            return str(axis.move(target))
        except ValueError:
            for name, value in before.items():
                setattr(axis, name, value)
            raise

    async def _stop(self, words: Sequence[str]) -> str:
        return str(self._axis(words).stop())

    async def _place(self, words: Sequence[str]) -> str:
        self._axis(words).place(_number(words, 1, "position"))
        return ""

    async def _encoder(self, words: Sequence[str]) -> str:
        axis = self._axis(words)
        number, counts = _whole(words, 1, "INENC"), _number(words, 2, "COUNTS_PER_UNIT")
        given = _settings(words[3:], _ENCODER)
        index = given.get("index")
        self._world.connect(
            axis.name,
            number,
            counts,
            given.get("offset", 0.0),
            resolution=_as_whole(given.get("resolution", 1.0), "resolution"),
            noise=_as_whole(given.get("noise", 0.0), "noise"),
            seed=_as_whole(given.get("seed", 0.0), "seed"),
            index=None if index is None else _as_whole(index, "index"),
            index_every=_as_whole(given.get("index_every", 0.0), "index_every"),
        )
        return ""

    async def _drive(self, words: Sequence[str]) -> str:
        level = words[1] if len(words) > 1 else ""
        if level not in {"0", "1"}:
            raise ValueError(f"the level is 0 or 1, not {level!r}")
        self._world.drive(*connector(words[0]), int(level))
        return ""

    async def _level(self, words: Sequence[str]) -> str:
        return str(self._world.level(*connector(words[0] if words else "")))

    async def _cable(self, words: Sequence[str]) -> str:
        output, input_ = [*words, "", ""][:2]
        self._world.cable(output, input_)
        return ""

    async def _now(self, words: Sequence[str]) -> str:
        del words
        return str(self._tick())

    async def _run(self, words: Sequence[str]) -> str:
        seconds = _number(words, 0, "seconds")
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds:g} s")
        try:
            await self._run_for(seconds)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        return str(self._tick())


def _number(words: Sequence[str], place: int, what: str) -> float:
    text = words[place] if len(words) > place else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} is a number, not {text!r}")
    return value


def _whole(words: Sequence[str], place: int, what: str) -> int:
    return _as_whole(_number(words, place, what), what)


def _as_whole(value: float, what: str) -> int:
    if not value.is_integer():
        raise ValueError(f"{what} is a whole number, not {value:g}")
    return int(value)


def _settings(words: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    settings: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in names:
            raise ValueError(f"{word!r} is none of {', '.join(f'{name}=' for name in names)}")
        settings[name] = _number([text], 0, name)
    return settings

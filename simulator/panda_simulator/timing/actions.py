"""What a script does to a box: commands as a client sends them, and what the world does.

A field write takes effect at the tick after the last one that is over, and each register
of it takes a tick; levels can be set for any tick to come, many at the same.
"""

from __future__ import annotations

import re

from panda_simulator.behaviours import InputPort
from panda_simulator.behaviours.ports import LEVEL
from panda_simulator.box import CommandError
from panda_simulator.box.text import Cursor
from panda_simulator.clock import Clock
from panda_simulator.control.entity import parse_target
from panda_simulator.encoders import Encoder
from panda_simulator.timing.document import Items, ScriptError, scalar
from panda_simulator.timing.script import Action, AxisSetup
from panda_simulator.timing.stepped import SteppedBox
from panda_simulator.timing.tables import table_words
from panda_simulator.timing.times import parse_ticks
from panda_simulator.world import COUNTS_PER_MM, STANDARD_AXES, Axis, World

_TABLE = re.compile(r"([^<]+)<(<\|?)?")
_ENCODER = re.compile(r"INENC(\d+)\.VAL")
_AXIS = re.compile(r"axis +(\w+)")
_MOVE = re.compile(r"move to +(\S+?)(?: +at +(\S+?)/s)?")
_PLACE = re.compile(r"place at +(\S+)")
_COUNT = re.compile(r"[+-]?\d+")
_PULSE = re.compile(r"pulse +(\S.*)")
_PCAP = {"arm": "*PCAP.ARM", "disarm": "*PCAP.DISARM"}


def encoder_owners(setups: tuple[AxisSetup, ...]) -> dict[int, str]:
    """Return the axis whose encoder is on each INENC, by number.

    Raises:
        ValueError: an axis has no encoder input.
    """
    own = {setup.name: setup for setup in setups}
    owners = {number: name for name, number in STANDARD_AXES.items() if name not in own}
    for name, setup in own.items():
        encoder = int(setup.numbers.get("encoder", STANDARD_AXES.get(name, 0)))
        if encoder < 1:
            raise ValueError(f"axis {name}: there is no 'encoder', the number of its INENC")
        owners.pop(encoder, None)
        owners[encoder] = name
    return owners


def make_world(clock: Clock, setups: tuple[AxisSetup, ...]) -> World:
    """Make the standard world with other, or further, axes.

    Raises:
        ValueError: an axis has no encoder input, or a number is of no use.
    """
    world = World(clock, {})
    own = {setup.name: setup for setup in setups}
    for number, name in encoder_owners(setups).items():
        numbers = own[name].numbers if name in own else dict[str, float]()
        axis = Axis(name, numbers.get("position", 0.0))
        axis.velocity = numbers.get("velocity", axis.velocity)
        axis.acceleration = numbers.get("acceleration", axis.acceleration)
        limits = own[name].limits if name in own else None
        axis.limits = limits or axis.limits
        world.add_axis(axis)
        world.connect(
            name,
            number,
            numbers.get("counts_per_unit", float(COUNTS_PER_MM)),
            numbers.get("offset", 0.0),
            resolution=int(numbers.get("resolution", 1)),
            noise=int(numbers.get("noise", 0)),
            seed=int(numbers.get("seed", 0)),
        )
    return world


class Actor:
    """Does the actions of a script to a box."""

    def __init__(self, bench: SteppedBox, owners: dict[int, str]) -> None:
        """Begin to act.

        Args:
            bench: the box and its world.
            owners: number of an INENC to the axis whose encoder is on it.
        """
        self.loading = 0
        """Words of all tables written so far, which take a tick each to load."""
        self._bench = bench
        self._owners = owners

    def port(self, action: Action) -> tuple[str, int] | None:
        """Return the input connector that an action drives, if it drives one."""
        cursor = Cursor(action.name)
        try:
            target = parse_target(self._bench.box, cursor, exact=True)
            cursor.end()
        except CommandError:
            return None
        if target.field is None or target.attribute or target.field.behaviour.kind != "bit_out":
            return None
        block, number = target.block.name, target.number + 1
        behaviour = self._bench.fabric.probe(block, number).behaviour
        if not isinstance(behaviour, InputPort):
            return None
        # connectors are numbered through all instances of a block
        level = behaviour.levels.index(target.field.name.replace("VAL", LEVEL))
        return block, (number - 1) * len(behaviour.levels) + level + 1

    def moves(self, action: Action) -> bool:
        """Tell whether an action is about an axis or its encoder."""
        return bool(_AXIS.fullmatch(action.name) or _ENCODER.fullmatch(action.name))

    def drive(self, action: Action, port: tuple[str, int], tick: int) -> int:
        """Set a level, or make a pulse, at a tick to come; return the ticks that takes.

        Raises:
            ScriptError: it is no level.
        """
        text = scalar(action.value, action.name).text.strip()
        world = self._bench.world
        if text in {"0", "1"}:
            world.drive(*port, int(text), tick)
            return 1
        pulse = _PULSE.fullmatch(text)
        if pulse is None:
            reason = f"{text!r} is no level: 0, 1 or `pulse WIDTH` expected"
            raise self._refused(action, reason)
        try:
            width = max(parse_ticks(pulse[1]), 1)
        except ValueError as problem:
            raise self._refused(action, str(problem)) from None
        world.drive(*port, 1, tick)
        world.drive(*port, 0, tick + width)
        return width

    def do(self, action: Action) -> None:
        """Do anything else, at the next tick.

        Raises:
            ScriptError: the box refuses it, in the server's words, or the world does.
        """
        try:
            self._do(action)
        except CommandError as problem:
            raise self._refused(action, problem.message) from None
        except ValueError as problem:
            raise self._refused(action, str(problem)) from None

    def _do(self, action: Action) -> None:
        name = action.name
        axis = _AXIS.fullmatch(name)
        encoder = _ENCODER.fullmatch(name)
        table = _TABLE.fullmatch(name)
        if axis:
            self._move(axis[1], scalar(action.value, name).text.strip())
        elif encoder:
            self._count(int(encoder[1]), scalar(action.value, name).text)
        elif table or isinstance(action.value, Items):
            plain, modifiers = (table[1], table[2] or "") if table else (name, "")
            words = table_words(self._bench, plain, action.value)
            self.loading += len(words)
            self._bench.write_table(plain, words, modifiers)
        elif name == "PCAP":
            self._pcap(scalar(action.value, name).text.strip())
        else:
            self._bench.set(name, scalar(action.value, name).text)

    def _pcap(self, text: str) -> None:
        if text not in _PCAP:
            raise ValueError(f"{text!r} is neither arm nor disarm")
        self._bench.set(_PCAP[text])

    def _move(self, name: str, text: str) -> None:
        axes = self._bench.world.axes
        if name not in axes:
            raise ValueError(f"there is no such axis, but {', '.join(axes)}")
        move, place = _MOVE.fullmatch(text), _PLACE.fullmatch(text)
        if move:
            if move[2]:
                axes[name].velocity = float(move[2])
            axes[name].move(float(move[1]))
        elif place:
            axes[name].place(float(place[1]))
        elif text == "stop":
            axes[name].stop()
        else:
            raise ValueError(f"{text!r}: `move to 1.5 at 2/s`, `place at 1.5` or `stop` expected")

    def _count(self, number: int, text: str) -> None:
        world = self._bench.world
        encoder = world.encoders.get(number)
        if encoder is None:
            raise ValueError(f"no axis has its encoder on INENC{number}")
        if not isinstance(encoder, Encoder):
            raise ValueError(f"the encoder on INENC{number} is not exact")  # noqa: TRY004
        if not _COUNT.fullmatch(text.strip()):
            raise ValueError(f"{text!r} is no count")
        world.axes[self._owners[number]].jump(encoder.position(int(text)))

    def _refused(self, action: Action, reason: str) -> ScriptError:
        return ScriptError(action.value.path, action.line, f"{action.name}: {reason}")

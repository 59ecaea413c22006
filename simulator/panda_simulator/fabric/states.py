"""The state of pure machines as a list of numbers and a shape that holds them.

Two states of one shape differ in their numbers only. Everything that is in a machine is
found, whatever it is called; what is not understood makes no state at all.
"""

from __future__ import annotations

import types
from array import array
from collections import deque
from collections.abc import Sequence
from enum import Enum
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias

from typing_extensions import override

from panda_simulator.fabric.ramps import Number, Ramp, parts

_CONSTANT: tuple[type[Any], ...] = (
    str, bytes, float, bool, types.NoneType, frozenset, Enum, type, partial, types.FunctionType,
    types.MethodType, types.BuiltinFunctionType,
)  # fmt: skip
_NUMBERS: frozenset[type[Any]] = frozenset((int, Ramp))
_LONG = 256
"""Length of a list of plain numbers that is taken for one thing, as the words of a table."""
_SET: type[Any] = set
_TUPLE: type[Any] = tuple
_WORDS: type[Any] = array
_DICT: type[Any] = dict
_SEQUENCE: tuple[type[Any], ...] = (list, deque)
_MACHINES = ("panda_simulator.behaviours", "panda_simulator.fabric")
_SURROUNDINGS = "panda_simulator."
_OWN = "STATE"
"""Class attribute with the names of the attributes that are state, if not all are."""


class UnknownStateError(Exception):
    """A machine holds something of which nobody knows what it does."""


class _Same:
    """Words that are taken for one thing; who changes them has to show that elsewhere."""

    __slots__ = ("_words",)

    def __init__(self, words: object) -> None:
        self._words = words

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._words is other._words

    @override
    def __hash__(self) -> int:
        return id(self._words)


class _Tuple(NamedTuple):
    """Where a tuple is, which cannot be changed but replaced."""

    owner: Any
    key: Any


_Place: TypeAlias = tuple[Any, Any]
"""What owns a number, and under which key, index or name."""


class State:
    """Numbers and shape of all that is in some objects, as they are now.

    Attributes:
        size: how much there is to look at.
        numbers: that may be replaced.
        shape: everything else.
    """

    def __init__(self, root: object) -> None:
        """Look at everything that can be reached.

        Args:
            root: a container, or an object of `behaviours` or `fabric`; objects of other
                modules are surroundings that machines do not change.

        Raises:
            UnknownStateError: there is something else.
        """
        self.size = 0
        self.numbers: list[Number] = []
        self.shape: list[object] = []
        self._places: list[_Place] = []
        self._seen: dict[int, int] = {}
        self._read(root, None, None)

    def put(self, numbers: Sequence[Number]) -> None:
        """Replace the numbers where they are, if nothing has been done to them since."""
        for before, now, place in zip(self.numbers, numbers, self._places, strict=True):
            if not (type(before) is type(now) is int and before == now):
                _put(*place, now)

    def _read(self, value: Any, owner: Any, key: Any) -> None:
        kind = value.__class__
        if kind in _NUMBERS:
            self.shape.append(int)
            self.numbers.append(value)
            self._places.append((owner, key))
        elif isinstance(value, _CONSTANT):
            self.shape.append(value)
        elif isinstance(value, _TUPLE):
            self._read_sequence(value, _Tuple(owner, key))
        elif id(value) in self._seen:
            self.shape += ("again", self._seen[id(value)])
        else:
            self._seen[id(value)] = len(self._seen)
            self._read_container(value)

    def _read_container(self, value: Any) -> None:
        if isinstance(value, _DICT):
            self.shape += (dict, *value)
            self._read_items(value.values(), value, value)
        elif isinstance(value, _SEQUENCE):
            self._read_sequence(value, value)
        elif isinstance(value, _SET):
            self._read_set(value)
        elif isinstance(value, _WORDS):
            self.shape.append(_Same(value))
        else:
            self._read_object(value)

    def _read_sequence(self, items: Any, owner: Any) -> None:
        self.shape += (type(items), len(items))
        self._read_items(items, owner, range(len(items)))

    def _read_items(self, items: Any, owner: Any, keys: Any) -> None:
        kinds = {*map(type, items)}
        self.size += len(items)
        if kinds == {int} and len(items) >= _LONG:
            self.shape.append(tuple(items))
        elif kinds <= _NUMBERS:  # one number at a time takes long
            self.shape += (int, len(items))
            self.numbers += items
            self._places += zip(repeat(owner), keys)
        else:
            for key, item in zip(keys, items, strict=True):
                self._read(item, owner, key)

    def _read_set(self, items: set[Any]) -> None:
        """Take a set for a constant; what makes a ramp a member has failed its proof."""
        if any(type(item) is Ramp for item in items):
            plain = [parts(item)[0] for item in items]
            items.clear()
            items.update(plain)
        self.shape += (set, frozenset(items))

    def _read_object(self, value: Any) -> None:
        kind = value.__class__
        if not kind.__module__.startswith(_MACHINES):
            if not kind.__module__.startswith(_SURROUNDINGS):
                raise UnknownStateError(f"a machine holds a {kind.__qualname__}")
            self.shape.append(value)
            return
        self.shape.append(kind)
        for name in _names(value):
            self.shape.append(name)
            self._read(getattr(value, name), value, name)


def _names(value: Any) -> tuple[str, ...]:
    """Return the attributes that are the state of an object."""
    kind = value.__class__
    own = getattr(kind, _OWN, None)
    if own is not None:
        return own
    slots = [name for part in kind.__mro__ for name in _slots(part) if hasattr(value, name)]
    return (*slots, *getattr(value, "__dict__", ()))


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _put(owner: Any, key: Any, value: Any) -> None:
    if isinstance(owner, _Tuple):
        before = _get(owner.owner, owner.key)
        items = list(before)
        items[key] = value
        kind = before.__class__
        after = kind(*items) if hasattr(kind, "_fields") else tuple(items)
        _put(owner.owner, owner.key, after)
    elif isinstance(owner, (_DICT, *_SEQUENCE)):
        owner[key] = value
    else:
        object.__setattr__(owner, key, value)


def _get(owner: Any, key: Any) -> Any:
    if isinstance(owner, _Tuple):
        return _get(owner.owner, owner.key)[key]
    value: Any = owner[key] if isinstance(owner, (_DICT, *_SEQUENCE)) else getattr(owner, key)
    return value

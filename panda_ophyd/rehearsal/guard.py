"""Nothing real is touched: every message of a plan is looked at before it is run.

What a plan does without messages (a function it calls that talks to hardware) nobody sees.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (messages hold anything)

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import CoroutineType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, MsgGenerator, single_gen
from ophyd_async.core import (
    AsyncStatus,
    Device,
    Signal,
    SoftSignalBackend,
    TriggerInfo,
    WatchableAsyncStatus,
)

from panda_ophyd.client import PandaAddress
from panda_ophyd.errors import RehearsalError

DEPTH = 8
"""How deep a message is looked into."""

UNSEEN = frozenset({"subscribe", "unsubscribe", "open_run", "close_run"})
"""Commands without a device: callbacks and metadata."""

OPEN = frozenset({"panda_ophyd", "panda_simulator", "ophyd_async", "bluesky"})
"""Packages whose objects are what they are made of; others may talk to hardware on their own."""

ACTIONS = ("read", "set", "stage", "trigger", "kickoff", "prepare", "stop")
"""What bluesky asks of devices."""

_LEAVES = (
    str, bytes, int, float, complex, type, ModuleType, Path, np.ndarray, np.generic,
    logging.Logger, logging.LoggerAdapter, asyncio.AbstractEventLoop, asyncio.Future,
    AsyncStatus, WatchableAsyncStatus,
)  # fmt: skip
"""What is not looked into: it moves nothing, or belongs to nobody."""


class Guard:
    """Looks at messages, and counts the rows they ask for.

    Args:
        panda: the twin.
        address: of the twin.
        devices: that may be used besides it.
        directory: where its files have to go.

    Attributes:
        refused: why a message was refused, None if none was.
        asked: rows that the plan has asked for, None if it did not say how many.
    """

    def __init__(
        self, panda: Any, address: PandaAddress, devices: Collection[Any], directory: Path
    ) -> None:
        self._panda = panda
        self._address = address
        self._devices = [panda, *devices]
        self._directory = directory
        self._prepared: TriggerInfo | None = None
        self._flown = False
        self.refused: RehearsalError | None = None
        self.asked: int | None = 0

    def __call__(self, plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
        """Wrap a plan (RunEngine.preprocessors)."""
        return plan_mutator(plan, self._look)

    def _look(self, message: Msg) -> tuple[Any, Any]:
        problem = self.problem(message)
        if problem is not None:
            error = RehearsalError(problem)
            self.refused = self.refused or error
            return _raising(error), None
        self._count(message)
        data = self._panda.data
        if message.command == "set" and message.obj is data.hdf_directory:
            elsewhere = message._replace(args=(str(self._directory), *message.args[1:]))
            if elsewhere.args != message.args:
                return single_gen(elsewhere), None
        return None, None

    def problem(self, message: Msg) -> str | None:
        """Return why a message is not to be run, None if it is harmless."""
        if message.command in UNSEEN:
            return None
        if message.command == "input":
            return "the plan asks for input, which nobody gives in a rehearsal"
        seen: set[int] = set()
        real = self._real(message.obj, seen, DEPTH, is_object=True)
        for value in (message.args, message.kwargs):
            real = real or self._real(value, seen, DEPTH)
        if real is None:
            return None
        return (
            f"the plan would {message.command} {real}, which is not of the rehearsal: use the"
            " panda and motors that the plan is called with, or name it in `allow` if it is"
            " harmless"
        )

    def _count(self, message: Msg) -> None:
        if message.obj is not self._panda:
            return
        if message.command == "prepare" and message.args:
            info = message.args[0]
            self._prepared = info if isinstance(info, TriggerInfo) else None
            self._flown = False
        elif message.command == "kickoff" and self._prepared and not self._flown:
            self._add(self._prepared.number_of_collections)
            self._flown = True
        elif message.command == "trigger":
            self._add(self._prepared.collections_per_event if self._prepared else 1)

    def _add(self, rows: int) -> None:
        self.asked = None if self.asked is None or not rows else self.asked + rows

    def _real(
        self, value: Any, seen: set[int], depth: int, *, is_object: bool = False
    ) -> str | None:
        """Return the name of something real that a value is or holds, None if there is none."""
        is_ours = any(value is device for device in self._devices)
        if value is None or is_ours or isinstance(value, _LEAVES) or id(value) in seen or not depth:
            return None
        seen.add(id(value))
        if isinstance(value, PandaAddress):
            return None if value == self._address else f"the PandA at {value}"
        if isinstance(value, Device):
            return self._real_device(value, seen, depth)
        if not _is_known(value) and (is_object or _is_device(value)):
            return _named(value)
        found = (self._real(part, seen, depth - 1) for part in _parts(value))
        return next((name for name in found if name is not None), None)

    def _real_device(self, device: Device, seen: set[int], depth: int) -> str | None:
        root = device
        while root.parent is not None:
            root = root.parent
            if any(root is allowed for allowed in self._devices):
                return None
        if isinstance(device, Signal):
            return None if _is_soft(device) else _named(device)
        # Soft signals make no device harmless: what moves by them may be anywhere. A flyer is
        # what its logic is made of.
        logic = getattr(device, "flyable_logic", None)
        if logic is None or list(device.children()):
            return _named(device)
        made_of = [logic, *vars(logic).values()] if hasattr(logic, "__dict__") else [logic]
        if any(self._real(part, seen, depth - 1) is not None for part in made_of):
            return _named(device)
        return None


def _raising(error: Exception) -> MsgGenerator[None]:
    yield from ()
    raise error


def _named(value: Any) -> str:
    name = getattr(value, "name", "")
    kind = type(value).__name__
    return f"{name} ({kind})" if isinstance(name, str) and name else f"a {kind}"


def _is_soft(signal: Signal[Any]) -> bool:
    connector = signal._connector  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return isinstance(getattr(connector, "backend", None), SoftSignalBackend)


def _is_known(value: Any) -> bool:
    """Tell whether a value is of a kind whose parts can be looked at instead of itself."""
    plain = (list, tuple, set, frozenset, Mapping, functools.partial, MethodType, FunctionType)
    if isinstance(value, (*plain, CoroutineType)):
        return True
    return type(value).__module__.partition(".")[0] in OPEN


def _is_device(value: Any) -> bool:
    """Tell whether bluesky would take a value for a device."""
    acts = any(callable(getattr(value, action, None)) for action in ACTIONS)
    return acts and hasattr(value, "name") and hasattr(value, "parent")


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, FunctionType):
        yield from inspect.getclosurevars(value).nonlocals.values()
        yield from value.__defaults__ or ()
    elif isinstance(value, CoroutineType):
        yield from (value.cr_frame.f_locals if value.cr_frame else {}).values()
    elif dataclasses.is_dataclass(value):
        yield from (getattr(value, field.name, None) for field in dataclasses.fields(value))
        yield from vars(value).values() if hasattr(value, "__dict__") else ()
    elif _is_known(value):
        yield from vars(value).values() if hasattr(value, "__dict__") else ()

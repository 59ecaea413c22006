"""From a target on the wire to the signal of a device: ``SEQ1.POSA`` is ``panda.seq[1].posa``.

Source: docs/decisions/0009, flyscan.md 4.4.
"""

from __future__ import annotations

import keyword
import re
from typing import Any, cast

from ophyd_async.core import Device, DeviceVector, SignalR, SignalRW

from panda_ophyd.errors import FieldValueError

_TARGET = re.compile(r"([A-Z][A-Z0-9_]*?)(\d*)((?:\.[A-Z0-9_]+)+)", re.ASCII)


def signal_of(panda: Device, target: str) -> SignalRW[Any]:
    """Return the signal of a setting.

    Args:
        panda: a connected PandA.
        target: ``SEQ1.POSA``, ``PCAP.TRIG``, ``SRGATE1.SET``, ``INENC1.VAL.CAPTURE``.

    Raises:
        FieldValueError: it is no target, or this PandA has no setting of that name.
    """
    found = _find(panda, target)
    if isinstance(found, SignalRW):
        return cast("SignalRW[Any]", found)
    raise _absent(panda, target, "setting")


def reading_of(panda: Device, target: str) -> SignalR[Any]:
    """Return the signal of what can be read, ``INENC1.VAL``.

    Raises:
        FieldValueError: it is no target, or this PandA has nothing of that name to read.
    """
    found = _find(panda, target)
    if isinstance(found, SignalR):
        return cast("SignalR[Any]", found)
    raise _absent(panda, target, "value")


def _absent(panda: Device, target: str, what: str) -> FieldValueError:
    reason = f"{panda.name or 'this PandA'} has no such {what}; panda-ophyd info lists them"
    return FieldValueError("target", target, reason)


def _find(panda: Device, target: str) -> Device | None:
    match = _TARGET.fullmatch(target)
    if match is None:
        raise FieldValueError("target", target, "it is written as in SEQ1.POSA or PCAP.TRIG")
    number, field = match[2], match[3][1:].lower().replace(".", "_")
    level = _child(panda, match[1].lower())
    if isinstance(level, DeviceVector):
        vector = cast("DeviceVector[Device]", level)
        level = vector.get(int(number)) if number else None
    elif number and number != "1":
        level = None
    return None if level is None else _child(level, field)


def _child(device: Device, name: str) -> Device | None:
    # With an underscore where the framework or Python has the name: ``set_``
    names = (f"{name}_",) if keyword.iskeyword(name) else (name, f"{name}_")
    for attribute in names:
        child = getattr(device, attribute, None)
        if isinstance(child, Device):
            return child
    return None

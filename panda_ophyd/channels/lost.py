"""The last value of a monitor whose link is lost: whoever looks at it gets the reason.

A monitor has no way to raise, and ``wait_for_value(active, False, timeout=None)``, as
upstream's flyers wait, would go on for ever. So a lost monitor delivers one more value,
of the signal's own type as far as documents can tell, marked INVALID, which raises the
cause when it is compared, counted or tested. The waiter looks at it and fails.
"""

from __future__ import annotations

from typing import Any, NoReturn

from panda_ophyd.errors import PandaConnectionError


class LostValue:
    """Raises why the link was lost as soon as anybody looks at it."""

    cause: Exception

    def look(self, *_: object) -> NoReturn:
        """Raise why."""
        raise PandaConnectionError(str(self.cause)) from self.cause

    __hash__ = object.__hash__


class _LostInt(LostValue, int): ...


class _LostFloat(LostValue, float): ...


class _LostText(LostValue, str): ...  # noqa: SLOT000  it holds its cause


_LOOKS = (
    *("eq", "ne", "lt", "le", "gt", "ge", "bool", "int", "float", "index", "len", "contains"),
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "mod"),
    *("neg", "abs", "round", "and", "or", "xor", "iter", "getitem"),
)
for _name in _LOOKS:
    setattr(LostValue, f"__{_name}__", LostValue.look)


_EXAMPLES: dict[type, Any] = {
    bool: (_LostInt, 0),
    int: (_LostInt, 0),
    float: (_LostFloat, float("nan")),
    str: (_LostText, ""),
}


def lost_value(kind: type | str, cause: Exception) -> LostValue | None:
    """Return a value of that kind that raises when looked at, None for a table.

    Args:
        kind: as in `ChannelInfo`.
        cause: why the link was lost.
    """
    if isinstance(kind, str) or kind not in _EXAMPLES:
        return None
    made, example = _EXAMPLES[kind]
    value = made(example)
    value.cause = cause
    return value

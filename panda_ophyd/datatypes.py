"""What type a channel's value has towards ophyd-async, and the way from one to the other."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, cast, get_origin

from ophyd_async.core import Array1D, StrictEnum, SubsetEnum, SupersetEnum, Table

from panda_ophyd.channels import ChannelInfo, Plain

logger = logging.getLogger(__name__)

MAX_SERIAL_ENUMS = 4096
"""No firmware has as many labels; a bound on what the peer can make us build."""


def _enum_class(base: type[Enum], name: str, choices: Sequence[str]) -> type[Any]:
    members: dict[str, str] = {}
    for choice in choices[:MAX_SERIAL_ENUMS]:
        key = "".join(c if c.isalnum() else "_" for c in choice.upper()).strip("_") or "EMPTY"
        key = f"V{key}" if key[0].isdigit() else key
        while key in members:
            key += "_"
        members[key] = choice
    return cast("type[Any]", base(name, members))  # pyright: ignore[reportCallIssue]


def _table_class(name: str, info: ChannelInfo) -> type[Table]:
    annotations: dict[str, Any] = {}
    for column, kind in info.columns.items():
        if isinstance(kind, tuple):
            annotations[column] = Sequence[_enum_class(StrictEnum, f"{name}{column}", kind)]
        else:
            annotations[column] = Array1D[kind.type]
    return cast("type[Table]", type(name, (Table,), {"__annotations__": annotations}))


_made_enums: dict[tuple[bool, tuple[str, ...]], type[Any]] = {}


def datatype_of(name: str, info: ChannelInfo) -> type[Any]:
    """Return the framework's type for a value of that kind.

    Tables and enums are made on the spot and named after the signal: StrictEnum where
    nothing but the choices can occur, SubsetEnum where any text may. Signals with the
    same choices share one enum: a box repeats few lists many times.
    """
    if info.datatype is not None:
        return info.datatype
    if info.kind == "table":
        return _table_class(f"{name}Table", info)
    if info.choices:
        key = (info.strict, info.choices)
        if key not in _made_enums:
            base = StrictEnum if info.strict else SubsetEnum
            _made_enums[key] = _enum_class(base, f"{name}Enum", info.choices)
        return _made_enums[key]
    return cast("type[Any]", info.kind)


def kind_of(datatype: type[Any]) -> type | str:
    """Return the kind of value, as in `ChannelInfo`, that the framework's type is for."""
    if inspect.isclass(datatype) and issubclass(datatype, Enum):
        return str
    if inspect.isclass(datatype) and issubclass(datatype, Table):
        return "table"
    return datatype


def _enum_mismatch(declared: type[Enum], choices: Sequence[str]) -> str | None:
    ours, theirs = {str(member.value) for member in declared}, set(choices)
    if issubclass(declared, SubsetEnum):
        missing = ours - theirs
    elif issubclass(declared, SupersetEnum):
        missing = theirs - ours
    else:
        missing = ours ^ theirs
    return f"{declared.__name__} and the box differ in {sorted(missing)}" if missing else None


_WIDER: Mapping[type, tuple[type | str, ...]] = {
    bool: (bool,),
    int: (int, bool),
    float: (float, int, bool),
    str: (str,),
}
"""For a declared type, the kinds of value that fit it without loss."""


def check_declared(source: str, declared: type[Any], info: ChannelInfo) -> None:
    """Compare an annotation with what the box has.

    Choices that differ are one warning: newer firmware must not stop a connect, and a
    text that is no member is then delivered as the str it is.

    Raises:
        TypeError: a value of that kind cannot be of the declared type.
    """
    if inspect.isclass(declared) and issubclass(declared, Enum):
        fits = info.kind is str
        if fits and info.choices and (problem := _enum_mismatch(declared, info.choices)):
            logger.warning("%s: %s", source, problem)
    elif inspect.isclass(declared) and issubclass(declared, Table):
        fits = info.kind == "table"
    else:
        fits = info.kind in _WIDER.get(declared, ())
    if not fits:
        kind = info.kind if isinstance(info.kind, str) else info.kind.__name__
        msg = f"{source} holds {kind}, which is not the {declared.__name__} it was declared as"
        raise TypeError(msg)


def _to_enum(declared: type[Enum]) -> Callable[[Plain], Any]:
    members = {member.value: member for member in declared}
    return lambda value: members.get(value, value)


def _to_table(declared: type[Table]) -> Callable[[Plain], Any]:
    def convert(columns: Plain) -> Table:
        # model_construct: what the box holds is shown as it is, also trigger codes that
        # no enum knows and more lines than the framework's own class would accept.
        values: dict[str, Any] = {}
        for name, model_field in declared.model_fields.items():
            given = columns.get(name)
            if given is None:
                logger.warning("The box's table has no column %r; it reads as empty", name)
                given = model_field.get_default(call_default_factory=True)
            enum = next(
                (a for a in getattr(model_field.annotation, "__args__", ()) if _is_enum(a)), None
            )
            values[name] = [_to_enum(enum)(text) for text in given] if enum else given
        return declared.model_construct(**values)

    return convert


def _is_enum(candidate: object) -> bool:
    return inspect.isclass(candidate) and issubclass(candidate, Enum)


def converter(datatype: type[Any]) -> Callable[[Plain], Any]:
    """Return the function from a channel's plain value to the framework's type."""
    if get_origin(datatype) is None and inspect.isclass(datatype):
        if issubclass(datatype, Enum):
            return _to_enum(datatype)
        if issubclass(datatype, Table):
            return _to_table(datatype)
    if datatype in (bool, int, float):
        return lambda value: datatype(value) if type(value) is not datatype else value
    return lambda value: value

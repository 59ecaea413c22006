"""What a box consists of, as named children with a channel each: fields, labels, versions, `data`.

Everything a `BoxInfo` says is turned into (access, channel) pairs here, with a session
behind them or, in mock mode, with nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from ophyd_async.core import NotConnectedError
from ophyd_async.fastcs.panda import PandaBitMux, PandaPosMux, PandaTimeUnits
from typing_extensions import override

from panda_ophyd.changes import ChangeError
from panda_ophyd.channels import (
    ArmChannel,
    Channel,
    ChannelInfo,
    ClearTableChannel,
    CommandChannel,
    FieldChannel,
    LabelChannel,
    SoftChannel,
    info_of,
)
from panda_ophyd.datablock import DataBlockState
from panda_ophyd.datatypes import kind_of
from panda_ophyd.fields import Access, BlockInfo, BoxInfo, Codec, SignalSpec, block_signals
from panda_ophyd.session import PandaSession

logger = logging.getLogger(__name__)

CAPTURE_SUFFIX = "_capture"
DATASET_SUFFIX = "_dataset"

MUX_TYPES: Mapping[tuple[str, ...], type[Any]] = {
    ("ZERO", "ONE"): PandaBitMux,
    ("ZERO",): PandaPosMux,
}
"""The constants at the end of a mux's choices, and the framework's name for such a mux."""

TIME_UNITS = tuple(str(unit.value) for unit in PandaTimeUnits)


@dataclass(frozen=True)
class Child:
    """One signal or command to be made, and where its value lives.

    Attributes:
        declared: the channel in place of that, of the type a signal was declared with, where
            the box does not say what the value is; None where it does.
    """

    access: Access
    channel: Channel | CommandChannel
    declared: Callable[[type[Any]], Channel] | None = None


def known_datatype(spec: SignalSpec) -> type[Any] | None:
    """Return upstream's own type for a value that has one, so that both mean the same."""
    choices = spec.choices or ()
    if choices == TIME_UNITS:
        return PandaTimeUnits
    if not spec.strict:
        for constants, datatype in MUX_TYPES.items():
            if choices[-len(constants) :] == constants:
                return datatype
    return None


UNDECLARED_DATA: Mapping[str, tuple[Access, ChannelInfo]] = {
    "file_bits": (Access.RW, ChannelInfo(kind=bool)),
    "file_compression": (Access.RW, ChannelInfo(kind=str)),
    "file_raw": (Access.RW, ChannelInfo(kind=bool)),
    "hdf_full_file_path": (Access.R, ChannelInfo(kind=str)),
    "num_received": (Access.R, ChannelInfo(kind=int)),
    "in_flight": (Access.R, ChannelInfo(kind=int)),
    "live_rate": (Access.RW, ChannelInfo(kind=float)),
    "most_in_flight": (Access.R, ChannelInfo(kind=int)),
    "row_rate": (Access.R, ChannelInfo(kind=float)),
    "data_rate": (Access.R, ChannelInfo(kind=float)),
    "stall_timeout": (Access.RW, ChannelInfo(kind=float)),
    "status": (Access.R, ChannelInfo(kind=str)),
    "verdict": (Access.R, ChannelInfo(kind=str)),
    "waive": (Access.RW, ChannelInfo(kind=str)),
}
"""Signals of the `data` block beyond upstream's annotations, for mock mode."""


class OfflineChannel:
    """What a signal is, without a box: for mock mode, where the framework holds the value."""

    def __init__(self, source: str, info: ChannelInfo) -> None:
        self.source = source
        self.info = info

    async def get(self) -> Any:
        """Refuse: there is no box.

        Raises:
            NotConnectedError: always.
        """
        msg = f"{self.source} has no PandA behind it: the device is in mock mode"
        raise NotConnectedError(msg)

    async def put(self, value: Any) -> None:  # noqa: ARG002
        """Refuse: there is no box.

        Raises:
            NotConnectedError: always.
        """
        await self.get()

    async def units(self) -> str | None:
        """Return the units that are known without a box."""
        return self.info.units

    async def setpoint(self) -> Any:
        """Refuse: there is no box.

        Raises:
            NotConnectedError: always.
        """
        await self.get()

    def subscribe(self, callback: Callable[[Any], None]) -> Callable[[], None]:  # noqa: ARG002
        """Deliver nothing."""
        return lambda: None


class AbsentChannel(OfflineChannel):
    """A signal that was type-hinted and that this box does not have.

    Firmware that lost a field must not stop a connect; using the field says so.
    """

    @override
    async def get(self) -> Any:
        msg = f"{self.source} does not exist on this PandA"
        raise NotConnectedError(msg)


class PuzzlingChannel(OfflineChannel):
    """A signal that was type-hinted, of a field that this driver cannot make sense of.

    Firmware that is newer than the driver must not stop a connect; using the field says so.
    """

    def __init__(self, source: str, declared: type[Any], problem: str) -> None:
        super().__init__(source, ChannelInfo(kind_of(declared), datatype=declared))
        self._problem = problem

    @override
    async def get(self) -> Any:
        msg = f"{self.source} cannot be used: {self._problem}; a newer driver may know it"
        raise NotConnectedError(msg)


class BoxChildren:
    """The signals of every block instance of one box.

    Args:
        box: what it is.
        root: URI of the box, ``panda://host``.
        session: the connection, None in mock mode.
        data: the `data` block, None in mock mode.
    """

    def __init__(
        self,
        box: BoxInfo,
        root: str,
        session: PandaSession | None = None,
        data: DataBlockState | None = None,
    ) -> None:
        self.box = box
        self._root = root
        self._session = session
        self._data = data

    def constant(self, name: str, value: str, description: str) -> SoftChannel[str]:
        """Return the channel of a text that never changes."""
        info = ChannelInfo(kind=str, description=description)
        return SoftChannel(f"{self._root}/{name}", info, value, writable=False)

    def _field(self, spec: SignalSpec, problem: str) -> Child:
        session, source = self._session, f"{self._root}/{spec.target}"
        if session is None:
            return Child(spec.access, OfflineChannel(source, info_of(spec, known_datatype(spec))))
        if spec.access is Access.X and spec.layout is not None:
            return Child(spec.access, ClearTableChannel(session, spec.target))
        in_error = spec.reported and isinstance(session.poller.values.get(spec.target), ChangeError)
        if in_error:
            logger.warning(
                "%s/%s: the server cannot read it; it is shown as text", self._root, spec.target
            )
        known = known_datatype(spec)
        channel = FieldChannel(session, spec, datatype=known, in_error=in_error)
        declared: Callable[[type[Any]], Channel] | None = None
        if problem:
            declared = partial(_puzzling, source, problem)
        elif in_error:  # which may pass, and until then reading says it
            declared = partial(_as_declared, FieldChannel(session, spec, datatype=known))
        return Child(spec.access, channel, declared)

    def _label(self, block: BlockInfo, number: int) -> Child:
        key = f"LABEL_{block.name}{number}"
        target = f"*METADATA.{key}"
        if not any(item.key == key for item in self.box.metadata):
            source = f"{block.reported(number)}.LABEL"
            return Child(Access.R, self.constant(source, block.description, "Label"))
        codec = Codec(str, decode=str, encode=str)
        description = f"Label of {block.reported(number)}"
        spec = SignalSpec("label", target, Access.RW, codec, description=description)
        channel = (
            LabelChannel(self._session, spec, block.description)
            if self._session is not None
            else OfflineChannel(f"{self._root}/{target}", info_of(spec))
        )
        return Child(Access.RW, channel)

    def _dataset(self, spec: SignalSpec) -> SoftChannel[str]:
        field = spec.target.removesuffix(".CAPTURE")
        info = ChannelInfo(kind=str, description=f"Name of the dataset of {field}")
        channel = SoftChannel(f"{self._root}/{field}.DATASET", info, "", on_put=_as_name)
        if self._data is not None:
            self._data.dataset_channels[field] = channel
        return channel

    def instance(self, block: BlockInfo, number: int) -> dict[str, Child]:
        """Return the signals of one block instance by name."""
        children: dict[str, Child] = {"label": self._label(block, number)}
        problems = {field.name: field.problem for field in block.fields}
        for spec in block_signals(self.box, block, number):
            children[spec.name] = self._field(spec, problems.get(_field_of(spec), ""))
            own_capture = f"{block.reported(number)}.{_field_of(spec)}.CAPTURE"
            if spec.name.endswith(CAPTURE_SUFFIX) and spec.target == own_capture:
                name = spec.name.removesuffix(CAPTURE_SUFFIX) + DATASET_SUFFIX
                children[name] = Child(Access.RW, self._dataset(spec))
        for name, make in EXTRA_CHILDREN.get(block.name, {}).items():
            children[name] = make(self)
        return children

    def arm(self) -> Child:
        """Return the signal that arms PCAP."""
        if self._session is None or self._data is None:
            info = ArmChannel.info
            return Child(Access.RW, OfflineChannel(f"{self._root}/*PCAP.ARM", info))
        return Child(Access.RW, ArmChannel(self._session, self._data))

    def uri(self, block: BlockInfo, number: int) -> str:
        """Return the URI of a block instance."""
        return f"{self._root}/{block.reported(number)}"

    def data_block(self) -> dict[str, Child]:
        """Return the signals of the `data` block."""
        if self._data is None:
            return undeclared_data(self._root)
        return {
            name: Child(
                Access.RW if channel.writable else Access.R,
                channel,
            )
            for name, channel in self._data.channels.items()
        }


def _puzzling(source: str, problem: str, declared: type[Any]) -> Channel:
    return PuzzlingChannel(source, declared, problem)


def _as_declared(channel: Channel, declared: type[Any]) -> Channel:  # noqa: ARG001  it is that
    return channel


def _field_of(spec: SignalSpec) -> str:
    parts = spec.target.split(".")
    return parts[1] if len(parts) > 1 else ""


async def _as_name(value: Any) -> str:
    return str(value)


def _text(attribute: str, description: str) -> Callable[[BoxChildren], Child]:
    def make(children: BoxChildren) -> Child:
        value = str(getattr(children.box, attribute))
        source = f"SYSTEM.{attribute.upper()}"
        return Child(Access.R, children.constant(source, value, description))

    return make


def _driver_version(children: BoxChildren) -> Child:
    text = f"panda-ophyd {version('panda-ophyd')}"
    return Child(Access.R, children.constant("SYSTEM.IOC_VERSION", text, "Driver"))


EXTRA_CHILDREN: Mapping[str, Mapping[str, Callable[[BoxChildren], Child]]] = {
    "PCAP": {"arm": lambda children: children.arm()},
    "SYSTEM": {
        "panda_sw_version": _text("sw_version", "Version of the PandA's server"),
        "fpga_version": _text("fpga_version", "Version, build and user words of the FPGA"),
        "rootfs_version": _text("rootfs", "Version of the PandA's root file system"),
        "ioc_version": _driver_version,
    },
}
"""Signals that no field of the box makes: block -> name -> how."""


def live_row(root: str, data: DataBlockState | None) -> dict[str, Child]:
    """Return the signals of the latest row that are always there."""
    source = f"{root}/DATA.LIVE.ROW"
    channel = OfflineChannel(source, ChannelInfo(kind=int)) if data is None else data.live.row
    return {"row": Child(Access.R, channel)}


def undeclared_data(root: str) -> dict[str, Child]:
    """Return the signals of the `data` block that upstream does not declare, without a box."""
    return {
        name: Child(access, OfflineChannel(f"{root}/DATA.{name.upper()}", info))
        for name, (access, info) in UNDECLARED_DATA.items()
    }

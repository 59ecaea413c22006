"""The `data` block: what the IOC offered as records to choose a file, kept in this program.

Plans set ``hdf_directory``, ``hdf_file_name`` and ``capture`` as they always did;
behind them stands one `Capture`. Source: flyscan.md 4.3 to 4.6.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ophyd_async.fastcs.panda import DatasetTable, PandaCaptureMode, PandaHdf5DatasetType

from panda_ophyd.capture import Capture
from panda_ophyd.channels import ChannelInfo, SoftChannel
from panda_ophyd.control import Lines, Query
from panda_ophyd.errors import FieldValueError, PandaError, WriterError
from panda_ophyd.session import PandaSession

logger = logging.getLogger(__name__)

DEFAULT_FLUSH_PERIOD = 1.0
"""Seconds; what the IOC starts with. 0, as ophyd-async sets it, means as soon as may be."""

SOONEST_FLUSH = 0.1
"""Seconds between flushes when 0 is asked for: the server hands rows over every 0.1 s at most
(protocol.md 8.6), so flushing more often writes nothing more."""

UNSIGNED_FIELD = re.compile(r"\.BITS\d+$")
"""Captured fields that are words of bits, kept as uint32. Source: protocol.md 8.5."""


def dataset_names(field: str, options: Sequence[str], chosen: str) -> dict[tuple[str, str], str]:
    """Name the datasets of one captured field.

    Args:
        field: ``INENC1.VAL``.
        options: its capture options, ``("Min", "Max", "Mean")``.
        chosen: what its ``_dataset`` signal says, empty if nothing.

    Returns:
        For each (field, option) the dataset. Not chosen: ``INENC1.VAL.Mean``. Chosen
        ``x``: the last option is ``x``, others are ``x-min``; of a Min Max pair neither
        is plain ``x``. Source: flyscan.md 4.5 and the IOC's own rule.
    """
    if not chosen:
        return {(field, option): f"{field}.{option}" for option in options}
    pair = {"Min", "Max"} if {"Min", "Max"} <= set(options) else set[str]()
    return {
        (field, option): chosen
        if option == options[-1] and option not in pair
        else f"{chosen}-{option.lower()}"
        for option in options
    }


def make_directory(directory: Path, depth: int) -> None:
    """Create a directory, and at most so many levels of it.

    Args:
        directory: what is to exist.
        depth: 0 creates nothing; -n creates at most the last n levels; a positive
            number any, as the IOC and areaDetector have it.

    Raises:
        WriterError: more levels are missing than may be created, or the disk refuses.
    """
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    if depth == 0 or not missing:
        return
    if depth < 0 and len(missing) > -depth:
        reason = f"{len(missing)} levels of it do not exist and only {-depth} may be created"
        raise WriterError(directory, reason)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise WriterError(directory, f"cannot create it: {exc.strerror}") from exc


def is_writable_directory(directory: Path) -> bool:
    """Whether a file can be created there."""
    return directory.is_dir() and os.access(directory, os.W_OK)


class DataBlockState:
    """The channels of the `data` block and the capture behind them.

    Args:
        session: the box.
        source: URI of the block, ``panda://host/DATA``.

    Attributes:
        channels: by signal name.
        dataset_channels: the ``_dataset`` signal of every field that can be captured.
    """

    def __init__(self, session: PandaSession, source: str) -> None:
        self._session = session
        self._source = source
        self.capture: Capture | None = None
        self.failure: asyncio.Future[None] | None = None
        self.dataset_channels: dict[str, SoftChannel[str]] = {}

        def soft(
            name: str,
            kind: type,
            initial: Any,
            on_put: Callable[[Any], Any] | None = None,
            datatype: type[Any] | None = None,
            **info: Any,
        ) -> SoftChannel[Any]:
            return SoftChannel(
                f"{source}.{name.upper()}",
                ChannelInfo(kind=kind, datatype=datatype, **info),
                initial,
                on_put=on_put,
            )

        def read_only(name: str, kind: type, initial: Any, description: str) -> SoftChannel[Any]:
            return SoftChannel(
                f"{source}.{name.upper()}",
                ChannelInfo(kind=kind, description=description),
                initial,
                writable=False,
            )

        modes = tuple(str(mode.value) for mode in PandaCaptureMode)
        self.hdf_directory = soft(
            "hdf_directory", str, "", self._put_directory, description="Where the file goes"
        )
        self.hdf_file_name = soft(
            "hdf_file_name", str, "", self._put_file_name, description="Name of the file"
        )
        self.create_directory = soft(
            "create_directory", int, 0, _as_int, description="Levels of directory to create"
        )
        self.num_capture = soft(
            "num_capture", int, 0, _as_count, description="Rows to capture, 0 for all of them"
        )
        self.capture_mode = soft(
            "capture_mode",
            str,
            PandaCaptureMode.FIRST_N.value,
            self._put_mode,
            PandaCaptureMode,
            choices=modes,
            description="Which rows to keep",
        )
        self.flush_period = soft(
            "flush_period",
            float,
            DEFAULT_FLUSH_PERIOD,
            _as_period,
            units="s",
            description="Time between flushes, 0 for as soon as may be",
        )
        self.capturing = soft("capture", bool, False, self._put_capture, description="File open")
        self.directory_exists = read_only(
            "directory_exists", bool, False, "The directory is there and can be written to"
        )
        self.full_file_path = read_only("hdf_full_file_path", str, "", "The file written to last")
        self.num_captured = read_only("num_captured", int, 0, "Rows flushed to the file")
        self.num_received = read_only("num_received", int, 0, "Rows received from the PandA")
        self.status = read_only("status", str, "OK", "How the capture is doing")
        self.datasets = SoftChannel(
            f"{source}.DATASETS",
            ChannelInfo(
                kind="table", datatype=DatasetTable, description="Datasets the next file will hold"
            ),
            {"name": list[str](), "dtype": list[str]()},
            on_get=self._datasets_now,
            writable=False,
        )
        self.channels: Mapping[str, SoftChannel[Any]] = {
            "hdf_directory": self.hdf_directory,
            "hdf_file_name": self.hdf_file_name,
            "create_directory": self.create_directory,
            "num_capture": self.num_capture,
            "capture_mode": self.capture_mode,
            "flush_period": self.flush_period,
            "capture": self.capturing,
            "directory_exists": self.directory_exists,
            "hdf_full_file_path": self.full_file_path,
            "num_captured": self.num_captured,
            "num_received": self.num_received,
            "status": self.status,
            "datasets": self.datasets,
        }

    @property
    def readers(self) -> int:
        """How many data clients of ours the server must count before it is armed."""
        return int(self.capture is not None)

    async def _put_directory(self, value: Any) -> str:
        directory = Path(str(value))
        self.directory_exists.show(False)
        make_directory(directory, self.create_directory.value)
        self.directory_exists.show(is_writable_directory(directory))
        return str(value)

    async def _put_file_name(self, value: Any) -> str:
        name = str(value)
        if "/" in name:
            raise FieldValueError(
                f"{self._source}.HDF_FILE_NAME", value, "it names a directory too"
            )
        return name

    async def _put_mode(self, value: Any) -> str:
        mode = str(getattr(value, "value", value))
        target = f"{self._source}.CAPTURE_MODE"
        choices = [str(m.value) for m in PandaCaptureMode]
        if mode not in choices:
            raise FieldValueError(target, value, f"it is one of {choices}")
        if mode == PandaCaptureMode.LAST_N.value:
            reason = "keeping only the last rows is not built yet; use FIRST_N or FOREVER"
            raise FieldValueError(target, value, reason)
        return mode

    async def _captured(self) -> list[tuple[str, tuple[str, ...]]]:
        """Ask what is set to be captured: fields with their options in the server's order."""
        (reply,) = await self._session.ask([Query("*CAPTURE")])
        lines = reply.lines if isinstance(reply, Lines) else ()
        fields = [line.split(" ") for line in lines]
        return [(name, tuple(options)) for name, *options in fields]

    async def names(self) -> dict[tuple[str, str], str]:
        """Return the dataset of every (field, capture option) that is set to be captured."""
        names: dict[tuple[str, str], str] = {}
        for field, options in await self._captured():
            chosen = self.dataset_channels.get(field)
            names |= dataset_names(field, options, chosen.value if chosen else "")
        return names

    async def _datasets_now(self) -> dict[str, list[str]]:
        names = await self.names()
        return {
            "name": list(names.values()),
            "dtype": [
                PandaHdf5DatasetType.UINT_32.value
                if UNSIGNED_FIELD.search(field)
                else PandaHdf5DatasetType.FLOAT_64.value
                for field, _ in names
            ],
        }

    async def _put_capture(self, value: Any) -> bool:
        wanted = bool(value)
        if wanted and self.capture is None:
            await self._open()
        elif not wanted and self.capture is not None:
            await self.close()
        return wanted

    async def _open(self) -> None:
        directory, file_name = self.hdf_directory.value, self.hdf_file_name.value
        if not directory or not file_name:
            raise WriterError(
                Path(directory or ".") / file_name,
                "set hdf_directory and hdf_file_name before capture",
            )
        path = Path(directory) / file_name
        first_n = self.capture_mode.value == PandaCaptureMode.FIRST_N.value
        for counter in (self.num_captured, self.num_received):
            counter.show(0)
        self.failure = asyncio.get_running_loop().create_future()
        capture = Capture(
            self._session.address,
            path,
            names=await self.names(),
            flush_period=self.flush_period.value or SOONEST_FLUSH,
            limit=(self.num_capture.value or None) if first_n else None,
            on_rows=self.num_captured.show,
            on_received=self.num_received.show,
            on_failure=self.failed,
        )
        try:
            await capture.open()
        except PandaError as exc:
            self.status.show(str(exc))
            raise
        self.capture = capture
        self.full_file_path.show(str(path))
        self.status.show("Capturing")

    def failed(self, exc: Exception) -> None:
        """Note why the capture under way cannot succeed; whoever waits for it is told."""
        self.status.show(str(exc))
        if self.failure is not None and not self.failure.done():
            self.failure.set_exception(exc)
            self.failure.exception()  # it is raised by whoever waits; nobody has to

    async def close(self) -> None:
        """Let the capture drain to the disk and close the file; nothing to do if none is open.

        Raises:
            PandaError: not every row that was sent is on the disk, and why.
        """
        capture, self.capture = self.capture, None
        if capture is None:
            return
        try:
            await capture.close()
        except PandaError as exc:
            self.capturing.show(False)
            self.failed(exc)
            raise
        self.status.show("OK")

    async def raise_failure(self) -> None:
        """Wait until the capture has failed, for ever if it does not, and raise why."""
        if self.failure is None:
            self.failure = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.failure)


async def _as_int(value: Any) -> int:
    number = int(value)
    if number != value:
        raise FieldValueError("DATA.CREATE_DIRECTORY", value, "it is a whole number")
    return number


async def _as_count(value: Any) -> int:
    number = int(value)
    if number != value or number < 0:
        raise FieldValueError("DATA.NUM_CAPTURE", value, "it is a number of rows, 0 or more")
    return number


async def _as_period(value: Any) -> float:
    period = float(value)
    if not 0 <= period < float("inf"):
        raise FieldValueError("DATA.FLUSH_PERIOD", value, "it is a time in seconds, 0 or more")
    return period

"""The signals of the `data` block: what each is, what may be put to it, what a reconnection keeps.

What they do together is `panda_ophyd.datablock`'s. Source: flyscan.md 4.3 to 4.6.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from ophyd_async.fastcs.panda import DatasetTable, PandaCaptureMode

from panda_ophyd.capture import FileOptions
from panda_ophyd.channels import ChannelInfo, SoftChannel
from panda_ophyd.destination import is_writable_directory, make_directory
from panda_ophyd.errors import FieldValueError
from panda_ophyd.fields.codecs import INT_LIMITS, UINT_MAX, bit_codec, float_codec, int_codec
from panda_ophyd.liveview import LiveView
from panda_ophyd.preflight import waivers

DEFAULT_FLUSH_PERIOD = 1.0
"""Seconds; what the IOC starts with. 0, as ophyd-async sets it, means as soon as may be."""

DEFAULT_LIVE_RATE = 10.0
"""Rows a second that show while a capture runs: as fast as eyes and plots follow."""

DEFAULT_STALL_TIMEOUT = 10.0
"""Seconds beyond the expected time of a row, unless told otherwise; upstream's default too."""

CARRIED = (
    "hdf_directory",
    "hdf_file_name",
    "create_directory",
    "num_capture",
    "capture_mode",
    "flush_period",
    "file_bits",
    "file_compression",
    "file_raw",
    "live_rate",
    "stall_timeout",
    "waive",
)
"""Settings that a reconnection does not change."""

REMEMBERED = ("hdf_full_file_path", "num_captured", "num_received", "directory_exists", "verdict")
"""What is said of the last file, also after a reconnection."""


class DataSignals:
    """The channels of the `data` block.

    Args:
        source: URI of the block, ``panda://host/DATA``.

    Attributes:
        channels: by signal name.
        live: the latest row, and what comes.
        dataset_channels: the ``_dataset`` signal of every field that can be captured.
        documented: rows as documents of the present file count them: held back from prepare
            to kickoff, because upstream counts what was asked for from the rows there are at
            kickoff (flyscan.md 4.7, i22).
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self.dataset_channels: dict[str, SoftChannel[str]] = {}
        modes = tuple(str(mode.value) for mode in PandaCaptureMode)
        self.hdf_directory = self._soft(
            "hdf_directory", str, "", self._put_directory, description="Where the file goes"
        )
        self.hdf_file_name = self._soft(
            "hdf_file_name", str, "", self._put_file_name, description="Name of the file"
        )
        self.create_directory = self._soft(
            "create_directory",
            int,
            0,
            _number(source, "CREATE_DIRECTORY", *INT_LIMITS),
            description="Levels of directory to create",
        )
        self.num_capture = self._soft(
            "num_capture",
            int,
            0,
            _number(source, "NUM_CAPTURE", 0, UINT_MAX),
            description="Rows to capture, 0 for all of them",
        )
        self.capture_mode = self._soft(
            "capture_mode",
            str,
            PandaCaptureMode.FIRST_N.value,
            self._put_mode,
            PandaCaptureMode,
            choices=modes,
            description="Which rows to keep",
        )
        self.flush_period = self._soft(
            "flush_period",
            float,
            DEFAULT_FLUSH_PERIOD,
            _not_negative(source, "FLUSH_PERIOD"),
            units="s",
            description="Time between flushes, 0 for as soon as may be",
        )
        self.file_compression = self._soft(
            "file_compression",
            str,
            "",
            self._put_compression,
            description="gzip, gzip:1 to gzip:9, lzf, blosc, ... or nothing",
        )
        self.file_raw = self._soft(
            "file_raw",
            bool,
            False,
            _truth(source, "FILE_RAW"),
            description="Keep integers, with scale and offset as attributes",
        )
        self.file_bits = self._soft(
            "file_bits",
            bool,
            False,
            _truth(source, "FILE_BITS"),
            description="Unpack captured words of bits into named datasets",
        )
        self.stall_timeout = self._soft(
            "stall_timeout",
            float,
            DEFAULT_STALL_TIMEOUT,
            _not_negative(source, "STALL_TIMEOUT"),
            units="s",
            description="How late a row may be before the scan fails, 0 for ever",
        )
        self.live_rate = self._soft(
            "live_rate",
            float,
            DEFAULT_LIVE_RATE,
            _not_negative(source, "LIVE_RATE"),
            units="Hz",
            description="Most rows to show per second while they are captured, 0 for none",
        )
        self.live = LiveView(source, lambda: self.live_rate.value)
        self.waive = self._soft(
            "waive", str, "", self._put_waive, description="Pre-flight checks not to make"
        )
        self.capturing = self._soft(
            "capture", bool, False, self._put_capture, description="File open"
        )
        self.directory_exists = self._read_only(
            "directory_exists", bool, False, "The directory is there and can be written to"
        )
        self.full_file_path = self._read_only(
            "hdf_full_file_path", str, "", "The file written to last"
        )
        self.num_captured = self._read_only("num_captured", int, 0, "Rows flushed to the file")
        self.num_received = self._read_only("num_received", int, 0, "Rows received from the PandA")
        self.documented = self.new_documented()
        self.status = self._read_only("status", str, "OK", "How the capture is doing")
        self.verdict = self._read_only(
            "verdict",
            str,
            "",
            "What can be said of the present or last capture",
            on_get=self._verdict_now,
        )
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
            "live_rate": self.live_rate,
            "file_bits": self.file_bits,
            "file_compression": self.file_compression,
            "file_raw": self.file_raw,
            "stall_timeout": self.stall_timeout,
            "waive": self.waive,
            "capture": self.capturing,
            "directory_exists": self.directory_exists,
            "hdf_full_file_path": self.full_file_path,
            "num_captured": self.num_captured,
            "num_received": self.num_received,
            "in_flight": self.live.in_flight,
            "most_in_flight": self.live.most_in_flight,
            "row_rate": self.live.row_rate,
            "data_rate": self.live.data_rate,
            "status": self.status,
            "verdict": self.verdict,
            "datasets": self.datasets,
        }

    async def _put_capture(self, value: Any) -> bool:
        raise NotImplementedError

    async def _datasets_now(self) -> dict[str, list[str]]:
        raise NotImplementedError

    async def _verdict_now(self) -> str:
        raise NotImplementedError

    def new_documented(self) -> SoftChannel[int]:
        """Return the rows that documents of a file may name, for who waits for those of that file.

        Of each file another: a wait that was left alone is not over with the rows of the next.
        """
        return self._read_only("num_captured", int, 0, "Rows that documents may name")

    def show_received(self, rows: int) -> None:
        """Show how many rows have come."""
        self.num_received.show(rows)
        self.live.news()

    def adopt(self, former: DataSignals) -> None:
        """Take over the settings of the session before, and what is known of its last file."""
        self.carry(former)
        for name in REMEMBERED:
            self.channels[name].show(former.channels[name].value)

    def carry(self, former: DataSignals) -> None:
        """Take over settings, and nothing of what happened with them."""
        for name in CARRIED:
            self.channels[name].show(former.channels[name].value)
        for field, channel in former.dataset_channels.items():
            if field in self.dataset_channels:
                self.dataset_channels[field].show(channel.value)

    def _soft(
        self,
        name: str,
        kind: type,
        initial: Any,
        on_put: Callable[[Any], Any] | None = None,
        datatype: type[Any] | None = None,
        **info: Any,
    ) -> SoftChannel[Any]:
        return SoftChannel(
            f"{self._source}.{name.upper()}",
            ChannelInfo(kind=kind, datatype=datatype, **info),
            initial,
            on_put=on_put,
        )

    def _read_only(
        self,
        name: str,
        kind: type,
        initial: Any,
        description: str,
        *,
        on_get: Callable[[], Awaitable[Any]] | None = None,
    ) -> SoftChannel[Any]:
        return SoftChannel(
            f"{self._source}.{name.upper()}",
            ChannelInfo(kind=kind, description=description),
            initial,
            on_get=on_get,
            writable=False,
        )

    async def _put_directory(self, value: Any) -> str:
        directory = Path(_nameable(f"{self._source}.HDF_DIRECTORY", value))
        self.directory_exists.show(False)
        make_directory(directory, self.create_directory.value)
        self.directory_exists.show(is_writable_directory(directory))
        return str(value)

    async def _put_file_name(self, value: Any) -> str:
        name = _nameable(f"{self._source}.HDF_FILE_NAME", value)
        if "/" in name:
            raise FieldValueError(
                f"{self._source}.HDF_FILE_NAME", value, "it names a directory too"
            )
        return name

    async def _put_mode(self, value: Any) -> str:
        mode = str(getattr(value, "value", value))
        choices = [str(m.value) for m in PandaCaptureMode]
        if mode not in choices:
            reason = f"it is one of {choices}"
            raise FieldValueError(f"{self._source}.CAPTURE_MODE", value, reason)
        return mode

    async def _put_compression(self, value: Any) -> str:
        return FileOptions(compression=str(value)).compression

    async def _put_waive(self, value: Any) -> str:
        return " ".join(sorted(waivers(str(value), f"{self._source}.WAIVE")))


def _nameable(target: str, value: Any) -> str:
    """Return the text of a path, refused if nothing on a disk can have such a name."""
    text = str(value)
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError as failure:
        raise FieldValueError(target, value, "it cannot be the name of a file") from failure
    if b"\0" in name:
        raise FieldValueError(target, value, "no name of a file has NUL in it")
    return text


def _truth(source: str, name: str) -> Callable[[Any], Awaitable[bool]]:
    codec = bit_codec(f"{source}.{name}")

    async def put(value: Any) -> bool:
        return bool(codec.decode(codec.encode(value)))

    return put


def _number(source: str, name: str, low: int, high: int) -> Callable[[Any], Awaitable[int]]:
    codec = int_codec(f"{source}.{name}", low, high)

    async def put(value: Any) -> int:
        return int(codec.encode(value))

    return put


def _not_negative(source: str, name: str) -> Callable[[Any], Awaitable[float]]:
    codec = float_codec(f"{source}.{name}", low=0.0)

    async def put(value: Any) -> float:
        return float(codec.encode(value))

    return put

"""The `data` block: what the IOC offered as records to choose a file, kept in this program.

Plans set ``hdf_directory``, ``hdf_file_name`` and ``capture`` as they always did;
behind them stands one `Capture`. Source: flyscan.md 4.3 to 4.6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from ophyd_async.fastcs.panda import DatasetTable, PandaCaptureMode, PandaHdf5DatasetType

from panda_ophyd.capture import Capture, readers_counted, readers_now
from panda_ophyd.channels import ChannelInfo, SoftChannel
from panda_ophyd.destination import dataset_names, is_writable_directory, make_directory
from panda_ophyd.errors import FieldValueError, PandaError, WriterError
from panda_ophyd.fields.codecs import INT_LIMITS, UINT_MAX, bit_codec, float_codec, int_codec
from panda_ophyd.session import PandaSession

logger = logging.getLogger(__name__)

DEFAULT_FLUSH_PERIOD = 1.0
"""Seconds; what the IOC starts with. 0, as ophyd-async sets it, means as soon as may be."""

SOONEST_FLUSH = 0.1
"""Seconds between flushes when 0 is asked for: the server hands rows over every 0.1 s at most
(protocol.md 8.6), so flushing more often writes nothing more."""

HANDOVER = 0.15
"""Seconds after a trigger by which its row has left the hardware: it waits 0.1 s for more of
them (protocol.md 8.6, 9)."""

SETTLE_TIMEOUT = 2.0
"""Seconds to wait for rows that the box has captured to be flushed, before going on with
those that are; the next time may find them."""

CARRIED = (
    "hdf_directory",
    "hdf_file_name",
    "create_directory",
    "num_capture",
    "capture_mode",
    "flush_period",
)
"""Settings that a reconnection does not change."""


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
        self._switch = bit_codec(f"{source}.CAPTURE")
        self._held = False
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
            "create_directory",
            int,
            0,
            _number(source, "CREATE_DIRECTORY", *INT_LIMITS),
            description="Levels of directory to create",
        )
        self.num_capture = soft(
            "num_capture",
            int,
            0,
            _number(source, "NUM_CAPTURE", 0, UINT_MAX),
            description="Rows to capture, 0 for all of them",
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
            _period(source),
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
        # Rows as documents count them: held back from prepare to kickoff, because upstream
        # counts what was asked for from the rows there are at kickoff (flyscan.md 4.7, i22).
        self.documented = read_only("num_captured", int, 0, "Rows that documents may name")
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
        lines = await self._session.lines_of("*CAPTURE")
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
        box = self._session.box
        return {
            "name": list(names.values()),
            "dtype": [
                PandaHdf5DatasetType.UINT_32.value
                if box.captures_unsigned(field)
                else PandaHdf5DatasetType.FLOAT_64.value
                for field, _ in names
            ],
        }

    async def _put_capture(self, value: Any) -> bool:
        wanted = bool(self._switch.decode(self._switch.encode(value)))
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
        for counter in (self.num_captured, self.num_received, self.documented):
            counter.show(0)
        before = await readers_now(self._session.client)
        self.failure = asyncio.get_running_loop().create_future()
        capture = Capture(
            self._session.address,
            path,
            names=await self.names(),
            flush_period=self.flush_period.value or SOONEST_FLUSH,
            limit=(self.num_capture.value or None) if first_n else None,
            on_rows=self._flushed,
            on_received=self.num_received.show,
            on_failure=self.failed,
        )
        try:
            await capture.open()
            # One more than before: it is this box's data port that we are connected to.
            await readers_counted(self._session.client, before + 1)
        except PandaError as exc:
            self.status.show(str(exc))
            await capture.close()
            raise
        self.capture = capture
        self.full_file_path.show(str(path))
        self.status.show("Capturing")

    def _flushed(self, rows: int) -> None:
        self.num_captured.show(rows)
        if not self._held:
            self.documented.show(rows)

    def hold(self) -> None:
        """Show documents no more rows than now, until `release`."""
        self._held = True

    def release(self) -> None:
        """Let documents have every row that is flushed."""
        self._held = False
        self.documented.show(self.num_captured.value)

    def armed(self) -> None:
        """Note that PCAP was armed: the open file will get an acquisition."""
        if self.capture is not None:
            self.capture.expect()

    async def settle(self, enough: int) -> None:
        """Wait until what the box has captured by now is on the disk.

        Args:
            enough: rows since the file was opened after which nobody waits for more.

        Raises:
            PandaError: the capture has failed, and why.
        """
        capture = self.capture
        if capture is None:
            return
        for pause in (0.0, HANDOVER):
            if capture.rows >= enough or capture.error or not capture.pending:
                break
            await asyncio.sleep(pause)
            captured = int(await self._session.client.query("*PCAP.CAPTURED"))
            ended = await self._session.client.query("*PCAP.COMPLETION") != "Busy"
            goal = enough if ended else min(capture.first_row + captured, enough)
            await capture.settled(goal, timeout=SETTLE_TIMEOUT)
        if capture.error:
            raise capture.error

    def adopt(self, former: DataBlockState) -> None:
        """Take over the settings of the session before."""
        for name in CARRIED:
            self.channels[name].show(former.channels[name].value)
        for field, channel in former.dataset_channels.items():
            if field in self.dataset_channels:
                self.dataset_channels[field].show(channel.value)

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


def _number(source: str, name: str, low: int, high: int) -> Callable[[Any], Awaitable[int]]:
    codec = int_codec(f"{source}.{name}", low, high)

    async def put(value: Any) -> int:
        return int(codec.encode(value))

    return put


def _period(source: str) -> Callable[[Any], Awaitable[float]]:
    codec = float_codec(f"{source}.FLUSH_PERIOD", low=0.0)

    async def put(value: Any) -> float:
        return float(codec.encode(value))

    return put

"""What the samples of an acquisition become in the file: datasets, and their rows.

Beside the captured columns there are derived ones: the absolute time of each row, and
single bits. They are made here, so that decoding knows only what the PandA sent and a
writer only what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from panda_ophyd.capture.raw import RawColumn, integers, raw_columns, raw_record
from panda_ophyd.columns import BLOCK_ROWS, Arrays, Column, ColumnDecoder
from panda_ophyd.data import CaptureStart
from panda_ophyd.fields import BoxInfo
from panda_ophyd.rowtime import NO_TIME, STAMPS, RowClock, Start, Ticks, preferred_stamp
from panda_ophyd.writers import Attribute, Dataset, FileOptions, Role, free_name

TIME_DATASET = "absolute_time"
"""Name of the dataset of absolute times, unless a captured one has it."""

_UINT32 = np.dtype(np.uint32)
_INT64 = np.dtype(np.int64)
_BOOL = np.dtype(np.bool_)


@dataclass(frozen=True, slots=True)
class Meanings:
    """What the box knows of its fields and a header does not say.

    Attributes:
        descriptions: field on the wire to the server's own words.
        bits: captured word (``PCAP.BITS0``) to the names of its bits from the lowest,
            empty for an unused one.
    """

    descriptions: Mapping[str, str]
    bits: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, box: BoxInfo) -> Self:
        """Take from a box what it says of its fields."""
        descriptions = {
            f"{block.name}{number if block.count > 1 else ''}.{field.name}": field.description
            for block in box.blocks
            for number in range(1, block.count + 1)
            for field in block.fields
            if field.description
        }
        return cls(descriptions, {word.name: word.bits for word in box.capture_words})


NO_MEANINGS = Meanings({}, {})
"""Of a box that nobody asked."""


@dataclass(frozen=True, slots=True)
class _Bit:
    dataset: str
    word: str
    mask: np.uint32


@dataclass(frozen=True, slots=True)
class LatestRow:
    """The newest row that can be read, for who wants to look at it.

    Attributes:
        row: its number in the file.
        time: our clock when it could be read, s since 1970.
        values: dataset name to value, as in the file.
    """

    row: int
    time: float
    values: Mapping[str, bool | int | float]


class FileRows:
    """Samples in, the rows of every dataset out, over all acquisitions of one file.

    Args:
        names: (field, capture) to dataset name; others are named ``FIELD.CAPTURE``.
        options: what to derive.
        meanings: of the fields.

    Attributes:
        datasets: of the file, empty before the first acquisition.
        time: where absolute times come from, one line; why there are none, if there are none.
    """

    def __init__(
        self,
        names: Mapping[tuple[str, str], str],
        options: FileOptions,
        meanings: Meanings = NO_MEANINGS,
    ) -> None:
        self.datasets: tuple[Dataset, ...] = ()
        self.time = ""
        self._names = names
        self._options = options
        self._meanings = meanings
        self._decoder: ColumnDecoder | None = None
        self._captured: tuple[str, ...] = ()
        self._bits: tuple[_Bit, ...] = ()
        self._stamp = ""
        self._time_dataset = ""
        self._clock: RowClock | None = None
        self._raw: tuple[RawColumn, ...] = ()
        self._record = np.dtype([])
        self._arrays: Arrays | None = None
        self._scratch_rows = -1
        self._time_scratch = np.empty(0, np.int64)

    @property
    def sample_bytes(self) -> int:
        """Of one sample of the present acquisition; 0 before the first."""
        return self._decoder.sample_bytes if self._decoder else 0

    def begin(self, decoder: ColumnDecoder, start: CaptureStart, elapsed: float) -> Start:
        """Take the samples of the next acquisition from now on.

        Args:
            decoder: of the same columns as those before.
            start: its header.
            elapsed: a clock of ours that is never set, when the header came, s.

        Returns:
            What the absolute times of its rows are counted from.
        """
        self._decoder = decoder
        if not self.datasets:
            self._lay_out(decoder, start)
        if self._clock is None:
            return Start(None, 0, self.time)
        return self._clock.begin(start.start_time, start.hw_time_offset_ns, elapsed)

    def decode(self, payload: bytes | memoryview) -> dict[str, NDArray[Any]]:
        """Return the rows of whole samples.

        Args:
            payload: samples of the present acquisition.

        Returns:
            Dataset name to its (n,) values, in the order of `datasets`; valid until the
            next call, for fresh memory costs more than decoding.

        Raises:
            ProtocolError: the payload is not a whole number of samples.
        """
        if self._decoder is None:
            raise RuntimeError("samples were put before an acquisition began")
        rows = self._raw_rows(payload) if self._raw else self._scaled_rows(self._decoder, payload)
        for bit in self._bits:
            rows[bit.dataset] = (rows[bit.word] & bit.mask) != 0
        if self._clock is not None:
            stamps = np.frombuffer(payload, self._decoder.record)[self._stamp]
            rows[self._time_dataset] = self._times(self._clock, stamps)
        return rows

    def _scaled_rows(
        self, decoder: ColumnDecoder, payload: bytes | memoryview
    ) -> dict[str, NDArray[Any]]:
        values = decoder.decode(payload, self._scratch(decoder, payload)).values()
        return dict(zip(self._captured, values, strict=True))

    def _raw_rows(self, payload: bytes | memoryview) -> dict[str, NDArray[Any]]:
        records = np.frombuffer(payload, self._record)
        return {column.name: integers(records, column) for column in self._raw}

    def _times(self, clock: RowClock, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(stamps) > len(self._time_scratch):
            self._time_scratch = np.empty(len(stamps), np.int64)
        times = self._time_scratch[: len(stamps)]
        for first in range(0, len(stamps), BLOCK_ROWS):
            block = slice(first, first + BLOCK_ROWS)
            clock.times(stamps[block], times[block])
        return times

    def _scratch(self, decoder: ColumnDecoder, payload: bytes | memoryview) -> Arrays:
        """Return arrays for the columns that are long enough."""
        rows = len(payload) // decoder.sample_bytes
        if self._arrays is None or rows > self._scratch_rows:
            self._scratch_rows = rows
            self._arrays = decoder.arrays(rows)
        return self._arrays

    def _lay_out(self, decoder: ColumnDecoder, start: CaptureStart) -> None:
        columns = decoder.columns
        self._captured = tuple(self._name(column) for column in columns)
        made = [self._captured_dataset(c, self._name(c), c.dtype, {}) for c in columns]
        if self._options.raw and start.process == "Raw":
            self._record = raw_record(decoder)
            self._raw = tuple(raw_columns(decoder, start, self._name))
            made = [
                self._captured_dataset(raw.column, raw.name, raw.dtype, raw.attributes)
                for raw in self._raw
            ]
        taken = {dataset.name for dataset in made}
        for dataset, bit in self._bit_datasets(columns, taken):
            made.append(dataset)
            self._bits += (bit,)
        if (time := self._time(decoder, start, taken)) is not None:
            made.append(time)
        self.datasets = tuple(made)

    def _name(self, column: Column) -> str:
        return self._names.get((column.field, column.capture), column.name)

    def _captured_dataset(
        self,
        column: Column,
        name: str,
        dtype: np.dtype[Any],
        more: Mapping[str, Attribute],
    ) -> Dataset:
        attributes: dict[str, Attribute] = {
            "units": column.units,
            "scale": column.scale,
            "offset": column.offset,
            "capture": column.capture,
            "field": column.field,
        }
        if description := self._meanings.descriptions.get(column.field):
            attributes["description"] = description
        if bits := self._meanings.bits.get(column.field):
            attributes["bits"] = tuple(bits)
        role = Role.WORD if "low" in more or "uninvited" in more else _role(column)
        return Dataset(name, dtype, self._options.chunk, {**attributes, **more}, role)

    def _bit_datasets(
        self, columns: Iterable[Column], taken: set[str]
    ) -> Iterable[tuple[Dataset, _Bit]]:
        if not self._options.bits:
            return
        for column in columns:
            if column.scaled or column.dtype != _UINT32:
                continue
            for index, signal in enumerate(self._meanings.bits.get(column.field, ())):
                if not signal:
                    continue
                name = free_name(signal, taken)
                attributes: dict[str, Attribute] = {
                    "field": signal,
                    "word": column.field,
                    "bit": index,
                    "capture": column.capture,
                }
                if description := self._meanings.descriptions.get(signal):
                    attributes["description"] = description
                dataset = Dataset(name, _BOOL, self._options.chunk, attributes, Role.BIT)
                yield dataset, _Bit(name, self._name(column), np.uint32(1 << index))

    def _time(self, decoder: ColumnDecoder, start: CaptureStart, taken: set[str]) -> Dataset | None:
        """Return the dataset of absolute times, None if there can be none."""
        stamps = {
            column.field: (column, key)
            for column, key in zip(decoder.columns, decoder.keys, strict=True)
            if decoder.record[key] == _INT64 and column.capture == "Value"
        }
        field = preferred_stamp(stamps)
        if not self._options.time or self._options.plain:
            self.time = "none: not asked for"
        elif field is None:
            self.time = f"none: no timestamp is captured; set PCAP.{STAMPS[0]} to Value"
        elif start.start_time is None:
            self.time = "none: the PandA says no start_time; its server is older than 3.0"
        else:
            column, self._stamp = stamps[field]
            ticks = Ticks(column.scale)
            if not ticks.meaningful:
                self.time = f"none: a tick of {field} is {column.scale} s"
                return None
            self._clock = RowClock(ticks, hardware=self._options.hardware_time)
            self._time_dataset = free_name(TIME_DATASET, taken)
            added = start.hw_time_offset_ns is not None and not self._options.hardware_time
            source = "start_time + hw_time_offset_ns" if added else "start_time"
            self.time = f"{source} + {field}"
            return self._time_columns(field, start)
        return None

    def _time_columns(self, field: str, start: CaptureStart) -> Dataset:
        attributes: dict[str, Attribute] = {
            "units": "ns",
            "epoch": "1970-01-01T00:00:00Z",
            "source": self.time,
            "field": field,
            "missing": NO_TIME,
            "start_time": start.start_time or "",
            "description": "Absolute time of each row, UTC; of each acquisition, see acquisitions",
        }
        if start.hw_time_offset_ns is not None:
            attributes["hw_time_offset_ns"] = start.hw_time_offset_ns
        return Dataset(self._time_dataset, _INT64, self._options.chunk, attributes, Role.TIME)


def _role(column: Column) -> Role:
    block, _, part = column.field.partition(".")
    if part in STAMPS:
        return Role.STAMP
    if not column.scaled or block == "PCAP":
        return Role.WORD
    return Role.POSITION if block.startswith("INENC") else Role.SIGNAL

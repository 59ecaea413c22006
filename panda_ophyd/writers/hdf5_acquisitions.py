"""The table of acquisitions as HDF5 keeps it: a row each, known sizes, changed in place.

One dataset of compound rows, so that ``file["entry/acquisitions"][:]`` is a numpy record
array and a viewer shows a table. Text has a fixed size, because readers may look while
the row of the acquisition under way is written anew.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from panda_ophyd.verdict import NO_END, AcquisitionRecord, Span

ACQUISITIONS = "acquisitions"
REASON_BYTES = 128
"""Room for a reason in the file; longer ones are cut."""
NOTE_BYTES = 256
TIME_BYTES = 40

UNKNOWN_OFFSET = np.iinfo(np.int64).min
"""In place of an hw_time_offset_ns that the PandA did not say."""

_CHUNK = 16
_NOWHERE = Span(-1, -1)


def _text(size: int) -> np.dtype[Any]:
    return h5py.string_dtype("utf-8", size)


ROW = np.dtype(
    [
        ("first_row", "<i8"),
        ("rows", "<i8"),
        ("discarded", "<i8"),
        ("received", "<i8"),
        ("sent", "<i8"),
        ("missed", "<i8"),
        ("end_reason", _text(REASON_BYTES)),
        ("suspect_row", "<i8"),
        ("suspect_stop", "<i8"),
        ("arm_time", _text(TIME_BYTES)),
        ("start_time", _text(TIME_BYTES)),
        ("hw_time_offset_ns", "<i8"),
        ("time_shift_ns", "<i8"),
        ("time", _text(NOTE_BYTES)),
        ("begun", "<f8"),
        ("ended", "<f8"),
    ]
)
"""Of `AcquisitionRecord`: -1 in ``sent`` before END, empty text and NaN for what is not known."""

MEANINGS = {
    "first_row": "where its rows begin in every dataset",
    "rows": "how many of them are in the file",
    "discarded": "samples received and left away as asked (beyond a limit)",
    "received": "samples received",
    "sent": "samples that the PandA's END counts, -1 if no END came",
    "missed": "samples before our connection was there",
    "end_reason": "in the PandA's words",
    "suspect_row": "first row in doubt, -1 if none",
    "suspect_stop": "row after the last one in doubt, -1 if none",
    "arm_time": "the PandA's clock when it was armed",
    "start_time": "the PandA's clock when PCAP was armed and enabled",
    "hw_time_offset_ns": f"system minus hardware clock, {UNKNOWN_OFFSET} if there is none",
    "time_shift_ns": "added to the PandA's time so that rows stay in order; in absolute times",
    "time": "how the absolute times of its rows were made",
    "begun": "clock of the writing computer at its header, s since 1970",
    "ended": "the same when all of it was written, NaN before",
}


def fixed(text: str, size: int) -> NDArray[np.bytes_]:
    """Return text as a scalar of fixed size, cut at a character's boundary."""
    data = text.encode(errors="replace")[:size].decode(errors="ignore").encode()
    return np.array(data, dtype=_text(size))


def make_acquisitions(group: h5py.Group) -> h5py.Dataset:
    """Make the empty table."""
    table = group.create_dataset(
        ACQUISITIONS, shape=(0,), maxshape=(None,), chunks=(_CHUNK,), dtype=ROW
    )
    for name, meaning in MEANINGS.items():
        table.attrs[name] = meaning
    return table


def put_acquisition(table: h5py.Dataset, number: int, record: AcquisitionRecord) -> None:
    """Write a row, which may be there already or is the next one."""
    if number >= len(table):
        table.resize((number + 1,))
    suspect = record.suspect or _NOWHERE
    offset = record.hw_time_offset_ns
    row = np.zeros((), ROW)
    row["first_row"], row["rows"], row["discarded"] = (
        record.first_row,
        record.rows,
        record.discarded,
    )
    row["received"], row["missed"] = record.received, record.missed
    row["sent"] = -1 if record.sent is None else record.sent
    row["end_reason"] = fixed(record.end_reason, REASON_BYTES)
    row["suspect_row"], row["suspect_stop"] = suspect
    row["arm_time"] = fixed(record.arm_time or "", TIME_BYTES)
    row["start_time"] = fixed(record.start_time or "", TIME_BYTES)
    row["hw_time_offset_ns"] = UNKNOWN_OFFSET if offset is None else offset
    row["time_shift_ns"] = record.time_shift_ns
    row["time"] = fixed(record.time, NOTE_BYTES)
    row["begun"] = record.begun
    row["ended"] = np.nan if record.ended is None else record.ended
    table[number] = row


def read_acquisitions(table: h5py.Dataset) -> tuple[AcquisitionRecord, ...]:
    """Read every row back.

    Raises:
        ValueError: the table lacks a column.
    """
    if missing := set(ROW.names or ()) - set(table.dtype.names or ()):
        raise ValueError(f"the table of acquisitions has no {', '.join(sorted(missing))}")
    return tuple(_record(row) for row in table[:])


def _record(row: Any) -> AcquisitionRecord:
    def text(name: str) -> str:
        return bytes(row[name]).decode(errors="replace")

    offset, suspect = int(row["hw_time_offset_ns"]), int(row["suspect_row"])
    return AcquisitionRecord(
        first_row=int(row["first_row"]),
        rows=int(row["rows"]),
        discarded=int(row["discarded"]),
        received=int(row["received"]),
        sent=None if row["sent"] < 0 else int(row["sent"]),
        missed=int(row["missed"]),
        end_reason=text("end_reason") or NO_END,
        arm_time=text("arm_time") or None,
        start_time=text("start_time") or None,
        hw_time_offset_ns=None if offset == UNKNOWN_OFFSET else offset,
        time_shift_ns=int(row["time_shift_ns"]),
        time=text("time"),
        suspect=Span(suspect, int(row["suspect_stop"])) if suspect >= 0 else None,
        begun=float(row["begun"]),
        ended=None if np.isnan(row["ended"]) else float(row["ended"]),
    )

"""An HDF5 file looked into without trusting it: what it says, what it holds, what is damaged.

Nothing is changed, and a writer at work is not disturbed: a file that is open for SWMR
writing is read as such. A superblock of that kind says by a flag that a writer has not
closed it, and HDF5 refuses other readers then; whether the writer still lives is asked of
the system.

Every chunk is looked for: one that was never written reads as zeros without complaint.

Source: HDF5 File Format Specification, "Superblock" (versions 2 and 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from panda_ophyd.rowtime import NO_TIME
from panda_ophyd.verdict import AcquisitionRecord, Verdict
from panda_ophyd.writers.evidence import Evidence, Hand, Maker, Unreadable
from panda_ophyd.writers.hdf5_acquisitions import ACQUISITIONS, read_acquisitions
from panda_ophyd.writers.hdf5_compression import missing_filter
from panda_ophyd.writers.signature import ProcessSignature

CREATOR = "panda-ophyd"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SLAB_ROWS = 1 << 20
"""Rows read at once."""
MOST_HOLES = 3
"""How many ranges of rows that were never written are told of one dataset."""

_VERSION_AT, _FLAGS_AT = 8, 11
_FLAGGED_VERSION = 3
_PANDABLOCKS = {"arm_time", "start_time"}
_FAILURES = (OSError, RuntimeError, ValueError, TypeError, KeyError)


def examine(path: Path, *, thorough: bool = True) -> Evidence:
    """Look into a file.

    Args:
        path: where it is.
        thorough: read every row, in place of making sure that it is there.

    Raises:
        Unreadable: it is not there, no HDF5 file, or too damaged to be opened.
    """
    open_flag = _open_flag(path)
    try:
        file = h5py.File(path, "r", swmr=open_flag)
    except _FAILURES as failure:
        raise Unreadable(_explained(failure, open_flag=open_flag)) from failure
    with file:
        try:
            return _examined(file, open_flag=open_flag, thorough=thorough)
        except _FAILURES as failure:
            raise Unreadable(f"it is damaged: {_words(failure)}") from failure


def _open_flag(path: Path) -> bool:
    """Return whether the superblock says that a writer has the file open."""
    try:
        with path.open("rb") as file:
            head = file.read(_FLAGS_AT + 1)
    except OSError as failure:
        raise Unreadable(f"it cannot be opened: {failure.strerror}") from failure
    if not head:
        raise Unreadable("it is empty: its writer died before anything came, or has just begun")
    if not head.startswith(SIGNATURE):
        raise Unreadable("it is no HDF5 file")
    if len(head) <= _FLAGS_AT:
        raise Unreadable("its end is missing: there is nothing but the first bytes")
    return head[_VERSION_AT] == _FLAGGED_VERSION and bool(head[_FLAGS_AT])


def _explained(failure: BaseException, *, open_flag: bool) -> str:
    text = _words(failure)
    if "truncated" in text:
        return f"its end is missing: {text}"
    if "unable to lock" in text:
        return f"another program keeps it locked: {text}"
    if open_flag:
        return f"a writer has it open, or died before the first acquisition began: {text}"
    return f"HDF5 cannot open it: {text}"


def _words(failure: BaseException) -> str:
    return " ".join(str(failure).split()) or type(failure).__name__


def _examined(file: h5py.File, *, open_flag: bool, thorough: bool) -> Evidence:
    datasets = {name: item for name, item in _items(file) if isinstance(item, h5py.Dataset)}
    maker = _maker(file)
    signature = _signature(file)
    hand = _hand(signature, open_flag=open_flag)
    # The table before the datasets: rows that come meanwhile are then not missed there
    acquisitions = _acquisitions(file)
    lengths: dict[str, int] = {}
    damage: list[str] = []
    lacking = ""
    for name, dataset in datasets.items():
        if not dataset.shape:
            continue
        lengths[name] = dataset.shape[0]
        codec = missing_filter(dataset) if thorough else ""
        if codec:
            lacking = f"{name} is compressed with {codec}, which is not here: install hdf5plugin"
        if hand is not Hand.WRITING:
            damage += _damage(name, dataset, thorough=thorough and not codec)
    return Evidence(
        maker=maker,
        hand=hand,
        writer="" if signature is None else str(signature),
        said=_said(file),
        acquisitions=acquisitions,
        lengths=lengths,
        damage=tuple(damage),
        lacking=lacking,
    )


def _items(file: h5py.File) -> Iterator[tuple[str, Any]]:
    for name in file:
        yield name, file[name]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _maker(file: h5py.File) -> Maker:
    # Files of versions before the word was written have the verdict
    if "creator" in file.attrs:
        said = _text(file.attrs["creator"])
        return Maker.OURS if said.startswith(CREATOR) else Maker.OTHER
    if "suspect_row" in file.attrs and "complete" in file.attrs:
        return Maker.OURS
    return Maker.PANDABLOCKS if any(name in file.attrs for name in _PANDABLOCKS) else Maker.OTHER


def _signature(file: h5py.File) -> ProcessSignature | None:
    names = ("writer_host", "writer_pid", "writer_started")
    if not all(name in file.attrs for name in names):
        return None
    host, pid, started = (file.attrs[name] for name in names)
    return ProcessSignature(_text(host), int(pid), _text(started))


def _hand(signature: ProcessSignature | None, *, open_flag: bool) -> Hand:
    if not open_flag:
        return Hand.CLOSED
    alive = None if signature is None else signature.alive
    return {True: Hand.WRITING, False: Hand.DIED, None: Hand.UNKNOWN}[alive]


def _said(file: h5py.File) -> Verdict | None:
    if "complete" not in file.attrs or "rows" not in file.attrs:
        return None
    of = file.attrs

    def number(name: str) -> int:
        return int(of[name]) if name in of else -1

    problem = _text(of["problem"]) if "problem" in of else ""
    return Verdict(
        complete=bool(of["complete"]),
        end_reason=_text(of["end_reason"]) if "end_reason" in of else "",
        rows=number("rows"),
        suspect_row=number("suspect_row"),
        suspect_stop=number("suspect_stop"),
        problems=(problem,) if problem else (),
    )


def _acquisitions(file: h5py.File) -> tuple[AcquisitionRecord, ...] | None:
    entry = _text(file.attrs["default"]) if "default" in file.attrs else ""
    path = f"{entry}/{ACQUISITIONS}"
    if entry and path in file:
        return read_acquisitions(file[path])
    return _in_total(file)


def _in_total(file: h5py.File) -> tuple[AcquisitionRecord, ...] | None:
    """Return all acquisitions as one, from attributes; None if there are none or no counts."""
    of = file.attrs
    names = ("samples_sent", "samples_received", "samples_discarded", "samples_missed")
    if not all(name in of for name in (*names, "rows", "end_reason")):
        return None
    sent, received, discarded, missed = (int(of[name]) for name in names)
    rows, reason = int(of["rows"]), _text(of["end_reason"])
    return (AcquisitionRecord(0, max(rows, 0), discarded, received, sent, missed, reason),)


def _damage(
    name: str,
    dataset: h5py.Dataset,
    *,
    thorough: bool,
) -> Iterator[str]:
    holes = list(_holes(dataset))
    for start, stop in holes[:MOST_HOLES]:
        yield f"rows {start} to {stop - 1} of {name} were never written and read as zeros"
    if len(holes) > MOST_HOLES:
        yield f"and {len(holes) - MOST_HOLES} more ranges of rows of {name}"
    if not thorough:
        return
    ordered = dataset.dtype == np.int64 and "epoch" in dataset.attrs and "missing" in dataset.attrs
    latest = NO_TIME
    for start in range(0, len(dataset), SLAB_ROWS):
        stop = min(start + SLAB_ROWS, len(dataset))
        try:
            values = dataset[start:stop]
        except _FAILURES as failure:
            yield f"rows {start} to {stop - 1} of {name} cannot be read: {_words(failure)}"
            return
        if ordered:
            back = _goes_back(values, latest)
            if back is not None:
                yield f"{name} goes back at row {start + back}: rows are in doubt from there on"
                return
            latest = max(latest, int(values.max()))


def _goes_back(times: np.ndarray[Any, Any], latest: int) -> int | None:
    """Return the first row whose time is before that of a row before, None if none is."""
    there = times != NO_TIME
    running = np.maximum.accumulate(np.concatenate(([latest], times)))[:-1]
    wrong = np.flatnonzero(there & (times < running))
    return int(wrong[0]) if len(wrong) else None


def _holes(dataset: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """Yield the rows, from and to before, whose chunks are not in the file."""
    rows = len(dataset)
    if not dataset.chunks or not rows:
        return
    size = dataset.chunks[0]
    there = np.zeros(-(-rows // size), np.bool_)

    def note(info: Any) -> None:
        index = info.chunk_offset[0] // size
        if index < len(there):
            there[index] = True

    dataset.id.chunk_iter(note)
    edges = np.flatnonzero(np.diff(np.concatenate(([True], there, [True])).astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        yield int(first) * size, min(int(last) * size, rows)

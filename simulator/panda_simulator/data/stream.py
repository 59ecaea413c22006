"""Blocks that may end inside a sample become pieces that never do.

Source: protocol.md 8.6, 8.8 (overrun).
"""

from __future__ import annotations

import struct
from collections.abc import Generator

from panda_simulator.box.capture import CapturePlan
from panda_simulator.data.convert import convert, sample_bytes, to_ascii, to_base64
from panda_simulator.data.options import Format, Options, Process
from panda_simulator.data.ring import Reader
from panda_simulator.data.tap import StreamTap

CHUNK_BYTES = 65536
_TEXT_BYTES = 16384
_TOGETHER = 8
FRAME_PREFIX = 8


def _frame(*payload: bytes | memoryview) -> bytes:
    length = FRAME_PREFIX + sum(map(len, payload))
    return b"".join((struct.pack("<4sI", b"BIN ", length), *payload))


class Stream:
    """One acquisition on its way to one client."""

    def __init__(
        self,
        reader: Reader,
        plan: CapturePlan,
        options: Options,
        skip: int,
        tap: StreamTap | None = None,
    ) -> None:
        """Start with nothing sent.

        Args:
            reader: where the blocks come from; asked about overruns only.
            plan: columns of the acquisition.
            options: what the client wants.
            skip: bytes at the beginning that this client does not get.
            tap: what may meddle with it.
        """
        self.reader = reader
        self.sent = 0
        self._plan = plan
        self._options = options
        self._skip = skip
        self._tap = tap
        self._rest = b""
        framed = options.format is Format.FRAMED
        self._whole_blocks = (
            framed and options.process is Process.RAW and plan.features.block_frames
        )
        # text has no pieces that show, and takes long to write
        text = options.format is Format.ASCII
        room = _TEXT_BYTES if text else CHUNK_BYTES - FRAME_PREFIX * framed
        self._chunk = room // sample_bytes(plan, options.process) * plan.raw_bytes

    def pieces(self, block: bytes) -> Generator[bytes, None, bool]:
        """Yield what to send of a block; return False if the writer has overtaken it."""
        skipped = min(self._skip, len(block))
        self._skip -= skipped
        if skipped == len(block):
            return True
        rest, data = self._rest, memoryview(block)[skipped:]
        length = (len(rest) + len(data)) // self._plan.raw_bytes * self._plan.raw_bytes
        if not length:
            self._rest = rest + data
        else:
            self._rest = bytes(data[length - len(rest) :])
        if self._tap is not None and self._tap.busy:
            whole = b"".join((rest, data))[:length]
            return (yield from self._tapped(self._tap, whole))
        if self._whole_blocks:
            # sent without looking first, as the server does: its last frame is suspect
            self.sent += length // self._plan.raw_bytes
            yield _frame(rest[:length], data[: max(length - len(rest), 0)])
            return not self.reader.overrun
        data = memoryview(b"".join((rest, data))) if rest else data
        # several chunks are converted together, which is faster and does not show
        most = _TOGETHER * self._chunk
        for start in range(0, length, most):
            raw = bytes(data[start : min(start + most, length)])
            converted = convert(self._plan, self._options.process, raw)
            samples = len(raw) // self._plan.raw_bytes
            row, step = len(converted) // samples, self._chunk // self._plan.raw_bytes
            for first in range(0, samples, step):
                if self.reader.overrun:
                    return False
                last = min(first + step, samples)
                self.sent += last - first
                yield self._encode(converted[first * row : last * row])
        return True

    def _tapped(self, tap: StreamTap, data: bytes) -> Generator[bytes, None, bool]:
        """Yield whole samples as the tap will have them; they count as if it did nothing."""
        row = self._plan.raw_bytes
        most = len(data) if self._whole_blocks else self._chunk
        start = 0
        while start < len(data):
            if self.reader.overrun or tap.overrun(self.sent):
                return False
            room = tap.boundary(self.sent)
            stop = min(start + most, len(data), start + row * (room or len(data)))
            rows = tap.rows(self.sent, data[start:stop], row)
            self.sent += (stop - start) // row
            start = stop
            if piece := tap.frame(self._encode(convert(self._plan, self._options.process, rows))):
                yield piece
        return not tap.overrun(self.sent)

    def _encode(self, data: bytes) -> bytes:
        form = self._options.format
        if form is Format.ASCII:
            return to_ascii(self._plan, self._options.process, data)
        if form is Format.BASE64:
            return to_base64(data)
        if form is Format.FRAMED:
            return _frame(data)
        return data

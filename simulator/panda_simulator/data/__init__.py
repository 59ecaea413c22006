"""The data port without its sockets: an option line in, acquisitions out.

Source: protocol.md 8.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from panda_simulator.box import CommandError
from panda_simulator.data.acquisition import Acquisition, Later
from panda_simulator.data.header import format_header
from panda_simulator.data.options import Options, parse_options
from panda_simulator.data.ring import Reader
from panda_simulator.data.stream import Stream
from panda_simulator.data.tap import StreamTap

__all__ = ["Acquisition", "DataConnection", "Later", "StreamTap"]

LINE_LIMIT = 1022
OVERRUN = "Data overrun"
DISCONNECTED = "Early disconnect"


class DataConnection:
    """One client: what it sends is taken, what it is due can be fetched piece by piece.

    A piece is to be fetched only when the one before has left for the client: that is
    how the ring learns that a client is slow.
    """

    def __init__(self, acquisition: Acquisition, tap: StreamTap | None = None) -> None:
        self.closed = False
        """Whether the conversation is over."""
        self._acquisition = acquisition
        self._tap = tap
        self._input = b""
        self._line: str | None = None
        self._eof = False
        self._conversation = self._converse()

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client; all after the option line are thrown away."""
        if self._line is not None:
            return
        self._input += data
        line, end, _ = self._input.partition(b"\n")
        if len(line) > LINE_LIMIT:
            self.close()
        elif end:
            self._line = line.partition(b"\0")[0].decode("latin-1")

    def receive_eof(self) -> None:
        """Take note that the client closed its side: a disconnect."""
        self._eof = True

    def data_to_send(self) -> bytes:
        """Return the next piece, nothing if there is none now."""
        if self.closed:
            return b""
        piece = next(self._conversation, None)
        if piece is None:
            self.close()
            return b""
        return piece

    def close(self) -> None:
        """End the conversation and give up the place among the readers."""
        self._conversation.close()
        self.closed = True

    def _converse(self) -> Generator[bytes]:
        while self._line is None:
            if self._eof:
                return
            yield b""
        try:
            options = parse_options(self._line, self._acquisition.features)
        except CommandError as error:
            yield f"ERR {error.message}\n".encode("latin-1")
            return
        reader = Reader(self._acquisition.ring)
        try:
            if options.status:
                yield b"OK\n"
            while not self._eof:
                if reader.ready:
                    yield from self._deliver(reader, options)
                    if options.one_shot:
                        return
                else:
                    yield b""
        finally:
            reader.leave()

    def _deliver(self, reader: Reader, options: Options) -> Iterator[bytes]:
        acquisition = self._acquisition
        plan = acquisition.plan
        if plan is None:
            return
        tap = self._tap
        lost = reader.open()
        more = tap.missed() if tap else 0
        missed = -(-lost // plan.raw_bytes) + more
        skip = -lost % plan.raw_bytes + more * plan.raw_bytes
        stream = Stream(reader, plan, options, skip, tap)
        try:
            if options.header:
                header = format_header(plan, options, acquisition.times, missed)
                yield tap.header(header) if tap else header
            reason = yield from self._stream(stream)
            completion = reason or acquisition.reason
        finally:
            reader.close()
        if options.status:
            end = f"END {stream.sent} {completion}\n".encode("ascii")
            if end := tap.end(end) if tap else end:
                yield end

    def _stream(self, stream: Stream) -> Generator[bytes, None, str]:
        """Yield the data; return why it ended early, nothing if it did not."""
        while not stream.reader.exhausted:
            if self._eof:
                return DISCONNECTED
            block = stream.reader.take()
            if block is None:
                yield b""
                continue
            if stream.reader.overrun or not (yield from stream.pieces(block)):
                return OVERRUN
        return ""

"""A box that does nothing but send one prepared acquisition, as fast as it is taken.

The simulator's firehose makes its samples while they are sent, which costs more than to
receive them. Here they lie ready: word k of sample n is k + 1 + 256 n, from the beginning again
after `RECORDED` samples; header, frames, END and the few commands it takes to arm are those
of a box.
"""

from __future__ import annotations

import multiprocessing
import socket
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from xml.sax.saxutils import quoteattr

import numpy as np
from servers import Box

SAMPLE_BYTES = 60
FRAME_SAMPLES = 34952
"""As many as fit the 2 MiB that a box sends at a time."""
RECORDED = 32 * FRAME_SAMPLES

FIELDS = (
    ("PCAP.GATE_DURATION", "int32", "Value", 8e-9, 0.0, "s"),
    ("PCAP.BITS0", "uint32", "Value", None, None, None),
    ("INENC1.VAL", "int32", "Value", 0.5, 10.0, "mm"),
    ("INENC1.VAL", "int32", "Min", 0.5, 10.0, "mm"),
    ("INENC1.VAL", "int32", "Max", 0.5, 10.0, "mm"),
    ("INENC2.VAL", "int32", "Value", 0.001, -5.0, "deg"),
    ("COUNTER1.OUT", "int32", "Value", 1.0, 0.0, ""),
    ("INENC1.VAL", "int64", "Sum", 0.5, 10.0, "mm"),
    ("PCAP.TS_TRIG", "int64", "Value", 8e-9, 0.0, "s"),
    ("PCAP.TS_START", "int64", "Value", 8e-9, 0.0, "s"),
    ("INENC1.VAL", "int64", "Mean", 0.5, 10.0, "mm"),
)
"""Eleven columns of 60 bytes: name, type, capture, scale, offset, units."""


def header() -> bytes:
    """Return the header of the acquisition."""
    fields = ""
    for name, kind, capture, scale, offset, units in FIELDS:
        scaled = (
            ""
            if scale is None
            else f' scale="{scale:.12g}" offset="{offset:.12g}" units={quoteattr(units or "")}'
        )
        fields += f'<field name="{name}" type="{kind}" capture="{capture}"{scaled} />\n'
    return (
        '<header>\n<data arm_time="2026-11-22T08:08:30.721304877Z"'
        ' start_time="2026-11-22T08:08:30.727790791Z" missed="0" process="Raw" format="Framed"'
        f' sample_bytes="{SAMPLE_BYTES}" />\n<fields>\n{fields}</fields>\n</header>\n\n'
    ).encode()


def samples() -> bytes:
    """Return the samples that are sent again and again."""
    words = SAMPLE_BYTES // 4
    numbers = 256 * np.arange(RECORDED, dtype=np.uint32)[:, None]
    return (numbers + np.arange(1, words + 1, dtype=np.uint32)).astype("<u4").tobytes()


@dataclass
class _Box:
    """What the box knows: who reads, and whether it is armed."""

    count: int
    data: bytes
    rate: float
    readers: int = 0
    busy: bool = False

    def __post_init__(self) -> None:
        self.armed = threading.Condition()
        self.arms = 0

    def answer(self, line: str) -> str:
        """Return the reply to a command."""
        if line == "*PCAP.ARM=":
            with self.armed:
                self.arms += 1
                self.busy = True
                self.armed.notify_all()
            return "OK"
        state = "Busy" if self.busy else "Idle"
        return {
            "*IDN?": "OK =PandA SW: 4.1 FPGA: 0.0.0 00000000 00000000 rootfs: none",
            "*PCAP.STATUS?": f"OK ={state} {self.readers} 0",
            "*PCAP.COMPLETION?": f"OK ={'Busy' if self.busy else 'Ok'}",
            "*PCAP.DISARM=": "OK",
        }.get(line, "ERR Unknown command")

    def control(self, peer: socket.socket) -> None:
        """Serve a control connection."""
        with peer, peer.makefile("rb") as lines, suppress(OSError):
            for line in lines:
                peer.sendall(f"{self.answer(line.decode().strip())}\n".encode())

    def stream(self, peer: socket.socket) -> None:
        """Serve a data connection."""
        with peer, suppress(OSError):
            peer.recv(1000)
            peer.sendall(b"OK\n")
            self.readers += 1
            try:
                arms = self.arms
                while True:
                    with self.armed:
                        self.armed.wait_for(lambda arms=arms: self.arms > arms)
                        arms = self.arms
                    self.acquisition(peer)
                    self.busy = False
            finally:
                self.readers -= 1

    def acquisition(self, peer: socket.socket) -> None:
        """Send header, frames and END."""
        peer.sendall(header())
        view = memoryview(self.data)
        at, left = 0, self.count
        while left:
            number = min(left, FRAME_SAMPLES)
            size = number * SAMPLE_BYTES
            peer.sendall(struct.pack("<4sI", b"BIN ", size + 8), socket.MSG_MORE)
            peer.sendall(view[at : at + size])
            left -= number
            at = (at + size) % len(view)
        peer.sendall(f"END {self.count} Ok\n".encode())


def _serve(ready: Connection, count: int) -> None:
    box = _Box(count, samples(), 0)

    def accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    control, data = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    ready.send((control.getsockname()[1], data.getsockname()[1]))
    threading.Thread(target=accept, args=(control, box.control), daemon=True).start()
    accept(data, box.stream)


@contextmanager
def recording(count: int) -> Generator[Box]:
    """Serve acquisitions of so many samples from a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(there, count), daemon=True)
    process.start()
    control, data = here.recv()
    try:
        yield Box("127.0.0.1", control, data, process.pid)
    finally:
        process.terminate()
        process.join()

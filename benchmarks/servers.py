"""Servers to measure, each in a process of its own: a simulated box, and floors below it."""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

_PIECE = 480
"""Bytes of a table in a line."""


@dataclass(frozen=True)
class Box:
    """Where a server is, and its process if it is one of ours."""

    host: str
    control: int
    data: int
    pid: int | None = None
    bench: int = 0
    """The bench port, if it has one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST[:CONTROL[:DATA]]``."""
        host, _, ports = text.partition(":")
        control, _, data = ports.partition(":")
        return cls(host, int(control or 8888), int(data or 8889))

    def cpu(self) -> float:
        """Return seconds of processor time so far; 0 where that cannot be known."""
        path = Path(f"/proc/{self.pid}/stat")
        if self.pid is None or not path.exists():
            return 0.0
        fields = path.read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """A control connection."""

    def __init__(self, box: Box) -> None:
        self._socket = socket.create_connection((box.host, box.control))
        self._replies = self._socket.makefile("rb")

    def ask(self, *lines: str) -> bytes:
        """Send commands together, wait for all replies, and return the last line."""
        self._socket.sendall("".join(f"{line}\n" for line in lines).encode())
        reply = b""
        for _ in lines:
            reply = self._replies.readline()
            while reply.startswith(b"!"):
                reply = self._replies.readline()
        return reply

    def ask_table(self, name: str, words: Iterable[int]) -> bytes:
        """Write a table; return the reply."""
        data = array("I", words).tobytes()
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        lines = b"".join(b"%s\n" % base64.b64encode(piece) for piece in pieces)
        self._socket.sendall(b"%s<B\n%s\n" % (name.encode(), lines))
        return self._replies.readline()

    def timed(self, *lines: str) -> float:
        """Return the seconds that `ask` takes."""
        begun = time.perf_counter()
        self.ask(*lines)
        return time.perf_counter() - begun

    def pipelined(self, line: bytes, count: int) -> float:
        """Send a command many times at once; return the seconds until the last reply."""
        sending = threading.Thread(target=self._socket.sendall, args=(line * count,))
        begun = time.perf_counter()
        sending.start()
        left = count
        while left > 0:
            left -= self._socket.recv(1 << 20).count(b"\n")
        sending.join()
        return time.perf_counter() - begun

    def close(self) -> None:
        """Hang up."""
        self._replies.close()
        self._socket.close()


@contextmanager
def client(box: Box) -> Generator[Client]:
    """Yield a control connection."""
    opened = Client(box)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def simulator(*arguments: str) -> Generator[Box]:
    """Serve a simulated box from a process of its own."""
    command = [sys.executable, "-m", "panda_simulator", "serve"]
    ports = ["--control-port", "0", "--data-port", "0"]
    with subprocess.Popen([*command, *ports, *arguments], stdout=subprocess.PIPE) as process:  # noqa: S603
        words = process.stdout.readline().split() if process.stdout else []
        control, data, *bench = (int(word.rpartition(b":")[2]) for word in words[2::2])
        try:
            yield Box("127.0.0.1", control, data, process.pid, *bench)
        finally:
            process.terminate()


def echo_back(ready: Connection, changes: bytes) -> None:
    """Serve lines: each comes back, but for the one to which there is a long reply."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(16384):
            writer.write(data.replace(b"*CHANGES?\n", changes) if b"*CHANGES" in data else data)
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)  # noqa: TID251
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def pour_out(ready: Connection, block: bytes) -> None:
    """Send the same bytes to every client, as fast as it takes them."""

    def pour(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while True:
                peer.sendall(block)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        ready.send(listener.getsockname()[1])
        while True:
            threading.Thread(target=pour, args=(listener.accept()[0],), daemon=True).start()


@contextmanager
def floor(serve: Callable[[Connection, bytes], None], data: bytes) -> Generator[Box]:
    """Serve from a process of its own what does the least."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(there, data), daemon=True)
    process.start()
    port: int = here.recv()
    try:
        yield Box("127.0.0.1", port, port, process.pid)
    finally:
        process.terminate()
        process.join()

"""A box that stands for the real one, and what was sent to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from panda_simulator import Simulator, serve_in_thread

SET_UP = (
    "INENC1.VAL.SCALE=0.0001",
    "INENC1.VAL.UNITS=mm",
    "INENC1.VAL.CAPTURE=Value",
    "PULSE3.WIDTH.RAW=77",
    "*METADATA.DESIGN=of the real one",
    "*METADATA.LABEL_PULSE3=µ <odd> \\ label=",
    "SEQ2.TABLE<\n1\n0\n3\n2\n",
)


def tell(simulator: Simulator, command: str) -> str:
    """Do what some other client sends to a box, and return the reply."""
    bytewise = command.encode().decode("latin-1")
    return simulator.call(simulator._server.command, bytewise)


def state_of(simulator: Simulator) -> str:
    """Return all that is set on a box."""
    queries = ("*CHANGES.CONFIG?", "*CHANGES.ATTR?", "*CHANGES.METADATA?", "SEQ2.TABLE?")
    return "".join(tell(simulator, query) for query in queries)


@pytest.fixture
def real() -> Iterator[Simulator]:
    """The box that nothing may be done to: not as at power-up, its axes not at 0."""
    with serve_in_thread() as simulator:
        simulator.call(simulator.world.axes["x"].place, 0.5)
        simulator.call(simulator.world.axes["y"].place, -1.25)
        simulator.call(simulator.world.drive, "TTLIN", 3, 1)
        for command in SET_UP:
            assert tell(simulator, command) == "OK\n", command
        yield simulator


class Tap:
    """A way to a control port that keeps what was sent on it."""

    def __init__(self, port: int) -> None:
        self.sent = b""
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._sockets = [self._server]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        """Leave neither a thread nor a socket to a later test."""
        for each in self._sockets:
            with suppress(OSError):  # its peer may be gone; a thread that waits for it wakes up
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()

    @property
    def lines(self) -> list[str]:
        return self.sent.decode("latin-1").splitlines()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self._sockets.append(near)
            far = socket.create_connection(("127.0.0.1", self._port))
            self._sockets.append(far)
            for source, target, keep in ((near, far, True), (far, near, False)):
                self._start(self._pass_on, source, target, keep)

    def _pass_on(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        with suppress(OSError):  # either may be gone
            while data := source.recv(1 << 16):
                if keep:
                    self.sent += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def tap(real: Simulator) -> Iterator[Tap]:
    """Stand between a client and the real box."""
    tap = Tap(real.control_port)
    yield tap
    tap.close()

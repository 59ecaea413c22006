"""How fast the simulator is, each figure beside a peer that was measured in the same run.

    python benchmarks/simulator.py [--seconds S] [--reference HOST[:CONTROL[:DATA]]]

The peers are floors: an asyncio server that does nothing but send lines back, and a loop of
`sendall`. With a reference, which is only read, its figures stand in a column of their own.
Simulator, peers and clients share this machine, so the figures are those of what it has left:
"of a core" is what the simulator got of it meanwhile.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from servers import Box, Client, client, echo_back, floor, pour_out, simulator

T = TypeVar("T")
ECHOES = 20_000
REPEATS = 9
CONTROL_CLIENTS, DATA_CLIENTS = 300, 50
POLLERS, POLLING_HZ = 10, 10
CAPTURE = (
    "PCAP.TS_TRIG.CAPTURE=Value", "PCAP.BITS0.CAPTURE=Value", "INENC1.VAL.CAPTURE=Value",
    "INENC2.VAL.CAPTURE=Value", "COUNTER1.OUT.CAPTURE=Min Max",
)  # fmt: skip
BUSY_CLOCK = (
    "CLOCK1.PERIOD.UNITS=us", "CLOCK1.PERIOD=10", "CLOCK1.ENABLE=ONE", "COUNTER1.ENABLE=ONE",
    "COUNTER1.TRIG=CLOCK1.OUT",
)  # fmt: skip
RING = ("CLOCK1.ENABLE=ZERO", "LUT1.FUNC=~A", "LUT1.INPA=LUT1.OUT")
_MB = 1e6
_WARM_UP = 0.3


class Table:
    """Prints figures as they come, a column for each kind of server."""

    def __init__(self, *, reference: bool) -> None:
        self._reference = reference
        self.line("", "simulator", "of a core", "floor", "reference", "wanted")
        print("-" * (102 if reference else 88))

    def line(
        self,
        name: str,
        ours: str,
        used: str = "",
        least: str = "",
        reference: str = "",
        want: str = "",
    ) -> None:
        """Print a line."""
        third = f"{reference:>14}" if self._reference else ""
        print(f"{name:<42}{ours:>14}{used:>12}{least:>12}{third}  {want}", flush=True)


def _used(box: Box, measure: Callable[[], T]) -> tuple[T, str]:
    """Measure, and tell what a server had of a core meanwhile."""
    before, begun = box.cpu(), time.perf_counter()
    figure = measure()
    return figure, f"{(box.cpu() - before) / (time.perf_counter() - begun):.0%}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _percentiles(times: list[float]) -> str:
    ordered = sorted(times)
    return (
        f"{ordered[len(ordered) // 2] * 1e3:.1f}/{ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms"
    )


def echoes(box: Box) -> str:
    """Pipeline ``*ECHO``."""
    with client(box) as control:
        times = [control.pipelined(b"*ECHO hello?\n", ECHOES) for _ in range(3)]
    return f"{statistics.median(times):.3f} s"


def round_trip(box: Box) -> str:
    """Ask ``*ECHO`` one after the other."""
    with client(box) as control:
        return _percentiles([control.timed("*ECHO hello?") for _ in range(1000)])


def first_changes(box: Box) -> str:
    """Ask ``*CHANGES?`` on new connections."""
    times: list[float] = []
    for _ in range(REPEATS):
        with client(box) as control:
            times.append(control.timed("*CHANGES?"))
    return _ms(statistics.median(times))


def again_changes(box: Box) -> str:
    """Ask ``*CHANGES?`` again and again."""
    with client(box) as control:
        control.ask("*CHANGES?")
        return _ms(statistics.median(control.timed("*CHANGES?") for _ in range(REPEATS)))


def crowd(box: Box) -> str:
    """Connect many clients, and have an answer for each."""
    begun = time.perf_counter()
    with ExitStack() as stack:

        def connect(port: int) -> socket.socket:
            return stack.enter_context(socket.create_connection((box.host, port)))

        control = [connect(box.control) for _ in range(CONTROL_CLIENTS)]
        data = [connect(box.data) for _ in range(DATA_CLIENTS)]
        for peer in control:
            peer.sendall(b"*ECHO hello?\n")
        for peer in data:
            peer.sendall(b"XML FRAMED RAW\n")
        for peer in (*control, *data):
            if not peer.recv(100):
                raise ConnectionError("a client of many was not answered")
        return _ms(time.perf_counter() - begun)


def load(box: Box, seconds: float) -> str:
    """Do nothing, and see what the server uses meanwhile."""
    before, begun = box.cpu(), time.perf_counter()
    time.sleep(seconds)
    return f"{(box.cpu() - before) / (time.perf_counter() - begun):.2%}"


def polled(box: Box, seconds: float) -> str:
    """Poll ``*CHANGES?`` from several clients, and see what the server uses meanwhile."""
    stop = threading.Event()

    def poll() -> None:
        with client(box) as control:
            while not stop.wait(1 / POLLING_HZ):
                control.ask("*CHANGES?")

    threads = [threading.Thread(target=poll) for _ in range(POLLERS)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    used = load(box, seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return used


def pour(box: Box, options: str, clients: int, seconds: float) -> tuple[list[float], list[float]]:
    """Take what a firehose, or a floor of one, sends.

    Returns:
        Bytes per second of each client; seconds of the control commands sent meanwhile,
        none for a floor.
    """
    taken = [0] * clients
    stop = threading.Event()

    def take(number: int, peer: socket.socket) -> None:
        buffer = bytearray(1 << 20)
        while not stop.is_set():
            taken[number] += peer.recv_into(buffer)

    with ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection((box.host, box.data)))
            for _ in range(clients)
        ]
        control = None
        if box.control != box.data:
            control = stack.enter_context(client(box))
            for peer in peers:
                peer.sendall(f"{options}\n".encode())
                peer.recv(3)
            control.ask(*CAPTURE)
            while control.ask("*PCAP.STATUS?").split()[2:3] != [b"%d" % clients]:
                time.sleep(0.01)
            control.ask("*PCAP.ARM=")
        threads = [threading.Thread(target=take, args=item) for item in enumerate(peers)]
        for thread in threads:
            thread.start()
        time.sleep(_WARM_UP)
        begun, before = time.perf_counter(), list(taken)
        times = list(_asked(control, begun + seconds))
        lasted = time.perf_counter() - begun
        rates = [(now - then) / lasted for now, then in zip(taken, before, strict=True)]
        stop.set()
        for thread in threads:
            thread.join()
    return rates, times


def _asked(control: Client | None, end: float) -> Iterator[float]:
    while time.perf_counter() < end:
        if control is not None:
            yield control.timed("*PCAP.CAPTURED?")
        time.sleep(0.002)


def control_port(table: Table, reference: Box | None, seconds: float) -> None:
    """Measure the control port, and what idling costs."""
    with simulator() as box, client(box) as control:
        del control
        with socket.create_connection((box.host, box.control)) as peer:
            peer.sendall(b"*CHANGES?\n")
            changes = b""
            while not changes.endswith(b"\n.\n"):
                changes += peer.recv(1 << 16)
    rows: tuple[tuple[str, Callable[[Box], str], str], ...] = (
        (f"{ECHOES} pipelined *ECHO", echoes, "< 1 s"),
        ("*ECHO round trip, p50/p99", round_trip, ""),
        ("*CHANGES? of a new client", first_changes, "< 20 ms"),
        ("*CHANGES? again", again_changes, "< 20 ms"),
        (f"{CONTROL_CLIENTS} + {DATA_CLIENTS} clients, all answered", crowd, ""),
    )
    with floor(echo_back, changes) as least:
        for hardware in ("blocks", "echo"):
            with simulator("--hardware", hardware) as box:
                for name, measure, want in rows:
                    figure, used = _used(box, partial(measure, box))
                    # the crowd is more than the reference's queue of connections takes
                    asked = reference if measure is not crowd else None
                    there = measure(asked) if asked else ""
                    table.line(f"{hardware}: {name}", figure, used, measure(least), there, want)
                table.line(f"{hardware}: idle", load(box, seconds), want="< 1%")
                name = f"{hardware}: {POLLERS} clients poll at {POLLING_HZ} Hz"
                table.line(name, polled(box, seconds))


def busy_box(table: Table) -> None:
    """Measure a box that is too busy for real time."""
    with simulator() as box, client(box) as control:
        control.ask(*BUSY_CLOCK)
        taken, used = _used(box, partial(control.pipelined, b"COUNTER1.OUT?\n", 1000))
        table.line("100 kHz wired: 1000 pipelined gets", f"{taken:.2f} s", used)
        control.ask(*RING)
        for name, line in (("get", "LUT1.OUT?"), ("put", "BITS.A=1")):
            times, used = _used(box, lambda: [control.timed(line) for _ in range(100)])  # noqa: B023
            table.line(f"LUT that inverts itself: {name}, p50/p99", _percentiles(times), used)


def data_port(table: Table, seconds: float) -> None:
    """Measure the data port."""
    rows = (
        ("XML FRAMED RAW", 0, 1, ">= 200 MB/s"),
        ("XML FRAMED RAW", 200, 1, ">= 200 MB/s"),
        ("XML FRAMED RAW", 120, 1, ""),
        ("XML FRAMED RAW", 0, 2, ""),
        ("XML FRAMED SCALED", 0, 1, ""),
        ("UNFRAMED RAW", 0, 1, ""),
        ("BASE64 RAW", 0, 1, ""),
        ("ASCII RAW", 0, 1, ""),
        ("ASCII SCALED", 0, 1, ""),
    )
    for options, rate, clients, want in rows:
        with floor(pour_out, bytes(1 << 21)) as box:
            least, _ = pour(box, "", clients, seconds / 2)
        with simulator("--firehose", str(rate)) as box:
            (rates, times), used = _used(box, partial(pour, box, options, clients, seconds))
        name = f"{options}, {f'{rate} MB/s' if rate else 'most'}"
        table.line(name, f"{_rates(rates)} MB/s", used, _rates(least), "", want)
        table.line("  commands meanwhile, p50/p99", _percentiles(times))


def _rates(rates: list[float]) -> str:
    return " ".join(f"{rate / _MB:.0f}" for rate in rates)


def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each rate (%(default)s)")
    parser.add_argument("--reference", type=Box.parse, metavar="HOST[:CONTROL[:DATA]]")
    arguments = parser.parse_args()
    table = Table(reference=arguments.reference is not None)
    control_port(table, arguments.reference, arguments.seconds)
    busy_box(table)
    data_port(table, arguments.seconds)


if __name__ == "__main__":
    main()

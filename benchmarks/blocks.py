"""How fast the simulated blocks are: triggers held in real time over TCP, and events per second.

    python benchmarks/blocks.py [--seconds S] [--core N] [CASE ...]

Every case captures eleven columns, 60 bytes a row: three time stamps, the gate's duration, a
counter of the triggers, a bit word, and Value, Diff, Min, Max and Mean of a position. A rate is
held if the rows that came in some seconds are those of so many seconds, none is missing, and
the box's time kept up with the wall clock. "of a core" is what the server got of it; with
``--core`` it has but one, and the client the others.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from servers import Box, Client, client, simulator

from panda_simulator import serve_in_thread

TICKS_PER_SECOND = 125_000_000
COUNTS_PER_MM = 10_000
STEP = 50
"""Counts from trigger to trigger of a position."""

ROW_BYTES = 60
SCAN_HZ = 10_000
SCAN_ROWS = 20_000
_COLUMNS = ("PCAP.TS_START", "PCAP.TS_END", "PCAP.TS_TRIG", "PCAP.GATE_DURATION", "PCAP.BITS0")
_NUMBERING = "COUNTER2.OUT"
_ALL = "Value Diff Min Max Mean"
_SIZES = {"int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "double": 8}
_HELD = 0.98
_CAME = 0.95
"""Rows come every 100 ms."""

_BUFFER = 1 << 20
_WARM_UP = 0.5
_PATIENCE = 30.0


@dataclass(frozen=True)
class Case:
    """One chain of blocks that triggers PCAP.

    Attributes:
        name: for the command line.
        title: for the table.
        rates: to try, Hz, until one is not held.
        want: Hz.
        settings: makes the settings for a rate.
        table: makes the words of SEQ1's table for a rate.
        moves: whether axis x moves meanwhile.
        position: that is captured in all ways.
        start: the last setting, with which it begins.
    """

    name: str
    title: str
    rates: Sequence[int]
    want: int
    settings: Callable[[int], Sequence[str]]
    start: str
    table: Callable[[int], Sequence[int]] = field(default=lambda _: ())
    moves: bool = True
    position: str = "INENC1.VAL"


def _captured(trigger: str) -> tuple[str, ...]:
    return (
        f"PCAP.TRIG={trigger}", "PCAP.GATE=ONE", "PCAP.ENABLE=ONE",
        "COUNTER2.ENABLE=ONE", f"COUNTER2.TRIG={trigger}",
    )  # fmt: skip


def _compare(rate: int) -> Sequence[str]:
    del rate
    return (
        "PCOMP1.INP=INENC1.VAL", "PCOMP1.START=1000", f"PCOMP1.STEP={STEP}",
        f"PCOMP1.WIDTH={STEP // 2}", *_captured("PCOMP1.OUT"),
    )  # fmt: skip


def _lines(rate: int) -> Sequence[int]:
    half = TICKS_PER_SECOND // rate // 2
    return (1 | 1 << 20, 0, half, half)


def _position_lines(rate: int) -> Sequence[int]:
    """Wait for each position in a line of its own, as many as fit into the table at 60 kHz."""
    wide = TICKS_PER_SECOND // rate // 4
    words: list[int] = []
    for line in range(1, 10 * rate):
        words += (1 | 7 << 16 | 1 << 20, 1000 + STEP * line, wide, wide)
    return words[: 4 * _LINES]


_LINES = 200_000
"""Of a table for SEQ; it takes a million words."""

_SEQ = ("SEQ1.REPEATS=0", "SEQ1.PRESCALE.RAW=0", *_captured("SEQ1.OUTA"))
_RATES = (5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 70_000, 100_000, 150_000)
CASES = (
    Case("pcomp", "PCOMP on a moving axis", _RATES, 20_000, _compare, "PCOMP1.ENABLE=ONE"),
    Case(
        "seq", "SEQ, immediate lines, axis moves", _RATES, 20_000,
        lambda _: _SEQ, "SEQ1.ENABLE=ONE", _lines,
    ),
    Case(
        "seqpos", "SEQ, a position for each line", _RATES, 20_000,
        lambda _: (*_SEQ, "SEQ1.POSA=INENC1.VAL"), "SEQ1.ENABLE=ONE", _position_lines,
    ),
    Case(
        "clock", "CLOCK, counters",
        (100_000, 500_000, 1_000_000, 1_250_000, 2_500_000, 6_250_000), 1_000_000,
        lambda rate: (
            f"CLOCK1.PERIOD.RAW={TICKS_PER_SECOND // rate}", "COUNTER1.ENABLE=ONE",
            "COUNTER1.TRIG=CLOCK1.OUT", *_captured("CLOCK1.OUT"),
        ),
        "CLOCK1.ENABLE=ONE", moves=False, position="COUNTER1.OUT",
    ),
)  # fmt: skip


class Stage:
    """The bench port of a simulator."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._replies = self._socket.makefile("rb")

    def ask(self, command: str) -> str:
        """Send a command; return its reply without the OK."""
        self._socket.sendall(f"{command}\n".encode())
        word, _, text = self._replies.readline().decode().strip().partition(" ")
        if word != "OK":
            raise RuntimeError(f"the bench port refuses {command!r}: {text}")
        return text

    def close(self) -> None:
        """Hang up."""
        self._replies.close()
        self._socket.close()


class Rows:
    """Takes framed raw rows from a data port and looks for missing ones.

    Attributes:
        count: rows that came.
        missing: rows that are not what follows the one before.
        ended: set after the END line.
    """

    def __init__(self, box: Box) -> None:
        self.count = 0
        self.missing = 0
        self.ended = threading.Event()
        self._last: int | None = None
        self._place = -1
        self._socket = socket.create_connection((box.host, box.data))
        self._socket.sendall(b"XML FRAMED RAW\n")
        self._data = self._socket.makefile("rb", buffering=_BUFFER)
        self._data.readline()
        self._thread = threading.Thread(target=self._take)

    def __enter__(self) -> Self:
        """Begin to take."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._data.close()
        self._socket.close()

    def _take(self) -> None:
        header = b""
        while not header.endswith(b"</header>\n"):
            line = self._data.readline()
            if not line:
                return
            header += line
        self._find(ET.fromstring(header))  # noqa: S314  our own simulator wrote it
        self._data.readline()
        while (prefix := self._data.read(8))[:4] == b"BIN ":
            self._look(self._data.read(int.from_bytes(prefix[4:], "little") - 8))
        self.ended.set()

    def _find(self, header: ET.Element) -> None:
        size = 0
        for column in header.iter("field"):
            if column.attrib["name"] == _NUMBERING:
                self._place = size // 4
            size += _SIZES[column.attrib["type"]]
        if size != ROW_BYTES or self._place < 0:
            raise ValueError(f"rows have {size} bytes instead of {ROW_BYTES}, or no number")

    def _look(self, data: bytes) -> None:
        words = np.frombuffer(data, "<u4").reshape(-1, ROW_BYTES // 4)
        numbers = words[:, self._place].astype(np.int64)
        if not len(numbers):
            return
        before = numbers[0] - 1 if self._last is None else self._last
        self.missing += int((np.diff(numbers, prepend=before) != 1).sum())
        self._last = int(numbers[-1])
        self.count += len(numbers)


def _wait() -> None:
    time.sleep(0.01)


def prepare(
    control: Client, stage: Stage, case: Case, rate: int, wait: Callable[[], object] = _wait
) -> None:
    """Wire a box and let it begin."""
    settings = [
        *(f"{column}.CAPTURE=Value" for column in (*_COLUMNS, _NUMBERING)),
        f"{case.position}.CAPTURE={_ALL}",
        *case.settings(rate),
    ]
    for line in settings:
        if control.ask(line) != b"OK\n":
            raise RuntimeError(f"the box refuses {line}")
    if words := case.table(rate):
        control.ask_table("SEQ1.TABLE", words)
        while control.ask("SEQ1.STATE?") != b"OK =WAIT_ENABLE\n":
            wait()
    control.ask("*PCAP.ARM=", case.start)
    if case.moves:
        velocity = rate * STEP / COUNTS_PER_MM
        stage.ask(f"move x 1000 velocity={velocity} acceleration={10 * velocity}")


@dataclass(frozen=True)
class Held:
    """What became of a rate: rows each second, of the time, missing, of a core."""

    rows: float
    kept_up: float
    missing: int
    used: float

    def of(self, rate: int) -> bool:
        """Tell whether the rate was held."""
        return self.rows >= _CAME * rate and self.kept_up >= _HELD and not self.missing


def over_tcp(case: Case, rate: int, seconds: float, cores: Mapping[str, set[int]]) -> Held:
    """Take rows from a server for some seconds."""
    with ExitStack() as stack:
        box = stack.enter_context(simulator("--bench-port", "0"))
        if cores and box.pid:
            os.sched_setaffinity(box.pid, cores["server"])
        control = stack.enter_context(client(box))
        stage = Stage(box.bench)
        stack.callback(stage.close)
        rows = stack.enter_context(Rows(box))
        while b" 1 " not in control.ask("*PCAP.STATUS?"):
            _wait()
        prepare(control, stage, case, rate)
        time.sleep(_WARM_UP)
        tick, begun = int(stage.ask("tick")), time.perf_counter()
        count, used = rows.count, box.cpu()
        time.sleep(seconds)
        taken, used = rows.count - count, box.cpu() - used
        ticks, lasted = int(stage.ask("tick")) - tick, time.perf_counter() - begun
        control.ask("*PCAP.DISARM=")
        rows.ended.wait(_PATIENCE)
        missing = rows.missing + (not rows.ended.is_set())
        return Held(taken / lasted, ticks / TICKS_PER_SECOND / lasted, missing, used / lasted)


def in_process(case: Case, rate: int, seconds: float) -> tuple[float, float]:
    """Let stepped time pass; return simulated seconds, and calls of blocks, a second of a core."""
    with serve_in_thread(speed="stepped", bench_port=0) as served, ExitStack() as stack:
        box = Box(served.host, served.control_port, served.data_port)
        control = stack.enter_context(client(box))
        stage = Stage(served.bench_port or 0)
        stack.callback(stage.close)
        prepare(control, stage, case, rate, lambda: stage.ask("run 0.01"))
        stage.ask("run 0.1")
        hardware = served.hardware
        calls, begun, passed = _calls(hardware), time.process_time(), 0.0
        while (lasted := time.process_time() - begun) < seconds:
            stage.ask("run 0.02")
            passed += 0.02
        return passed / lasted, (_calls(hardware) - calls) / lasted


def _calls(hardware: object) -> int:
    return int(getattr(hardware, "calls", 0))


def running_free(case: Case) -> float:
    """Run a scan as fast as can be; return simulated seconds each second."""
    with ExitStack() as stack:
        box = stack.enter_context(simulator("--bench-port", "0", "--speed", "free"))
        control = stack.enter_context(client(box))
        stage = Stage(box.bench)
        stack.callback(stage.close)
        rows = stack.enter_context(Rows(box))
        while b" 1 " not in control.ask("*PCAP.STATUS?"):
            _wait()
        begun = time.perf_counter()
        prepare(control, stage, case, SCAN_HZ)
        while rows.count < SCAN_ROWS and time.perf_counter() - begun < _PATIENCE:
            time.sleep(0.002)
        return rows.count / SCAN_HZ / (time.perf_counter() - begun)


def _line(*cells: str) -> None:
    first, *others = cells
    print(f"{first:<42}" + "".join(f"{cell:>14}" for cell in others), flush=True)


def _cores(number: int | None) -> dict[str, set[int]]:
    if number is None:
        return {}
    others = os.sched_getaffinity(0) - {number}
    os.sched_setaffinity(0, others or {number})
    return {"server": {number}}


def highest(case: Case, seconds: float, cores: Mapping[str, set[int]]) -> Iterator[int]:
    """Try rates one after the other; yield those that are held."""
    for rate in case.rates:
        held = over_tcp(case, rate, seconds, cores)
        _line(
            f"{case.title}, {rate / 1000:g} kHz",
            f"{held.rows / 1000:.1f} k/s",
            f"{held.rows * ROW_BYTES / 1e6:.1f} MB/s",
            f"{held.kept_up:.1%}",
            str(held.missing),
            f"{held.used:.0%}",
            "held" if held.of(rate) else "NOT held",
        )
        if not held.of(rate):
            return
        yield rate


def main() -> None:
    """Measure everything and print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each rate (%(default)s)")
    parser.add_argument("--core", type=int, help="the only one for the server")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="of pcomp, seq, seqpos, clock")
    arguments = parser.parse_args()
    cores = _cores(arguments.core)
    cases = [case for case in CASES if not arguments.cases or case.name in arguments.cases]
    _line("over TCP, in real time", "rows", "", "time kept", "missing", "of a core", "")
    for case in cases:
        held = max(highest(case, arguments.seconds, cores), default=0)
        _line(f"  highest, wanted {case.want / 1000:g} kHz", f"{held / 1000:g} kHz")
    _line("in process, for a second of a core", "x real time", "triggers", "events")
    for case in cases:
        speed, events = in_process(case, case.want, arguments.seconds)
        _line(
            f"{case.title}, {case.want / 1000:g} kHz",
            f"{speed:.2f}", f"{speed * case.want / 1000:.0f} k/s", f"{events / 1000:.0f} k/s",
        )  # fmt: skip
    _line(f"--speed free, {SCAN_ROWS} rows at {SCAN_HZ / 1000:g} kHz", "x real time")
    for case in cases:
        if case.moves:
            _line(case.title, f"{running_free(case):.2f}")


if __name__ == "__main__":
    main()

"""Clients that nobody would wish for, each a function of a source of chance."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Address: TypeAlias = tuple[int, int]
"""Control port and data port on this machine."""
Client: TypeAlias = Callable[[random.Random, Address], Awaitable[None]]

PATIENCE = 0.05
"""Seconds that a client waits for an answer, or for its bytes to be taken."""

_RESET = struct.pack("ii", 1, 0)
_COMMANDS = (
    b"*IDN?", b"*ECHO hello?", b"*WHO?", b"*BLOCKS?", b"*CHANGES?", b"*CHANGES.CONFIG?",
    b"*CHANGES=S", b"*CHANGES=E", b"*DESC.PULSE1.WIDTH?", b"*ENUMS.TTLIN1.TERM?", b"*CAPTURE?",
    b"*CAPTURE.*?", b"*CAPTURE=", b"*PCAP.STATUS?", b"*PCAP.CAPTURED?", b"*PCAP.ARM=",
    b"*PCAP.DISARM=", b"*METADATA?", b"*METADATA.DESIGN=x", b"*METADATA.LAYOUT<", b"*POSITIONS?",
    b"*BITS?", b"TTLIN1.TERM=50-Ohm", b"TTLIN*.TERM?", b"PULSE1.WIDTH=1.5", b"PULSE.*?",
    b"PULSE1.WIDTH.UNITS=ms", b"INENC1.VAL.CAPTURE=Min Max Mean", b"INENC2.VAL.CAPTURE=Value",
    b"PCAP.BITS0.CAPTURE=Value", b"PCAP.TS_TRIG.CAPTURE=Value", b"COUNTER1.OUT.CAPTURE=No",
    b"CLOCK1.PERIOD=1", b"CLOCK1.PERIOD=0.00001", b"CLOCK1.ENABLE=ONE", b"CLOCK1.ENABLE=ZERO",
    b"COUNTER1.TRIG=CLOCK1.OUT", b"COUNTER1.ENABLE=ONE", b"LUT1.INPA=LUT1.OUT", b"LUT1.FUNC=~A",
    b"LUT1.INPA=ZERO", b"BITS.A=1", b"BITS.A=0", b"PCAP.ENABLE=BITS.OUTA", b"PCAP.TRIG=CLOCK1.OUT",
    b"PGEN1.TABLE<\n1\n2\n3\n", b"PGEN1.TABLE<B\nAQAAAA==\n", b"SEQ1.TABLE<\n1\n2\n3\n4\n",
    b"PGEN1.TABLE<<\n7\n", b"PGEN1.TABLE?", b"SEQ1.TABLE.FIELDS?", b"SEQ1.TABLE<\nnonsense\n",
    b"CALC1.FUNC?", b"NOSUCH.FIELD?", b"=", b"?", b"<", b"", b"*", b"\0", b"\xff\xfe?",
)  # fmt: skip
_OPTIONS = (
    b"", b"XML FRAMED RAW", b"XML FRAMED SCALED", b"ASCII", b"BASE64 RAW", b"UNFRAMED RAW",
    b"BARE", b"ONE_SHOT", b"NO_HEADER NO_STATUS", b"NOSUCH", b"XML\r", b"RAW ",
)  # fmt: skip


def _hung_up(peer: socket.socket, chance: random.Random) -> None:
    """Close the connection in one of the ways there are."""
    match chance.randrange(3):
        case 0:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        case 1:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_WR)
        case _:
            pass


async def _connect(port: int) -> socket.socket:
    peer = socket.socket()
    peer.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
    except BaseException:
        peer.close()
        raise
    return peer


async def _send(peer: socket.socket, data: bytes) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(peer, data)


async def _read(peer: socket.socket, size: int = 65536) -> bytes:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(peer, size)
    return b""


async def _send_in_pieces(peer: socket.socket, data: bytes, chance: random.Random) -> None:
    while data:
        size = chance.choice((1, 2, 7, 100, 1500, 20_000))
        await _send(peer, data[:size])
        data = data[size:]
        if chance.random() < 0.2:
            await _read(peer)
        elif chance.random() < 0.5:
            await asyncio.sleep(0)


def _commands(chance: random.Random, count: int) -> bytes:
    return b"".join(chance.choice(_COMMANDS) + b"\n" for _ in range(count))


def _garbled(data: bytes, chance: random.Random) -> bytes:
    text = bytearray(data)
    for _ in range(chance.randrange(1, 10)):
        if text:
            text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)


async def noise(chance: random.Random, ports: Address) -> None:
    """Send any bytes to any port."""
    with await _connect(chance.choice(ports)) as peer:
        await _send_in_pieces(peer, chance.randbytes(chance.randrange(1, 5000)), chance)
        _hung_up(peer, chance)


async def babble(chance: random.Random, ports: Address) -> None:
    """Send commands, some of them garbled, and read some of the replies."""
    with await _connect(ports[0]) as peer:
        data = _commands(chance, chance.randrange(1, 60))
        await _send_in_pieces(
            peer, _garbled(data, chance) if chance.random() < 0.6 else data, chance
        )
        while chance.random() < 0.7 and await _read(peer):
            pass
        _hung_up(peer, chance)


async def come_and_go(chance: random.Random, ports: Address) -> None:
    """Connect, and that was it."""
    with await _connect(chance.choice(ports)) as peer:
        _hung_up(peer, chance)


async def hoard(chance: random.Random, ports: Address) -> None:
    """Ask for a lot and read none of it."""
    with await _connect(ports[0]) as peer:
        await _send(peer, b"*CHANGES=S\n*CHANGES?\n" * chance.randrange(1, 200))
        await asyncio.sleep(PATIENCE)
        _hung_up(peer, chance)


async def endless_line(chance: random.Random, ports: Address) -> None:
    """Send a line without an end."""
    with await _connect(chance.choice(ports)) as peer:
        for _ in range(chance.randrange(1, 40)):
            with contextlib.suppress(OSError):
                await _send(peer, b"x" * 200)
        await _read(peer)


async def open_table(chance: random.Random, ports: Address) -> None:
    """Begin a table and vanish."""
    with await _connect(ports[0]) as peer:
        rows = b"".join(b"%d\n" % chance.randrange(1 << 32) for _ in range(chance.randrange(100)))
        await _send_in_pieces(peer, b"*IDN?\nPGEN1.TABLE<\n" + rows, chance)
        _hung_up(peer, chance)


async def take_data(chance: random.Random, ports: Address) -> None:
    """Listen to acquisitions for a while, or not."""
    with await _connect(ports[1]) as peer:
        await _send_in_pieces(peer, chance.choice(_OPTIONS) + b"\n", chance)
        while chance.random() < 0.9 and await _read(peer, 1 << 18):
            pass
        if chance.random() < 0.5:
            await _send(peer, chance.randbytes(100))
        _hung_up(peer, chance)


CLIENTS: tuple[Client, ...] = (
    noise, babble, babble, come_and_go, hoard, endless_line, open_table, take_data, take_data,
)  # fmt: skip


async def siege(seed: int, ports: Address, connections: int, at_once: int = 30) -> None:
    """Let so many clients of all kinds come, some at the same time."""
    chance = random.Random(seed)
    waiting = iter(range(connections))

    async def come() -> None:
        for _ in waiting:
            own = random.Random(chance.randrange(1 << 32))
            with contextlib.suppress(OSError):
                await own.choice(CLIENTS)(own, ports)

    await asyncio.gather(*(come() for _ in range(at_once)))

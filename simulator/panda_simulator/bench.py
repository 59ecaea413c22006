"""The bench port: commands about the simulator itself, one a line, each with one line of reply.

A command is a row of a table, which `Bench.add` extends. A reply is ``OK``, ``OK text``
or ``ERR reason``.
"""

from __future__ import annotations

import asyncio
import math
import shlex
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from typing_extensions import override

from panda_simulator.faults import FAULTS, Faults, parse_settings

_TIMEOUT = 60.0
"""Seconds that ``wait`` waits, unless told otherwise."""

PATIENCE = 90.0
"""Seconds to wait for a reply: longer than any command takes that is not told how long."""

_REPLY_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class BenchCommand:
    """One command.

    Attributes:
        name: its first word.
        arguments: the others, for the user.
        description: what it does.
        run: does it with the other words and returns the reply; a ValueError is an ``ERR``.
    """

    name: str
    arguments: str
    description: str
    run: Callable[[Sequence[str]], Awaitable[str]]

    @override
    def __str__(self) -> str:
        return f"{f'{self.name} {self.arguments}'.strip()}: {self.description}"


class Bench:
    """What the bench port can do."""

    def __init__(self, faults: Faults, status: Callable[[], str]) -> None:
        """Know about faults.

        Args:
            faults: of the simulator.
            status: one line about it.
        """
        self._faults = faults
        self._status = status
        self._commands = dict[str, BenchCommand]()
        self.add(
            BenchCommand("help", "[NAME]", "all commands, or one command or fault", self._help),
            BenchCommand("status", "", "where it listens, and faults with a count", self._show),
            BenchCommand("faults", "", "names of all faults", self._names),
            BenchCommand("fault", "NAME [KEY=VALUE ...]", "have a fault; its number", self._inject),
            BenchCommand("clear", "[NAME|NUMBER]", "clear faults; how many", self._clear),
            BenchCommand(
                "wait", "NUMBER [SECONDS]", "until a fault has happened; how often", self._wait
            ),
        )

    def add(self, *commands: BenchCommand) -> None:
        """Add commands."""
        self._commands.update({command.name: command for command in commands})

    async def answer(self, line: str) -> str:
        """Do the command in a line and return the line to reply."""
        try:
            name, *words = shlex.split(line) or [""]
            text = await self._find(name).run(words)
        except ValueError as error:
            return f"ERR {error}"
        return f"OK {text}".rstrip()

    def _find(self, name: str) -> BenchCommand:
        if name not in self._commands:
            raise ValueError(f"no command {name!r}: choose one of {', '.join(self._commands)}")
        return self._commands[name]

    async def _help(self, words: Sequence[str]) -> str:
        if not words:
            return "; ".join(map(str, self._commands.values()))
        name = words[0]
        if name in self._commands:
            return str(self._commands[name])
        if name in FAULTS:
            parameters = "; ".join(map(str, FAULTS[name].parameters))
            return f"{name}: {FAULTS[name].description}; {parameters}"
        raise ValueError(f"no command or fault {name!r}")

    async def _show(self, words: Sequence[str]) -> str:
        del words
        faults = [f"fault {fault} fired {fault.fired}" for fault in self._faults.active]
        return "; ".join([self._status(), *faults])

    async def _names(self, words: Sequence[str]) -> str:
        del words
        return " ".join(FAULTS)

    async def _inject(self, words: Sequence[str]) -> str:
        if not words:
            raise ValueError(f"fault needs a name: choose one of {', '.join(FAULTS)}")
        name, *settings = words
        return str(self._faults.inject(name, **parse_settings(name, settings)).number)

    async def _clear(self, words: Sequence[str]) -> str:
        which = words[0] if words else None
        number = int(which) if which and which.isdecimal() else which
        return str(self._faults.clear(number))

    async def _wait(self, words: Sequence[str]) -> str:
        if not words:
            raise ValueError("wait needs the number of a fault")
        timeout = float(words[1]) if len(words) > 1 else _TIMEOUT
        if math.isnan(timeout):
            raise ValueError("the seconds to wait are a number, not nan")
        for fault in self._faults.active:
            if str(fault.number) == words[0]:
                try:
                    async with asyncio.timeout(timeout):
                        await fault.happened()
                except TimeoutError:
                    raise ValueError(f"fault {fault} has not happened in {timeout:g} s") from None
                return str(fault.fired)
        raise ValueError(f"no fault {words[0]} is active")


def ask(address: str, line: str, timeout: float = PATIENCE) -> str:
    """Send one command to a bench port and return the text of its reply.

    Args:
        address: ``HOST:PORT``.
        line: the command.
        timeout: seconds to wait for the reply.

    Raises:
        ValueError: the address is malformed, or the reply is an ``ERR``.
        OSError: nobody listens there, or it is no bench port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} has to be HOST:PORT, as the simulator printed it on start")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            connection.sendall(f"{line}\n".encode())
            with connection.makefile("rb") as replies:
                reply = replies.readline(_REPLY_LIMIT).decode("utf-8", "replace")
    except OSError as error:
        raise OSError(f"{address}: {error.strerror or error}") from error
    word, _, text = reply.rstrip("\n").partition(" ")
    if word == "ERR":
        raise ValueError(text)
    if word != "OK" or not reply.endswith("\n"):
        raise OSError(f"{address}: this is no bench port, it replied {reply[:60]!r}")
    return text

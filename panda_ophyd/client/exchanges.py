"""The commands of `pandablocks`, run over our connection and judged by us.

A command is a generator that yields exchanges, lines to send with room for what came back. Its
own checks of the peer's words are asserts, which vanish under ``python -O``; so nothing that is
an ``ERR``, and no reply of the wrong kind, is ever shown to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pandablocks._exchange import Exchange  # pyright: ignore[reportPrivateUsage, reportMissingTypeStubs]
from pandablocks.commands import Command  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from panda_ophyd.control import Err, Lines, Ok, Reply, Request, first_line, parse_request
from panda_ophyd.errors import CommandError

_T = TypeVar("_T")


class _CheckedExchange(Exchange):
    """An exchange that refuses to be read as what it is not, under ``python -O`` too."""

    @property
    @override
    def line(self) -> str:
        if self.is_multiline:
            raise CommandError(self.to_send[0], "it answers with lines, not with one value")
        return super().line

    @property
    @override
    def multiline(self) -> list[str]:
        if not self.is_multiline:
            raise CommandError(self.to_send[0], "it answers with one value, not with lines")
        return super().multiline


async def run_command(
    command: Command[_T],
    version: tuple[int, int],
    ask: Callable[[Sequence[Request]], Awaitable[list[Reply]]],
) -> _T:
    """Run a command to its end; each batch of exchanges it yields is one round trip.

    Args:
        command: any command of `pandablocks.commands`; it is not changed, so the same object
            may run several times at once.
        version: major and minor of the server, as some commands depend on it.
        ask: sends requests and returns their replies.

    Raises:
        CommandError: the server refused one of the requests. Those sent with it were
            carried out all the same; further refusals are in the notes.
        FieldValueError: the lines of an exchange are not exactly one request.
        Exception: what the command itself raises passes through, such as a `VersionError`.
    """
    steps = command.execute(version)
    try:
        while True:
            try:
                yielded = next(steps)
            except StopIteration as done:
                return done.value
            exchanges = yielded if isinstance(yielded, list) else [yielded]
            requests = [parse_request(exchange.to_send) for exchange in exchanges]
            accepted = _without_errors(requests, await ask(requests))
            for exchange, reply in zip(exchanges, accepted, strict=True):
                _fill(exchange, reply)
    finally:
        steps.close()


def _without_errors(requests: Sequence[Request], replies: Sequence[Reply]) -> list[Ok | Lines]:
    accepted: list[Ok | Lines] = []
    refused: list[CommandError] = []
    for request, reply in zip(requests, replies, strict=True):
        if isinstance(reply, Err):
            refused.append(CommandError(first_line(request), reply.message))
        else:
            accepted.append(reply)
    if refused:
        first, *others = refused
        for other in others:
            first.add_note(f"and {other}")
        raise first
    return accepted


def _fill(exchange: Exchange, reply: Ok | Lines) -> None:
    # The command made the exchange and will read it, so its checks can only be replaced in place.
    exchange.__class__ = _CheckedExchange
    if isinstance(reply, Lines):
        exchange.is_multiline = True
        exchange.received = [f"!{line}" for line in reply.lines]
        exchange.received.append(".")
    else:
        exchange.received = ["OK" if reply.value is None else f"OK ={reply.value}"]

"""A state that the `pandablocks` client saved (``.sav``), applied as far as it fits a box.

Lines as the server reads them: ``SEQ1.PRESCALE=1``, ``SEQ1.TABLE<B`` with lines up to an empty one.
Source: protocol.md 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Assign, AssignTable, Err
from panda_ophyd.errors import FieldValueError
from panda_ophyd.settings.names import SettingsReport, Stage, is_state_name

UNKNOWN = (
    "No such block",
    "No such field",
    "No such attribute",
    "Invalid block number",
    "Metadata key",
)
"""How the server begins its words for what it has not."""

READ_ONLY = "not writeable"
"""How it ends them for a reading, which the client saves too (``SEQ1.TABLE.QUEUED_LINES``)."""


def requests_of(lines: Iterable[str]) -> list[Assign | AssignTable]:
    """Return what a saved state asks for, in the order in which it is safe.

    Args:
        lines: of the file, with or without their ends.

    Raises:
        FieldValueError: a line sets nothing, or a table has no end.
    """
    return sorted(_parse(line.rstrip("\r\n") for line in lines), key=_stage)


def _parse(lines: Iterator[str]) -> Iterator[Assign | AssignTable]:
    for line in lines:
        target, equals, value = line.partition("=")
        opening, less, modifiers = line.partition("<")
        if less and len(opening) < len(target):
            body: list[str] = []
            for row in lines:
                if not row:
                    break
                body.append(row)
            else:
                raise FieldValueError("saved state", opening, "no empty line ends its table")
            yield AssignTable(opening, tuple(body), modifiers)
        elif equals:
            yield Assign(target, value)
        elif line:
            raise FieldValueError("saved state", line, "it sets nothing: expected NAME=VALUE")


def _stage(request: Assign | AssignTable) -> Stage:
    target = request.target
    if target.endswith(".UNITS"):
        return Stage.UNITS
    if isinstance(request, AssignTable):
        return Stage.TABLES
    return Stage.ENABLES if target.endswith(".ENABLE") else Stage.VALUES


def _is_state(target: str) -> bool:
    block, _, field = target.lower().partition(".")
    return is_state_name(f"{block.rstrip('0123456789')}.{field}")


async def apply_saved_state(
    client: PandaClient, lines: Iterable[str], *, state: bool = False
) -> SettingsReport:
    """Apply a saved state: units first, then values, tables, enables.

    Args:
        client: connected.
        lines: of the file.
        state: whether to apply presets of encoders and counters too.

    Returns:
        What became of each, by its name on the wire.

    Raises:
        FieldValueError: this is no saved state; nothing was applied.
        PandaConnectionError: the link is lost.
    """
    requests = requests_of(lines)
    left_out = [request.target for request in requests if not state and _is_state(request.target)]
    wanted = [request for request in requests if request.target not in left_out]
    applied: list[str] = []
    unknown: list[str] = []
    refused: dict[str, str] = {}
    for request, reply in zip(wanted, await client.request_all(wanted), strict=True):
        if not isinstance(reply, Err):
            applied.append(request.target)
        elif reply.message.startswith(UNKNOWN):
            unknown.append(request.target)
        elif reply.message.endswith(READ_ONLY):
            left_out.append(request.target)
        else:
            refused[request.target] = reply.message
    return SettingsReport(tuple(applied), tuple(unknown), tuple(left_out), refused)

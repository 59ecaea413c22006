"""A command with a star is a row of a table: what it may be given, and what it does.

Source: protocol.md 2.3, 7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from panda_simulator.box import Box, CommandError, Cursors, Group
from panda_simulator.box.capture import capture_choices, option_names
from panda_simulator.box.field import Reading, TableWriter
from panda_simulator.box.text import Cursor, one_result
from panda_simulator.box.wiring import Wiring
from panda_simulator.control.entity import Target, parse_target
from panda_simulator.identity import Identity
from panda_simulator.versions import Features

_LOG = logging.getLogger(__name__)


class Capture(Protocol):
    """The acquisition, as the control port sees it."""

    def arm(self) -> None:
        """Start one.

        Raises:
            CommandError: it cannot start.
        """
        ...

    def disarm(self) -> None:
        """Ask the running one to stop."""
        ...

    @property
    def status(self) -> str:
        """State of the buffer, number of data clients, and of those still owed data."""
        ...

    @property
    def captured(self) -> int:
        """Samples of the current or last acquisition."""
        ...

    @property
    def completion(self) -> str:
        """``Busy``, or how the last acquisition ended."""
        ...


@dataclass(slots=True)
class Facilities:
    """What a control connection can reach."""

    box: Box
    capture: Capture
    connections: Callable[[], list[str]]
    """Lists the connections for ``*WHO?``."""
    rootfs: str = "Simulator"
    verbose: bool = False
    save_state: Callable[[], None] | None = None
    """Writes the settings to their file now; None if there is no file."""


@dataclass(slots=True)
class Session:
    """One control connection: what it can reach, and how far it has seen changes."""

    facilities: Facilities
    cursors: Cursors

    @property
    def box(self) -> Box:
        """The box that all connections share."""
        return self.facilities.box


Query = Callable[[Session, Cursor], Reading]
Assignment = Callable[[Session, Cursor, str], None]
Opening = Callable[[Session, Cursor], TableWriter]


def _identity(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    box, rootfs = session.box, session.facilities.rootfs
    return one_result(str(Identity(box.version, box.hardware.version, rootfs)))


def _echo(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    cursor.expect(" ")
    return one_result(cursor.rest())


def _who(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    return session.facilities.connections()


def _blocks(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    return [f"{block.name} {block.count}" for block in session.box.blocks.values()]


def _described(session: Session, cursor: Cursor) -> tuple[Target, str | None]:
    """Read ``.BLOCK[.FIELD[.ATTR|[].SUBFIELD]]``."""
    cursor.expect(".")
    target = parse_target(session.box, cursor, exact=False)
    subfield = None
    if target.field is not None and target.attribute is None and cursor.take("["):
        cursor.expect("]")
        cursor.expect(".")
        subfield = cursor.name()
        # a subfield that does not exist is refused before what is left over
        target.field.behaviour.check_subfield(subfield)
    cursor.end()
    return target, subfield


def _description(session: Session, cursor: Cursor) -> Reading:
    target, subfield = _described(session, cursor)
    if target.attribute is not None:
        return target.attribute.description
    if target.field is None:
        text, refusal = target.block.description, "No description set for block"
    elif subfield is not None:
        return one_result(target.field.behaviour.subfield_description(subfield))
    else:
        text, refusal = target.field.description, "No description set for field"
    if text is None:
        raise CommandError(refusal)
    return one_result(text)


def _enumeration(session: Session, cursor: Cursor) -> Reading:
    target, subfield = _described(session, cursor)
    if target.field is None:
        raise CommandError("Missing field name")
    if target.attribute is not None:
        if target.attribute.labels is None:
            raise CommandError("Attribute is not an enumeration")
        return list(target.attribute.labels())
    if subfield is not None:
        return list(target.field.behaviour.subfield_labels(subfield))
    return list(target.field.behaviour.labels())


def _groups(cursor: Cursor) -> tuple[Group, ...]:
    if not cursor.take("."):
        cursor.end()
        return tuple(Group)
    name = cursor.letters()
    if name not in Group.__members__:
        raise CommandError("Unknown changes selection")
    cursor.end()
    return (Group[name],)


def _changes(session: Session, cursor: Cursor) -> Reading:
    return session.box.changes(session.cursors, _groups(cursor))


def _reset_changes(session: Session, cursor: Cursor, value: str) -> None:
    groups = _groups(cursor)
    rest = Cursor(value)
    restart = rest.take("S")
    if not restart and not rest.take("E") and value:
        raise CommandError("Invalid reset option")
    rest.end()
    if restart:
        session.cursors.restart(groups)
    else:
        session.box.skip_changes(session.cursors, groups)


_CAPTURE_INQUIRIES: dict[str, Callable[[Wiring], list[str]]] = {
    "OPTIONS": option_names,
    "ENUMS": capture_choices,
}


def _capture(session: Session, cursor: Cursor) -> Reading:
    outputs = session.box.wiring.outputs
    if not cursor.take("."):
        cursor.end()
        settings = ((entry.name, entry.source.capture_setting(entry.number)) for entry in outputs)
        return [f"{name} {setting}" for name, setting in settings if setting is not None]
    if cursor.take("*"):
        cursor.end()
        return [entry.name for entry in outputs]
    wiring = session.box.wiring
    if not wiring.features.capture_inquiries:
        raise CommandError("Unexpected character after input")
    name = cursor.letters()
    cursor.end()
    inquiry = _CAPTURE_INQUIRIES.get(name)
    if inquiry is None:
        raise CommandError("Invalid *CAPTURE option")
    return inquiry(wiring)


def _clear_capture(session: Session, cursor: Cursor, value: str) -> None:
    cursor.end()
    Cursor(value).end()
    session.box.clear_capture()


def _positions(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    return [entry.name for entry in session.box.wiring.outputs if entry.is_position]


def _bits(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    names = session.box.wiring.bit_names
    return [name for name in names.listed() if name not in {"ZERO", "ONE"}]


_PCAP_QUERIES: dict[str, Callable[[Capture], str]] = {
    "STATUS": lambda capture: capture.status,
    "CAPTURED": lambda capture: str(capture.captured),
    "COMPLETION": lambda capture: capture.completion,
}
_PCAP_ACTIONS: dict[str, Callable[[Capture], None]] = {
    "ARM": lambda capture: capture.arm(),
    "DISARM": lambda capture: capture.disarm(),
}


def _pcap(session: Session, cursor: Cursor) -> Reading:
    cursor.expect(".")
    # anything behind the letters of the name is ignored
    query = _PCAP_QUERIES.get(cursor.letters())
    if query is None:
        raise CommandError("Invalid *PCAP field")
    return query(session.facilities.capture)


def _pcap_action(session: Session, cursor: Cursor, value: str) -> None:
    cursor.expect(".")
    name = cursor.letters()
    Cursor(value).end()
    action = _PCAP_ACTIONS.get(name)
    if action is None:
        raise CommandError("Invalid *PCAP field")
    action(session.facilities.capture)


def _metadata_key(cursor: Cursor) -> str:
    cursor.expect(".")
    key = cursor.name()
    cursor.end()
    return key


def _metadata(session: Session, cursor: Cursor) -> Reading:
    if cursor.text.startswith(".*", cursor.at):
        cursor.at += 2
        cursor.end()
        return list(session.box.metadata.keys())
    return session.box.metadata.read(_metadata_key(cursor))


def _write_metadata(session: Session, cursor: Cursor, value: str) -> None:
    key = _metadata_key(cursor)
    session.box.metadata.write(key, Cursor(value).utf8())


def _open_metadata(session: Session, cursor: Cursor) -> TableWriter:
    return session.box.metadata.open_lines(_metadata_key(cursor))


def _verbose(session: Session, cursor: Cursor, value: str) -> None:  # noqa: ARG001 (a row)
    number = session.box.wiring.cursor(value)
    session.facilities.verbose = bool(number.unsigned())
    number.end()


def _save_state(session: Session, cursor: Cursor, value: str) -> None:  # noqa: ARG001 (a row)
    Cursor(value).end()
    if session.facilities.save_state is None:
        raise CommandError("No persistence state configured")
    session.facilities.save_state()


def _clock_frequency(session: Session, cursor: Cursor) -> Reading:  # noqa: ARG001 (a row)
    return str(session.box.wiring.clock)


@dataclass(frozen=True, slots=True)
class SystemCommand:
    """What a system command may be given, and what it does."""

    argument: bool = False
    query: Query | None = None
    assign: Assignment | None = None
    open: Opening | None = None
    known: Callable[[Features], bool] = lambda _: True
    """Whether a server with these features has the command."""


SYSTEM_COMMANDS = {
    "IDN": SystemCommand(query=_identity),
    "ECHO": SystemCommand(argument=True, query=_echo),
    "WHO": SystemCommand(query=_who),
    "BLOCKS": SystemCommand(query=_blocks),
    "DESC": SystemCommand(argument=True, query=_description),
    "ENUMS": SystemCommand(argument=True, query=_enumeration),
    "CHANGES": SystemCommand(argument=True, query=_changes, assign=_reset_changes),
    "CAPTURE": SystemCommand(argument=True, query=_capture, assign=_clear_capture),
    "POSITIONS": SystemCommand(query=_positions),
    "BITS": SystemCommand(query=_bits, known=lambda features: features.bits_command),
    "PCAP": SystemCommand(argument=True, query=_pcap, assign=_pcap_action),
    "METADATA": SystemCommand(
        argument=True, query=_metadata, assign=_write_metadata, open=_open_metadata
    ),
    "VERBOSE": SystemCommand(assign=_verbose),
    "SAVESTATE": SystemCommand(assign=_save_state),
    "CLOCK_FREQ": SystemCommand(
        query=_clock_frequency, known=lambda features: features.clock_command
    ),
}


def _find(session: Session, name: str) -> tuple[SystemCommand, Cursor]:
    wiring = session.box.wiring
    cursor = wiring.cursor(name)
    command = SYSTEM_COMMANDS.get(cursor.letters())
    if command is None or not command.known(wiring.features):
        raise CommandError("Unknown command")
    if not command.argument:
        cursor.end()
    return command, cursor


def query_system(session: Session, name: str) -> Reading:
    """Answer ``*NAME?``."""
    command, cursor = _find(session, name)
    if command.query is None:
        raise CommandError("Command not readable")
    return command.query(session, cursor)


def assign_system(session: Session, name: str, value: str) -> None:
    """Do ``*NAME=VALUE``."""
    command, cursor = _find(session, name)
    if command.assign is None:
        raise CommandError("Command not writeable")
    command.assign(session, cursor, value)


def open_system(session: Session, name: str, *, streaming: bool, binary: bool) -> TableWriter:
    """Start ``*NAME<``."""
    command, cursor = _find(session, name)
    if command.open is None:
        raise CommandError("Not a table")
    if streaming:
        mode = "Streaming mode" if session.box.wiring.features.streamed_tables else "Append"
        raise CommandError(f"{mode} not supported")
    if binary:
        raise CommandError("Binary writes not supported")
    return command.open(session, cursor)

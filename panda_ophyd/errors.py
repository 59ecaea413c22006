"""Every exception of the driver, sorted by whose fault it is.

::

    PandaError
    ├── PandaConnectionError (ConnectionError)  network; __cause__ is the first cause
    ├── PandaTimeoutError (TimeoutError)        nobody answered in time; the connection lives on
    ├── ProtocolError                           peer software; fatal for the connection
    ├── CommandError                            server: it said ERR
    ├── FieldValueError (ValueError)            caller: a value does not fit the field
    ├── CompareError                            hardware: a position compare did not end well
    ├── WiringError                             caller: the box is not wired for a scan
    ├── EncoderError                            caller: a motor and its encoder do not agree
    ├── CaptureError                            hardware: an acquisition did not end well
    │   ├── PreflightError                      caller: nothing was armed, it would have failed
    │   └── StallError (TimeoutError)           rows that were expected did not come
    ├── SequenceError                           hardware: a sequencer stopped, or lines came late
    ├── RehearsalError                          caller: the plan cannot be rehearsed as it is
    └── WriterError (OSError)                   disk: the file would not take it

A message is one line: what failed, on what, why, and what the user can do. Every error
survives pickling with its attributes, so that it can be told in another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

NEAR_BYTES = 64
"""How many of the offending bytes a `ProtocolError` shows."""


REFUSALS: Mapping[str, str] = {
    "No such block": "panda-ophyd info lists the blocks",
    "No such field": "panda-ophyd info lists the fields of each block",
    "No such attribute": "BLOCK1.FIELD.*? lists the attributes of a field",
    "Invalid block number": "panda-ophyd info says how many of the block there are",
    "Missing block number": "there is more than one of this block: add its number, as in PULSE1",
    "Missing field name": "name a field too, as in PULSE1.DELAY",
    "Field not readable": "it can only be written, or captured",
    "Field not writeable": "it can only be read",
    "Attribute not writeable": "it can only be read",
    "Number missing": "give a number",
    "Number out of range": "FIELD.MAX? says the largest",
    "Error converting number": "give a number of ordinary size",
    "Unexpected character after input": "something is left over behind the value; give only that",
    "Value out of range": "with this SCALE and OFFSET it does not fit 32 bits",
    "Time setting out of range": "times are positive, and in the field's UNITS",
    "Invalid time units": "use min, s, ms or us",
    "Invalid bit value": "give 0 or 1",
    "Invalid enumeration value": "*ENUMS.FIELD? lists the words",
    "Invalid bit bus selection": "give ZERO, ONE or a bit such as TTLIN1.VAL",
    "Invalid position selection": "give ZERO or a position such as INENC1.VAL",
    "Delay too long": "it is 31 ticks at most",
    "Unknown capture option": "*CAPTURE.OPTIONS? lists them",
    "Invalid capture option": "this field is captured with Value or No",
    "Table write is not a whole number of rows": "give FIELD.ROW_WORDS numbers a row",
    "Too many points for table": "FIELD.MAX_LENGTH? says how many words it holds",
    "Table currently being written": "another connection has begun to write it and not ended",
    "Table do not support streaming mode": "write it without '<', as a whole",
    "Table is in streaming mode": "clear it first: write it with no line",
    "Last streaming table was sent": "clear it first: write it with no line",
    "Extension server not running": "restart the PandA's server",
}
"""How a refusal begins, and what the user can do. Source: protocol.md 3.3."""


def _revive(cls: type[PandaError], args: tuple[Any, ...], state: dict[str, Any]) -> PandaError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class PandaError(Exception):
    """Anything this driver raises on purpose."""

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        # Not by calling the class again, as exceptions are by default: its arguments are not
        # those that it passed on.
        return _revive, (type(self), self.args, self.__dict__)


class PandaConnectionError(PandaError, ConnectionError):
    """The connection could not be made or is gone."""


class PandaTimeoutError(PandaError, TimeoutError):
    """The peer did not answer in time; the connection lives on."""


class ProtocolError(PandaError):
    """The peer's bytes fit no rule of the protocol; the connection is dead.

    Attributes:
        near: up to 64 of the bytes around the offence.
    """

    def __init__(self, message: str, near: bytes = b"") -> None:
        self.near = near[:NEAR_BYTES]
        super().__init__(f"{message}, near {self.near!r}" if near else message)


class CommandError(PandaError):
    """The server answered ``ERR``.

    Attributes:
        request: what was asked, as its first line on the wire.
        message: the server's words after ``ERR ``.
    """

    def __init__(self, request: str, message: str) -> None:
        self.request = request
        self.message = message
        advice = next((text for start, text in REFUSALS.items() if message.startswith(start)), None)
        what = f"{request} refused by the PandA: {message}"
        super().__init__(f"{what}; {advice}" if advice else what)


class FieldValueError(PandaError, ValueError):
    """A value does not fit the field it was meant for.

    Attributes:
        field: the target on the wire, ``PULSE1.DELAY``.
        value: what was given.
    """

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field = field
        self.value = value
        super().__init__(f"{field} cannot be {value!r}: {reason}")


class WiringError(PandaError):
    """The box is not wired as a scan needs it; nothing was started.

    Attributes:
        where: name of the device.
        faults: a sentence for each, with the block and both values.
    """

    def __init__(self, where: str, faults: Sequence[str]) -> None:
        self.where = where
        self.faults = tuple(faults)
        found = "; ".join(self.faults)
        super().__init__(
            f"{where} is not wired for this scan: {found}; a wire_ plan of panda_ophyd.wires sets "
            "all that it needs"
        )


class EncoderError(PandaError):
    """A motor and the encoder that should follow it do not agree.

    Attributes:
        axis: name of the axis.
        target: the position on the wire, ``INENC1.VAL``.
    """

    def __init__(self, axis: str, target: str, reason: str) -> None:
        self.axis = axis
        self.target = target
        super().__init__(f"{axis} and {target} do not agree: {reason}")


class CaptureError(PandaError):
    """An acquisition did not end well; the rows before the doubt are kept.

    Attributes:
        reason: the END reason, or why there was no END.
        samples_sent: count in the END line, None if there was no END.
        samples_written: rows flushed to the file.
        suspect_row: the first row of the file that is in doubt or missing, None if not known.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        samples_sent: int | None,
        samples_written: int,
        suspect_row: int | None = None,
    ) -> None:
        self.reason = reason
        self.samples_sent = samples_sent
        self.samples_written = samples_written
        self.suspect_row = suspect_row
        super().__init__(message)


class PreflightError(CaptureError):
    """An acquisition was not started, because it would have failed.

    Attributes:
        problems: name of the check to what it found.
    """

    def __init__(self, where: str, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        found = "; ".join(f"{text} [{name}]" for name, text in problems.items())
        super().__init__(
            f"{where}: not started: {found}; a check can be waived by the name in brackets",
            reason="pre-flight: " + ", ".join(problems),
            samples_sent=None,
            samples_written=0,
        )


class StallError(CaptureError, TimeoutError):
    """Rows that were expected did not come; the message is a report of what is known."""

    def again(self) -> CaptureError:
        """Return the same for where a time-out would be taken for one of the framework's own."""
        return CaptureError(
            str(self),
            reason=self.reason,
            samples_sent=self.samples_sent,
            samples_written=self.samples_written,
            suspect_row=self.suspect_row,
        )


class CompareError(PandaError):
    """A position compare did not make the pulses that were asked for.

    Attributes:
        block: on the wire, ``PCOMP1``.
        health: its own word for what is wrong, "" if it had none.
        produced: pulses that it did make.
    """

    def __init__(self, message: str, *, block: str, health: str, produced: int) -> None:
        self.block = block
        self.health = health
        self.produced = produced
        super().__init__(message)


class SequenceError(PandaError):
    """A sequencer stopped before its lines were done, or they came too late for it.

    Attributes:
        block: the sequencer, ``SEQ1``.
        health: its HEALTH, "OK" if the block itself found nothing wrong.
        line: the line it had come to, from 1; of a stream or of two blocks that take turns,
            counted over everything that was loaded. None if not known.
        frames_done: frames of the scan that were complete before that, None if not known.
    """

    def __init__(
        self,
        block: str,
        reason: str,
        *,
        health: str,
        line: int | None = None,
        frames_done: int | None = None,
    ) -> None:
        self.block = block
        self.health = health
        self.line = line
        self.frames_done = frames_done
        where = "" if line is None else f", at line {line}"
        if frames_done is not None:
            where += f" after {frames_done} frames"
        super().__init__(f"{block}: {reason} [HEALTH {health}{where}]")


class RehearsalError(PandaError):
    """A plan cannot be rehearsed as it is; nothing real was touched."""


class WriterError(PandaError, OSError):
    """The file would not take it.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        super().__init__(f"{self.path}: {reason}")

"""A copy of a box: everything that a client can ask it, and nothing is ever written to it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from panda_ophyd.client import PandaAddress
from panda_ophyd.errors import RehearsalError
from panda_simulator.record import (
    TIMEOUT,
    BoxFile,
    ConfigError,
    Link,
    RecordError,
    read_box_file,
    record,
)

_SIGN, _WORD = 1 << 31, 1 << 32


@dataclass(frozen=True)
class Copied:
    """A copy of a box.

    Attributes:
        file: what the simulator plays.
        source: where it is from.
        doubts: what will not be the same in the simulator, a line each.
    """

    file: BoxFile
    source: str
    doubts: tuple[str, ...] = ()

    @property
    def readings(self) -> Mapping[str, int]:
        """Target to its raw word, of outputs that were not 0 and of what is read only."""
        return self.file.readings

    def position(self, target: str) -> int:
        """Return what a position read, in counts; 0 if it read nothing else."""
        word = self.readings.get(target, 0) % _WORD
        return word - _WORD if word & _SIGN else word

    def save(self, path: Path) -> None:
        """Write it as a box file, which `rehearse` takes in place of a box."""
        path.write_text(self.file.dumps(), encoding="utf-8")


def copy_box(source: PandaAddress | str | Path, *, timeout: float = TIMEOUT) -> Copied:
    """Ask a box for all that it says of itself, over a connection of its own.

    The box may be armed and running, and others may be connected: what is sent are queries
    only, and which changes were reported to whom is kept for each connection.

    Args:
        source: the box, or a box file that `Copied.save` or ``panda-simulator record`` wrote.
        timeout: seconds to wait for an answer.

    Raises:
        RehearsalError: it cannot be reached, is no PandA, or cannot be played; says why.
        FieldValueError: it is no address.
    """
    try:
        if isinstance(source, Path):
            return Copied(read_box_file(source), str(source))
        address = PandaAddress.parse(source) if isinstance(source, str) else source
        link = Link(address.host, address.control_port, timeout=timeout)
        with contextlib.closing(link):
            recording = record(link)
    except (RecordError, ConfigError) as error:
        msg = f"cannot copy the box: {error}"
        raise RehearsalError(msg) from error
    doubts = [f"a setting was not taken: {refused}" for refused in recording.refused]
    if recording.different:
        shown = ", ".join(recording.different[:3])
        more = len(recording.different) - 3
        doubts.append(f"answered differently: {shown}" + (f" and {more} more" * (more > 0)))
    return Copied(recording.file, str(address), tuple(doubts))

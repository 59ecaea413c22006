"""Settings outlive the box in a file of commands, written and replayed as the server does.

The file is the server's own persistence file: each can read the other's.

Source: protocol.md 2.3 (*SAVESTATE), 6.4 (QUEUED_LINES), 10.5.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from panda_simulator.box import Box, Cursors, Group
from panda_simulator.control import LINE_LIMIT, ControlConnection, Facilities

SAVED_GROUPS = (Group.ATTR, Group.CONFIG, Group.TABLE, Group.METADATA)
"""What is saved, in the order of the file: units come before the times they are for."""

_SETTING = re.compile(rb"(\*METADATA\.|[A-Za-z_])[^?=<]*([=<])")
_HARMLESS = re.compile(rb"[^=<]*\.QUEUED_LINES=.*|[^=<]* \(error\)", re.DOTALL)
"""Lines that every such file holds, or may hold, and that never load."""
_TIMES = re.compile(r"(\d+)?(?::(\d+)?(?::(\d+)?)?)?")
_SHOWN = 60
_LOG = logging.getLogger(__name__)


class StateError(Exception):
    """A state file cannot be used at all; the text is one line: file, reason."""


class StateTimes(NamedTuple):
    """Seconds between looks for changes, from a change to writing, and after writing."""

    poll: float = 20.0
    holdoff: float = 30.0
    backoff: float = 60.0

    @classmethod
    def parse(cls, text: str) -> StateTimes:
        """Read ``[poll][:[holdoff][:[backoff]]]`` in whole seconds, as the server does.

        Raises:
            ValueError: it is not of that form.
        """
        match = _TIMES.fullmatch(text)
        if match is None:
            raise ValueError(f"state times {text!r} are not POLL:HOLDOFF:BACKOFF in seconds")
        given = zip(match.groups(), cls(), strict=True)
        return cls(*(default if part is None else float(part) for part, default in given))


def state_lines(box: Box) -> Iterator[str]:
    """Yield the lines of the file for the settings of this moment, one character a byte."""
    for group in (Group.ATTR, Group.CONFIG):
        yield from box.changes(Cursors(), (group,))
    for block in box.blocks.values():
        for field in block.fields.values():
            if field.behaviour.group is not Group.TABLE:
                continue
            place = field.behaviour.place
            for number in range(place.count):
                yield f"{place.reported(number)}<B"
                yield from field.attribute("B").get(number)
                yield ""
    for report in box.changes(Cursors(), (Group.METADATA,)):
        yield report
        if report.endswith("<") and "=" not in report:
            yield from box.metadata.read(report[len("*METADATA.") : -1])
            yield ""


class StateFile:
    """The file that one box keeps its settings in."""

    def __init__(self, path: Path, facilities: Facilities, times: StateTimes) -> None:
        """Name the file; nothing is read or written yet.

        Raises:
            ValueError: the times are none that can be waited for.
        """
        if not (0 < times.poll < math.inf and times.holdoff >= 0 and times.backoff >= 0):
            raise ValueError(
                f"state times {':'.join(f'{part:g}' for part in times)}:"
                " the first has to be above 0, the others not below"
            )
        self.path = path
        self.times = times
        self._facilities = facilities
        self._cursors = Cursors()
        self._unsaved = False

    def restore(self) -> None:
        """Replay the file if there is one; what does not load is logged and skipped.

        A file of which something did not load is kept beside the one that will be written.

        Raises:
            StateError: the file cannot be read, or its folder cannot be written.
        """
        content = self._read()
        if content is None:
            return
        failures = [*replay(self._facilities.box, content)]
        if failures:
            kept = self._keep(content)
            number, line, reason = failures[0]
            _LOG.error(
                "state file %s: %s not loaded, the first is line %d (%s): %s;"
                " the file as it was is kept as %s",
                self.path,
                "1 line" if len(failures) == 1 else f"{len(failures)} lines",
                number,
                line,
                reason,
                kept,
            )
        self._facilities.box.skip_changes(self._cursors, SAVED_GROUPS)

    def save(self) -> None:
        """Write the settings now; a failure is logged, and the old file stays.

        Clients are not told of a failure: the server says OK as well.
        """
        box = self._facilities.box
        box.hardware.advance()
        box.skip_changes(self._cursors, SAVED_GROUPS)
        text = "".join(f"{line}\n" for line in state_lines(box)).encode("latin-1")
        try:
            _replace(self.path, text)
        except OSError as error:
            self._unsaved = True
            _LOG.error(
                "state file %s not written: %s; the old one stays, changes are not kept yet",
                self.path,
                error.strerror or error,
            )
        else:
            self._unsaved = False

    def save_changes(self) -> None:
        """Write the settings if something changed since the last time."""
        if self._has_changes():
            self.save()

    async def run(self) -> None:
        """Write changes after they have settled, until cancelled; then call `save_changes`."""
        while True:
            await asyncio.sleep(self.times.poll)
            if self._has_changes():
                self._unsaved = True
                await asyncio.sleep(self.times.holdoff)
                self.save()
                await asyncio.sleep(self.times.backoff)

    def _has_changes(self) -> bool:
        self._facilities.box.hardware.advance()
        return self._facilities.box.has_changes(self._cursors, SAVED_GROUPS) or self._unsaved

    def _read(self) -> bytes | None:
        folder = self.path.parent
        if not folder.is_dir():
            raise StateError(f"state file {self.path}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StateError(f"state file {self.path}: folder {folder} cannot be written")
        if self.path.exists() and not self.path.is_file():
            raise StateError(f"state file {self.path}: is not a file")
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            _LOG.info("state file %s: not there yet", self.path)
            return None
        except OSError as error:
            raise StateError(f"state file {self.path}: {error.strerror or error}") from error

    def _keep(self, content: bytes) -> Path:
        names = (self.path.with_name(f"{self.path.name}.rejected{n}") for n in count(1))
        try:
            kept = next(name for name in names if not _differs(name, content))
            _replace(kept, content)
        except OSError as error:
            raise StateError(
                f"state file {self.path}: a part of it does not load, and it cannot be kept"
                f" beside the new one: {error.strerror or error}"
            ) from error
        return kept


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that there is always a whole one."""
    backup = path.with_name(f"{path.name}.backup")
    with backup.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    backup.replace(path)


class _NoCapture:
    """Settings capture nothing (control.Capture)."""

    status = "Idle 0 0"
    captured = 0
    completion = "Ok"

    def arm(self) -> None:
        """Do nothing."""

    def disarm(self) -> None:
        """Do nothing."""


def asker(box: Box, rootfs: str = "") -> Callable[[str], tuple[str, ...]]:
    """Return what gives a box a command, of one line or more, and returns its reply in lines."""
    connection = ControlConnection(Facilities(box, _NoCapture(), list[str], rootfs=rootfs))

    def ask(command: str) -> tuple[str, ...]:
        reply = connection.receive_data(f"{command}\n".encode("latin-1"))
        return tuple(reply.decode("latin-1").removesuffix("\n").split("\n"))

    return ask


def replay(box: Box, content: bytes) -> Iterator[tuple[int, str, str]]:
    """Give the settings of a file to a box; yield the lines that fail.

    Args:
        box: that takes them.
        content: of the file.

    Yields:
        The number of a line, the line itself, and why it did not load.
    """
    *whole, rest = content.split(b"\n")
    lines = iter(enumerate(whole, start=1))
    connection = ControlConnection(Facilities(box, _NoCapture(), list[str]))
    for number, line in lines:
        match = _SETTING.match(line)
        if not line or _HARMLESS.fullmatch(line):
            continue
        if match is None:
            yield number, _shown(line), "not a setting"
            continue
        body = [line]
        if match[2] == b"<":
            for _, below in lines:
                body.append(below)
                if not below:
                    break
            else:
                yield number, _shown(line), "the table has no end"
                continue
        if max(map(len, body)) > LINE_LIMIT:
            yield number, _shown(line), f"a line of more than {LINE_LIMIT} bytes"
            continue
        reply = connection.receive_data(b"".join(part + b"\n" for part in body))
        if reply != b"OK\n" and not _holds(connection, line):
            yield number, _shown(line), reply.decode("latin-1").removeprefix("ERR ").strip()
    if rest:
        yield len(whole) + 1, _shown(rest), "the line has no end"


def _holds(connection: ControlConnection, line: bytes) -> bool:
    """Tell whether a value that was refused is there anyway, so that nothing is lost."""
    name, _, value = line.partition(b"=")
    return b"<" not in name and connection.receive_data(name + b"?\n") == b"OK =" + value + b"\n"


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

"""A recording on the command line: progress and doubts on the error output, the file returned."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TextIO

from panda_simulator.record.exchanges import Exchanges
from panda_simulator.record.interview import interview
from panda_simulator.record.link import Answers, Link, parse_address
from panda_simulator.record.recording import Recording, make_recording

_SHOWN = 5
_STEP = 500
"""Answers from one sign of progress to the next."""


def record(answers: Answers) -> Recording:
    """Ask a box everything and make a recording of it.

    Raises:
        RecordError: the link was lost, or what answers is no PandA that can be simulated.
    """
    return make_recording(interview(answers))


def record_box(address: str | None, exchanges: Path | None, timeout: float) -> str:
    """Record a box, say how it goes, and return the text of the box file.

    Args:
        address: ``HOST`` or ``HOST:CONTROL``.
        exchanges: file that answers instead.
        timeout: seconds to wait for an answer.

    Raises:
        RecordError: the link was lost, or what answers is no PandA that can be simulated.
        ValueError: there is no address or a malformed one, or two sources are given.
    """
    if (address is None) == (exchanges is None):
        raise ValueError("record HOST[:CONTROL], or --exchanges FILE")
    if exchanges is not None:
        recording = record(Exchanges(exchanges))
    else:
        host, port = parse_address(address or "")
        link = Link(host, port, timeout=timeout, progress=_Progress(sys.stderr).show)
        with contextlib.closing(link):
            recording = record(link)
    _report(recording, sys.stderr)
    return recording.file.dumps()


class _Progress:
    """A line that counts, where there is a terminal; else a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, answers: int) -> None:
        """Take the number of answers so far."""
        if answers % _STEP == 0:
            start, end = ("\r", "") if self._stream.isatty() else ("", "\n")
            print(f"{start}{answers} answers ...", end=end, file=self._stream, flush=True)


def _report(recording: Recording, stream: TextIO) -> None:
    file = recording.file
    start = "\r" if stream.isatty() else ""
    print(
        f"{start}recorded {file.identity.software} with {recording.asked} answers:"
        f" {len(file.state)} lines of settings, {len(file.readings)} readings,"
        f" {len(file.unknown)} fields of unknown kind",
        file=stream,
    )
    for doubt, entries in (
        ("settings that it will not take", recording.refused),
        ("answers that will be different", recording.different),
        ("readings that changed meanwhile", recording.moving),
    ):
        if entries:
            more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
            print(f"{doubt}: {'; '.join(entries[:_SHOWN])}{more}", file=stream)

"""The one line a data client sends says how it wants its data.

Source: protocol.md 8.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from panda_simulator.box.errors import CommandError
from panda_simulator.box.text import Cursor


class Format(Enum):
    """How samples travel; the value is its name in a header."""

    ASCII = "ASCII"
    BASE64 = "Base64"
    FRAMED = "Framed"
    UNFRAMED = "Unframed"


class Process(Enum):
    """What is done to samples; the value is its name in a header."""

    RAW = "Raw"
    SCALED = "Scaled"


@dataclass(frozen=True, slots=True)
class Options:
    """What a client wants; by default what an empty line gives."""

    format: Format = Format.ASCII
    process: Process = Process.SCALED
    header: bool = True
    status: bool = True
    one_shot: bool = False
    xml: bool = False


_DEFAULT = Options()
_BARE = Options(Format.UNFRAMED, Process.RAW, header=False, status=False, one_shot=True)

_WORDS = {
    **{word.name: {"format": word} for word in Format},
    **{word.name: {"process": word} for word in Process},
    "NO_HEADER": {"header": False},
    "NO_STATUS": {"status": False},
    "ONE_SHOT": {"one_shot": True},
    "XML": {"xml": True},
}
_WHOLE = {"BARE": _BARE, "DEFAULT": _DEFAULT}


def parse_options(line: str) -> Options:
    """Read the option line.

    Raises:
        CommandError: with the text that the client is sent before the connection closes.
    """
    options = _DEFAULT
    cursor = Cursor(line)
    while cursor.peek():
        cursor.skip_blanks()
        if cursor.peek() == "\r":
            raise CommandError("Cannot process CR character")
        word = cursor.name()
        if word in _WHOLE:
            options = _WHOLE[word]
        elif word in _WORDS:
            options = replace(options, **_WORDS[word])
        else:
            raise CommandError("Invalid data capture option")
    return options

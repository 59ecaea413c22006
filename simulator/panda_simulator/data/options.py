"""The one line a data client sends says how it wants its data.

Source: protocol.md 8.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from panda_simulator.box.errors import CommandError
from panda_simulator.box.text import Cursor
from panda_simulator.versions import Features


class Format(Enum):
    """How samples travel; the value is its name in a header."""

    ASCII = "ASCII"
    BASE64 = "Base64"
    FRAMED = "Framed"
    UNFRAMED = "Unframed"


class Process(Enum):
    """What is done to samples; the value is its name in a header."""

    RAW = "Raw"
    UNSCALED = "Unscaled"
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

_GONE = Process.UNSCALED.name
_WORDS = {
    **{word.name: {"format": word} for word in Format},
    **{word.name: {"process": word} for word in Process},
    "NO_HEADER": {"header": False},
    "NO_STATUS": {"status": False},
    "ONE_SHOT": {"one_shot": True},
    "XML": {"xml": True},
}
_WHOLE = {"BARE": _BARE, "DEFAULT": _DEFAULT}
_OLD_WHOLE = {"BARE": replace(_BARE, process=Process.UNSCALED), "DEFAULT": _DEFAULT}


def parse_options(line: str, features: Features) -> Options:
    """Read the option line.

    Raises:
        CommandError: with the text that the client is sent before the connection closes.
    """
    known = {
        name: word for name, word in _WORDS.items() if name != _GONE or not features.no_unscaled
    }
    whole = _WHOLE if features.no_unscaled else _OLD_WHOLE
    options = _DEFAULT
    cursor = Cursor(line)
    while cursor.peek():
        cursor.skip_blanks()
        if cursor.peek() == "\r" and features.carriage_returns:
            raise CommandError("Cannot process CR character")
        word = cursor.name()
        if word in whole:
            options = whole[word]
        elif word in known:
            options = replace(options, **known[word])
        else:
            raise CommandError("Invalid data capture option")
    return options

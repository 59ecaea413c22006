"""The lines of ``*CHANGES?``: a target, and its text, or that there is some, or that there is none.

Source: protocol.md 6.3.
"""

from __future__ import annotations

import re

# by the first character that cannot be part of a name, never by how the line ends: text may
# well end in "<" or "(error)"
_LINE = re.compile(r"([A-Za-z0-9_.*]+)(?:(=)(.*)|(<)| \(error\))", re.ASCII | re.DOTALL)


def parse_line(line: str) -> tuple[str, str | None, bool] | None:
    """Read one line of ``*CHANGES?``: target, text, error; None if it is none.

    Source: protocol.md 6.3.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    text = match[3] if match[2] else None
    return match[1], text, not (match[2] or match[4])

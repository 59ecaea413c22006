"""What bits did since the last write: the record that tells a wait of a pulse before it began.

A plan writes (``ENABLE=ONE``) and then begins to wait for a bit that may have risen and
fallen meanwhile. The command connection has a ``*CHANGES`` cursor of its own. It is read
just before each write, in the same round trip, which marks the moment; read again when a
wait begins, it lists every bit that changed since, and nothing that changed before. No
second connection could tell that, because the order of two connections is not known.

Source: protocol.md 6.2, 6.4 (a bit that pulsed is listed with its present level).
"""

from __future__ import annotations

from collections.abc import Sequence

from panda_ophyd.changes import parse_line

BITS_QUERY = "*CHANGES.BITS"


class BitRecord:
    """Levels of every bit, and the levels each has had since the last write."""

    def __init__(self) -> None:
        self._levels: dict[str, bool] = {}
        self._since: dict[str, list[bool]] = {}

    def note(self, lines: Sequence[str], *, write_follows: bool) -> None:
        """Take in a reply to ``*CHANGES.BITS?``.

        Args:
            lines: the reply's lines.
            write_follows: a write was sent right behind the query, so that what a bit
                did up to now is none of its doing.
        """
        for line in lines:
            parsed = parse_line(line)
            if parsed is None or parsed[1] not in ("0", "1"):
                continue
            target, level = parsed[0], parsed[1] == "1"
            before = self._levels.get(target)
            self._levels[target] = level
            if before is None:
                continue
            # Listed with the level it had: it left it and came back.
            seen = [level] if level != before else [not level, level]
            self._since.setdefault(target, []).extend(seen)
        if write_follows:
            self._since.clear()

    def since_write(self, target: str) -> list[bool]:
        """Return the levels that a bit went through since the last write, oldest first.

        Empty if it did nothing since.
        """
        return list(self._since.get(target, ()))

"""Faults of what one data client is sent: header, samples, END."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from typing_extensions import override

from panda_simulator.faults.actions import Close
from panda_simulator.faults.effect import Effect, Progress
from panda_simulator.faults.parameters import choice, whole, words

_PREFIX = 8
_NUMBER = re.compile(rb"END (\d+)")
_END = re.compile(rb"^(END \d+) .*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class DataEffect(Effect):
    """A fault of data connections."""

    connection: int = whole(
        0, "which connection: the n-th of those that are open or will come, 0 for all"
    )

    @property
    @override
    def target(self) -> str:
        return "data"

    @property
    @override
    def place(self) -> int:
        return self.connection


@dataclass(frozen=True, kw_only=True)
class Missed(DataEffect):
    """Row ``missed``."""

    samples: int = whole(1, "how many at the beginning")

    @override
    def missed(self, at: Progress) -> int:
        return self.samples if at.fire() else 0


@dataclass(frozen=True, kw_only=True)
class BadHeader(DataEffect):
    """Row ``bad-header``."""

    how: str = choice(
        "broken", ("broken", "no-fields", "no-process", "bad-type", "endless"), "what is wrong"
    )

    @override
    def header(self, text: bytes, at: Progress) -> bytes:
        if not at.fire():
            return text
        if self.how == "broken":
            return text.replace(b"</fields>", b"<fields", 1)
        if self.how == "no-fields":
            return re.sub(rb"<field .*\n", b"", text)
        if self.how == "no-process":
            return re.sub(rb' process="\w+"', b"", text)
        if self.how == "bad-type":
            return re.sub(rb' type="\w+"', b' type="quaternion"', text)
        return text.removesuffix(b"\n\n") + b"\n<comment />" * 10_000


@dataclass(frozen=True, kw_only=True)
class OfRows(DataEffect):
    """A fault of some rows of an acquisition."""

    sample: int = whole(0, "the first of them, counted from 0")
    count: int = whole(1, "how many rows", least=1)

    def hit(self, first: int, count: int) -> range:
        """Return which of some rows are meant."""
        start = max(self.sample - first, 0)
        return range(start, max(min(self.sample + self.count - first, count), start))

    def change(self, row: bytes, at: Progress) -> list[bytes]:
        """Return what is sent instead of a row."""
        return [row]

    @override
    def rows(self, first: int, rows: list[bytes], at: Progress) -> list[bytes]:
        hit = self.hit(first, len(rows))
        if not hit:
            return rows
        if self.sample >= first:
            at.hitting = at.fire()
        if not at.hitting:
            return rows
        changed = [other for row in rows[hit.start : hit.stop] for other in self.change(row, at)]
        return rows[: hit.start] + changed + rows[hit.stop :]


@dataclass(frozen=True, kw_only=True)
class DropRows(OfRows):
    """Row ``drop-rows``."""

    @override
    def change(self, row: bytes, at: Progress) -> list[bytes]:
        return []


@dataclass(frozen=True, kw_only=True)
class DuplicateRows(OfRows):
    """Row ``duplicate-rows``."""

    @override
    def change(self, row: bytes, at: Progress) -> list[bytes]:
        return [row, row]


@dataclass(frozen=True, kw_only=True)
class CorruptRows(OfRows):
    """Row ``corrupt-rows``."""

    seed: int = whole(0, "of the bits that are flipped")

    @property
    @override
    def chance(self) -> int:
        return self.seed

    @override
    def change(self, row: bytes, at: Progress) -> list[bytes]:
        bit = 1 << at.random.randrange(8 * len(row))
        return [(int.from_bytes(row, "little") ^ bit).to_bytes(len(row), "little")]


@dataclass(frozen=True, kw_only=True)
class TruncateFrame(DataEffect):
    """Row ``truncate-frame``."""

    number: int = whole(0, "which frame of the connection, counted from 0")
    keep: int = whole(_PREFIX + 1, "how many of its bytes are sent")

    @override
    def frame(self, piece: bytes, at: Progress) -> bytes:
        if at.frames != self.number or not at.fire():
            return piece
        at.after.append(Close())
        return piece[: min(self.keep, len(piece) - 1)]


@dataclass(frozen=True, kw_only=True)
class FrameLength(DataEffect):
    """Row ``frame-length``."""

    number: int = whole(0, "which frame of the connection, counted from 0")
    length: int = whole(0xFFFF_FFFF, "what its length field says")

    @override
    def frame(self, piece: bytes, at: Progress) -> bytes:
        framed = piece.startswith(b"BIN ")
        if not framed or at.frames != self.number or not at.fire():
            return piece
        return piece[:4] + struct.pack("<I", self.length & 0xFFFF_FFFF) + piece[_PREFIX:]


@dataclass(frozen=True, kw_only=True)
class DataOverrun(DataEffect):
    """Row ``data-overrun``."""

    sample: int = whole(0, "how many samples are sent before")

    @override
    def boundary(self, sent: int, at: Progress) -> int | None:
        return self.sample - sent

    @override
    def overrun(self, sent: int, at: Progress) -> bool:
        return sent >= self.sample and at.fire()


@dataclass(frozen=True, kw_only=True)
class EndEffect(DataEffect):
    """A fault of an END line."""

    def change(self, line: bytes) -> bytes:
        """Return what is sent instead of the line."""
        return line

    @override
    def end(self, line: bytes, at: Progress) -> bytes:
        return self.change(line) if at.fire() else line


@dataclass(frozen=True, kw_only=True)
class DuplicateEnd(EndEffect):
    """Row ``duplicate-end``."""

    @override
    def change(self, line: bytes) -> bytes:
        return line + line


@dataclass(frozen=True, kw_only=True)
class MissingEnd(EndEffect):
    """Row ``missing-end``."""

    @override
    def change(self, line: bytes) -> bytes:
        return b""


@dataclass(frozen=True, kw_only=True)
class WrongEnd(EndEffect):
    """Row ``wrong-end``."""

    by: int = whole(1, "by how much its count is wrong", least=None)

    @override
    def change(self, line: bytes) -> bytes:
        return _NUMBER.sub(lambda found: b"END %d" % max(int(found[1]) + self.by, 0), line, 1)


@dataclass(frozen=True, kw_only=True)
class OddEnd(EndEffect):
    """Row ``odd-end``."""

    reason: str = words("Out of cheese", "the reason that it gives")

    @override
    def change(self, line: bytes) -> bytes:
        reason = self.reason.encode("latin-1")
        return _END.sub(lambda found: b"%s %s" % (found[1], reason), line)

"""The lines of a long reply are written when they are sent, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from typing_extensions import override

_TOGETHER = 1024


class Rows(Sequence[str]):
    """Lines that are made of something that does not change."""

    def __init__(self, length: int, write: Callable[[int, int], list[str]]) -> None:
        """Write nothing yet.

        Args:
            length: number of lines.
            write: returns the lines from the first number to the one before the second.
        """
        self._length = length
        self._write = write

    @override
    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    @override
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            first, last, step = index.indices(self._length)
            if step == 1:
                return self._write(first, max(first, last))
            return [self[number] for number in range(first, last, step)]
        number = range(self._length)[index]
        return self._write(number, number + 1)[0]

    @override
    def __iter__(self) -> Iterator[str]:
        for first in range(0, self._length, _TOGETHER):
            yield from self._write(first, min(first + _TOGETHER, self._length))

"""Edges are the ticks at which a signal changes, and what it changes to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from panda_simulator.timing.signals import Signal


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """The changes of one signal.

    Attributes:
        signal: what changes.
        initial: value before the first change.
        ticks: (n,) int64, strictly ascending.
        values: (n,) int64, or float64 for an axis; each holds from its tick on.
        exact: False if there were so many changes that only some are here.
    """

    signal: Signal
    initial: float
    ticks: NDArray[np.int64]
    values: NDArray[Any]
    exact: bool = True

    @property
    def name(self) -> str:
        """Name of the signal."""
        return self.signal.name

    def at(self, tick: int) -> Any:
        """Return the value at a tick."""
        index = int(np.searchsorted(self.ticks, tick, side="right"))
        return self.values[index - 1].item() if index else self.initial

    def rises(self) -> NDArray[np.int64]:
        """Return the ticks at which the value grows, (k,) int64."""
        return self.ticks[self._steps() > 0]

    def falls(self) -> NDArray[np.int64]:
        """Return the ticks at which the value becomes less, (k,) int64."""
        return self.ticks[self._steps() < 0]

    def becomes(self, text: str) -> NDArray[np.int64]:
        """Return the ticks at which the value becomes what the box writes so, (k,) int64."""
        shown = np.array([self.text(value) == text for value in self.values.tolist()], np.bool_)
        return self.ticks[shown]

    def pairs(self) -> list[tuple[int, Any]]:
        """Return tick and value of each change."""
        return list(zip(self.ticks.tolist(), self.values.tolist(), strict=True))

    def text(self, value: float) -> str:
        """Write a value as the box does."""
        return self.signal.text(value)

    def window(self, first: int, last: int) -> Edges:
        """Return the changes in first … last; what came before is in `initial`."""
        begin = int(np.searchsorted(self.ticks, first, side="left"))
        end = int(np.searchsorted(self.ticks, last, side="right"))
        initial = self.values[begin - 1].item() if begin else self.initial
        return replace(
            self, initial=initial, ticks=self.ticks[begin:end], values=self.values[begin:end]
        )

    def since(self, tick: int) -> Edges:
        """Count ticks from another one on; earlier changes are dropped into `initial`."""
        kept = self.window(tick, int(self.ticks[-1]) if len(self.ticks) else tick)
        return replace(kept, ticks=kept.ticks - tick)

    def scaled(self) -> NDArray[np.float64]:
        """Return the values with the scale and offset of the signal, (n,) float64."""
        return self.values.astype(np.float64) * self.signal.scale + self.signal.offset

    def _steps(self) -> NDArray[Any]:
        return np.diff(self.values, prepend=np.array([self.initial], self.values.dtype))

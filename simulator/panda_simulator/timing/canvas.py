"""The only module that knows matplotlib: lines, boxes and texts between two time axes.

Across, x is in ticks; upwards, y is in inches from the lower time axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

Align: TypeAlias = Literal["left", "center", "right"]

STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "svg.fonttype": "none",
    "svg.hashsalt": "panda-simulator",
    "pdf.fonttype": 42,
    "hatch.linewidth": 0.5,
    "path.simplify": False,
    "text.parse_math": False,
}
_DATES: dict[str, dict[str, None]] = {
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None, "ModDate": None},
}
_HATCH = "////////"
_DASHES = {"dotted": (0, (1.5, 1.5)), "short": (0, (2, 1.5)), "long": (0, (4, 2)), "solid": "-"}
_ARROW = {"lw": 0.7, "shrinkA": 0, "shrinkB": 0}
_HEADS = {1: "-|>,head_length=0.28,head_width=0.12", 2: "<|-|>,head_length=0.28,head_width=0.12"}
_FAINT, _TEXT = "#767676", "#1a1a1a"


class Canvas:
    """A figure with one plot; sizes are in inches.

    Attributes:
        figure: of matplotlib.
    """

    def __init__(
        self,
        size: tuple[float, float],
        plot: tuple[float, float, float, float],
        ticks: tuple[float, float],
    ) -> None:
        """Make an empty canvas.

        Args:
            size: of the figure, width and height.
            plot: left, bottom, width and height of the plot in it.
            ticks: at the left and the right border of the plot.
        """
        width, height = size
        figure: Any = Figure(figsize=size)
        self.figure: Figure = figure
        self._left = plot[0] / width
        box = (plot[0] / width, plot[1] / height, plot[2] / width, plot[3] / height)
        # Any: its stubs leave the keywords of artists open
        axes: Any = figure.add_axes(box)
        self._axes = axes
        self._top = 1 - 0.1 / height
        axes.set_xlim(*ticks)
        axes.set_ylim(0, plot[3])
        axes.set_yticks([])
        for side, spine in axes.spines.items():
            spine.set(visible=side in {"top", "bottom"}, color=_FAINT, linewidth=0.6)

    def title(self, text: str, size: float) -> None:
        """Write a title above the plot."""
        figure: Any = self.figure
        figure.text(self._left, self._top, text, ha="left", va="top", fontsize=size,
                    fontweight="bold", color=_TEXT)  # fmt: skip

    def scale(self, side: str, numbers: Iterable[tuple[float, str]], unit: str) -> None:
        """Number a time axis, "bottom" or "top"."""
        axis: Any = self._axes
        if side == "top":
            axis = self._axes.secondary_xaxis("top")
            axis.spines["top"].set_visible(False)
        numbers = list(numbers)
        axis.set_xticks([tick for tick, _ in numbers], [text for _, text in numbers])
        axis.tick_params(axis="x", labelsize=7, color=_FAINT, labelcolor=_TEXT, length=3,
                         width=0.6, pad=2)  # fmt: skip
        y, shift, va = (0, -5, "top") if side == "bottom" else (1, 5, "bottom")
        self._axes.annotate(unit, (0, y), (-8, shift), xycoords="axes fraction",
                            textcoords="offset points", ha="right", va=va, fontsize=7,
                            color=_FAINT, annotation_clip=False)  # fmt: skip

    def stripe(self, bottom: float, top: float, colour: str) -> None:
        """Colour the background from border to border."""
        self._axes.axhspan(bottom, top, color=colour, lw=0, zorder=0.2)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        colour: str,
        *,
        width: float = 1.25,
        steps: bool = False,
    ) -> None:
        """Draw a line through points."""
        self._axes.plot(xs, ys, color=colour, lw=width, solid_capstyle="butt",
                        solid_joinstyle="miter",
                        drawstyle="steps-post" if steps else "default")  # fmt: skip

    def upright(
        self,
        xs: Sequence[float],
        bottom: float,
        top: float,
        colour: str,
        *,
        dashes: str = "dotted",
        above: bool = False,
    ) -> None:
        """Draw vertical lines, behind the signals or above them."""
        self._axes.vlines(xs, bottom, top, color=colour, lw=0.5, linestyles=_DASHES[dashes],
                          zorder=2.5 if above else 0.7)  # fmt: skip

    def box(
        self, left: float, right: float, bottom: float, top: float, colour: str, alpha: float
    ) -> None:
        """Fill a rectangle."""
        patch = Rectangle((left, bottom), right - left, top - bottom, fc=colour, ec="none",
                          alpha=alpha)  # fmt: skip
        self._axes.add_patch(patch)

    def shape(
        self, points: Sequence[tuple[float, float]], fill: str, colour: str, *, hatched: bool
    ) -> None:
        """Fill a polygon; hatching has a colour of its own."""
        patch = Polygon(points, closed=True, fc=fill, ec=colour, lw=0,
                        hatch=_HATCH if hatched else None)  # fmt: skip
        self._axes.add_patch(patch)

    def markers(self, xs: Sequence[float], y: float, shape: str, colour: str, size: float) -> None:
        """Put markers at ticks."""
        if xs:
            self._axes.plot(xs, [y] * len(xs), marker=shape, ms=size, color=colour, mec="none",
                            lw=0, clip_on=False)  # fmt: skip

    def arrow(self, tip: float, y: float, tail: float, colour: str, *, heads: int = 1) -> None:
        """Draw an arrow, with a head at its tip only or at both ends."""
        style = {**_ARROW, "color": colour, "arrowstyle": _HEADS[heads]}
        self._axes.annotate("", (tip, y), (tail, y), arrowprops=style)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        colour: str = _TEXT,
        align: Align = "center",
        shift: float = 0.0,
        on: str = "",
    ) -> None:
        """Write a text at a tick.

        Args:
            x: tick.
            y: of its middle.
            text: to write.
            size: of its letters, in points.
            colour: of its letters.
            align: which end of it, or its middle, is at the tick.
            shift: to the right, in points.
            on: colour of a background that hides what is behind it.
        """
        box = {"boxstyle": "square,pad=0.08", "fc": on, "ec": "none"} if on else None
        self._axes.annotate(text, (x, y), (shift, 0), textcoords="offset points", ha=align,
                            va="center_baseline", fontsize=size, color=colour,
                            bbox=box)  # fmt: skip

    def beside(self, side: str, y: float, text: str, *, size: float, colour: str) -> None:
        """Write a text to the "left" or "right" of the plot."""
        x, shift, align = (0, -8, "right") if side == "left" else (1, 4, "left")
        self._axes.annotate(text, (x, y), (shift, 0), xycoords=self._axes.get_yaxis_transform(),
                            textcoords="offset points", ha=align, va="center_baseline",
                            fontsize=size, color=colour, annotation_clip=False)  # fmt: skip


def reproducible() -> Any:
    """Return the settings under which the same drawing gives the same file, as a context.

    What a user has set for other plots is put aside.
    """
    styles: Any = style
    return styles.context(["default", STYLE])


def write(figure: Figure, path: Path, title: str, comment: str, dpi: int) -> None:
    """Write a figure without anything of the moment in it.

    Raises:
        OSError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    described = {".svg": "Description", ".png": "Description", ".pdf": "Subject"}[suffix]
    metadata: dict[str, Any] = {"Title": title, described: comment, **_DATES.get(suffix, {})}
    target: Any = figure
    target.savefig(path, dpi=dpi, metadata=metadata)

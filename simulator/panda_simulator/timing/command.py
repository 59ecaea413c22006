"""``panda-simulator timing``: from scripts to pictures, texts and tables."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from panda_simulator.timing.diagram import Diagram
from panda_simulator.timing.export import to_csv, to_json
from panda_simulator.timing.play import play
from panda_simulator.timing.script import read_script
from panda_simulator.timing.text import ASCII, UNICODE, text_diagram
from panda_simulator.timing.times import parse_ticks

NO_MATPLOTLIB = (
    "a picture needs matplotlib, which is not installed: install it "
    "(pip install 'panda-ophyd[demo]'), or ask for --text"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user wants of each script.

    Attributes:
        output: picture to write; beside the script, as SVG, if nothing is printed either.
        first: first tick to show, or a time with its unit.
        last: last one.
        text: print the diagram in characters.
        csv: print its edges as CSV.
        json: print all of it as JSON.
        columns: width of the text.
        width: of the picture, in inches.
        dpi: of a PNG.
        hardware_latency: let hops take the ticks that real hardware needs.
    """

    output: Path | None = None
    first: str | None = None
    last: str | None = None
    text: bool = False
    csv: bool = False
    json: bool = False
    columns: int = 100
    width: float = 10.0
    dpi: int = 150
    hardware_latency: bool = False


def run(files: Sequence[Path], wishes: Wishes, say: Callable[[str], None]) -> None:
    """Play scripts, and write or print what is wished for.

    Args:
        files: scripts.
        wishes: the same for all of them.
        say: prints a text that holds its own line ends.

    Raises:
        OSError: a file cannot be read or written.
        ScriptError: a script is malformed, or the box refuses it.
        ValueError: the wishes do not fit each other, or matplotlib is missing.
    """
    if wishes.output and len(files) > 1:
        raise ValueError("one output cannot hold several diagrams: give one script")
    for path in files:
        diagram = play(read_script(path), hardware_latency=wishes.hardware_latency)
        diagram = diagram.window(_tick(wishes.first), _tick(wishes.last))
        encoding = sys.stdout.encoding or "ascii"
        if wishes.text:
            glyphs = UNICODE if "utf" in encoding.lower() else ASCII
            text = text_diagram(diagram, columns=wishes.columns, glyphs=glyphs)
            say(text.encode(encoding, "replace").decode(encoding))
        if wishes.csv:
            say(to_csv(diagram).encode(encoding, "replace").decode(encoding))
        if wishes.json:
            say(to_json(diagram))
        printed = wishes.text or wishes.csv or wishes.json
        output = wishes.output or (None if printed else path.with_suffix(".svg"))
        if output:
            _save(diagram, output, wishes)
            if not printed:
                say(f"{output}\n")


def _save(diagram: Diagram, output: Path, wishes: Wishes) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(NO_MATPLOTLIB)
    # imported here: matplotlib is optional, and takes its time
    from panda_simulator.timing.draw import save  # noqa: PLC0415

    save(diagram, output, width=wishes.width, dpi=wishes.dpi)


def _tick(text: str | None) -> int | None:
    return None if text is None else parse_ticks(text)

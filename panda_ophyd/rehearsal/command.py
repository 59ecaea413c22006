"""``panda-ophyd rehearse HOST module:plan``: a rehearsal from the shell, printed as a table."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from panda_ophyd.encoders import Encoder
from panda_ophyd.errors import FieldValueError, RehearsalError
from panda_ophyd.rehearsal.motors import MotorTwin
from panda_ophyd.rehearsal.report import Rehearsal
from panda_ophyd.rehearsal.run import rehearse

_MOTOR = re.compile(r"(\w+)=([A-Z0-9_.]+),([^,]+)(?:,([^,]+))?(?:,([^,]+))?")


def motor_of(text: str) -> tuple[str, MotorTwin]:
    """Read ``x=INENC1.VAL,1e-4[,OFFSET[,VELOCITY]]``.

    Raises:
        FieldValueError: it is not of that form.
    """
    match = _MOTOR.fullmatch(text)
    reason = "give it as NAME=INENC1.VAL,SCALE[,OFFSET[,VELOCITY]]"
    if match is None:
        raise FieldValueError("--motor", text, reason)
    try:
        scale, offset, velocity = float(match[3]), float(match[4] or 0), float(match[5] or 1)
    except ValueError as error:
        raise FieldValueError("--motor", text, reason) from error
    return match[1], MotorTwin(Encoder(match[2], scale, offset), velocity=velocity)


def plan_of(text: str) -> Any:
    """Import what ``module:name`` names; modules of the working directory are found too.

    Raises:
        FieldValueError: it is not of that form.
        RehearsalError: there is no such module, or no such name in it.
    """
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise FieldValueError("plan", text, "give it as module:function, or module:spec")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RehearsalError(f"cannot rehearse {text}: {error}") from error
    finally:
        sys.path.remove(str(Path.cwd()))


def show(found: Rehearsal, out: Console) -> None:
    """Print a report as a table of two columns."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in found.lines():
        colour = {"problem": "red", "warning": "yellow"}.get(name, "")
        if name == "verdict":
            colour = "green" if found.ok else "red"
        table.add_row(name, Text(text, style=colour))
    out.print(table)


def main(
    host: str, plan: str, motors: Sequence[str], keep: Path | None, watch: bool, out: Console
) -> bool:
    """Rehearse and print; return whether it would go well.

    Args:
        host: address of a box, or path of a box file.
        plan: ``module:name``.
        motors: as `motor_of` reads them.
        keep: where files go.
        watch: see `rehearse`.
        out: where to print.

    Raises:
        PandaError: it could not be rehearsed.
    """
    twins = dict(motor_of(text) for text in motors)
    source = Path(host) if Path(host).is_file() else host
    found = rehearse(plan_of(plan), source, twins, keep=keep, watch=watch)
    show(found, out)
    return found.ok

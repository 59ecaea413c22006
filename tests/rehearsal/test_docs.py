"""What docs/rehearsal.md shows is what comes out."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "rehearsal.md"


def test_the_example_of_the_document_gives_its_report(real):
    for command in ("INENC1.VAL.SCALE=1", "INENC1.VAL.CAPTURE=No", "INENC1.VAL.UNITS="):
        assert real.call(real._server.command, command) == "OK\n"
    real.call(real.world.axes["x"].place, 0.0)
    text = DOCUMENT.read_text(encoding="utf-8")
    code, shown = re.findall(r"```(?:python)?\n(.*?)```", text, re.DOTALL)[:2]
    names: dict[str, object] = {}
    exec(code.replace('"my-panda"', repr(real.address)), names)  # noqa: S102  our own document
    told = str(names["report"]).replace(real.address, "my-panda")

    def kinds(report: str) -> list[str]:
        return [re.sub(r" +", " ", re.sub(r"[0-9.]+", "#", line)) for line in report.splitlines()]

    # but for the moment in which it began, which takes what the software takes
    assert kinds(told.strip()) == kinds(shown.strip())

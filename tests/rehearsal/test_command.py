"""``panda-ophyd rehearse``: status 0 only if the plan would go well."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from panda_ophyd.cli import app
from panda_ophyd.rehearsal import copy_box

run = CliRunner()
MOTOR = ["--motor", "x=INENC1.VAL,1e-4,0,10"]
PLANS = """
from functools import partial
from panda_ophyd.demo import position_compare
compare = partial(position_compare, counts_per_mm=10_000, points=8)

def fails(panda):
    yield from ()
    raise RuntimeError("it is broken")
"""


@pytest.fixture(autouse=True)
def plans(tmp_path, monkeypatch):
    """Be where a module of plans is."""
    (tmp_path / "plans_to_rehearse.py").write_text(PLANS)
    monkeypatch.chdir(tmp_path)


def test_a_plan_that_would_go_well_is_status_0_and_a_table(real):
    result = run.invoke(app, ["rehearse", real.address, "plans_to_rehearse:compare", *MOTOR])
    assert result.exit_code == 0, result.output
    assert "would go well" in result.output
    assert "8 of 8 asked for" in result.output


def test_a_box_file_does_for_a_box_and_files_are_kept(real, tmp_path):
    copy_box(real.address).save(tmp_path / "box.json")
    arguments = ["rehearse", "box.json", "plans_to_rehearse:compare", *MOTOR, "--keep", "kept"]
    result = run.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "kept").rglob("*.h5"))) == 1


def test_a_plan_that_would_fail_is_status_1_with_its_reason(real):
    result = run.invoke(app, ["rehearse", real.address, "plans_to_rehearse:fails"])
    assert result.exit_code == 1
    assert "RuntimeError: it is broken" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "module:function"),
        (["plans_to_rehearse:missing"], "has no attribute 'missing'"),
        (["no_such_module:plan"], "No module named 'no_such_module'"),
        (["plans_to_rehearse:fails", "--motor", "x"], "NAME=INENC1.VAL,SCALE"),
        (["plans_to_rehearse:fails", "--motor", "x=INENC1.VAL,much"], "NAME=INENC1.VAL,SCALE"),
    ],
)
def test_what_makes_no_sense_is_one_line(real, arguments, words):
    result = run.invoke(app, ["rehearse", real.address, *arguments])
    assert result.exit_code == 1
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output

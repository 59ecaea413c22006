"""The boxes that come with the simulator."""

from __future__ import annotations

import pytest

from panda_simulator.builtin import box_directory, box_names

from .box_files import echo_box


@pytest.mark.parametrize("name", ["pandabox-no-fmc", "pandabox-fmc-24vio"])
def test_a_built_in_box_is_complete_and_described(name):
    assert name in box_names()
    box = echo_box(box_directory(name))
    fields = [field for block in box.blocks.values() for field in block.fields.values()]
    assert len(box.blocks) == 24
    assert len(fields) > 250
    assert box.metadata.read("APPNAME") == name
    assert all(block.description for block in box.blocks.values())
    assert all(field.description for field in fields)


def test_a_box_that_is_not_there_names_those_that_are():
    with pytest.raises(ValueError, match="'nosuch': choose one of pandabox-fmc-24vio, pandabox-no"):
        box_directory("nosuch")

"""Fields that the operating system answers for."""

from __future__ import annotations

import pytest

from panda_simulator.box import CommandError
from panda_simulator.box.extension import NoExtension, Recollection


def test_nothing_answers_in_the_words_of_the_server():
    for ask in (lambda e: e.read("in_temp0", 1), lambda e: e.write("in_temp0", 1, 5)):
        with pytest.raises(CommandError, match=r"^Extension server exception$"):
            ask(NoExtension())


def test_what_is_known_is_read_and_what_is_not_is_0():
    extension = Recollection({"in_temp0": 45_000})
    assert (extension.read("in_temp0", 1), extension.read("gain", 1)) == (45_000, 0)


def test_what_was_written_is_read_from_the_same_instance():
    extension = Recollection({"gain": 1})
    extension.write("gain", 2, 7)
    assert [extension.read("gain", number) for number in (1, 2, 3)] == [1, 7, 1]

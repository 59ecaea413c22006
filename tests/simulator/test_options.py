"""The option line of a data client."""

from __future__ import annotations

import pytest

from panda_simulator.box import CommandError
from panda_simulator.data.options import Format, Options, Process, parse_options
from panda_simulator.versions import Features

BARE = Options(Format.UNFRAMED, Process.RAW, header=False, status=False, one_shot=True)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", Options()),
        ("XML FRAMED RAW", Options(Format.FRAMED, Process.RAW, xml=True)),
        (" \tXML\tFRAMED SCALED", Options(Format.FRAMED, xml=True)),
        ("RAW SCALED BASE64 ASCII UNFRAMED", Options(Format.UNFRAMED)),
        ("NO_HEADER NO_STATUS ONE_SHOT", Options(header=False, status=False, one_shot=True)),
        ("XML BARE", BARE),
        ("BARE XML DEFAULT", Options()),
    ],
)
def test_words_are_taken_from_left_to_right(line, options):
    assert parse_options(line, Features()) == options


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("XML ", "No name found"),
        ("UNSCALED", "Invalid data capture option"),
        ("xml", "Invalid data capture option"),
        ("XML\r", "Cannot process CR character"),
        ("\r", "Cannot process CR character"),
        ("XML,RAW", "No name found"),
        ("X" * 32, "Name too long"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(line, message):
    with pytest.raises(CommandError) as refusal:
        parse_options(line, Features())
    assert refusal.value.message == message

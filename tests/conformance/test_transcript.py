"""Exchanges written down in a file are replayed: ours here, any other with ``--transcript``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from panda_simulator import serve_in_thread

from .survey import Survey
from .transcript import differences, exchanges, opens_table
from .wire import Address, Control

OURS = Path(__file__).parent / "exchanges.txt"


def test_our_transcript_is_answered_as_written(control, box: Survey):
    for block, count in (("SEQ", 2), ("TTLIN", 6), ("LUT", 8)):
        if box.counts.get(block) != count:
            pytest.skip(f"the transcript is of a box with {count} {block}")
    assert list(differences(control, OURS.read_text("utf-8").splitlines())) == []


@pytest.fixture
def fresh(address: Address, request: pytest.FixtureRequest) -> Iterator[Control]:
    """Connect to a host that nobody has asked anything: what was polled before shows."""
    config = request.config
    with ExitStack() as stack:
        if not config.getoption("--panda"):
            directory: str | None = config.getoption("--box-config")
            simulator = stack.enter_context(
                serve_in_thread(hardware="echo", config_dir=Path(directory) if directory else None)
            )
            address = Address.parse(simulator.address)
        elif not config.getoption("--scratch"):
            pytest.skip("what a transcript changes cannot be put back (--scratch allows it)")
        yield stack.enter_context(Control(address))


def test_the_given_transcript_is_answered_as_written(fresh, request):
    given = request.config.getoption("--transcript")
    if given is None:
        pytest.skip("no --transcript")
    lines = Path(given).read_text("utf-8").splitlines()
    found = list(differences(fresh, lines))
    total = len(list(exchanges(lines)))
    assert not found, f"{len(found)} of {total} exchanges differ:\n" + "\n".join(found)


def test_a_difference_is_reported_with_its_line(control):
    lines = ["# remark", "", "< *ECHO a?", "< *ECHO b?", "> OK =a", "# remark", "> OK =x"]
    (text,) = differences(control, lines)
    assert text == (
        "line 5: *ECHO a? / *ECHO b?\n  expected OK =a / OK =x\n  received OK =a / OK =b"
    )


def test_exchanges_need_no_empty_line_between_them():
    found = list(exchanges(["< a?", "> 1", "< b<", "< x?", "< ", "< c=<", "> 2", "> 3"]))
    assert [exchange.sent for exchange in found] == [["a?"], ["b<", "x?", "", "c=<"]]
    assert [exchange.replies for exchange in found] == [1, 2]


def test_what_is_sent_needs_an_answer():
    with pytest.raises(ValueError, match="nothing is expected of 'a'"):
        list(exchanges(["< a"]))


def test_the_first_separator_decides():
    assert opens_table("a<")
    assert opens_table("a<?=")
    assert not opens_table("a?<")
    assert not opens_table("a=<")
    assert not opens_table("a")

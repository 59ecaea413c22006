"""Every exception of the driver, sorted by whose fault it is."""

from __future__ import annotations

import pickle

import pytest

from panda_ophyd.errors import (
    CaptureError,
    CommandError,
    CompareError,
    EncoderError,
    FieldValueError,
    PandaConnectionError,
    PandaError,
    PandaTimeoutError,
    PreflightError,
    ProtocolError,
    RehearsalError,
    SequenceError,
    StallError,
    WiringError,
    WriterError,
)

END = {"reason": "Data overrun", "samples_sent": 7, "samples_written": 5, "suspect_row": 3}

EXAMPLES: list[PandaError] = [
    PandaError("all"),
    PandaConnectionError("box:8888: connection lost"),
    PandaTimeoutError("box:8888: no answer"),
    ProtocolError("no number", b"OK =x"),
    CommandError("PULSE1.DELAY=x", "Number missing"),
    FieldValueError("PULSE1.DELAY", [1, 2], "it is a number"),
    CompareError("PCOMP1: 4 of 20 pulses", block="PCOMP1", health="OK", produced=4),
    WiringError("panda", ["PCAP.TRIG is ZERO"]),
    EncoderError("x", "INENC1.VAL", "the sign is wrong"),
    CaptureError("it ended badly", **END),  # pyright: ignore[reportArgumentType]
    PreflightError("panda", {"trigger": "PCAP.TRIG is ZERO"}),
    StallError("no row came", **END),  # pyright: ignore[reportArgumentType]
    SequenceError("SEQ1", "the table ran dry", health="DMA underrun", line=7, frames_done=6),
    RehearsalError("the plan stages a real device"),
    WriterError("/data/scan.h5", "No space left on device"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


def test_every_error_has_an_example_above():
    def below(cls: type[Exception]) -> set[type[Exception]]:
        return {cls, *(e for sub in cls.__subclasses__() for e in below(sub))}

    ours = {cls for cls in below(PandaError) if cls.__module__ == "panda_ophyd.errors"}
    assert ours == {type(error) for error in EXAMPLES}


def test_a_refusal_says_what_to_do_where_the_words_alone_do_not():
    told = str(CommandError("PULSE1.DELAY=x", "Number missing"))
    assert told == "PULSE1.DELAY=x refused by the PandA: Number missing; give a number"
    assert str(CommandError("X?", "Out of cheese")) == "X? refused by the PandA: Out of cheese"


def test_a_preflight_error_names_each_check_so_that_it_can_be_waived():
    told = PreflightError("panda", {"a-check": "this is wrong", "another": "and this"})
    assert "this is wrong [a-check]; and this [another]" in str(told)
    assert isinstance(told, CaptureError)


def test_a_stall_is_a_timeout_to_who_knows_no_better():
    assert issubclass(StallError, TimeoutError)

"""Who was too slow, when the PandA gave up on us: the disk, or this computer."""

from __future__ import annotations

import pytest

from panda_ophyd.capture.result import Sent, Slowness
from panda_ophyd.data import CaptureEnd
from panda_ophyd.verdict import AcquisitionRecord

MIB = 2**20


def advice(slowness: Slowness, reason: str = "Data overrun", **more) -> str:
    sent = Sent(CaptureEnd(9, reason), received=9, bytes=300 * MIB, **more)
    record = AcquisitionRecord(0, end_reason=reason, begun=0.0)
    return slowness.advice(sent, record)


def test_a_slow_disk_is_told_with_figures():
    told = advice(Slowness(decoding=1, writing=11.5), queued=48 * MIB, waited=9.25)
    assert told.startswith("the disk was too slow (48.0 MiB waited for the file at most, and for")
    assert "and for 9.2 of" in told
    assert "writing took 11.5 s" in told
    assert "write to a faster one" in told


def test_a_slow_computer_is_told_with_figures():
    told = advice(Slowness(decoding=12.5, writing=3), queued=48 * MIB, waited=9)
    assert told.startswith("this computer was too slow (48.0 MiB waited")
    assert "scaling took 12.5 s" in told


def test_a_disk_that_kept_up_is_not_blamed():
    told = advice(Slowness(decoding=1, writing=2), queued=3 * MIB)
    assert told.startswith("the disk kept up (3.0 MiB waited for the file at most), but ")
    assert "MiB/s came: this computer was too busy to read, or the network is too slow" in told


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Framing error", "triggers came closer together than a sample is long"),
        ("A reason of tomorrow", "take them again"),
    ],
)
def test_other_reasons_are_not_about_us(reason, words):
    assert words in advice(Slowness(writing=99), reason, waited=9)

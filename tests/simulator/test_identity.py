"""Who a PandA says it is."""

from __future__ import annotations

import pytest

from panda_simulator.identity import Identity, format_fpga, parse_fpga


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((0, 0, 0), "0.0.0 00000000 00000000"),
        ((0x00040107, 0x86E5F0A2, 0x07D202F8), "4.1.7 86e5f0a2 07d202f8"),
        ((0xFF0203FF, 0xFFFFFFFF, 1), "2.3.255C255 ffffffff 00000001"),
    ],
)
def test_fpga_versions_are_written_and_read(words, text):
    assert format_fpga(words) == text
    assert parse_fpga(text) == words


@pytest.mark.parametrize(
    "text",
    ["", "4.1.7", "4.1 86e5f0a2 07d202f8", "4.1.256 86e5f0a2 07d202f8", "4.1.7 86E5F0A2 0000000g"],
)
def test_other_fpga_versions_are_refused(text):
    with pytest.raises(ValueError, match=r"is malformed: give one like 4\.1\.7 86e5f0a2 07d202f8"):
        parse_fpga(text)


@pytest.mark.parametrize(
    "text",
    [
        "PandA SW: 4.1 FPGA: 0.0.0 00000000 00000000 rootfs: Test Server",
        "PandA SW: 4.0-12-gabc1234-dirty FPGA: 4.1.7C9 86e5f0a2 07d202f8 rootfs: ",
    ],
)
def test_an_identity_is_read_and_written(text):
    assert str(Identity.parse(text)) == text


def test_who_does_not_call_itself_a_panda_is_none():
    with pytest.raises(ValueError, match="no PandA calls itself 'Toaster'"):
        Identity.parse("Toaster")

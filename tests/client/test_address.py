"""Addresses are read in every form a user may write, and refused with the reason."""

from __future__ import annotations

import pytest

from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.errors import FieldValueError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("panda", PandaAddress("panda", 8888, 8889)),
        ("192.168.1.5", PandaAddress("192.168.1.5", 8888, 8889)),
        ("bl01-panda.site.org:9000", PandaAddress("bl01-panda.site.org", 9000, 8889)),
        ("panda:9000:9001", PandaAddress("panda", 9000, 9001)),
        ("panda://panda", PandaAddress("panda")),
        ("panda://panda:9000:9001/", PandaAddress("panda", 9000, 9001)),
        (" panda ", PandaAddress("panda")),
    ],
)
def test_an_address_is_read(text: str, address: PandaAddress) -> None:
    assert PandaAddress.parse(text) == address
    assert PandaAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", ":8888", "panda:", "panda:x", "panda:0", "panda:65536", "a:1:2:3", "http://panda", "::1"],
)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(FieldValueError, match=r"^address cannot be "):
        PandaAddress.parse(text)
    with pytest.raises(FieldValueError):
        PandaClient(text)

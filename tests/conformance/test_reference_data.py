"""The same acquisitions on two servers give the same bytes, times aside.

Both must give samples that count, as simulated hardware does (``--hardware echo``), and
hold the same configuration. ``--captures N`` random sets are captured by clients of every
form at once.

Source: protocol.md 8.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from .conftest import REPORTS
from .forms import body, captures, started
from .keeper import Keeper
from .rig import ENDINGS, Rig
from .survey import Survey
from .wire import Address, Data

FORMS = [
    " ".join(words)
    for words in itertools.product(
        ("XML", "DEFAULT"), ("ASCII", "BASE64", "FRAMED", "UNFRAMED"), ("RAW", "SCALED")
    )
]
HEADLESS = ["NO_HEADER NO_STATUS RAW", "NO_HEADER", "BARE", "ONE_SHOT NO_HEADER UNFRAMED"]


@pytest.fixture
def rigs(box: Survey, keep: Keeper, request: pytest.FixtureRequest) -> Iterator[list[Rig]]:
    """Return a rig for each of the two."""
    config = request.config
    reference: str | None = config.getoption("--reference")
    if reference is None:
        pytest.skip("no --reference")
    if not config.getoption("--arms"):
        pytest.skip("arms the reference (--arms allows it)")
    other = Survey(Address.parse(reference), ours=bool(config.getoption("--scratch")))
    keeper = Keeper(other)
    rigs = [Rig(box, keep), Rig(other, keeper)]
    yield rigs
    for rig in rigs:
        rig.close()
    keeper.put_back()


def acquire(rig: Rig, opened: list[Data]) -> None:
    """Arm, and let two or three samples come."""
    rig.arm(len(opened))
    rig.wait_captured(2)
    rig.disarm()


def common(first: bytes, second: bytes, what: str) -> None:
    """One may have gone on for longer than the other."""
    size = min(len(first), len(second))
    assert size > 0, f"{what}: {len(first)} bytes and {len(second)}"
    assert first[:size] == second[:size], what


def test_random_captures_give_the_same_bytes(rigs: list[Rig], request: pytest.FixtureRequest):
    total = int(request.config.getoption("--captures") or 0)
    first = int(request.config.getoption("--seed") or 0)
    for rig in rigs:
        rig.trigger()
    for number in range(first, first + total):
        compare(rigs, number)
    request.config.stash.setdefault(REPORTS, []).append(
        f"{total} random captures by {len(FORMS) + len(HEADLESS)} clients each, seed {first},"
        f" no difference from {rigs[1].box.address}"
    )


def compare(rigs: list[Rig], number: int) -> None:
    for rig in rigs:
        captures(rig, number)
    assert rigs[0].captures() == rigs[1].captures()
    opened = [
        [started(lambda options, rig=rig: Data(rig.box.address, options), options)
         for options in FORMS + HEADLESS]
        for rig in rigs
    ]  # fmt: skip
    try:
        for rig, clients in zip(rigs, opened, strict=True):
            acquire(rig, clients)
        for options, ours, theirs in zip(FORMS + HEADLESS, *opened, strict=True):
            compare_streams(f"set {number}, {options}", options, ours, theirs)
    finally:
        for client in itertools.chain(*opened):
            client.close()


def compare_streams(what: str, options: str, ours: Data, theirs: Data) -> None:
    if options not in FORMS:
        once = "ONE_SHOT" in options or options == "BARE"
        streams = [client.rest() if once else available(client) for client in (ours, theirs)]
        first, second = (stream.partition(b"END ")[0] for stream in streams)
        common(first, second, what)
        return
    headers = ours.header(), theirs.header()
    # units that were never set show so, and those that were set to nothing again do not
    first, second = (header.untimed.replace(b"(null)", b"") for header in headers)
    assert first == second
    mine, end = body(ours, headers[0], options)
    other, same = body(theirs, headers[1], options)
    common(mine, other, what)
    for line in (end, same):
        assert line.split(" ", 2)[2] in ENDINGS


def available(client: Data) -> bytes:
    """What has come, and comes without a pause."""
    stream = b""
    while client.arrives(0.05):
        if client.at == len(client.buffer):
            client.fill()
        stream += client.read(len(client.buffer) - client.at)
    return stream

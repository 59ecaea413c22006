"""Data in each of their forms, and random things to capture.

Source: protocol.md 8.2, 8.5, 8.6.
"""

from __future__ import annotations

import random
import re

from .columns import from_base64, from_text, sample_words, wanted
from .rig import Rig
from .wire import Data, Header


def started(open_data, options: str) -> Data:
    """A client past its option line."""
    data = open_data(options)
    if "NO_STATUS" not in options and options != "BARE":
        assert data.line() == b"OK"
    return data


def body(data: Data, header: Header, options: str) -> tuple[bytes, str]:
    """Samples as bytes (ASCII is converted), and the end line."""
    raw = "RAW" in options
    if "UNFRAMED" in options:
        # nothing delimits them: the end is known by its form
        while not re.search(rb"END \d+ [A-Za-z ]+\n$", data.buffer[data.at :]):
            data.fill()
        everything = data.read(len(data.buffer) - data.at)
        at = everything.rindex(b"END ")
        return everything[:at], everything[at:-1].decode()
    if "FRAMED" in options:
        frames, end = data.frames()
        size = int(header.attributes["sample_bytes"])
        assert all(len(frame) % size == 0 for frame in frames)
        assert all(len(frame) <= (2 << 20) + size for frame in frames)
        assert raw or all(len(frame) <= 65528 for frame in frames)
        return b"".join(frames), end
    lines, end = data.text()
    if "BASE64" in options:
        return from_base64(lines), end
    return from_text(header.columns, lines, raw=raw), end


def captures(rig: Rig, seed: int) -> dict[str, str]:
    """Make a random capture set, with random scaling, that fits into a sample."""
    rng = random.Random(seed)
    options = rig.control.lines("*CAPTURE.OPTIONS")
    chosen: dict[str, str] = {}
    names = rng.sample(rig.box.captured, len(rig.box.captured))
    for name in names[: rng.randint(1, 12)]:
        if name in rig.box.positions:
            some = rng.sample(options, rng.randint(1, len(options)))
            new = chosen | {name: " ".join(some)}
        else:
            new = chosen | {name: "Value"}
        if sample_words(wanted(rig.box, new)) <= 63:
            chosen = new
    scalable = rig.scalable()
    for name in [name for name in chosen if name in scalable][:4]:
        scale = rng.choice([0.5, -2.0, 1.0, 1e-3, 3.25e7])
        rig.scale(
            name, scale, rng.choice([0.0, 10.0, -7.5]), rng.choice(["", "mm", "µm & <", "x" * 40])
        )
    rig.control.ok("*CAPTURE=")
    rig.capture(**chosen)
    return rig.captures()

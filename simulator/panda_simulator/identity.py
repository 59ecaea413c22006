"""What ``*IDN?`` says: versions of server and FPGA, and the name of the root file system.

Source: protocol.md 2.3 (*IDN).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from typing_extensions import override

_FPGA = (
    r"(?P<a>\d+)\.(?P<b>\d+)\.(?P<c>\d+)(?:C(?P<d>\d+))?"
    r" (?P<build>[0-9a-f]{8}) (?P<user>[0-9a-f]{8})"
)
_FPGA_PATTERN = re.compile(_FPGA, re.ASCII)
_PATTERN = re.compile(
    rf"PandA SW: (?P<software>\S+) FPGA: (?P<fpga>{_FPGA})(?: rootfs: (?P<rootfs>.*))?", re.ASCII
)

FpgaVersion = tuple[int, int, int]
"""Version, build and user words."""


def format_fpga(version: FpgaVersion) -> str:
    """Write the version words as the server does."""
    release, build, user = version
    text = f"{release >> 16 & 0xFF}.{release >> 8 & 0xFF}.{release & 0xFF}"
    if release >> 24:
        text += f"C{release >> 24}"
    return f"{text} {build:08x} {user:08x}"


def parse_fpga(text: str) -> FpgaVersion:
    """Read version words such as ``4.1.7 86e5f0a2 07d202f8``.

    Raises:
        ValueError: it is not of that form.
    """
    match = _FPGA_PATTERN.fullmatch(text)
    if match is not None:
        parts = [int(match[part] or 0) for part in "dabc"]
        if max(parts) < 1 << 8:
            release = int.from_bytes(bytes(parts), "big")
            return release, int(match["build"], 16), int(match["user"], 16)
    raise ValueError(f"FPGA version {text!r} is malformed: give one like 4.1.7 86e5f0a2 07d202f8")


class Identity(NamedTuple):
    """Who a PandA says it is."""

    software: str
    fpga: FpgaVersion
    rootfs: str

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read a reply to ``*IDN?``.

        Raises:
            ValueError: a PandA does not call itself so.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"no PandA calls itself {text!r}")
        return cls(match["software"], parse_fpga(match["fpga"]), match["rootfs"] or "")

    @override
    def __str__(self) -> str:
        """Write it as the server does."""
        return f"PandA SW: {self.software} FPGA: {format_fpga(self.fpga)} rootfs: {self.rootfs}"

"""A simulated box has an original: a folder of files, or a recording of a PandA.

A recorded one has settings, readings and an identity besides its fields.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from panda_simulator.box import Box, BoxFile, ConfigError, Layout
from panda_simulator.box.boxfile import read_box_file
from panda_simulator.box.extension import Extension, NoExtension, Recollection, RecordedErrors
from panda_simulator.box.text import bytewise
from panda_simulator.builtin import box_directory
from panda_simulator.clock import TICKS_PER_SECOND
from panda_simulator.hardware import Hardware
from panda_simulator.identity import Identity, parse_fpga
from panda_simulator.state import replay
from panda_simulator.versions import NEWEST

Original: TypeAlias = Path | BoxFile

ROOTFS = "Simulator"
SENSORS = {
    "in_temp0": 45_000,
    "in_temp7": 45_000,
    "in_temp20": 45_000,
    "in_voltage0_vccint": 1_000,
    "in_voltage2": 850,
    "in_voltage18": 850,
}
"""Values of the operating system, which the blocks do not have; blocks.md 3.5."""


def find_original(box: str, config_dir: Path | None, box_file: Path | None) -> Original:
    """Return what is to be simulated: a recording, a folder, or else what is built in.

    Raises:
        ConfigError: the recording is malformed.
        ValueError: there is no such built-in box, or two originals are given.
    """
    if config_dir is not None and box_file is not None:
        raise ValueError("a box is made of a folder or of a box file: both are given")
    if box_file is not None:
        return read_box_file(box_file)
    return config_dir or box_directory(box)


def identity_of(
    original: Original,
    software: str | None = None,
    fpga: str | None = None,
    rootfs: str | None = None,
) -> Identity:
    """Return who a box is: what is given, and else what its original said.

    Raises:
        ValueError: the FPGA version is malformed, or the rootfs is no line.
    """
    known = Identity(NEWEST, (0, 0, 0), ROOTFS)
    if isinstance(original, BoxFile):
        known = original.identity
    return Identity(
        known.software if software is None else software,
        known.fpga if fpga is None else parse_fpga(fpga),
        known.rootfs if rootfs is None else _one_line(rootfs),
    )


def ticks_per_second(original: Original) -> int:
    """Return how fast the clock of a box ticks."""
    recorded = original.clock_frequency if isinstance(original, BoxFile) else 0
    return recorded or TICKS_PER_SECOND


def _one_line(rootfs: str) -> str:
    if "\n" in rootfs or "\0" in rootfs:
        raise ValueError(f"rootfs {rootfs!r} has to be one line")
    return bytewise(rootfs)


def make_box(
    original: Original,
    hardware: Callable[[Layout], Hardware],
    identity: Identity,
    *,
    answering: bool = False,
) -> Box:
    """Make a box that is like its original.

    Args:
        original: a folder of files, or what was recorded.
        hardware: makes the hardware of such a box.
        identity: who the box says it is.
        answering: whether something stands behind extension fields.

    Raises:
        ConfigError: a file is malformed.
        ValueError: the version of the server is malformed or too old.
    """
    recorded = original if isinstance(original, BoxFile) else None

    def like_the_original(layout: Layout) -> Hardware:
        made = hardware(layout)
        made.version = identity.fpga
        if recorded is not None:
            made.clock_frequency = recorded.clock_frequency
            made.std_dev = recorded.std_dev
        return made

    extension: Extension = Recollection(SENSORS) if answering else NoExtension()
    if recorded is not None:
        extension = RecordedErrors(recorded.errors, extension)
    box = Box(original, like_the_original, extension, version=identity.software)
    if recorded is not None:
        settings = "".join(f"{line}\n" for line in recorded.state).encode("latin-1")
        for line, text, reason in replay(box, settings):
            raise ConfigError(f"{recorded.title}, state", f"{text}: {reason}", line=line)
    return box

"""Where the rows go: the directory, and the names of the datasets. Source: flyscan.md 4.5."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from panda_ophyd.errors import WriterError


def dataset_names(field: str, options: Sequence[str], chosen: str) -> dict[tuple[str, str], str]:
    """Name the datasets of one captured field.

    Args:
        field: ``INENC1.VAL``.
        options: its capture options, ``("Min", "Max", "Mean")``.
        chosen: what its ``_dataset`` signal says, empty if nothing.

    Returns:
        For each (field, option) the dataset. Not chosen: ``INENC1.VAL.Mean``. Chosen
        ``x``: the last option is ``x``, others are ``x-min``; of a Min Max pair neither
        is plain ``x``. Source: flyscan.md 4.5 and the IOC's own rule.
    """
    if not chosen:
        return {(field, option): f"{field}.{option}" for option in options}
    pair = {"Min", "Max"} if {"Min", "Max"} <= set(options) else set[str]()
    return {
        (field, option): chosen
        if option == options[-1] and option not in pair
        else f"{chosen}-{option.lower()}"
        for option in options
    }


DEFAULT_NAME = re.compile(r"^([A-Z][A-Z0-9_]*?)(\d*)\.([A-Z0-9_]+)\.([A-Za-z]+)$")
"""A dataset nobody named: ``COUNTER1.OUT.Mean``."""


def data_key(dataset: str, device_name: str) -> str:
    """Return the key under which documents speak of a dataset.

    A name that somebody chose is the key, as upstream has it. A dataset nobody named
    takes the name of its signal, ``panda-counter-1-out-mean``: two PandAs in one stream
    then never claim the same key. Source: flyscan.md 4.6, 4.7.
    """
    match = DEFAULT_NAME.match(dataset)
    if match is None:
        return dataset
    block, number, field, option = match.groups()
    parts = [device_name, block.lower(), number, field.lower(), option.lower()]
    return "-".join(part for part in parts if part)


def make_directory(directory: Path, depth: int) -> None:
    """Create a directory, and at most so many levels of it.

    Args:
        directory: what is to exist.
        depth: 0 creates nothing; -n creates at most the last n levels; a positive
            number any, as the IOC and areaDetector have it.

    Raises:
        WriterError: more levels are missing than may be created, or the disk refuses.
    """
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    if depth == 0 or not missing:
        return
    if depth < 0 and len(missing) > -depth:
        reason = f"{len(missing)} levels of it do not exist and only {-depth} may be created"
        raise WriterError(directory, reason)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise WriterError(directory, f"cannot create it: {exc.strerror}") from exc


def write_speed(directory: Path, size: int = 32 * 1024 * 1024) -> float | None:
    """Write a file that nobody needs, and return the bytes a second that reached the disk.

    Args:
        directory: where.
        size: bytes to write.

    Returns:
        None if it could not be written: that is for who writes in earnest to tell.
    """
    block = os.urandom(1024 * 1024)
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            begun = time.monotonic()
            for _ in range(max(size // len(block), 1)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            took = time.monotonic() - begun
    except OSError:
        return None
    return size / max(took, 1e-9)


def is_writable_directory(directory: Path) -> bool:
    """Whether a file can be created there."""
    return directory.is_dir() and os.access(directory, os.W_OK)

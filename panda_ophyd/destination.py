"""Where the rows go: the directory, and the names of the datasets. Source: flyscan.md 4.5."""

from __future__ import annotations

import os
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


def is_writable_directory(directory: Path) -> bool:
    """Whether a file can be created there."""
    return directory.is_dir() and os.access(directory, os.W_OK)

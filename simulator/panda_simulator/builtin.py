"""The boxes that come with the simulator, each a folder of three files, by name."""

from __future__ import annotations

from pathlib import Path

DEFAULT_BOX = "pandabox-no-fmc"
_FOLDER = Path(__file__).parent / "boxes"


def box_names() -> list[str]:
    """List the built-in boxes."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.is_dir())


def box_directory(name: str) -> Path:
    """Return where the files of a built-in box are.

    Raises:
        ValueError: there is no such box.
    """
    names = box_names()
    if name not in names:
        raise ValueError(f"no built-in box {name!r}: choose one of {', '.join(names)}")
    return _FOLDER / name

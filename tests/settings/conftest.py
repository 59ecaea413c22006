"""Settings of real beamlines, and a plan runner."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
import yaml

FILES = Path(__file__).parent / "files"


@pytest.fixture
def beamline_files(tmp_path: Path) -> Path:
    """A directory with the settings of all beamlines, as their authors have them."""
    for file in FILES.glob("*.yaml.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    return tmp_path


def read(path: Path) -> dict[str, Any]:
    return yaml.full_load(path.read_text())

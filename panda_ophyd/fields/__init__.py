"""Which signals a field makes, and how their text reads: one row of `FIELD_CLASSES` each."""

from panda_ophyd.fields.box import (
    BlockInfo,
    BoxInfo,
    CaptureWord,
    FieldInfo,
    MetadataInfo,
    MetadataKind,
)
from panda_ophyd.fields.classes import FIELD_CLASSES, block_signals
from panda_ophyd.fields.spec import Access, Codec, SignalSpec

__all__ = [
    "FIELD_CLASSES",
    "Access",
    "BlockInfo",
    "BoxInfo",
    "CaptureWord",
    "Codec",
    "FieldInfo",
    "MetadataInfo",
    "MetadataKind",
    "SignalSpec",
    "block_signals",
]

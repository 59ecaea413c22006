"""The XML header of an acquisition becomes a `CaptureStart`.

Source: protocol.md 8.4.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from panda_ophyd.data.events import CapturedField, CaptureStart
from panda_ophyd.errors import ProtocolError

# What XML 1.0 forbids, and a unit text may nevertheless hold: it must not cost the capture.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_UNSET_UNITS = "(null)"


def parse_header(header: bytes) -> CaptureStart:
    """Read a header.

    Args:
        header: from its first tag on, without the empty line.

    Raises:
        ProtocolError: it is not XML, or lacks something, or has a malformed number.
    """
    # Units may be cut inside a UTF-8 sequence.
    text = _NOT_XML.sub("\ufffd", header.decode("utf-8", "replace"))
    try:
        # No entity can be declared: the text begins with its root element and is bounded.
        root = ET.fromstring(text)  # noqa: S314
        data = root.find("data")
        if data is None:
            raise ProtocolError("a header has no data element", header)
        of = data.attrib
        return CaptureStart(
            fields=tuple(_parse_field(field.attrib) for field in root.iterfind("fields/field")),
            sample_bytes=_parse_sample_bytes(of.get("sample_bytes")),
            missed=int(of.get("missed", "0")),
            process=of["process"],
            format=of["format"],
            arm_time=of.get("arm_time"),
            start_time=of.get("start_time"),
            hw_time_offset_ns=_optional_int(of.get("hw_time_offset_ns")),
        )
    except ET.ParseError as error:
        raise ProtocolError(f"a header is not XML ({error})", header) from error
    except KeyError as error:
        raise ProtocolError(f"a header lacks the attribute {error}", header) from error
    except ValueError as error:
        raise ProtocolError(f"a header has a malformed number ({error})", header) from error


def _parse_field(of: Mapping[str, str]) -> CapturedField:
    units = of.get("units", "")
    return CapturedField(
        name=of["name"],
        type=of["type"],
        capture=of["capture"],
        scale=float(of.get("scale", "1")),
        offset=float(of.get("offset", "0")),
        units="" if units == _UNSET_UNITS else units,
        scaled="scale" in of,
    )


def _parse_sample_bytes(text: str | None) -> int | None:
    value = _optional_int(text)
    if value is not None and value <= 0:
        raise ValueError(f"sample_bytes is {value}")
    return value


def _optional_int(text: str | None) -> int | None:
    return None if text is None else int(text)

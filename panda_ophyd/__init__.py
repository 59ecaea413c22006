"""A PandA as an ophyd-async device, without an IOC.

`HDFPanda` is the device, `PandaClient` the control port for scripts, `Capture` one file
without a RunEngine. Errors are in `panda_ophyd.errors`.
"""

from panda_ophyd.capture import Capture, CaptureResult
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.detector import HDFPanda
from panda_ophyd.errors import (
    CaptureError,
    CommandError,
    FieldValueError,
    PandaConnectionError,
    PandaError,
    PandaTimeoutError,
    ProtocolError,
    WriterError,
)
from panda_ophyd.introspection import BoxInfo, introspect

__all__ = [
    "BoxInfo",
    "Capture",
    "CaptureError",
    "CaptureResult",
    "CommandError",
    "FieldValueError",
    "HDFPanda",
    "PandaAddress",
    "PandaClient",
    "PandaConnectionError",
    "PandaError",
    "PandaTimeoutError",
    "ProtocolError",
    "WriterError",
    "introspect",
]

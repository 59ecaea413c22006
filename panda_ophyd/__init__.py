"""A PandA as an ophyd-async device, without an IOC.

`HDFPanda` is the device, `PandaClient` the control port for scripts, `Capture` one file
without a RunEngine. Errors are in `panda_ophyd.errors`.
"""

from typing import TYPE_CHECKING, Any

from panda_ophyd.capture import Capture, CaptureResult
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.errors import (
    CaptureError,
    CommandError,
    FieldValueError,
    PandaConnectionError,
    PandaError,
    PandaTimeoutError,
    ProtocolError,
    SequenceError,
    WriterError,
)
from panda_ophyd.introspection import BoxInfo, introspect

if TYPE_CHECKING:
    from panda_ophyd.detector import HDFPanda

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
    "SequenceError",
    "WriterError",
    "introspect",
]


def __getattr__(name: str) -> Any:
    # The framework takes a second to import; a script that only talks to a box need not wait.
    if name == "HDFPanda":
        from panda_ophyd.detector import HDFPanda  # noqa: PLC0415

        return HDFPanda
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)

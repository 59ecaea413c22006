"""A simulated PandA: its two TCP ports, its box and its world."""

from typing import TYPE_CHECKING, Any

from panda_simulator.simulator import Simulator, serve_in_thread

if TYPE_CHECKING:
    from panda_simulator.motor import SimMotor, SimTrajectory

__all__ = ["SimMotor", "SimTrajectory", "Simulator", "serve_in_thread"]

_DEVICES = "SimMotor", "SimTrajectory"


def __getattr__(name: str) -> Any:
    """Return a device, which needs ophyd-async: whoever does not use it need not wait for it."""
    if name in _DEVICES:
        from panda_simulator import motor  # noqa: PLC0415

        return getattr(motor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

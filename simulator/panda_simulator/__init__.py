"""A simulated PandA: its two TCP ports, its box and its world."""

from typing import TYPE_CHECKING, Any

from panda_simulator.simulator import Simulator, serve_in_thread

if TYPE_CHECKING:
    from panda_simulator.motor import SimMotor

__all__ = ["SimMotor", "Simulator", "serve_in_thread"]


def __getattr__(name: str) -> Any:
    """Return `SimMotor`, which needs ophyd-async: whoever does not use it need not wait for it."""
    if name == "SimMotor":
        from panda_simulator.motor import SimMotor  # noqa: PLC0415

        return SimMotor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""A simulated PandA: its two TCP ports, its box and its world."""

from panda_simulator.simulator import Simulator, serve_in_thread

__all__ = ["Simulator", "serve_in_thread"]

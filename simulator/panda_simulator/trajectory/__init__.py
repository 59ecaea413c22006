"""Paths through windows, planned in whole ticks: pure functions of plain data, no box and no time.

A *window* is a part of a scan that is flown without a break; between windows axes run down,
turn around and run up. `Planner` makes `Leg`s of windows, which `World.follow` has axes go along.

Source: flyscan.md 1.13, 2.6.
"""

from panda_simulator.trajectory.course import Course, course_of
from panda_simulator.trajectory.plan import Drive, Gap, Leg, Planner
from panda_simulator.trajectory.windows import AnyWindow, Curve, Move, StraightMove, Window

__all__ = [
    "AnyWindow",
    "Course",
    "Curve",
    "Drive",
    "Gap",
    "Leg",
    "Move",
    "Planner",
    "StraightMove",
    "Window",
    "course_of",
]

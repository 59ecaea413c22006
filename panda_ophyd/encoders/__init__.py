"""Motors and encoders: bound once, checked, calibrated, and driven through windows.

`Encoder` converts, `bind` makes a `BoundAxis`, `AxisMove` and `MotionWindow` say how a window
is flown, `move_through` flies.
"""

from panda_ophyd.encoders.binding import (
    BoundAxis,
    bind,
    calibrate,
    check_axis,
    check_travel,
    set_encoder_position,
)
from panda_ophyd.encoders.motion import (
    AxisMove,
    MotionWindow,
    MotorFacts,
    acceleration_time,
    check_move,
    motion_windows,
)
from panda_ophyd.encoders.motors import facts_of, position_of
from panda_ophyd.encoders.moves import move_through
from panda_ophyd.encoders.scaling import Calibration, Encoder, disagreement, fit

__all__ = [
    "AxisMove",
    "BoundAxis",
    "Calibration",
    "Encoder",
    "MotionWindow",
    "MotorFacts",
    "acceleration_time",
    "bind",
    "calibrate",
    "check_axis",
    "check_move",
    "check_travel",
    "disagreement",
    "facts_of",
    "fit",
    "motion_windows",
    "move_through",
    "position_of",
    "set_encoder_position",
]

"""Arming and disarming as a table of transitions: no I/O, no clock.

What the box said, or what happened to the link, is an `Event`; what to do next is an
`Action`. A pair that is not in the table cannot happen and is an error of this program.

::

    IDLE -> COUNTING -> CLEARING -> ARMING -> CONFIRMING -> RUNNING -> STOPPING -> IDLE
            our data    the last    ARM was   accepted:     until END  DISARM was
            connection  acquisition sent      does it run?             sent
            is counted  is over

``UNKNOWN`` is where a lost link leaves us when the box may be armed.
Source: protocol.md 7.1 to 7.3, 8.9 and 11.1 (19, 20).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class Arm(Enum):
    """Where our acquisition stands."""

    IDLE = auto()
    CHECKING = auto()
    """To be armed again: does ours still run?"""
    COUNTING = auto()
    CLEARING = auto()
    ARMING = auto()
    LAST_TRY = auto()
    CONFIRMING = auto()
    RUNNING = auto()
    STOPPING = auto()
    UNKNOWN = auto()


class Event(Enum):
    """What was asked for, what the box said, what happened."""

    ARM = auto()
    DISARM = auto()
    UNCOUNTED = auto()
    """The server does not count our data connections."""
    UNABLE = auto()
    """It counts them, and is not able to arm yet."""
    ABLE = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    REFUSED_FOR_NOW = auto()
    RUNS = auto()
    OVER = auto()
    """No acquisition is under way."""
    LATE = auto()
    LOST = auto()
    """The link is gone, or a reply did not come."""


class Action(Enum):
    """What to do next."""

    LOOK = "look"
    """Ask what the box does."""
    SEND_ARM = "ARM"
    SEND_DISARM = "DISARM"
    REST = "rest"
    """Nothing: what was asked for is done."""
    FAIL_UNCOUNTED = "not counted"
    FAIL_REFUSED = "will not arm"
    FAIL_DISARM = "will not disarm"
    FAIL_RUNNING = "runs on"
    FAIL_LOST = "lost"


TRANSITIONS: Mapping[tuple[Arm, Event], tuple[Arm, Action]] = {
    (Arm.IDLE, Event.ARM): (Arm.COUNTING, Action.LOOK),
    (Arm.UNKNOWN, Event.ARM): (Arm.COUNTING, Action.LOOK),
    (Arm.RUNNING, Event.ARM): (Arm.CHECKING, Action.LOOK),
    (Arm.CHECKING, Event.RUNS): (Arm.RUNNING, Action.REST),
    (Arm.CHECKING, Event.OVER): (Arm.COUNTING, Action.LOOK),
    (Arm.COUNTING, Event.UNCOUNTED): (Arm.COUNTING, Action.LOOK),
    (Arm.COUNTING, Event.UNABLE): (Arm.CLEARING, Action.LOOK),
    (Arm.COUNTING, Event.ABLE): (Arm.ARMING, Action.SEND_ARM),
    (Arm.COUNTING, Event.LATE): (Arm.IDLE, Action.FAIL_UNCOUNTED),
    (Arm.CLEARING, Event.UNCOUNTED): (Arm.COUNTING, Action.LOOK),
    (Arm.CLEARING, Event.UNABLE): (Arm.CLEARING, Action.LOOK),
    (Arm.CLEARING, Event.ABLE): (Arm.ARMING, Action.SEND_ARM),
    # Busy to the end: its own refusal says why better than we could
    (Arm.CLEARING, Event.LATE): (Arm.LAST_TRY, Action.SEND_ARM),
    (Arm.ARMING, Event.ACCEPTED): (Arm.CONFIRMING, Action.LOOK),
    (Arm.ARMING, Event.REFUSED): (Arm.IDLE, Action.FAIL_REFUSED),
    (Arm.ARMING, Event.REFUSED_FOR_NOW): (Arm.CLEARING, Action.LOOK),
    (Arm.LAST_TRY, Event.ACCEPTED): (Arm.CONFIRMING, Action.LOOK),
    (Arm.LAST_TRY, Event.REFUSED): (Arm.IDLE, Action.FAIL_REFUSED),
    (Arm.LAST_TRY, Event.REFUSED_FOR_NOW): (Arm.IDLE, Action.FAIL_REFUSED),
    (Arm.CONFIRMING, Event.RUNS): (Arm.RUNNING, Action.REST),
    # Over already: it was short, or somebody stopped it; END says which
    (Arm.CONFIRMING, Event.OVER): (Arm.IDLE, Action.REST),
    (Arm.RUNNING, Event.OVER): (Arm.IDLE, Action.REST),
    (Arm.IDLE, Event.OVER): (Arm.IDLE, Action.REST),
    (Arm.UNKNOWN, Event.OVER): (Arm.IDLE, Action.REST),
    # Idle too: whoever disarms wants the box disarmed, whosever acquisition it was
    (Arm.IDLE, Event.DISARM): (Arm.STOPPING, Action.SEND_DISARM),
    (Arm.RUNNING, Event.DISARM): (Arm.STOPPING, Action.SEND_DISARM),
    (Arm.STOPPING, Event.DISARM): (Arm.STOPPING, Action.SEND_DISARM),
    (Arm.UNKNOWN, Event.DISARM): (Arm.STOPPING, Action.SEND_DISARM),
    (Arm.STOPPING, Event.ACCEPTED): (Arm.STOPPING, Action.LOOK),
    (Arm.STOPPING, Event.REFUSED): (Arm.UNKNOWN, Action.FAIL_DISARM),
    (Arm.STOPPING, Event.REFUSED_FOR_NOW): (Arm.UNKNOWN, Action.FAIL_DISARM),
    (Arm.STOPPING, Event.RUNS): (Arm.STOPPING, Action.LOOK),
    (Arm.STOPPING, Event.OVER): (Arm.IDLE, Action.REST),
    (Arm.STOPPING, Event.LATE): (Arm.UNKNOWN, Action.FAIL_RUNNING),
    # A lost link: before ARM was sent the box is not ours, after it the box may be armed
    (Arm.IDLE, Event.LOST): (Arm.IDLE, Action.FAIL_LOST),
    (Arm.CHECKING, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
    (Arm.COUNTING, Event.LOST): (Arm.IDLE, Action.FAIL_LOST),
    (Arm.CLEARING, Event.LOST): (Arm.IDLE, Action.FAIL_LOST),
    (Arm.ARMING, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
    (Arm.LAST_TRY, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
    (Arm.CONFIRMING, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
    (Arm.RUNNING, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
    (Arm.STOPPING, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
    (Arm.UNKNOWN, Event.LOST): (Arm.UNKNOWN, Action.FAIL_LOST),
}

MAYBE_ARMED = frozenset({Arm.CHECKING, Arm.CONFIRMING, Arm.RUNNING, Arm.STOPPING, Arm.UNKNOWN})
"""States in which the box may run an acquisition of ours."""


def step(state: Arm, event: Event) -> tuple[Arm, Action]:
    """Return the next state and what to do.

    Raises:
        RuntimeError: this cannot happen in that state.
    """
    following = TRANSITIONS.get((state, event))
    if following is None:
        msg = f"arming: {event.name} cannot happen in state {state.name}"
        raise RuntimeError(msg)
    return following

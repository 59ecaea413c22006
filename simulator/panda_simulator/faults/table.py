"""Every fault is a row: its name, what happens, and the class that has parameters and hooks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from panda_simulator.faults import machine, replies, samples, transport
from panda_simulator.faults.effect import Effect
from panda_simulator.faults.parameters import Parameter, parameters_of

_MANY = 3


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        name: what it is called.
        description: what the server does.
        effect: its class.
    """

    name: str
    description: str
    effect: type[Effect]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters."""
        return parameters_of(self.effect)


_KINDS = (
    FaultKind("close", "closes a connection", transport.CloseConnection),
    FaultKind("reset", "resets a connection (RST)", transport.ResetConnection),
    FaultKind("stall", "sends nothing any more; the connection stays open", transport.Stall),
    FaultKind(
        "pull-cable", "neither sends nor reads any more; nobody is told", transport.PullCable
    ),
    FaultKind(
        "never-answer", "accepts a connection, and never reads from it", transport.NeverAnswer
    ),
    FaultKind("trickle", "sends byte by byte", transport.Trickle),
    FaultKind("split", "sends in pieces that end anywhere", transport.Split),
    FaultKind("delay", "sends everything late", transport.Delay),
    FaultKind("garble", "changes bytes on their way to the client", transport.Garble),
    FaultKind("refuse", "refuses new connections", machine.Refuse),
    FaultKind("half-line", "sends half a line of a reply", replies.HalfLine),
    FaultKind("long-line", "replies with a line that is much too long", replies.LongLine),
    FaultKind("refuse-arm", "refuses to arm", replies.RefuseArm),
    FaultKind("refuse-command", "refuses a command", replies.RefuseCommand),
    FaultKind("field-error", "cannot read a field, nor report it in *CHANGES", replies.FieldError),
    FaultKind("slow-command", "takes its time for a command", replies.SlowCommand),
    FaultKind("wrong-reply", "sends another reply", replies.WrongReply),
    FaultKind("lost-reply", "does a command and sends no reply", replies.LostReply),
    FaultKind("extra-reply", "sends a reply twice", replies.ExtraReply),
    FaultKind("unknown-class", "shows a field as of another class", replies.UnknownClass),
    FaultKind("changes-entry", "has one more line in *CHANGES", replies.ChangesEntry),
    FaultKind("missed", "has a data client miss samples", samples.Missed),
    FaultKind("bad-header", "sends a header that is wrong", samples.BadHeader),
    FaultKind("drop-rows", "loses samples on their way, but counts them", samples.DropRows),
    FaultKind("duplicate-rows", "sends samples twice, but counts once", samples.DuplicateRows),
    FaultKind("corrupt-rows", "flips a bit of samples; no client can know", samples.CorruptRows),
    FaultKind("truncate-frame", "sends the beginning of a frame and closes", samples.TruncateFrame),
    FaultKind("frame-length", "sends a frame with a wrong length", samples.FrameLength),
    FaultKind("data-overrun", "calls a data client too slow", samples.DataOverrun),
    FaultKind("duplicate-end", "sends an END line twice", samples.DuplicateEnd),
    FaultKind("missing-end", "sends no END line", samples.MissingEnd),
    FaultKind("wrong-end", "counts wrong in an END line", samples.WrongEnd),
    FaultKind("odd-end", "gives a reason that nobody knows in an END line", samples.OddEnd),
    FaultKind("end-reason", "has the hardware end an acquisition", machine.EndReason),
    FaultKind("no-start", "never hears that an acquisition starts", machine.NoStart),
    FaultKind("reboot", "goes with the box, which loses its settings", machine.Reboot),
    FaultKind("restart", "goes and comes back; settings stay", machine.Restart),
    FaultKind("clock-jump", "has its date and time set to others", machine.ClockJump),
    FaultKind("someone-else", "does a command of another client", machine.SomeoneElse),
)

FAULTS = {kind.name: kind for kind in _KINDS}
"""All kinds of faults by name."""


def describe_faults() -> list[str]:
    """Write all faults for a user, a paragraph each; what many have in common comes first."""
    counts = Counter(
        (parameter.name, parameter.meaning)
        for kind in FAULTS.values()
        for parameter in kind.parameters
    )

    def common(parameter: Parameter) -> bool:
        return counts[parameter.name, parameter.meaning] >= _MANY

    shared = {p.name: str(p) for k in FAULTS.values() for p in k.parameters if common(p)}
    paragraphs = [f"Parameters of many faults: {'; '.join(shared.values())}"]
    for kind in FAULTS.values():
        own = [str(p) for p in kind.parameters if not common(p)]
        others = [p.given for p in kind.parameters if common(p)]
        paragraphs.append(f"{kind.name}: {kind.description}. {'; '.join([*own, *others])}")
    return paragraphs

"""Where values live: in a field on the wire, in this program, in the state of PCAP."""

from panda_ophyd.channels.base import (
    INVALID_ALARM,
    Channel,
    ChannelInfo,
    CommandChannel,
    Plain,
    SoftChannel,
    Update,
)
from panda_ophyd.channels.fields import ERROR_PREFIX, FieldChannel, info_of
from panda_ophyd.channels.labels import LabelChannel
from panda_ophyd.channels.lost import LostValue
from panda_ophyd.channels.pcap import ArmChannel, ClearTableChannel

__all__ = [
    "ERROR_PREFIX",
    "INVALID_ALARM",
    "ArmChannel",
    "Channel",
    "ChannelInfo",
    "ClearTableChannel",
    "CommandChannel",
    "FieldChannel",
    "LabelChannel",
    "LostValue",
    "Plain",
    "SoftChannel",
    "Update",
    "info_of",
]

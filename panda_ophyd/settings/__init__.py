"""Settings of a PandA by name: files of beamlines are applied as far as they fit, the rest is told.

ophyd-async's own `retrieve_settings` refuses a file as soon as one name in it is unknown, as
after every change of firmware. Here what is there is applied in an order that is safe, and a
report names what was not: unknown on this box, refused by it, or state rather than a setting.

State is what a box is doing rather than how it is set up: fields that can only be written
or preset something (``inenc.1.setp: 0`` loses the position of an encoder), the ``data`` block,
and ``pcap.arm``. It is left out of what is stored, and not applied unless asked for.

Source: flyscan.md 4.3.
"""

from panda_ophyd.settings.apply import (
    PandaSettingsProvider,
    apply_settings,
    match_settings,
    restore_settings,
)
from panda_ophyd.settings.names import SettingsReport, Stage, present_name, stage_of
from panda_ophyd.settings.saved import apply_saved_state

__all__ = [
    "PandaSettingsProvider",
    "SettingsReport",
    "Stage",
    "apply_saved_state",
    "apply_settings",
    "match_settings",
    "present_name",
    "restore_settings",
    "stage_of",
]

"""Settings applied to a device, in an order that is safe: plans, and a provider for upstream's.

Source: flyscan.md 4.3.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator, plan
from ophyd_async.core import (
    Device,
    SettingsProvider,
    SignalRW,
    YamlSettingsProvider,
    walk_rw_signals,
)
from typing_extensions import override

from panda_ophyd.channels import FieldChannel
from panda_ophyd.errors import PandaError
from panda_ophyd.settings.names import (
    SettingsReport,
    Stage,
    is_state_name,
    present_name,
    stage_of,
)
from panda_ophyd.signals import PandaSignalBackend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MatchedSettings:
    """Settings beside the signals of a box.

    Attributes:
        values: name on the box to name in the file and value, without None.
        unknown, state: as in `SettingsReport`.
    """

    values: Mapping[str, tuple[str, Any]]
    unknown: tuple[str, ...]
    state: tuple[str, ...]


def match_settings(
    settings: Mapping[str, Any], signals: Mapping[str, SignalRW[Any]], *, state: bool = False
) -> MatchedSettings:
    """Sort settings into what a box has, has not, and what is left out.

    Args:
        settings: name to value, as in a file; None is ignored.
        signals: of the box, `walk_rw_signals`.
        state: whether state is applied too.
    """
    values: dict[str, tuple[str, Any]] = {}
    unknown: list[str] = []
    left_out: list[str] = []
    for name, value in settings.items():
        present = present_name(name, signals)
        if present is None:
            unknown.append(name)
        elif not state and is_state(present, signals[present]):
            left_out.append(name)
        elif value is not None:
            values[present] = (name, value)
    return MatchedSettings(values, tuple(unknown), tuple(left_out))


def is_state(name: str, signal: SignalRW[Any]) -> bool:
    """Tell what a box is doing from how it is set up.

    Args:
        name: ``inenc.1.setp``.
        signal: of that name. In mock mode its class is not known, the name has to do.
    """
    if is_state_name(name):
        return True
    backend: object = getattr(signal._connector, "backend", None)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if not isinstance(backend, PandaSignalBackend) or not backend.bound:
        return False
    channel = backend.channel
    return isinstance(channel, FieldChannel) and not channel.readable


async def apply_settings(
    panda: Device, settings: Mapping[str, Any], *, state: bool = False
) -> SettingsReport:
    """Apply settings: units first, then values, tables, enables, soft bits.

    Args:
        panda: connected.
        settings: name to value, as in a file of ophyd-async: ``seq.1.table`` to its columns.
        state: whether to apply state too, as upstream does: presets encoders, arms PCAP.

    Returns:
        What became of each; warned of as well, if some were not applied.

    Raises:
        PandaConnectionError: the link is lost.
    """
    signals = walk_rw_signals(panda)
    matched = match_settings(settings, signals, state=state)
    refused: dict[str, str] = {}

    async def put(present: str, name: str, value: Any) -> None:
        try:
            await signals[present].set(value)
        except (PandaError, ValueError, TypeError) as refusal:
            if isinstance(refusal, ConnectionError):
                raise
            refused[name] = str(refusal)

    def stage(item: tuple[str, tuple[str, Any]]) -> Stage:
        return stage_of(item[0], item[1][1])

    for _, items in groupby(sorted(matched.values.items(), key=stage), key=stage):
        await asyncio.gather(*(put(present, *pair) for present, pair in items))
    applied = [name for name, _ in matched.values.values() if name not in refused]
    report = SettingsReport(tuple(applied), matched.unknown, matched.state, refused)
    logger.log(logging.INFO if report.complete else logging.WARNING, "%s: %s", panda.name, report)
    return report


@plan
def restore_settings(
    provider: SettingsProvider, name: str, panda: Device, *, state: bool = False
) -> MsgGenerator[SettingsReport]:
    """Apply stored settings, as far as the box has them.

    Args:
        provider: any of ophyd-async's, ``YamlSettingsProvider(directory)``.
        name: of the settings.
        panda: connected.
        state: whether to apply state too, see `apply_settings`.
    """

    async def restore() -> SettingsReport:
        return await apply_settings(panda, await provider.retrieve(name), state=state)

    (task,) = yield from bps.wait_for([restore])
    return task.result()


class PandaSettingsProvider(YamlSettingsProvider):
    """Files for ophyd-async's own plans, that fit this box.

    `retrieve_settings` with it gives what the box has, under its names; `store_settings`
    leaves state out. Plans of beamlines need no other change.

    Args:
        directory: of the YAML files.
        panda: connected.
        state: whether state is read from files and stored too.
    """

    def __init__(self, directory: Path | str, panda: Device, *, state: bool = False) -> None:
        super().__init__(directory)
        self._panda = panda
        self._state = state

    @override
    async def retrieve(self, name: str) -> dict[str, Any]:
        stored = await super().retrieve(name)
        signals = walk_rw_signals(self._panda)
        matched = match_settings(stored, signals, state=self._state)
        if matched.unknown or matched.state:
            left = SettingsReport(tuple(matched.values), matched.unknown, matched.state)
            logger.warning("%s: of %s, %s", self._panda.name, name, left)
        return {present: value for present, (_, value) in matched.values.items()}

    @override
    async def store(self, name: str, data: dict[str, Any]) -> None:
        signals = walk_rw_signals(self._panda)
        kept = {
            key: value
            for key, value in data.items()
            if self._state or key not in signals or not is_state(key, signals[key])
        }
        await super().store(name, kept)

"""Which of the datasets a NeXus reader plots, and under which names it finds them.

A file has its datasets at the root, as consumers of today expect. NeXus wants an
``NXentry`` with an ``NXdata`` in which one dataset is the signal and others are its axes:
these are hard links to the same datasets, so nothing is there twice. The best axis is a
captured timestamp, then the first encoder.

Source: NeXus manual, NXdata, "Rules for naming items", "Find the plottable data".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from panda_ophyd.writers.base import Dataset, Role, free_name

ENTRY = "entry"
DATA = "data"
_NOT_NEXUS = re.compile(r"[^A-Za-z0-9_]")
_PLOTTED = (Role.SIGNAL, Role.POSITION, Role.WORD, Role.STAMP, Role.BIT)
"""What is a signal, by preference."""
_AXES = (Role.STAMP, Role.POSITION)
"""What is an axis, by preference."""


@dataclass(frozen=True, slots=True)
class Plot:
    """The contents of an ``NXdata``.

    Attributes:
        links: name of the link to name of the dataset at the root.
        attributes: of the group, ``NX_class`` included.
    """

    links: Mapping[str, str]
    attributes: Mapping[str, object]


def default_plot(datasets: Sequence[Dataset]) -> Plot:
    """Return what to plot of these datasets, all of the same length."""
    links = _links(datasets)
    axis = _first(datasets, _AXES)
    others = [dataset for dataset in datasets if dataset is not axis]
    signal = _first(others, _PLOTTED)
    if signal is None:  # there is but one
        signal, axis = axis, None
    attributes: dict[str, object] = {"NX_class": "NXdata"}
    if signal is not None:
        attributes["signal"] = links[signal.name]
        attributes["axes"] = [links[axis.name] if axis else "."]
        more = [d for d in others if d is not signal and d.role in {Role.SIGNAL, Role.POSITION}]
        if more:
            attributes["auxiliary_signals"] = [links[dataset.name] for dataset in more]
    for dataset in datasets:
        if dataset is axis or dataset.role is Role.TIME:
            attributes[f"{links[dataset.name]}_indices"] = 0
    return Plot({link: name for name, link in links.items()}, attributes)


def nexus_name(name: str) -> str:
    """Return the name with what NeXus does not allow in one replaced by underscores.

    Newer versions of the standard allow dots, but not all readers do.
    """
    return _NOT_NEXUS.sub("_", name) or "_"


def _links(datasets: Sequence[Dataset]) -> dict[str, str]:
    taken: set[str] = set()
    return {d.name: free_name(nexus_name(d.name), taken) for d in datasets}


def _first(datasets: Sequence[Dataset], roles: Sequence[Role]) -> Dataset | None:
    for role in roles:
        for dataset in datasets:
            if dataset.role is role:
                return dataset
    return None

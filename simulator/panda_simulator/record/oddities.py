"""What is not simulated is kept as it was seen, and what was refused stays refused.

Source: protocol.md 3.3, 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from panda_simulator.box.stamps import Group
from panda_simulator.box.unknown import Reply, UnknownAttribute, UnknownField
from panda_simulator.record.facts import Facts, FieldSeen
from panda_simulator.record.interview import ATTRIBUTES, is_known

_OUR_OWN = {"No label for value", "Cannot read action value"}
"""Refusals that follow from class, subtype and value."""

_VALUE_GROUPS = (Group.CONFIG, Group.READ)


def refusals(facts: Facts) -> dict[str, str]:
    """Return the errors of fields that could not be read, by reported name."""
    errors: dict[str, str] = {}
    for seen in facts.fields:
        for name in seen.reported if seen.kind == "read" and is_known(seen) else ():
            if facts.value(f"{name}?") is None:
                # of the two one is enough, if not everything was asked
                error = facts.error(f"{name}?") or facts.error(f"{name}.RAW?")
                if error is not None and error not in _OUR_OWN:
                    errors[name] = error
    return errors


def unknown_fields(facts: Facts) -> dict[str, UnknownField]:
    """Return what is not simulated, by block and field."""
    found: dict[str, UnknownField] = {}
    for seen in facts.fields:
        names = facts.attributes(seen)
        odd = names if not is_known(seen) else [name for name in names if name not in ATTRIBUTES]
        attributes = {name: _attribute(facts, seen, name) for name in odd}
        if not is_known(seen):
            found[seen.title] = _field(facts, seen, attributes)
        elif attributes:
            found[seen.title] = UnknownField(attributes=attributes)
    return found


def _field(facts: Facts, seen: FieldSeen, attributes: dict[str, UnknownAttribute]) -> UnknownField:
    group = next(
        (group.name for group in _VALUE_GROUPS if _reports(facts, group, seen.reported)), None
    )
    values, errors = _replies(facts, seen.reported, [f"{name}?" for name in seen.reported])
    return UnknownField(
        info=seen.info,
        group=group,
        labels=facts.lines(f"*ENUMS.{seen.title}?"),
        values=values,
        errors=errors,
        attributes=attributes,
    )


def _attribute(facts: Facts, seen: FieldSeen, attribute: str) -> UnknownAttribute:
    targets = [f"{name}.{attribute}" for name in seen.reported]
    values, errors = _replies(facts, seen.reported, [f"{target}?" for target in targets])
    return UnknownAttribute(
        description=facts.value(f"*DESC.{seen.title}.{attribute}?"),
        labels=facts.lines(f"*ENUMS.{seen.title}.{attribute}?"),
        reported=_reports(facts, Group.ATTR, targets),
        values=values,
        errors=errors,
    )


def _replies(
    facts: Facts, names: Iterable[str], queries: Iterable[str]
) -> tuple[dict[str, Reply], dict[str, str]]:
    values: dict[str, Reply] = {}
    errors: dict[str, str] = {}
    for name, query in zip(names, queries, strict=True):
        value, lines, error = facts.value(query), facts.lines(query), facts.error(query)
        if value is not None or lines is not None:
            values[name] = value if value is not None else lines or []
        elif error is not None:
            errors[name] = error
    return values, errors


def _reports(facts: Facts, group: Group, names: Iterable[str]) -> bool:
    reports = facts.lines(f"*CHANGES.{group.name}?") or []
    return any(report.startswith((f"{name}=", f"{name} (")) for name in names for report in reports)

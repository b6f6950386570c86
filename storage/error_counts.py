"""How many events the error log has, by severity and component: the one place that counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from models.error_event import Component, Severity
from storage.error_table import ERROR_EVENTS

_EVENT = ERROR_EVENTS.c
_IS_OPEN = _EVENT.resolved_at.is_(None)


class KindCount(NamedTuple):
    """The events of one severity that one component met; there may be several of the same."""

    severity: Severity
    component: Component
    events: int
    unresolved: int


def count_kinds(connection: Connection, *, only_unresolved: bool = False) -> list[KindCount]:
    """Count the events, all at one moment; what has none is not in it."""
    # By type as well, which is how the index has them.
    kinds = (_EVENT.component, _EVENT.error_type, _EVENT.severity)
    statement = select(*kinds, func.count(), func.count().filter(_IS_OPEN)).group_by(*kinds)
    if only_unresolved:
        statement = statement.where(_IS_OPEN)
    return [
        KindCount(Severity(severity), Component(component), events, unresolved)
        for component, _, severity, events, unresolved in connection.execute(statement)
    ]


def unresolved(connection: Connection) -> Mapping[tuple[Severity, Component], int]:
    """Return how many events are unresolved; what has none is not in it."""
    found: Counter[tuple[Severity, Component]] = Counter()
    for kind in count_kinds(connection, only_unresolved=True):
        found[kind.severity, kind.component] += kind.unresolved
    return found

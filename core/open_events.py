"""What the error log has unresolved from before this start, for those who settle their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from core.ports import ErrorLog
from models.error_event import Component, ErrorEvent
from models.errors import StorageFailed

_PAGE = 500
_RETRY_SECONDS = 5.0
_logger = logging.getLogger(__name__)


async def events_of(
    error_log: ErrorLog,
    components: Collection[Component],
    types: tuple[str, ...],
    *,
    resolved: bool = False,
    since: str = "",
) -> list[ErrorEvent]:
    """Return the events of some components whose type begins with one of these, the newest first;
    of the resolved ones those from a time on, and a few older ones. Raises StorageFailed."""
    found: list[ErrorEvent] = []
    for component in components:
        cursor: str | None = None
        while True:
            page = await error_log.list_events(
                component=component, resolved=resolved, limit=_PAGE, cursor=cursor
            )
            found += (event for event in page.items if event.error_type.startswith(types))
            cursor = page.next_cursor
            if cursor is None or page.items[-1].timestamp < since:
                break
    return found


async def left_open(
    error_log: ErrorLog, components: Collection[Component], types: tuple[str, ...]
) -> list[ErrorEvent]:
    """Return what is unresolved, as soon as the database answers."""
    while True:
        try:
            return await events_of(error_log, components, types)
        except StorageFailed as error:
            _logger.warning("what was told before this start is not known yet: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)

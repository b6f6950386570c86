"""The loop of whoever keeps something up to date in memory that is read from the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from models.errors import StorageFailed

RETRY_SECONDS = 5.0
"""How long the database is left alone when it did not answer."""
_logger = logging.getLogger(__name__)


async def redo_whenever(
    changed: asyncio.Event, work: Callable[[], Awaitable[None]], *, what: str
) -> None:
    """Do work whenever something changed, until cancelled; what fails with StorageFailed is done
    again. `what` is the beginning of a sentence, up to its verb."""
    while True:
        await changed.wait()
        changed.clear()
        try:
            await work()
        except StorageFailed as error:
            _logger.error("%s not up to date: %s", what, error)
            await asyncio.sleep(RETRY_SECONDS)
            changed.set()

"""What pages read from the database: when it does not answer they come without that part, which
says so, and not without everything. What a person asks to be changed is not among it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from core.error_recovery import Degradation
from core.job_queries import JobQueries
from core.ports import ErrorLog
from core.recovery_states import OnChange
from models.errors import StorageFailed

NAME = "history"
PATIENCE_SECONDS = 5.0
"""How long a page waits for one of its parts. No reading of ours takes a tenth of that."""
Value = TypeVar("Value")


class KeptHistory:
    """Reads parts of pages. Once one could not be read it is looked again until all can."""

    def __init__(
        self, queries: JobQueries, error_log: ErrorLog, *, on_change: OnChange | None = None
    ) -> None:
        self._queries = queries
        self._error_log = error_log
        self._degradation = Degradation(
            NAME, failures=StorageFailed, patience_seconds=PATIENCE_SECONDS, on_change=on_change
        )

    @property
    def is_degraded(self) -> bool:
        """Whether a part could not be read."""
        return self._degradation.is_degraded

    async def part(self, name: str, read: Callable[[], Awaitable[Value]]) -> Value | None:
        """Return what `read` returns; None when the database does not answer."""
        return await self._degradation.value(read, None, part=name)

    async def look_again(self) -> None:
        """Read a little of everything, if a part could not be read: when that works all do."""
        if self.is_degraded and await self.part(NAME, self._look):
            self._degradation.clear()

    async def _look(self) -> bool:
        await self._queries.list_runs(limit=1)
        await self._queries.totals_by_day(datetime.now(UTC).date().isoformat())
        await self._error_log.list_events(limit=1)
        return True

"""The banners: unresolved faults of high and critical severity, on every page until resolved, and
what is done without for now, until it works again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from core.job_queries import JobQueries
from core.ports import ErrorLog
from fastapi_app import formatting
from fastapi_app.moments import Moment, moment
from fastapi_app.recovery_events import Note
from fastapi_app.refreshing import redo_whenever
from fastapi_app.rendering import Renderer
from fastapi_app.websocket.hub import CardUpdate, Hub
from models.error_event import ErrorEvent, Severity

BANNERS_KEY = "#banners"
"""Their place among the ids of jobs in the hub; no job can have such an id. live.js knows it."""
MAX_BANNERS = 3
MAX_TEXT = 500
"""How many characters of a message a banner shows; the error log has all of it."""
_SEVERITIES = (Severity.CRITICAL, Severity.HIGH)


@dataclass(frozen=True)
class Banner:
    """One fault at the top of a page."""

    id: str
    is_critical: bool
    message: str
    job_name: str | None
    job_id: str | None
    """Set when there is such a job, so that its page can be opened."""
    seen: Moment | None


@dataclass(frozen=True)
class BannersView:
    """The newest faults, and how many there are beside them."""

    items: tuple[Banner, ...]
    more: int
    notes: tuple[Note, ...] = ()
    more_notes: int = 0


def _nothing() -> tuple[Note, ...]:
    return ()


class Banners:
    """Keeps what the banners show, and tells the hub when that changes.

    Pages are rendered from memory: they show the banners also while the database does not answer.
    """

    def __init__(
        self,
        error_log: ErrorLog,
        changed: asyncio.Event,
        *,
        queries: JobQueries,
        renderer: Renderer,
        hub: Hub,
        notes: Callable[[], tuple[Note, ...]] = _nothing,
    ) -> None:
        """`notes` returns what is done without at this moment."""
        self._error_log = error_log
        self._changed = changed
        self._queries = queries
        self._renderer = renderer
        self._hub = hub
        self._notes = notes
        self._events: tuple[ErrorEvent, ...] = ()
        self._total = 0
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Read anew whenever the error log changed, until cancelled."""
        await redo_whenever(self._changed, self.refresh, what="the banners are")

    async def refresh(self) -> None:
        """Read the newest faults and show them. Raises StorageFailed."""
        # One after another: an older answer must not replace a newer one.
        async with self._reading:
            pages = [
                await self._error_log.list_events(
                    severity=severity, resolved=False, limit=MAX_BANNERS
                )
                for severity in _SEVERITIES
            ]
            events = [event for page in pages for event in page.items]
            events.sort(key=lambda event: event.timestamp, reverse=True)
            self._events = tuple(events[:MAX_BANNERS])
            self._total = sum(page.total for page in pages)
            self._hub.jobs_changed((BANNERS_KEY,))

    def view(self) -> BannersView:
        """Return what the banners show now."""
        items = tuple(self._banner(event) for event in self._events)
        notes = self._notes()
        more_notes = max(0, len(notes) - MAX_BANNERS)
        return BannersView(items, self._total - len(items), notes[:MAX_BANNERS], more_notes)

    def notes_changed(self) -> None:
        """Show what is done without now."""
        self._hub.jobs_changed((BANNERS_KEY,))

    def update(self) -> CardUpdate:
        """Return the state of the banners for the hub: all of it is structure."""
        view = self.view()
        shown = [(item.id, item.is_critical, item.job_id, item.job_name) for item in view.items]
        noted = [(note.text, note.since and note.since.iso) for note in view.notes]
        structure = repr((shown, view.more, noted, view.more_notes))
        return CardUpdate(structure=structure, values=None)

    def fragment(self) -> str:
        """Render what replaces the banners of every open page."""
        return self._renderer.fragment("_banners.html", banners=self.view(), oob=True)

    def _banner(self, event: ErrorEvent) -> Banner:
        record = self._queries.all_jobs().get(event.job_id or "")
        return Banner(
            id=event.id,
            is_critical=event.severity is Severity.CRITICAL,
            message=formatting.shortened(event.message, MAX_TEXT),
            job_name=record.job.name if record else event.job_name or event.job_id,
            job_id=record.job.id if record else None,
            seen=moment(event.timestamp),
        )

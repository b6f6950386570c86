"""LateSource: what the hub and the stores call, before those who answer are composed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from core.overdue import OverdueJobs
from fastapi_app.background import Monitor
from fastapi_app.banners import BANNERS_KEY, Banners
from fastapi_app.counting import count_run
from fastapi_app.error_count import ERRORS_KEY, ErrorCount
from fastapi_app.fault_watch import FaultWatch
from fastapi_app.happenings import BELL_KEY, Happenings
from fastapi_app.notifier import Notifier
from fastapi_app.rendering import Cards
from fastapi_app.websocket.hub import CardUpdate, Hub
from models.run import Run
from storage.counters import Counters


class LateSource:
    """What is composed after the hub and the stores, which need it: the hub's source of cards,
    banners and the bell, who follows runs, and who is told of their ends."""

    cards: Cards
    banners: Banners
    happenings: Happenings | None = None
    notifier: Notifier | None = None
    overdue: OverdueJobs | None = None
    error_count: ErrorCount | None = None
    faults: FaultWatch | None = None
    monitor: Monitor
    hub: Hub

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.has_new_errors = asyncio.Event()
        """Set when the error log has changed."""

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """These jobs look different."""
        changed = tuple(job_ids)
        if self.overdue is not None:  # First: what the browsers are shown depends on it.
            self.overdue.jobs_changed(changed)
        if self.faults is not None:
            self.faults.runs.jobs_changed(changed)
        if self.notifier is not None:
            self.notifier.jobs_changed(changed)
        self.hub.jobs_changed(changed)

    def run_found(self, run_id: str) -> None:
        """A run is under way whose journal is to be followed."""
        self.monitor.run_started(run_id)

    def run_over(self, run: Run) -> None:
        """The end of a run is kept."""
        if self.happenings is not None:
            self.happenings.run_over(run)
        if self.faults is not None:
            self.faults.runs.run_over(run)

    def run_step(self, run: Run) -> None:
        """What is kept of a run has changed."""
        if run.is_over:
            count_run(self._counters, run)
        if self.notifier is not None:  # What came before is read when it begins.
            self.notifier.run_step(run)

    def errors_changed(self) -> None:
        """The error log has changed."""
        self.has_new_errors.set()
        if self.happenings is not None:  # What came before is read when it is filled.
            self.happenings.events_changed()
        if self.notifier is not None:
            self.notifier.errors_changed()
        if self.error_count is not None:
            self.error_count.events_changed()

    def notes_changed(self) -> None:
        """What is noted on every page has changed."""
        self.banners.notes_changed()

    def update_of(self, key: str) -> CardUpdate | None:
        """Return what a card, the banners, the bell or the count of errors look like now."""
        if key == BELL_KEY and self.happenings is not None:
            return self.happenings.update()
        if key == ERRORS_KEY and self.error_count is not None:
            return self.error_count.update()
        return self.banners.update() if key == BANNERS_KEY else self.cards.update_of(key)

    async def fragment_of(self, key: str) -> str:
        """Render what replaces one of them."""
        if key == BANNERS_KEY:
            return self.banners.fragment()
        if key == BELL_KEY and self.happenings is not None:
            return self.happenings.fragment()
        if key == ERRORS_KEY and self.error_count is not None:
            return self.error_count.fragment()
        return await self.cards.fragment_of(key)

"""The Jinja environment, and the two ways to use it: a page for a request, a partial for anyone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from core.job_queries import JobQueries
from core.overdue import OverdueJobs
from fastapi_app.kept_history import KeptHistory
from fastapi_app.live_values import live_values
from fastapi_app.recent_rates import RecentRates
from fastapi_app.run_views import run_detail
from fastapi_app.view_models import STRIP_LENGTH, JobCard, job_card
from fastapi_app.websocket.hub import CardUpdate
from models.errors import JobNotFound, RunNotFound
from models.job_state import JobRecord
from models.run import Run
from models.run_spec import RunKind

TEMPLATES = Path(__file__).parent / "templates"
VERSION = "0.1.0"


class Renderer:
    """Renders templates with what every page needs: paths, icons, the version."""

    def __init__(self, url: Callable[..., str], *, root_path: str) -> None:
        self.url = url
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            # Without a look at the files for each partial of each card.
            auto_reload=False,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            url=url,
            url_with_query=self.url_with_query,
            icon_url=lambda name: f"{url('static', path='icons.svg')}#{name}",
            root_path=root_path,
            version=VERSION,
        )

    def url_with_query(self, route: str, query: dict[str, str | None]) -> str:
        """Return a path with those parameters of a query that are not empty."""
        given = {name: value for name, value in query.items() if value}
        return f"{self.url(route)}?{urlencode(given)}" if given else self.url(route)

    def page(self, name: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
        """Render a whole page."""
        return HTMLResponse(self._render(f"pages/{name}", context), status_code)

    def partial(self, name: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
        """Render a fragment as an answer to HTMX."""
        return HTMLResponse(self.fragment(name, **context), status_code)

    def fragment(self, name: str, **context: Any) -> str:
        """Render a fragment as text."""
        return self._render(f"partials/{name}", context)

    def _render(self, name: str, context: dict[str, Any]) -> str:
        return self._environment.get_template(name).render(context)


class Cards:
    """Job cards: for pages, for HTMX answers, and as the hub's source."""

    def __init__(
        self, queries: JobQueries, renderer: Renderer, history: KeptHistory, overdue: OverdueJobs
    ) -> None:
        self._queries = queries
        self._history = history
        self._without_history: set[str] = set()
        self._returns = 0
        self._renderer = renderer
        self._overdue = overdue
        self._rates = RecentRates()

    async def cards_of(self, records: list[JobRecord]) -> tuple[JobCard, ...]:
        """Return the cards of some jobs, in their order."""
        ids = [record.job.id for record in records]
        recent = await self._history.part(
            "cards", lambda: self._queries.run_outlines(ids, STRIP_LENGTH + 1)
        )
        if recent is None:
            self._without_history.update(ids)
        return tuple(
            job_card(
                record,
                None if recent is None else recent.get(record.job.id, ()),
                spark=self._rates.points(record.job.id),
                overdue=self._overdue.find(record.job.id),
                last_good_at=self._overdue.last_success_of(record),
            )
            for record in records
        )

    async def card_of(self, job_id: str) -> JobCard:
        """Return one job's card. Raises JobNotFound."""
        return (await self.cards_of([self._queries.get_job(job_id)]))[0]

    def history_returns(self) -> frozenset[str]:
        """Return the jobs whose cards were shown without their last runs: from now on they look
        different."""
        ids, self._without_history = frozenset(self._without_history), set()
        self._returns += 1
        return ids

    def update_of(self, job_id: str) -> CardUpdate | None:
        """Return what a card looks like now; None when the job is gone."""
        try:
            record = self._queries.get_job(job_id)
        except JobNotFound:
            return None
        state = record.state
        phase = state.progress.phase if state.progress else ""
        structure = (
            *(state.status, state.run_id, record.job.version, state.message, phase),
            job_id in self._overdue,
            self._returns,
        )
        rate = state.progress.bytes_per_second if state.progress and state.is_active else None
        self._rates.note(job_id, state.run_id, rate)
        live = live_values(state.run_id, state.progress, state.status)
        live = replace(live, spark=self._rates.points(job_id))
        return CardUpdate(structure=repr(structure), values=live.patch())

    async def fragment_of(self, job_id: str) -> str:
        """Render what replaces a card everywhere, and the header of its run's page."""
        try:
            card = await self.card_of(job_id)
        except JobNotFound:
            return self._renderer.fragment("_removed_job.html", job_id=job_id)
        html = self._renderer.fragment("_job_card.html", card=card, oob=True)
        runs = await self._history.part("runs of cards", lambda: self._runs_of(card))
        if runs is None:
            self._without_history.add(job_id)
        for run in runs or ():
            detail = run_detail(run)
            html += self._renderer.fragment("_run_header.html", detail=detail, oob=True)
        return html

    async def _runs_of(self, card: JobCard) -> list[Run]:
        """Return the runs whose pages the card's change concerns: its own, and a newer dry run,
        which the card no longer names when it has ended."""
        runs: list[Run] = []
        if card.run_id is not None:
            try:
                runs.append(await self._queries.get_run(card.run_id))
            except RunNotFound:
                pass  # Forgotten meanwhile: nobody looks at its page any more.
        newest = await self._queries.newest_run(card.id)
        if newest is not None and newest.kind == RunKind.DRY_RUN and newest.id != card.run_id:
            runs.append(newest)
        return runs

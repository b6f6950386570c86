"""The pages that show: dashboard, jobs, runs, and the parts of them that are fetched alone."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import HTMLResponse

from core.deleted_sources import why_not_back
from core.failed_files import why_not
from core.job_queries import DEFAULT_PAGE, JobSort
from fastapi_app.access import guarded_router, needs
from fastapi_app.browsing import browse
from fastapi_app.dashboard_views import disks_view, errors_view
from fastapi_app.deleted_source_views import (
    ROWS_PER_PAGE,
    DeletionsQuery,
    DeletionsView,
    deletions_view,
)
from fastapi_app.deletion_views import deletion_in_words
from fastapi_app.failure_views import FilesQuery, run_files_view
from fastapi_app.figures_pages import NEWEST_RUNS, activity_of, figures_of
from fastapi_app.log_viewer import viewer
from fastapi_app.log_views import LogQuery
from fastapi_app.moments import moment
from fastapi_app.notices import notices_of
from fastapi_app.option_words import job_options_in_words
from fastapi_app.preview_pages import preview_part
from fastapi_app.preview_views import PreviewQuery, dry_run_summary
from fastapi_app.run_views import run_detail, run_row, run_title
from fastapi_app.services import Services, ServicesDep
from fastapi_app.settings_in_force import roots_of
from fastapi_app.status_views import status_counts, status_view
from models.access import Role
from models.progress import RunOutcome
from models.run import Run, RunPage
from models.run_spec import RunKind

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
_RECENT_RUNS = 8
_MOST_CARDS = 24
_NEWEST_ERRORS = 5
_AT_WORK = "A run of its job is under way."
_NO_JOB = "The file of the job cannot be read."


@router.get("/", name="dashboard")
async def dashboard(services: ServicesDep) -> HTMLResponse:
    """What runs, what needs a person, what ended last."""
    records = services.queries.all_jobs()
    first = services.queries.list_jobs(sort=JobSort.URGENCY, limit=_MOST_CARDS).items
    cards, activity, runs, newest = await asyncio.gather(
        services.cards.cards_of(list(first)),
        activity_of(services),
        _runs_part(services, limit=_RECENT_RUNS),
        services.history.part(
            "errors",
            lambda: services.error_log.list_events(resolved=False, limit=_NEWEST_ERRORS),
        ),
    )
    damaged = services.jobs.damaged()
    return await page(
        services,
        "dashboard.html",
        nav="dashboard",
        title="Dashboard",
        cards=cards,
        counts=status_counts(records.status_counts, overdue=len(services.overdue)),
        activity=activity,
        recent_runs=runs and tuple(run_row(run) for run in runs.items),
        is_empty=not records and not damaged,
        damaged=damaged,
        total=len(records),
        most_cards=_MOST_CARDS,
        disks=disks_view(await services.disks.now()),
        errors=newest and errors_view(newest, records),
    )


async def _runs_part(services: Services, **wanted: Any) -> RunPage | None:
    """Return a page of the history; None when it cannot be read now."""
    return await services.history.part("runs", lambda: services.queries.list_runs(**wanted))


@router.get("/jobs/{job_id}", name="job_page")
async def job_page(services: ServicesDep, job_id: str) -> HTMLResponse:
    """One job: its card, its definition, its runs."""
    record = services.queries.get_job(job_id)
    card, runs, dry_run, figures = await asyncio.gather(
        services.cards.card_of(job_id),
        _runs_part(services, job_id=job_id, limit=NEWEST_RUNS),
        services.history.part(
            "dry_run", lambda: services.queries.newest_run(job_id, RunKind.DRY_RUN)
        ),
        figures_of(services, job_id),
    )
    return await page(
        services,
        "job.html",
        nav="jobs",
        title=record.job.name,
        card=card,
        job=record.job,
        created=moment(record.job.created_at.isoformat()),
        saved=moment(record.job.updated_at.isoformat()),
        option_words=job_options_in_words(record.job),
        deletion_words=deletion_in_words(record.job.model_dump(mode="json")),
        figures=figures,
        runs=runs and tuple(run_row(run) for run in runs.items),
        has_older_runs=runs is not None and runs.next_cursor is not None,
        dry_run=dry_run_summary(dry_run, saved_at=record.job.updated_at),
        dry_run_row=run_row(dry_run) if dry_run else None,
    )


@router.get("/jobs/{job_id}/card", name="job_card")
async def job_card(services: ServicesDep, job_id: str) -> HTMLResponse:
    """One job's card, for pages that cannot be reached by WebSocket."""
    card = await services.cards.card_of(job_id)
    return services.renderer.partial("_job_card.html", card=card)


@router.get("/runs", name="runs_page")
async def runs_page(
    services: ServicesDep,
    q: Annotated[str, Query(max_length=200)] = "",
    outcome: Annotated[str, Query(pattern=f"^({'|'.join(RunOutcome)})?$")] = "",
    cursor: str | None = None,
) -> HTMLResponse:
    """The history, newest first, or what of it a person looks for."""
    wanted = RunOutcome(outcome) if outcome else None
    runs = await _runs_part(services, q=q, outcome=wanted, limit=DEFAULT_PAGE, cursor=cursor)
    older = runs.next_cursor if runs else None
    more = {"q": q, "outcome": outcome, "cursor": older}
    return await page(
        services,
        "runs.html",
        nav="runs",
        title="Runs",
        runs=runs and tuple(run_row(run) for run in runs.items),
        total=runs.total if runs else 0,
        q=q,
        outcomes=tuple((one.value, status_view(one).word) for one in RunOutcome),
        outcome=outcome,
        is_first=not cursor,
        next_url=services.renderer.url_with_query("runs_page", more) if older else None,
    )


@router.get("/runs/{run_id}", name="run_page")
async def run_page(
    services: ServicesDep,
    run_id: str,
    query: Annotated[FilesQuery, Depends()],
    preview_query: Annotated[PreviewQuery, Depends()],
    deletions_query: Annotated[DeletionsQuery, Depends()],
) -> HTMLResponse:
    """One run: its figures, its phases, what failed, and the tool's output."""
    run = await services.queries.get_run(run_id)
    files = await services.directories.files(run_id)
    record = services.queries.all_jobs().get(run.job_id)
    return await page(
        services,
        "run.html",
        nav="runs",
        title=run_title(run),
        detail=run_detail(run),
        preview=await preview_part(services, run, preview_query),
        deletions=await _deletions_part(services, run, deletions_query),
        deletes_sources=record is not None and record.job.source_deletion.enabled,
        files=run_files_view(
            run,
            files,
            query,
            no_retry=why_not(run, files, record) if record else _NO_JOB,
            url=services.renderer.url,
        ),
        log=await viewer(services, run, LogQuery()),
    )


async def _deletions_part(
    services: Services, run: Run, query: DeletionsQuery
) -> DeletionsView | None:
    known = await services.deletions.run(run.id)
    if known is None:
        return None
    page = await services.deletions.list_deletions(
        run.id,
        q=query.q,
        outcome=query.outcome,
        limit=ROWS_PER_PAGE,
        cursor=query.deleted_from or None,
    )
    record = services.queries.all_jobs().get(run.job_id)
    no_put_back = why_not_back(known)
    if no_put_back is None and record is not None and record.state.is_active:
        no_put_back = _AT_WORK
    return deletions_view(known, page, query, no_put_back=no_put_back, url=services.renderer.url)


@router.get("/folders", name="folders")
@needs(Role.ADMIN)
async def folders(
    services: ServicesDep,
    field: Annotated[str, Query(pattern="^(source|destination)$")],
    path: str = "/",
    source: str | None = None,
    destination: str | None = None,
) -> HTMLResponse:
    """The folder at a path, to choose from; the form sends the field's own value along."""
    typed = {"source": source, "destination": destination}[field]
    wanted = typed if typed is not None else path
    roots = roots_of(services.settings_store)
    view = await browse(services.questions, field, wanted, roots)
    return services.renderer.partial("_folder_browser.html", browser=view)


async def page(
    services: Services, name: str, status_code: int = 200, **context: Any
) -> HTMLResponse:
    """Render a page with the notices and banners that belong on every page."""
    return services.renderer.page(
        name,
        status_code=status_code,
        page_notices=notices_of(await services.tools.all(), services.dismissed),
        banners=services.banners.view(),
        bell=services.happenings.view(),
        error_count=services.error_count.view(),
        cursor=services.cursor,
        who=services.who,
        has_sample=not services.settings_store.in_force.allowed_roots,
        **context,
    )

"""The Jobs page, in which look a person wants it, and commands on several jobs at once."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from core.many_jobs import MAX_JOBS, ManyJobs, Outcome
from fastapi_app.access import demand, guarded_router, needs
from fastapi_app.audit_notes import note_one_of_many
from fastapi_app.job_list import LOOK_COOKIE, JobsQuery, jobs_view, look_of
from fastapi_app.preferences import YEAR_SECONDS, remember
from fastapi_app.routers.banners import page_before
from fastapi_app.routers.forms import is_htmx
from fastapi_app.routers.pages import page
from fastapi_app.services import Services, ServicesDep
from models.access import Role

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
_SEE_OTHER = 303
_OF_ADMINISTRATORS = frozenset({"delete", "tag", "untag"})
_WORDS = {
    "start": "started or queued",
    "stop": "asked to stop",
    "tag": "tagged",
    "untag": "without the tag",
    "delete": "deleted",
}


@router.get("/jobs", name="jobs_page")
async def jobs_page(
    request: Request,
    services: ServicesDep,
    query: Annotated[JobsQuery, Depends()],
    cursor: str | None = None,
) -> HTMLResponse:
    """All jobs, or those that a person looks for."""
    view = await jobs_view(services, query, look=look_of(request), cursor=cursor)
    return await page(services, "jobs.html", nav="jobs", title="Jobs", jobs=view)


@router.post("/jobs-look", name="jobs_look")
@needs(Role.VIEWER)
async def choose_look(
    request: Request, services: ServicesDep, look: Annotated[str, Form(pattern="^(cards|table)$")]
) -> Response:
    """Show the jobs as cards or as a table from now on, in this browser."""
    answer = RedirectResponse(page_before(request, services), _SEE_OTHER)
    root_path = services.settings.root_path
    remember(answer, request, root_path, LOOK_COOKIE, look, YEAR_SECONDS)
    return answer


@router.post("/many-jobs", name="jobs_many")
@needs(Role.OPERATOR)
async def command_many(request: Request, services: ServicesDep) -> Response:
    """Start, stop, tag or delete the jobs that are ticked; says of each one that was not why."""
    posted = await request.form(max_files=0, max_fields=MAX_JOBS + 10)
    named = (value for value in posted.getlist("job") if isinstance(value, str))
    job_ids = list(dict.fromkeys(named))  # On the page and kept from another one: once.
    action, tag = str(posted.get("action", "")), str(posted.get("tag", "")).strip()
    fault = _fault(action, tag, job_ids)
    if action in _OF_ADMINISTRATORS:
        demand(request, Role.ADMIN)
    before = services.queries.all_jobs()
    note = partial(note_one_of_many, services, request, action, before=before, tag=tag)
    many = ManyJobs(services.manager, services.queries, note)
    outcome = Outcome()
    if fault is None and action == "delete":
        if str(posted.get("sure", "")).strip().lower() != _sentence(len(job_ids)):
            return await _ask(services, job_ids, again="sure" in posted)
        outcome = await many.delete(job_ids)
    elif fault is None and action in {"tag", "untag"}:
        outcome = await many.tag(job_ids, tag, on=action == "tag")
    elif fault is None:
        outcome = await (many.start(job_ids) if action == "start" else many.stop(job_ids))
    result = {"outcome": outcome, "words": _WORDS.get(action, ""), "fault": fault}
    if is_htmx(request):
        return services.renderer.partial("_many_result.html", result=result)
    view = await jobs_view(services, JobsQuery(), look=look_of(request), cursor=None)
    status = 200 if fault is None else 422
    return await page(
        services, "jobs.html", status, nav="jobs", title="Jobs", jobs=view, result=result
    )


def _fault(action: str, tag: str, job_ids: list[str]) -> str | None:
    if action not in _WORDS:
        return "There is no such command."
    if not job_ids:
        return "No job is ticked."
    if len(job_ids) > MAX_JOBS:
        return f"At most {MAX_JOBS:,} jobs at once: nothing was done."
    if action in {"tag", "untag"} and not tag:
        return "Write the tag that is meant."
    return None


def _sentence(count: int) -> str:
    return f"delete {count} job{'' if count == 1 else 's'}"


async def _ask(services: Services, job_ids: list[str], *, again: bool) -> Response:
    records = services.queries.all_jobs()
    found = [records[job_id] for job_id in job_ids if job_id in records]
    return await page(
        services,
        "jobs_delete.html",
        422 if again else 200,
        nav="jobs",
        title="Delete these jobs?",
        cards=await services.cards.cards_of(found),
        sentence=_sentence(len(job_ids)),
        job_ids=job_ids,
        again=again,
    )

"""What forms post: create, change, start, stop, discard, delete. Each works without JavaScript."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fastapi_app.access import guarded_router, needs
from fastapi_app.audit_notes import note_job_edit
from fastapi_app.deletion_views import deletion_in_words, deletion_needs
from fastapi_app.job_form import (
    NEW_JOB,
    JobForm,
    conflict_between,
    copied_name,
    definition_of,
    engine_choices,
    errors_by_field,
    posted_locations,
    posted_values,
    values_of,
)
from fastapi_app.routers.pages import page
from fastapi_app.sample import make_sample
from fastapi_app.services import Services, ServicesDep
from models.access import Role
from models.audit import Action
from models.errors import InvalidDefinition, VersionConflict
from models.job import Job

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
_SEE_OTHER = 303
_LONGEST_VERSION = 19


@router.get("/jobs/new", name="job_new")
@needs(Role.ADMIN)
async def new_job(services: ServicesDep) -> Response:
    """An empty form."""
    return await _form_page(services, await _form(services, None, NEW_JOB))


@router.get("/jobs/{job_id}/edit", name="job_edit")
@needs(Role.ADMIN)
async def edit_job(services: ServicesDep, job_id: str) -> Response:
    """The form of a job."""
    job = services.queries.get_job(job_id).job
    return await _form_page(services, await _form(services, job, values_of(job)))


@router.get("/jobs/{job_id}/duplicate", name="job_duplicate")
@needs(Role.ADMIN)
async def duplicate_job(services: ServicesDep, job_id: str) -> Response:
    """The form of a new job with all that another one says; nothing is saved yet."""
    job = services.queries.get_job(job_id).job
    values = values_of(job) | {"name": copied_name(job.name)}
    return await _form_page(services, await _form(services, None, values, copied_from=job_id))


@router.post("/jobs", name="job_create")
async def create_job(request: Request, services: ServicesDep) -> Response:
    """Create a job, or show the form again with what is wrong and what was typed."""
    posted = await _posted(request)
    values = posted_values(posted)
    named = str(posted.get("copied_from", ""))
    copied_from = named if named in services.queries.all_jobs() else None
    try:
        job_id = await services.manager.create_job(definition_of(values, None))
    except InvalidDefinition as error:
        errors, locations = errors_by_field(error.faults), posted_locations(posted)
        form = await _form(
            services, None, values, errors=errors, locations=locations, copied_from=copied_from
        )
        return await _form_again(request, services, form, 422)
    if copied_from is None:
        services.audit.note(request, Action.JOB_CREATED, job_id=job_id)
    else:
        details = {"of": copied_from}
        services.audit.note(request, Action.JOB_DUPLICATED, job_id=job_id, details=details)
    return _go_to(request, services.renderer.url("job_page", job_id=job_id))


@router.post("/jobs/sample", name="sample_create")
async def create_sample(request: Request, services: ServicesDep) -> Response:
    """Make the sample job and start it."""
    definition = await asyncio.to_thread(make_sample, services.data_dir)
    job_id = await services.manager.create_job(definition)
    services.audit.note(request, Action.JOB_CREATED, job_id=job_id, details={"sample": True})
    run_id = await services.manager.start_job(job_id)
    services.audit.note(request, Action.JOB_STARTED, job_id=job_id, run_id=run_id)
    return _go_to(request, services.renderer.url("job_page", job_id=job_id))


@router.post("/deletion-words", name="deletion_words")
async def deletion_words(request: Request, services: ServicesDep) -> Response:
    """What the job in the form will do with its sources, and what that needs."""
    definition = definition_of(posted_values(await _posted(request)), None)
    return services.renderer.partial(
        "_deletion_words.html",
        words=deletion_in_words(definition),
        needs=deletion_needs(definition),
    )


@router.post("/jobs/{job_id}", name="job_update")
async def update_job(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Change a job, or show the form again: with what is wrong, or with both versions."""
    job = services.queries.get_job(job_id).job
    posted = await _posted(request)
    values = posted_values(posted, values_of(job))
    version = str(posted.get("version", ""))
    expected = int(version) if version.isdecimal() and len(version) < _LONGEST_VERSION else 0
    try:
        await services.manager.update_job(
            job_id, definition_of(values, job), expected_version=expected
        )
    except InvalidDefinition as error:
        errors = errors_by_field(error.faults)
        locations = posted_locations(posted)
        form = await _form(
            services, job, values, errors=errors, version=expected, locations=locations
        )
        return await _form_again(request, services, form, 422)
    except VersionConflict:
        current = services.queries.get_job(job_id).job
        form = await _form(
            services,
            current,
            values,
            conflict=conflict_between(current, values),
            locations=posted_locations(posted),
        )
        return await _form_again(request, services, form, 412)
    note_job_edit(services, request, job)
    return _go_to(request, services.renderer.url("job_page", job_id=job_id))


@router.post("/jobs/{job_id}/start", name="job_start")
@needs(Role.OPERATOR)
async def start_job(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Start the job."""
    run_id = await services.manager.start_job(job_id)
    services.audit.note(request, Action.JOB_STARTED, job_id=job_id, run_id=run_id)
    return await _card_or_page(request, services, job_id)


@router.post("/jobs/{job_id}/stop", name="job_stop")
@needs(Role.OPERATOR)
async def stop_job(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Stop the job's run."""
    run_id = services.queries.get_job_status(job_id).run_id
    await services.manager.stop_job(job_id)
    services.audit.note(request, Action.JOB_STOPPED, job_id=job_id, run_id=run_id)
    return await _card_or_page(request, services, job_id)


@router.post("/jobs/{job_id}/discard", name="job_discard")
@needs(Role.OPERATOR)
async def discard_job(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Discard the partial files of a stopped run."""
    await services.manager.discard(job_id)
    services.audit.note(request, Action.JOB_DISCARDED, job_id=job_id)
    return await _card_or_page(request, services, job_id)


@router.get("/jobs/{job_id}/delete", name="job_delete_page")
@needs(Role.ADMIN)
async def delete_job_page(services: ServicesDep, job_id: str) -> Response:
    """Ask before deleting."""
    return await _delete_page(services, job_id)


@router.post("/jobs/{job_id}/delete", name="job_delete")
async def delete_job(request: Request, services: ServicesDep, job_id: str) -> Response:
    """Delete the job; what it copied stays. One that has run is deleted by its name alone."""
    job = services.queries.get_job(job_id).job
    typed = str((await _posted(request)).get("name", ""))
    if await services.queries.newest_run(job_id) and typed.strip() != job.name.strip():
        return await _delete_page(services, job_id, typed=typed)
    await services.manager.delete_job(job_id)
    services.audit.note(request, Action.JOB_DELETED, job_id=job_id, job_name=job.name)
    return _go_to(request, services.renderer.url("jobs_page"))


async def _delete_page(services: Services, job_id: str, *, typed: str | None = None) -> Response:
    card = await services.cards.card_of(job_id)
    newest = await services.queries.newest_run(job_id)
    return await page(
        services,
        "job_delete.html",
        200 if typed is None else 422,
        nav="jobs",
        title="Delete job",
        card=card,
        has_history=newest is not None,
        typed=typed,
    )


async def _posted(request: Request) -> Mapping[str, Any]:
    form = await request.form(max_files=0, max_fields=100)
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def _form(
    services: Services,
    job: Job | None,
    values: Mapping[str, str],
    *,
    version: int | None = None,
    **more: Any,
) -> JobForm:
    url = services.renderer.url
    return JobForm(
        action=url("job_update", job_id=job.id) if job else url("job_create"),
        title=f"Edit {job.name}" if job else "New job",
        submit_label="Save" if job else "Create job",
        cancel_url=url("job_page", job_id=job.id) if job else url("jobs_page"),
        is_edit=job is not None,
        engines=engine_choices(await services.tools.all()),
        credentials=await services.credentials.names(),
        values=values,
        job_id=job.id if job else None,
        version=version if version is not None else job.version if job else None,
        **more,
    )


async def _form_page(services: Services, form: JobForm, status_code: int = 200) -> Response:
    return await page(
        services, "job_form.html", status_code, nav="jobs", title=form.title, form=form
    )


async def _form_again(
    request: Request, services: Services, form: JobForm, status_code: int
) -> Response:
    if is_htmx(request):
        return services.renderer.partial("_job_form.html", status_code=status_code, form=form)
    return await _form_page(services, form, status_code)


async def _card_or_page(request: Request, services: Services, job_id: str) -> Response:
    if is_htmx(request):
        card = await services.cards.card_of(job_id)
        return services.renderer.partial("_job_card.html", card=card)
    return _go_to(request, services.renderer.url("job_page", job_id=job_id))


def _go_to(request: Request, path: str) -> Response:
    if is_htmx(request):
        return Response(status_code=200, headers={"HX-Redirect": path})
    return RedirectResponse(path, _SEE_OTHER)


def is_htmx(request: Request) -> bool:
    """Whether a fragment is wanted, and not a whole page."""
    return request.headers.get("hx-request") == "true"

"""What takes more than a line to note in the audit log: edits, several jobs at once, errors."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection

from fastapi_app.audit import job_changes
from fastapi_app.services import Services
from models.audit import Action
from models.errors import LongshoreError
from models.job import Job
from models.job_state import JobRecord

_ACTIONS = {
    "start": Action.JOB_STARTED,
    "stop": Action.JOB_STOPPED,
    "delete": Action.JOB_DELETED,
    "tag": Action.JOBS_TAGGED,
    "untag": Action.JOBS_TAGGED,
}


def note_job_edit(services: Services, request: HTTPConnection, before: Job) -> None:
    """Note which fields of a job were changed, each with its value before and after."""
    record = services.queries.all_jobs().get(before.id)
    services.audit.note(
        request,
        Action.JOB_EDITED,
        job_id=before.id,
        job_name=before.name,
        details=job_changes(before, record.job) if record else {},
    )


def note_one_of_many(
    services: Services,
    request: HTTPConnection,
    command: str,
    job_id: str,
    *,
    before: Mapping[str, JobRecord],
    tag: str,
) -> None:
    """Note a command on several jobs at one that it was done to."""
    # A stopped run may have left the queue, and a deleted job is gone.
    after = services.queries.all_jobs().get(job_id) if command == "start" else None
    record = after or before.get(job_id)
    is_about_tags = command in {"tag", "untag"}
    services.audit.note(
        request,
        _ACTIONS[command],
        job_id=job_id,
        job_name=record.job.name if record else None,
        run_id=record.state.run_id if record and command in {"start", "stop"} else None,
        details={"tag": tag, "given": command == "tag"} if is_about_tags else {},
    )


async def note_resolved(services: Services, request: HTTPConnection, event_id: str) -> None:
    """Note that an error was taken for done, and which job it is about where that can be told."""
    try:
        event = await services.error_log.get(event_id)
    except LongshoreError:
        event = None
    services.audit.note(
        request,
        Action.ERROR_RESOLVED,
        job_id=event.job_id if event else None,
        job_name=event.job_name if event else None,
        run_id=event.run_id if event else None,
        details={"error": event_id, **({"type": event.error_type} if event else {})},
    )

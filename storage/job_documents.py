"""Jobs and states as YAML documents, there and back; nothing here reads or writes a file."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from models.errors import FieldFault, InvalidDocument
from models.job import JOB_ID, Job, faults_of
from models.job_state import AtRest, JobState
from models.job_status import ACTIVE_STATUSES, JobStatus
from models.progress import Progress
from storage import yaml_documents

FORMAT = 1
MISNAMED = "its name is not a job id (small letters, digits and hyphens, at most 64)"
_LAST_KEY_OF_JOB = "updated_at"
_LAST_KEY_OF_STATE = "last_good_at"
_MAX_FAULTS_TOLD = 5


def job_content(job: Job) -> bytes:
    """Return what stands in a definition's file."""
    return yaml_documents.render({"format": FORMAT, "id": job.id, **job.model_dump(mode="json")})


def state_content(state: JobState) -> bytes:
    """Return what stands in a state's file."""
    return yaml_documents.render(_state_document(state))


def job_from(content: bytes, job_id: str, *, modified_at_ns: int) -> Job:
    """Return the job in a definition's file.

    What only the program writes may be missing in a file that a person wrote: the id is the file's
    name, the times are the file's own. Raises InvalidDocument with every fault and its line.
    """
    name = f"{job_id}.yaml"
    if not JOB_ID.match(job_id):
        raise InvalidDocument(name, MISNAMED)
    document = yaml_documents.parse(content, name)
    if "format" in document:
        check_whole(document, name)
    if document.setdefault("id", job_id) != job_id:
        raise InvalidDocument(name, f"holds the job {document['id']!r}")
    moment = datetime.fromtimestamp(modified_at_ns // 10**9, UTC)
    document.setdefault("version", "1")
    document.setdefault("created_at", moment)
    document.setdefault("updated_at", moment)
    try:
        return Job.model_validate(document)
    except ValidationError as error:
        raise InvalidDocument(name, told(content, faults_of(error))) from error


def state_from(content: bytes, job_id: str) -> JobState:
    """Return the state in a state's file. Raises InvalidDocument."""
    name = f"{job_id}.yaml"
    document = yaml_documents.parse(content, name, numbers=True)
    if _LAST_KEY_OF_STATE not in document or not content.endswith(b"\n"):
        raise InvalidDocument(name, "is cut off")
    known = {key: value for key, value in document.items() if key in JobState.__dataclass_fields__}
    progress, previous = known.get("progress"), known.get("previous_status")
    before = known.get("before_dry_run")
    try:
        state = JobState(
            **known
            | {
                "job_id": job_id,
                "status": JobStatus(known.get("status", "")),
                "previous_status": JobStatus(previous) if previous else None,
                "progress": _progress_from(progress) if progress else None,
                "before_dry_run": _at_rest_from(before) if before else None,
            }
        )
    except (TypeError, ValueError) as error:
        raise InvalidDocument(name, str(error)) from error
    if not isinstance(state.version, int):
        raise InvalidDocument(name, "its version is not a number")
    if state.is_active and not state.run_id:
        raise InvalidDocument(name, f"is {state.status} without a run")
    if state.is_dry_run and not state.is_active:
        raise InvalidDocument(name, f"is {state.status} in the middle of a dry run")
    return state


def check_whole(document: dict[str, Any], name: str) -> None:
    """A file that was cut off between two lines would be a valid job with other options, and one
    cut in the destination a valid job that writes elsewhere."""
    if document.pop("format") != str(FORMAT):
        raise InvalidDocument(name, f"is not of format {FORMAT}, the one this version reads")
    if _LAST_KEY_OF_JOB not in document:
        raise InvalidDocument(
            name,
            f"is cut off: its last line, {_LAST_KEY_OF_JOB}, is missing (a file that was written "
            "by hand need not have it, and has no “format” either)",
        )


def told(content: bytes, faults: tuple[FieldFault, ...]) -> str:
    """Return what is wrong with a document as one text, each fault with its line."""
    parts = []
    lines = yaml_documents.lines_of(content)
    for fault in faults[:_MAX_FAULTS_TOLD]:
        steps = tuple(int(step) if step.isdecimal() else step for step in fault.field.split("."))
        line = yaml_documents.line_of(lines, steps)
        place = f"line {line}: " if line else ""
        parts.append(f"{place}{fault.field}: {fault.message.rstrip('.')}")
    if len(faults) > _MAX_FAULTS_TOLD:
        parts.append(f"and {len(faults) - _MAX_FAULTS_TOLD} more")
    return "; ".join(parts)


def _state_document(state: JobState) -> dict[str, Any]:
    document = {"format": FORMAT, **asdict(state), "progress": _document_of(state.progress)}
    if state.before_dry_run is not None:
        progress = _document_of(state.before_dry_run.progress)
        document["before_dry_run"] = {**asdict(state.before_dry_run), "progress": progress}
    return document


def _document_of(progress: Progress | None) -> dict[str, Any] | None:
    return progress._asdict() if progress else None


def _at_rest_from(values: Any) -> AtRest:
    if not isinstance(values, dict):
        raise TypeError("before_dry_run is not a mapping")
    known = {key: value for key, value in values.items() if key in AtRest.__dataclass_fields__}
    status = JobStatus(known.get("status", ""))
    if status in ACTIVE_STATUSES:
        raise ValueError(f"before_dry_run cannot be {status}")
    progress = known.get("progress")
    return AtRest(
        **known | {"status": status, "progress": _progress_from(progress) if progress else None}
    )


def _progress_from(values: Any) -> Progress:
    if not isinstance(values, dict):
        raise TypeError("progress is not a mapping")
    # A newer version may have written more.
    return Progress(**{key: value for key, value in values.items() if key in Progress._fields})

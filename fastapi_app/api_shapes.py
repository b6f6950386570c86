"""The shapes of what the API takes and answers, for its description alone: each is made of the very
type that the answer is made of. None is built before somebody asks for the description."""

from __future__ import annotations

from collections.abc import Iterator
from types import GenericAlias
from typing import Any, get_type_hints

from pydantic import BaseModel, Field, create_model

from core.rclone_remotes import RemoteTest
from core.runner.trash import PutBack
from models.audit import AuditEntry
from models.error_event import ErrorEvent
from models.error_query import ErrorGroup, ErrorStatistics
from models.job import Job, JobDefinition
from models.job_status import JobStatus
from models.notifications import NotificationRule
from models.planned_change import ListedChange
from models.progress import Progress
from models.run import Phase, Run
from models.run_spec import RunKind
from models.source_deletions import Deletion

SCHEMAS = "#/components/schemas/"
_Fields = dict[str, Any]
_TEXT_OR_NULL = str | None


def schemas() -> dict[str, Any]:
    """Return the JSON Schema of each shape by its name. Takes a moment: call it in a thread."""
    found: dict[str, Any] = {}
    for model in (*_problems(), *_answered()):
        schema = model.model_json_schema(ref_template=SCHEMAS + "{model}", mode="serialization")
        found |= schema.pop("$defs", {}) | {model.__name__: schema}
    for model in _taken():
        schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
        found |= schema.pop("$defs", {}) | {model.__name__: schema}
    return found


def _taken() -> Iterator[type[BaseModel]]:
    yield JobDefinition
    address: _Fields = {
        "address": (_TEXT_OR_NULL, Field(default=None, json_schema_extra={"writeOnly": True}))
    }
    yield create_model("NotificationRuleBody", __base__=NotificationRule, **address)
    yield _shape("SettingsBody", values=dict[str, Any])


def _problems() -> Iterator[type[BaseModel]]:
    fault = _shape("FaultOfField", field=str, message=str)
    yield create_model(
        "Problem",
        __doc__="Why a request came to nothing (RFC 9457).",
        title=(str, ...),
        status=(int, ...),
        detail=(str, ...),
        errors=(_list(fault), []),
    )


def _answered() -> Iterator[type[BaseModel]]:
    yield from _of_jobs_and_runs()
    yield from _of_files()
    yield from _of_logs()
    rule = create_model(
        "NotificationRuleAnswer",
        __base__=NotificationRule,
        **_needed(version=str, target_scheme=_TEXT_OR_NULL, target_fault=_TEXT_OR_NULL),
    )
    yield rule
    yield _page("NotificationRules", rule, damage=_TEXT_OR_NULL)
    told = _shape("Outcome", ok=bool, message=str)
    yield told


def _of_jobs_and_runs() -> Iterator[type[BaseModel]]:
    progress = _like(Progress)
    state = _shape(
        "JobStateAnswer",
        status=JobStatus,
        run_kind=RunKind,
        version=int,
        run_id=_TEXT_OR_NULL,
        message=_TEXT_OR_NULL,
        progress=progress | None,
        last_good_at=_TEXT_OR_NULL,
    )
    more = _needed(state=state, overdue=bool, last_success_at=_TEXT_OR_NULL)
    job = create_model("JobAnswer", __base__=Job, **more)
    yield job
    damaged = _shape("DamagedJob", id=str, reason=str)
    yield _page("Jobs", job, damaged=_list(damaged))
    seconds = float | None
    phase = _like(Phase, duration_seconds=seconds)
    run = _like(Run, duration_seconds=seconds, phases=_list(phase), progress=progress | None)
    yield run
    yield _page("Runs", run)
    yield _shape("RunStarted", run_id=str)
    yield _shape("RunStopped", run_id=_TEXT_OR_NULL)


def _of_files() -> Iterator[type[BaseModel]]:
    yield _page("FailedFiles", _shape("FailedFile", path=str, reason=str), named=int)
    yield _page("SkippedFiles", _shape("SkippedFile", path=str, kind=str), named=int)
    yield _page("Deletions", _like(Deletion))
    yield _like(PutBack)
    counts = dict[str, int] | None
    yield _page("Preview", _like(ListedChange), counts=counts)
    yield _page("Remotes", _shape("Remote", name=str, type=str))
    yield _like(RemoteTest)


def _of_logs() -> Iterator[type[BaseModel]]:
    event = _like(ErrorEvent, details=dict[str, Any])
    yield event
    yield _page("ErrorEvents", event)
    yield _page("ErrorGroups", _like(ErrorGroup))
    yield _like(ErrorStatistics)
    yield _page("AuditEntries", _like(AuditEntry, details=dict[str, Any]))


def _page(called: str, item: type[BaseModel], **more: Any) -> type[BaseModel]:
    """Return a page of a list; `next_cursor` is null on the last one."""
    return _shape(called, items=_list(item), total=int, next_cursor=_TEXT_OR_NULL, **more)


def _like(kind: type, **others: Any) -> type[BaseModel]:
    """Return a shape with the fields of a dataclass or a named tuple, of which others differ."""
    return _shape(kind.__name__, **(get_type_hints(kind) | others))


def _shape(called: str, /, **types: Any) -> type[BaseModel]:
    return create_model(called, **_needed(**types))


def _needed(**types: Any) -> _Fields:
    return {field: (kind, ...) for field, kind in types.items()}


def _list(item: type[BaseModel]) -> Any:
    return GenericAlias(list, (item,))

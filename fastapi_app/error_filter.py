"""Which errors are meant, as an address or a body says it: for the API, the export and the page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fastapi_app.query_values import Moment, OrAny
from models.error_event import Component, Severity
from models.error_query import ErrorFilter
from storage.error_reader import MAX_PAGE
from utils.timestamps import utc_timestamp

MAX_QUERY = 200
_EventId = Annotated[str, Field(max_length=20)]


class FilterBody(BaseModel):
    """Which errors are meant; what is left out, null or empty means any."""

    model_config = ConfigDict(extra="forbid")

    severity: OrAny[Severity] = None
    component: OrAny[Component] = None
    job_id: OrAny[str] = None
    error_type: OrAny[str] = None
    resolved: OrAny[bool] = None
    q: Annotated[str, Field(max_length=MAX_QUERY)] = ""
    since: OrAny[Moment] = None
    up_to: Annotated[str | None, Field(pattern="^[0-9]{1,18}$")] = None

    def filter(self) -> ErrorFilter:
        """Return it as a filter of the error log."""
        return ErrorFilter(
            severity=self.severity,
            component=self.component,
            job_id=self.job_id,
            error_type=self.error_type,
            resolved=self.resolved,
            q=self.q or None,
            since=timestamp_of(self.since) if self.since else None,
            up_to=self.up_to,
        )


_ONE_OF_THEM: JsonDict = {
    "oneOf": [
        {"properties": {"ids": {"type": "array"}, "filter": {"type": "null"}}, "required": ["ids"]},
        {
            "properties": {"ids": {"type": "null"}, "filter": {"type": "object"}},
            "required": ["filter"],
        },
    ]
}


class ResolveBody(BaseModel):
    """What is to be resolved: errors by their ids, or all that match a filter."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_ONE_OF_THEM)

    ids: Annotated[list[_EventId] | None, Field(max_length=MAX_PAGE)] = None
    filter: FilterBody | None = None


def asked_for(
    severity: Annotated[OrAny[Severity], Query()] = None,
    component: Annotated[OrAny[Component], Query()] = None,
    job_id: Annotated[OrAny[str], Query()] = None,
    error_type: Annotated[OrAny[str], Query()] = None,
    resolved: Annotated[OrAny[bool], Query()] = None,
    q: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    since: Annotated[OrAny[Moment], Query()] = None,
) -> ErrorFilter:
    """Return the filter that the address of an API call says."""
    return FilterBody(
        severity=severity,
        component=component,
        job_id=job_id,
        error_type=error_type,
        resolved=resolved,
        q=q,
        since=since,
    ).filter()


def timestamp_of(moment: datetime) -> str:
    """Return a time as the error log has it; one without a zone is meant in UTC."""
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return utc_timestamp(known.timestamp())

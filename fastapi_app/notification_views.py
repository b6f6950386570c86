"""Notifications as the page shows them: rules, the form of one, and what became of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi_app.moments import Moment, moment
from fastapi_app.notification_changes import TargetState
from fastapi_app.notification_events import RULE_LANE
from fastapi_app.status_views import StatusView
from models.error_event import Severity
from models.errors import FieldFault
from models.job_snapshot import JobSnapshot
from models.notifications import (
    DEFAULT_BODY,
    DEFAULT_TITLE,
    KNOWN_NAMES,
    OCCASION_WORDS,
    NotificationRule,
    Occasion,
)
from storage.notification_document import version_of
from storage.notification_table import DROPPED, GIVEN_UP, SENDING, SENT, WAITING, Kept
from utils.timestamps import utc_timestamp

_STATES = {
    WAITING: StatusView("queued", "Waiting", "clock"),
    SENDING: StatusView("running", "Sending", "loader-circle"),
    SENT: StatusView("completed", "Sent", "circle-check"),
    GIVEN_UP: StatusView("failed", "Given up", "circle-x"),
    DROPPED: StatusView("warning", "Dropped", "triangle-alert"),
}
_PING_WORDS = {"start": "start", "": "success", "fail": "failure"}
_SHOWN_JOBS = 3
SEVERITIES = tuple((one.value, one.value.capitalize()) for one in reversed(Severity))
_TEXTS = (
    "name",
    "target",
    "minimum_severity",
    "title",
    "body",
    "digest_seconds",
    "at_most_per_hour",
)
_DEFAULTS = {"title": DEFAULT_TITLE, "body": DEFAULT_BODY, "digest_seconds": 30}
_DEFAULTS |= {"at_most_per_hour": 20}


@dataclass(frozen=True)
class RuleView:
    """A rule in the list."""

    name: str
    enabled: bool
    target: str
    scheme: str | None
    fault: str | None
    """Why nothing can be sent to its target."""
    events: str
    scope: str
    tested: TestView | None = None


@dataclass(frozen=True)
class TestView:
    """What a test came to."""

    ok: bool
    message: str


@dataclass(frozen=True)
class NoteView:
    """One thing that was to be told."""

    id: int
    status: StatusView
    title: str
    about: str
    job_id: str | None
    seen: Moment | None
    attempts: int
    reason: str | None


@dataclass(frozen=True)
class RuleForm:
    """What `pages/notification_form.html` shows."""

    values: Mapping[str, str]
    events: frozenset[str]
    replaces: str | None
    """The name of the rule that is changed; None for a new one."""
    version: str = ""
    scheme: str | None = None
    """Of the address that is kept; None when there is none."""
    errors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_conflict: bool = False
    targets: tuple[str, ...] = ()
    """The names in secrets.yaml, to choose from."""

    occasions = tuple(OCCASION_WORDS.items())
    severities = SEVERITIES
    placeholders = KNOWN_NAMES

    @property
    def told(self) -> tuple[str, ...]:
        """Return every fault for the summary."""
        return tuple(
            f"{name}: {message}" for name, messages in self.errors.items() for message in messages
        )


def rule_view(
    rule: NotificationRule, target: TargetState, jobs: JobSnapshot, tested: TestView | None = None
) -> RuleView:
    """Return a rule as the list shows it; jobs by their present names."""
    words = [OCCASION_WORDS[one] for one in rule.events]
    if Occasion.ERROR in rule.events:
        words[-1] = f"Error from {rule.minimum_severity} on"
    return RuleView(
        name=rule.name,
        enabled=rule.enabled,
        target=rule.target,
        scheme=target.scheme,
        fault=target.reason,
        events=", ".join(words),
        scope=_scope(rule, jobs),
        tested=tested,
    )


def note_view(note: Kept, jobs: JobSnapshot) -> NoteView:
    """Return one thing that was to be told as the list shows it."""
    if note.lane.startswith(RULE_LANE):
        title, sender = note.title, note.lane.removeprefix(RULE_LANE)
    else:
        title, sender = f"Ping: {_PING_WORDS.get(note.title, note.title)}", "Ping"
    return NoteView(
        id=note.id,
        status=_STATES[note.state],
        title=title,
        about=sender if sender == note.target else f"{sender} to {note.target}",
        job_id=note.job_id if note.job_id in jobs else None,
        seen=moment(utc_timestamp(note.ended_at or note.created_at)),
        attempts=note.attempts,
        reason=note.reason if note.state != SENT else None,
    )


def new_form(targets: tuple[str, ...]) -> RuleForm:
    """Return the form of a new rule."""
    events = (Occasion.RUN_FAILED, Occasion.RUN_INTERRUPTED, Occasion.JOB_OVERDUE, Occasion.ERROR)
    values = dict.fromkeys((*_TEXTS, "jobs", "tags"), "") | {
        **{name: str(value) for name, value in _DEFAULTS.items()},
        "minimum_severity": Severity.HIGH.value,
        "enabled": "on",
    }
    return RuleForm(values, frozenset(events), None, targets=targets)


def form_of(rule: NotificationRule, scheme: str | None, targets: tuple[str, ...]) -> RuleForm:
    """Return the form of a rule."""
    values = {name: str(getattr(rule, name)) for name in _TEXTS}
    values |= {
        "jobs": ", ".join(rule.jobs),
        "tags": ", ".join(rule.tags),
        "enabled": "on" if rule.enabled else "",
    }
    return RuleForm(
        values,
        frozenset(rule.events),
        rule.name,
        version=version_of(rule),
        scheme=scheme,
        targets=targets,
    )


def posted_form(posted: Mapping[str, str], events: Sequence[str], base: RuleForm) -> RuleForm:
    """Return the form as it was posted; the address is not shown again."""
    values = {name: str(posted.get(name, "")) for name in (*_TEXTS, "jobs", "tags", "enabled")}
    return RuleForm(
        values,
        frozenset(events),
        base.replaces,
        version=str(posted.get("version", "")),
        scheme=base.scheme,
        targets=base.targets,
    )


def values_of(form: RuleForm, jobs: JobSnapshot) -> dict[str, Any]:
    """Return the rule that a posted form means. A job may be named by its id or by its name."""
    values: dict[str, Any] = {name: form.values[name].strip() for name in _TEXTS}
    for name, default in _DEFAULTS.items():
        values[name] = values[name] or default
    values["minimum_severity"] = values["minimum_severity"] or Severity.HIGH
    by_name: dict[str, str] = {record.job.name: job_id for job_id, record in jobs.items()}
    chosen = _parts(form.values["jobs"])
    return values | {
        "enabled": form.values["enabled"] == "on",
        "events": [one.value for one in Occasion if one in form.events],
        "jobs": [part if part in jobs else by_name.get(part, part) for part in chosen],
        "tags": _parts(form.values["tags"]),
    }


def by_field(faults: Iterable[FieldFault]) -> dict[str, tuple[str, ...]]:
    """Return faults by the field of the form at which they stand."""
    told: dict[str, tuple[str, ...]] = {}
    for fault in faults:
        name = fault.field.partition(".")[0]
        told[name] = (*told.get(name, ()), fault.message)
    return told


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


def _scope(rule: NotificationRule, jobs: JobSnapshot) -> str:
    names = [jobs[one].job.name if one in jobs else one for one in rule.jobs]
    shown = names[:_SHOWN_JOBS]
    if len(names) > _SHOWN_JOBS:
        shown.append(f"{len(names) - _SHOWN_JOBS:,} more")
    shown += [f"tag {tag}" for tag in rule.tags]
    return ", ".join(shown) if shown else "every job"

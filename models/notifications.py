"""A notification rule: who is told of what, when, and in which words.

What a person writes in `notifications.yaml`, on the page or sends as JSON. The address of a target
is a secret and stands elsewhere: a rule names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field, ValidationError, field_validator

from models.error_event import Severity
from models.errors import FieldFault
from models.job import JOB_ID, faults_of
from models.job_options import checked_credential_name
from models.job_part import Part, quoted

RULE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MAX_RULES = 100
MAX_TITLE, MAX_BODY = 200, 4_000
"""How many characters a template has, and what is made of it."""
DERIVED_OF_RULE = ("version", "target_scheme", "target_fault")
"""What a rule is shown with and nobody decides."""
_MAX_CHOSEN = 200
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Occasion(StrEnum):
    """What a rule can tell of."""

    RUN_FAILED = "run_failed"
    RUN_INTERRUPTED = "run_interrupted"
    RUN_WARNING = "run_warning"
    RUN_PAUSED = "run_paused"
    RUN_COMPLETED = "run_completed"
    JOB_RECOVERED = "job_recovered"
    """The first good run after one that was not."""
    JOB_OVERDUE = "job_overdue"
    ERROR = "error"
    """An event of the error log, from a severity on."""


OCCASION_WORDS: Mapping[Occasion, str] = {
    Occasion.RUN_FAILED: "Run failed",
    Occasion.RUN_INTERRUPTED: "Run interrupted",
    Occasion.RUN_WARNING: "Run completed with warnings",
    Occasion.RUN_PAUSED: "Run paused",
    Occasion.RUN_COMPLETED: "Run completed",
    Occasion.JOB_RECOVERED: "Job recovered",
    Occasion.JOB_OVERDUE: "Job overdue",
    Occasion.ERROR: "Error",
}
KNOWN_NAMES = (
    "event",
    "job_name",
    "job_id",
    "run_id",
    "outcome",
    "message",
    "severity",
    "component",
    "error_type",
    "time",
    "source",
    "destination",
    "engine",
    "duration",
    "files",
    "size",
)
"""What stands in braces in a template; what an occasion does not have of it is “–”."""
DEFAULT_TITLE = "{event}: {job_name}"
DEFAULT_BODY = "{message}\n{time}"


class NotificationRule(Part):
    """One rule; times in seconds."""

    name: str
    enabled: bool = True
    target: str
    """The name of the entry in secrets.yaml whose password is the target's address."""
    events: tuple[Occasion, ...] = Field(
        default=(Occasion.RUN_FAILED, Occasion.RUN_INTERRUPTED, Occasion.JOB_OVERDUE),
        min_length=1,
        max_length=len(Occasion),
    )
    minimum_severity: Severity = Severity.HIGH
    """From which severity on an event of the error log is told of."""
    jobs: tuple[str, ...] = Field(default=(), max_length=_MAX_CHOSEN)
    tags: tuple[str, ...] = Field(default=(), max_length=_MAX_CHOSEN)
    """With neither jobs nor tags it is for all of them, and for what concerns no job."""
    title: str = DEFAULT_TITLE
    body: str = DEFAULT_BODY
    digest_seconds: int = Field(default=30, ge=0, le=86_400)
    """So long after the first one further ones are gathered into the same message."""
    at_most_per_hour: int = Field(default=20, ge=1, le=1_000)
    """What comes beyond waits, and goes as one message when there is room again."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not RULE_NAME.fullmatch(value.strip()):
            raise ValueError("The name of a rule has letters, digits and “_.-”, at most 64.")
        return value.strip()

    @field_validator("target")
    @classmethod
    def _target(cls, value: str) -> str:
        name = checked_credential_name(value)
        if name is None:
            raise ValueError("Name the secret that holds the target’s address.")
        return name

    @field_validator("events")
    @classmethod
    def _events(cls, value: tuple[Occasion, ...]) -> tuple[Occasion, ...]:
        return tuple(one for one in Occasion if one in value)

    @field_validator("jobs")
    @classmethod
    def _jobs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for job_id in value:
            if not JOB_ID.match(job_id):
                raise ValueError(f"{quoted(job_id)} is not the id of a job.")
        return tuple(dict.fromkeys(value))

    @field_validator("tags")
    @classmethod
    def _tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tag.strip() for tag in value if tag.strip()))

    @field_validator("title")
    @classmethod
    def _title(cls, value: str) -> str:
        return _checked_template(value.strip() or DEFAULT_TITLE, MAX_TITLE)

    @field_validator("body")
    @classmethod
    def _body(cls, value: str) -> str:
        text = value.replace("\r\n", "\n").strip()
        return _checked_template(text or DEFAULT_BODY, MAX_BODY)

    def is_for(self, occasion: Occasion, job_id: str | None, tags: Iterable[str]) -> bool:
        """Whether it tells of such an occasion of such a job."""
        if not self.enabled or occasion not in self.events:
            return False
        if not self.jobs and not self.tags:
            return True
        return job_id in self.jobs or not set(self.tags).isdisjoint(tags)


@dataclass(frozen=True)
class Happened:
    """Something that rules may tell of. `key` is what makes it the same one, met again."""

    key: str
    occasion: Occasion
    values: Mapping[str, str]
    job_id: str | None = None
    tags: tuple[str, ...] = ()
    severity: Severity | None = None
    about_target: str | None = None
    """The target that could not be reached, when that is what happened: it is not told itself."""


def rule_of(values: Mapping[str, object]) -> tuple[NotificationRule | None, tuple[FieldFault, ...]]:
    """Return the rule that values mean, or every fault in them."""
    try:
        return NotificationRule.model_validate(values), ()
    except ValidationError as error:
        return None, faults_of(error)


def wants(rule: NotificationRule, happened: Happened) -> bool:
    """Whether a rule tells of what happened."""
    if happened.about_target is not None and happened.about_target == rule.target:
        return False
    if happened.severity is not None and happened.occasion is Occasion.ERROR:
        ranks = list(Severity)
        if ranks.index(happened.severity) < ranks.index(rule.minimum_severity):
            return False
    return rule.is_for(happened.occasion, happened.job_id, happened.tags)


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with the known names in braces replaced; nothing else in it has a meaning,
    and what replaces a name is never looked at again."""

    def replaced(match: re.Match[str]) -> str:
        token = match.group()
        if token in ("{{", "}}"):
            return token[0]
        return values.get(match[1], "") or "–" if match[1] in KNOWN_NAMES else token

    return _PLACEHOLDER.sub(replaced, template)


def _checked_template(value: str, most: int) -> str:
    if len(value) > most:
        raise ValueError(f"A template has at most {most:,} characters.")
    for match in _PLACEHOLDER.finditer(value):
        token = match.group()
        if token in ("{", "}"):
            raise ValueError("A brace that stands for itself is written twice: {{ or }}.")
        if match[1] is not None and match[1] not in KNOWN_NAMES:
            known = ", ".join(KNOWN_NAMES)
            raise ValueError(f"{quoted(token)} is not known. Known are: {known}.")
    return value

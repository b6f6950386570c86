"""What happened, as notifications and pings tell it: from runs and errors to notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from core.notifying.messages import Gathered, Message, message_of
from core.overdue import OVERDUE
from core.run_faults import OF_RUNS
from fastapi_app import formatting
from models.error_event import Component, ErrorEvent
from models.job import Job
from models.notifications import OCCASION_WORDS, Happened, NotificationRule, Occasion, filled, wants
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from storage.notification_table import Kept, Note

RULE_LANE, PING_LANE = "rule:", "ping:"
PING = "ping"
_OF_OUTCOME = {
    RunOutcome.FAILED: Occasion.RUN_FAILED,
    RunOutcome.INTERRUPTED: Occasion.RUN_INTERRUPTED,
    RunOutcome.WARNING: Occasion.RUN_WARNING,
    RunOutcome.PAUSED: Occasion.RUN_PAUSED,
    RunOutcome.COMPLETED: Occasion.RUN_COMPLETED,
}
_WITHOUT_MESSAGE = {
    Occasion.RUN_COMPLETED: "Everything was copied.",
    Occasion.JOB_RECOVERED: "It had failed or was cut off; this run completed.",
}
_MAX_PING_BODY = 8_000
SAMPLE_VALUES = {
    "event": "Test",
    "job_name": "Longshore",
    "message": "This is a test: notifications arrive here.",
    "outcome": "test",
}


def rule_lane(name: str) -> str:
    """Return the lane of a rule's messages."""
    return f"{RULE_LANE}{name}"


def happened_of_run(run: Run, job: Job | None, *, was_bad: bool) -> tuple[Happened, ...]:
    """Return what the end of a run is worth telling, of which a rule tells the first that it wants;
    nothing of a dry run, which somebody looks at anyway."""
    if run.outcome is None or run.kind != RunKind.TRANSFER:
        return ()
    occasions = [_OF_OUTCOME[run.outcome]]
    if was_bad and run.is_success:
        occasions.insert(0, Occasion.JOB_RECOVERED)
    tags = job.tags if job is not None else ()
    return tuple(
        Happened(f"run:{run.id}:ended", one, _values_of_run(run, one), run.job_id, tags)
        for one in occasions
    )


def happened_of_error(event: ErrorEvent, job: Job | None) -> Happened | None:
    """Return what an event of the error log is worth telling; None when it says what the end of
    a run says, which is told by itself."""
    if event.error_type in OF_RUNS:
        return None
    occasion = Occasion.JOB_OVERDUE if event.error_type == OVERDUE else Occasion.ERROR
    target = event.details.get("target") if event.component is Component.NOTIFICATIONS else None
    values = {
        "event": OCCASION_WORDS[occasion],
        "job_name": event.job_name or event.job_id or "Longshore",
        "job_id": event.job_id or "",
        "run_id": event.run_id or "",
        "message": event.message,
        "severity": event.severity,
        "component": event.component,
        "error_type": event.error_type,
        "time": formatting.exact_time(event.timestamp),
    }
    return Happened(
        f"error:{event.id}",
        occasion,
        values,
        event.job_id,
        job.tags if job is not None else (),
        event.severity,
        str(target) if target is not None else None,
    )


def notes_for(
    alternatives: Sequence[Happened], rules: Iterable[NotificationRule]
) -> Iterator[Note]:
    """Yield what is to be told: the first of several that a rule wants, in its words."""
    for rule in rules:
        one = next((one for one in alternatives if wants(rule, one)), None)
        if one is not None:
            title, body = filled(rule.title, one.values), filled(rule.body, one.values)
            lane = rule_lane(rule.name)
            yield Note(lane, one.key, rule.target, one.occasion, title, body, one.job_id)


def ping_of(run: Run, job: Job | None, *, has_begun: bool) -> Note | None:
    """Return the ping of the start or the end of a run (healthchecks.io, Pinging API); None where
    there is none to send. What a person stopped is neither a success nor a failure."""
    target = job.monitoring.ping if job is not None else None
    if target is None or run.kind != RunKind.TRANSFER:
        return None
    if has_begun:
        # A run over some files ends with neither, when others still wait.
        step = "start" if run.only_failed_of is None else None
    elif run.is_success:
        step = ""
    else:
        step = "fail" if run.outcome in {RunOutcome.FAILED, RunOutcome.INTERRUPTED} else None
    if step is None:
        return None
    body = "" if has_begun else _ping_body(run)
    key = f"run:{run.id}:{'begun' if has_begun else 'ended'}"
    return Note(f"{PING_LANE}{run.job_id}", key, target, PING, step, body, run.job_id)


def composed(notes: Sequence[Kept]) -> Message:
    """Return one message of what has gathered."""
    return message_of([Gathered(Occasion(one.occasion), one.title, one.body) for one in notes])


def sample_message(rule: NotificationRule) -> Message:
    """Return what a test sends: the rule's own words about nothing that happened."""
    return Message(filled(rule.title, SAMPLE_VALUES), filled(rule.body, SAMPLE_VALUES), "info")


def _values_of_run(run: Run, occasion: Occasion) -> dict[str, str]:
    return {
        "event": OCCASION_WORDS[occasion],
        "job_name": run.job_name,
        "job_id": run.job_id,
        "run_id": run.id,
        "outcome": run.outcome or "",
        "message": run.message or _WITHOUT_MESSAGE.get(occasion, ""),
        "time": formatting.exact_time(run.ended_at),
        "source": run.source,
        "destination": run.destination,
        "engine": run.engine,
        "duration": formatting.duration(formatting.time_taken(run)),
        "files": formatting.count(run.files_done),
        "size": formatting.size(run.bytes_done),
    }


def _ping_body(run: Run) -> str:
    took = formatting.duration(formatting.time_taken(run))
    copied = f"{formatting.count(run.files_done)} files, {formatting.size(run.bytes_done)}"
    lines = [f"{run.job_name}: {run.outcome} after {took}, {copied}"]
    lines += [run.message] if run.message else []
    lines += [f"run {run.id}"]
    return "\n".join(lines)[:_MAX_PING_BODY]

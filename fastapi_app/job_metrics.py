"""What /metrics tells of single jobs.

The client takes ten times as long to write as many lines as there may be jobs: those of the last
successes are written here, in its words, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from prometheus_client import Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from models.error_event import printable
from models.job_snapshot import JobSnapshot
from models.job_state import JobRecord
from models.job_status import JobStatus

LAST_SUCCESS = "longshore_job_last_success_timestamp_seconds"
_NOTHING_TO_TELL = frozenset({JobStatus.COMPLETED, JobStatus.PENDING})


class JobFigures(NamedTuple):
    """The jobs of which each one is told."""

    snapshot: JobSnapshot
    last_success_of: Callable[[JobRecord], str | None]
    """Returns when that was; None for a job that never had one."""
    overdue: Collection[str]
    limit: int


def job_metrics(jobs: JobFigures) -> str:
    """Return the families of single jobs in the text format; those of OpenMetrics are the same."""
    records = list(islice(jobs.snapshot.in_order(), jobs.limit))
    successes = GaugeMetricFamily(
        LAST_SUCCESS, "When the last success of the job ended; a job without one has none."
    )
    lines = [
        last_success_line(record.job.id, record.job.name, success)
        for record in records
        if (success := jobs.last_success_of(record)) is not None
    ]
    return _written([successes]) + "".join(lines) + _written(_exceptions(records, jobs.overdue))


@lru_cache(maxsize=20_000)
def last_success_line(job_id: str, name: str, success: str) -> str:
    """Return when the last success of a job was, as a line."""
    moment = datetime.fromisoformat(success).timestamp()
    labels = f'job_id="{_escaped(job_id)}",job_name="{_escaped(name)}"'
    return f"{LAST_SUCCESS}{{{labels}}} {moment!r}\n"


def _escaped(text: str) -> str:
    # Prometheus, Exposition formats: comments, help text, and type information.
    printed = printable(text)
    return printed.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _exceptions(records: Sequence[JobRecord], overdue: Collection[str]) -> Iterator[Metric]:
    """Yield what is told of those jobs alone of which there is something to tell: for ten thousand
    that rest, it would be a megabyte of nothing."""
    statuses = GaugeMetricFamily(
        "longshore_job_status",
        "1 for each job that is neither pending nor completed, with its status.",
        labels=["job_id", "job_name", "status"],
    )
    late = GaugeMetricFamily(
        "longshore_job_overdue",
        "1 for each job without a success within the time that its definition expects.",
        labels=["job_id", "job_name"],
    )
    for record in records:
        status = record.state.status
        if status in _NOTHING_TO_TELL and record.job.id not in overdue:
            continue
        names = [printable(record.job.id), printable(record.job.name)]
        if status not in _NOTHING_TO_TELL:
            statuses.add_metric([*names, status], 1)
        if record.job.id in overdue:
            late.add_metric(names, 1)
    yield statuses
    yield late


class _Families(NamedTuple):
    families: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.families


def _written(families: Iterable[Metric]) -> str:
    return generate_latest(_Families(tuple(families))).decode()

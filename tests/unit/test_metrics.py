"""Proves that /metrics tells what there is, in series that stay bounded, and by names that hold."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from fastapi_app.counting import Totals
from fastapi_app.job_metrics import LAST_SUCCESS, JobFigures, job_metrics, last_success_line
from fastapi_app.metrics import DatabaseFigures, FiguresCollector
from fastapi_app.scraping import _Reading
from models.error_event import Component, Severity
from models.health import HealthStatus
from models.job_snapshot import JobSnapshot
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import Progress
from tests.fakes.builders import NOON, a_job, a_run
from tests.fakes.figures import some_figures
from tests.scraped import Series, openmetrics_families, samples
from utils.histogram import Histogram, HistogramPicture

NOON_SECONDS = 1_795_435_200.0


def written(**fields: Any) -> dict[Series, float]:
    """Return the samples of some figures."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(some_figures(**fields)))
    as_openmetrics = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    assert openmetrics_families(as_openmetrics.decode())
    return samples(generate_latest(registry).decode())


class Family:
    """Hands one family to a registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        """Return it."""
        return [self._family]


def read(line: str) -> tuple[str, float]:
    """Return a line’s series as it is written, and its value."""
    before, _, value = line.rpartition(" ")
    return before, float(value)


def records(*jobs: tuple[str, str, JobStatus]) -> JobSnapshot:
    """Return jobs by id, name and status."""
    return JobSnapshot(
        {
            job_id: JobRecord(a_job(job_id, name=name), JobState(job_id, status=status))
            for job_id, name, status in jobs
        }
    )


def of_jobs(
    snapshot: JobSnapshot,
    *,
    successes: Mapping[str, str] | None = None,
    overdue: Collection[str] = (),
    limit: int = 1000,
) -> JobFigures:
    """Return what is told of jobs."""
    known = successes or {}
    return JobFigures(snapshot, lambda record: known.get(record.job.id), overdue, limit)


def test_what_never_happened_is_there_as_nothing() -> None:
    found = written()
    assert found["longshore_runs_total", "engine=rclone", "kind=dry_run", "outcome=failed"] == 0
    assert found["longshore_errors_total", "component=websocket", "severity=critical"] == 0
    assert found["longshore_run_duration_seconds_count", "engine=rsync"] == 0
    assert found["longshore_jobs", "status=interrupted"] == 0
    assert (
        found["longshore_build_info", f"python={platform.python_version()}", "version=1.2.3"] == 1
    )


def test_what_there_is_stands_in_its_series() -> None:
    progress = Progress(bytes_per_second=500)
    found = written(
        totals=Totals(
            {("rsync", "transfer", "failed"): 2, ("restic", "transfer", "completed"): 1},
            {("rsync",): 10.0**15},
            {("high", "storage"): 100_000},
            {"rsync": HistogramPicture((1, 60), (2, 1, 1), 300.5)},
        ),
        statuses={"running": 2},
        under_way=(
            a_run("a", progress=progress),
            a_run("b", progress=progress, status=JobStatus.STOPPING),
            a_run("c", status=JobStatus.QUEUED),
        ),
        database=DatabaseFigures({(Severity.LOW, Component.UI): 3}),
        health={"all": HealthStatus.UNHEALTHY, "disk": HealthStatus.DEGRADED},
        not_at_rest={"circuit_breaker": 2},
    )
    assert found["longshore_health_status", "component=all"] == 2
    assert found["longshore_health_status", "component=disk"] == 1
    assert found["longshore_recovery_strategies", "kind=circuit_breaker"] == 2
    assert found["longshore_recovery_strategies", "kind=retry"] == 0
    assert found["longshore_runs_total", "engine=rsync", "kind=transfer", "outcome=failed"] == 2
    # An engine of another version.
    other = ("engine=restic", "kind=transfer", "outcome=completed")
    assert found["longshore_runs_total", *other] == 1
    assert found["longshore_sent_bytes_total", "engine=rsync"] == 10**15
    assert found["longshore_errors_total", "component=storage", "severity=high"] == 100_000
    assert found["longshore_unresolved_errors", "component=ui", "severity=low"] == 3
    buckets = [
        found["longshore_run_duration_seconds_bucket", "engine=rsync", f"le={bound}"]
        for bound in ("1.0", "60.0", "+Inf")
    ]
    assert buckets == [2, 3, 4]
    assert found["longshore_run_duration_seconds_sum", "engine=rsync"] == 300.5
    assert found["longshore_live_runs", "engine=rsync"] == 2
    assert found["longshore_live_bytes_per_second",] == 1000
    assert found["longshore_queued_runs",] == 1


def test_what_is_not_known_is_left_out() -> None:
    found = written(database=None, disk=None)
    assert found["longshore_database_up",] == 0
    names = {key[0] for key in found}
    assert not names & {"longshore_unresolved_errors", "longshore_data_directory_free_bytes"}


def test_any_name_of_a_job_can_be_read_back() -> None:
    odd = 'a "b" \\ c\u2028d 🚢 {x="y"} # HELP', "Ünïcode", "\\n", "\\"
    jobs = records(*((f"job-{n}", name, JobStatus.FAILED) for n, name in enumerate(odd)))
    successes = dict.fromkeys(jobs, NOON)
    text = job_metrics(of_jobs(jobs, successes=successes, overdue=set(jobs)))
    found = samples(text)
    for number, name in enumerate(odd):
        labels = (f"job_id=job-{number}", f"job_name={name}")
        assert found[LAST_SUCCESS, *labels] == NOON_SECONDS
        assert found["longshore_job_status", *labels, "status=failed"] == 1
        assert found["longshore_job_overdue", *labels] == 1


def test_a_name_with_bytes_that_are_no_text_or_with_lines_is_printable() -> None:
    # No definition may hold one; what is told must not fail by it all the same.
    job = a_job("job-1").model_copy(update={"name": "a\nb\r\x85 \udcff"})
    jobs = JobSnapshot({"job-1": JobRecord(job, JobState("job-1"))})
    found = samples(job_metrics(of_jobs(jobs, successes={"job-1": NOON})))
    assert found[LAST_SUCCESS, "job_id=job-1", "job_name=a\nb\r\x85 \\udcff"] == NOON_SECONDS


@pytest.mark.parametrize("name", ["Plain", 'a "b" \\ c', "\\n", "a\nb", "", "🚢\u2028\x85", "\\"])
def test_lines_are_those_that_the_client_would_write(name: str) -> None:
    family = GaugeMetricFamily(LAST_SUCCESS, "Words.", labels=["job_id", "job_name"])
    registry = CollectorRegistry()
    for number, moment in enumerate((NOON_SECONDS, NOON_SECONDS + 0.123, 1.5)):
        family.add_metric([f"job-{number}", name], moment)
    registry.register(Family(family))
    by_the_client = generate_latest(registry).decode().split("\n")[2:-1]
    moments = (NOON, "2026-11-23T12:00:00.123Z", "1970-01-01T00:00:01.500Z")
    lines = [last_success_line(f"job-{n}", name, moment) for n, moment in enumerate(moments)]
    # A number of seconds may be written in more than one way.
    assert [read(line.removesuffix("\n")) for line in lines] == [read(one) for one in by_the_client]


def test_what_is_remembered_of_jobs_follows_what_changes() -> None:
    two = records(("a", "One", JobStatus.COMPLETED), ("b", "Two", JobStatus.PENDING))
    first = job_metrics(of_jobs(two, successes={"a": NOON, "b": NOON}))
    assert job_metrics(of_jobs(two, successes={"a": NOON, "b": NOON})) == first

    renamed = records(("a", "Three", JobStatus.COMPLETED), ("c", "New", JobStatus.PENDING))
    later = "2026-11-23T12:00:01.500Z"
    found = samples(job_metrics(of_jobs(renamed, successes={"a": NOON, "b": NOON, "c": later})))
    assert found == {
        (LAST_SUCCESS, "job_id=a", "job_name=Three"): NOON_SECONDS,
        (LAST_SUCCESS, "job_id=c", "job_name=New"): NOON_SECONDS + 1.5,
    }


def test_no_more_jobs_are_told_of_than_the_limit() -> None:
    jobs = records(*((f"job-{n}", f"Job {n}", JobStatus.FAILED) for n in range(5)))
    figures = of_jobs(jobs, successes=dict.fromkeys(jobs, NOON), overdue=set(jobs))
    for limit in (0, 2):
        found = samples(job_metrics(figures._replace(limit=limit)))
        assert len(found) == 3 * limit
    assert {key[1] for key in found} == {"job_id=job-0", "job_id=job-1"}


def test_a_job_that_rests_well_has_no_status_of_its_own() -> None:
    jobs = records(*((status, status, status) for status in JobStatus))
    found = samples(job_metrics(of_jobs(jobs)))
    told = {key[3].removeprefix("status=") for key in found}
    assert told == set(JobStatus) - {JobStatus.PENDING, JobStatus.COMPLETED}


def test_a_histogram_counts_a_bound_to_what_is_at_most_so_large() -> None:
    histogram = Histogram((1, 2))
    for figure in (0, 1, 1.5, 2, 2.5):
        histogram.add(figure)
    assert histogram.picture == ((1, 2), (2, 2, 1), 7)


async def test_what_does_not_answer_is_not_waited_for_nor_asked_again() -> None:
    answers = asyncio.Event()
    asked: list[int] = []

    async def ask() -> int:
        asked.append(1)
        await answers.wait()
        return len(asked)

    reading = _Reading(ask, patience_seconds=0.01)
    assert [await reading.value() for _ in range(3)] == [None, None, None]
    assert len(asked) == 1
    answers.set()
    assert await reading.value() == 1
    # One that came late is old.
    answers.clear()
    assert await reading.value() is None
    answers.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await reading.value() == 3

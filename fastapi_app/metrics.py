"""/metrics: what the application is like at one moment, as families of the Prometheus client.

The figures are put together on the event loop, which costs a moment however many jobs there are,
and written in a thread. Those of each job stand in `job_metrics.py`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from core.recovery_states import BREAKER, DEGRADATION, RETRY
from fastapi_app.counting import DURATION_BOUNDS, Totals
from models.error_event import Component, Severity
from models.health import HealthStatus
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Run
from models.run_spec import RunKind
from utils.histogram import HistogramPicture

ALL_COMPONENTS = "all"
_LEVELS = {HealthStatus.HEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.UNHEALTHY: 2}
_LIVE = frozenset({JobStatus.RUNNING, JobStatus.STOPPING})


@dataclass(frozen=True)
class DatabaseFigures:
    """What the database tells."""

    unresolved: Mapping[tuple[Severity, Component], int]
    """Events of the error log, by severity and component."""


@dataclass(frozen=True)
class DiskFigures:
    """The disk of the data directory, in bytes."""

    total: int
    free: int


@dataclass(frozen=True)
class Figures:
    """The application at one moment."""

    version: str
    engines: Sequence[str]
    totals: Totals
    statuses: Mapping[str, int]
    damaged_jobs: int
    overdue_jobs: int
    not_exported: int
    under_way: Sequence[Run]
    database: DatabaseFigures | None
    """None when the database does not answer in time."""
    disk: DiskFigures | None
    health: Mapping[str, HealthStatus]
    """By component, and of ALL_COMPONENTS; empty until somebody has looked."""
    not_at_rest: Mapping[str, int]
    """Strategies of recovery, by their kind."""
    errors_waiting: int
    errors_dropped: int
    error_log_fails: bool
    clients: int
    dropped_clients: int
    sent_frames: int
    waiting_changes: int
    changes: int
    groups: int
    write_latency: HistogramPicture
    monitor_runs: bool
    failed_steps: int
    turn_age_seconds: float
    monitor_lag: HistogramPicture


class FiguresCollector:
    """Hands the families of some figures to a registry."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield every family but those of single jobs."""
        figures = self._figures
        build = {"version": figures.version, "python": platform.python_version()}
        yield InfoMetricFamily("longshore_build", "The version that runs.", value=build)
        yield _of_health(figures)
        yield from _of_jobs(figures)
        yield from _of_runs(figures)
        yield from _of_errors(figures)
        yield from _of_storage(figures)
        yield from _of_monitor(figures)
        yield from _of_browsers(figures)


def _of_health(figures: Figures) -> Metric:
    family = GaugeMetricFamily(
        "longshore_health_status",
        "As /health tells it: 0 healthy, 1 degraded, 2 unhealthy; component “all” is the whole.",
        labels=["component"],
    )
    for component, status in figures.health.items():
        family.add_metric([component], _LEVELS[status])
    return family


def _of_jobs(figures: Figures) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("longshore_jobs", "Jobs by status.", labels=["status"])
    for status in JobStatus:
        jobs.add_metric([status], figures.statuses.get(status, 0))
    yield jobs
    yield _gauge("longshore_damaged_jobs", "Job files that cannot be used.", figures.damaged_jobs)
    yield _gauge(
        "longshore_overdue_jobs",
        "Jobs without a success within the time that their definitions expect.",
        figures.overdue_jobs,
    )
    yield _gauge(
        "longshore_jobs_not_exported",
        "Jobs beyond metrics_max_jobs, which have no series of their own.",
        figures.not_exported,
    )


def _of_runs(figures: Figures) -> Iterator[Metric]:
    totals = figures.totals
    known = {
        (engine, kind, outcome)
        for engine in figures.engines
        for kind in RunKind
        for outcome in RunOutcome
    }
    yield _counter(
        "longshore_runs",
        "Runs that ended, by engine, kind and outcome; goes on over restarts.",
        ["engine", "kind", "outcome"],
        dict.fromkeys(known, 0.0) | dict(totals.runs),
    )
    yield _counter(
        "longshore_sent_bytes",
        "Bytes that ended runs have sent; goes on over restarts.",
        ["engine"],
        {(engine,): 0.0 for engine in figures.engines} | dict(totals.sent_bytes),
    )
    nothing = HistogramPicture(DURATION_BOUNDS, (0.0,) * (len(DURATION_BOUNDS) + 1), 0.0)
    yield _histogram(
        "longshore_run_duration_seconds",
        "How long transfers took, as their runners measured it; goes on over restarts.",
        "engine",
        dict.fromkeys(figures.engines, nothing) | dict(totals.durations),
    )
    live = [run for run in figures.under_way if run.status in _LIVE]
    family = GaugeMetricFamily("longshore_live_runs", "Runs under way.", labels=["engine"])
    for engine in sorted({*figures.engines, *(run.engine for run in live)}):
        family.add_metric([engine], sum(1 for run in live if run.engine == engine))
    yield family
    rates = (run.progress.bytes_per_second or 0 for run in live if run.progress)
    yield _gauge(
        "longshore_live_bytes_per_second", "The rates of all live runs together.", sum(rates)
    )
    queued = sum(1 for run in figures.under_way if run.status == JobStatus.QUEUED)
    yield _gauge("longshore_queued_runs", "Runs that wait for their turn.", queued)


def _of_errors(figures: Figures) -> Iterator[Metric]:
    known = [(severity, part) for severity in Severity for part in Component]
    labels = ["severity", "component"]
    yield _counter(
        "longshore_errors",
        "Faults, each as often as it was met; goes on over restarts.",
        labels,
        dict.fromkeys(known, 0.0) | dict(figures.totals.errors),
    )
    if figures.database is not None:
        unresolved = GaugeMetricFamily(
            "longshore_unresolved_errors", "Events of the error log that are open.", labels=labels
        )
        for key in known:
            unresolved.add_metric(list(key), figures.database.unresolved.get(key, 0))
        yield unresolved
    strategies = GaugeMetricFamily(
        "longshore_recovery_strategies",
        "What is tried again, left alone or done without at present, by the kind of strategy.",
        labels=["kind"],
    )
    for kind in (RETRY, BREAKER, DEGRADATION):
        strategies.add_metric([kind], figures.not_at_rest.get(kind, 0))
    yield strategies
    yield _gauge(
        "longshore_error_log_waiting",
        "Entries of the error log that are not in the database yet.",
        figures.errors_waiting,
    )
    yield _gauge(
        "longshore_error_log_failing",
        "Whether the database refused the last entries.",
        figures.error_log_fails,
    )
    yield _counter(
        "longshore_error_log_dropped",
        "Entries that reached the service’s log and not the database, since the start.",
        [],
        {(): figures.errors_dropped},
    )


def _of_storage(figures: Figures) -> Iterator[Metric]:
    yield _gauge(
        "longshore_database_up",
        "Whether the database answered in time.",
        figures.database is not None,
    )
    if figures.disk is not None:
        yield _gauge(
            "longshore_data_directory_size_bytes",
            "The size of the disk that the data directory is on.",
            figures.disk.total,
        )
        yield _gauge(
            "longshore_data_directory_free_bytes",
            "What is free on the disk that the data directory is on.",
            figures.disk.free,
        )
    yield _gauge(
        "longshore_write_queue_depth",
        "Changes of jobs and states that are not durable yet.",
        figures.waiting_changes,
    )
    yield _counter(
        "longshore_write_queue_changes",
        "Changes of jobs and states, since the start.",
        [],
        {(): figures.changes},
    )
    yield _counter(
        "longshore_write_queue_groups",
        "Groups in which these changes were made durable, since the start.",
        [],
        {(): figures.groups},
    )
    yield _histogram(
        "longshore_write_queue_latency_seconds",
        "How long changes waited until they were durable, since the start.",
        None,
        {"": figures.write_latency},
    )


def _of_monitor(figures: Figures) -> Iterator[Metric]:
    yield _gauge("longshore_monitor_up", "Whether the monitor runs.", figures.monitor_runs)
    yield _gauge(
        "longshore_monitor_turn_age_seconds",
        "How long ago the monitor last looked after live runs; 0 when there are none.",
        figures.turn_age_seconds,
    )
    yield _counter(
        "longshore_monitor_failed_steps",
        "Steps of the monitor that failed, since the start.",
        [],
        {(): figures.failed_steps},
    )
    yield _histogram(
        "longshore_monitor_lag_seconds",
        "From the writing of a journal to its application, since the start.",
        None,
        {"": figures.monitor_lag},
    )


def _of_browsers(figures: Figures) -> Iterator[Metric]:
    yield _gauge("longshore_websocket_clients", "Connected browsers.", figures.clients)
    yield _counter(
        "longshore_websocket_dropped_clients",
        "Browsers that were let go since they did not keep up, since the start.",
        [],
        {(): figures.dropped_clients},
    )
    yield _counter(
        "longshore_websocket_frames",
        "Frames sent to browsers, since the start.",
        [],
        {(): figures.sent_frames},
    )


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _counter(
    name: str, words: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], float]
) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for key in sorted(counts):
        family.add_metric(list(key), counts[key])
    return family


def _histogram(
    name: str, words: str, label: str | None, pictures: Mapping[str, HistogramPicture]
) -> Metric:
    family = HistogramMetricFamily(name, words, labels=[] if label is None else [label])
    for value in sorted(pictures):
        picture = pictures[value]
        so_far, buckets = 0.0, []
        bounds = [*(str(float(bound)) for bound in picture.bounds), "+Inf"]
        for bound, count in zip(bounds, picture.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric([] if label is None else [value], buckets, sum_value=picture.total)
    return family

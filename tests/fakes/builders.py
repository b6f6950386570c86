"""Values that tests need again and again: a job, a run, a spec, with defaults that are valid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from core.engines.base import Reading
from models.error_event import Component, Fault, Severity
from models.job import Job
from models.job_status import JobStatus
from models.run import Run
from models.run_spec import RunSpec

NOON = "2026-11-23T12:00:00.000Z"


def a_definition(**fields: Any) -> dict[str, Any]:
    """Return a definition as a person sends it."""
    return {
        "name": "Photos",
        "engine": "rsync",
        "source": "/srv/photos",
        "destination": "/mnt/nas/photos",
        **fields,
    }


def a_job(job_id: str = "photos-0001", *, version: int = 1, **fields: Any) -> Job:
    """Return a stored job."""
    moment = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
    return Job.model_validate(
        a_definition(**fields)
        | {"id": job_id, "version": version, "created_at": moment, "updated_at": moment}
    )


def a_run(run_id: str = "run-1", *, job_id: str = "photos-0001", **fields: Any) -> Run:
    """Return a run under way."""
    values: dict[str, Any] = {
        "job_name": "Photos",
        "engine": "rsync",
        "source": "/srv/photos",
        "destination": "/mnt/nas/photos",
        "status": JobStatus.RUNNING,
        "queued_at": NOON,
    }
    return Run(id=run_id, job_id=job_id, **(values | fields))


def a_spec(**fields: Any) -> RunSpec:
    """Return what a run does."""
    values: dict[str, Any] = {
        "run_id": "run-1",
        "job_id": "photos-0001",
        "engine": "rsync",
        "tool_path": "/usr/bin/rsync",
        "source": "/srv/photos",
        "destination": "/mnt/nas/photos",
    }
    return RunSpec(**(values | fields))


def a_reading(**figures: int) -> Reading:
    """Return what an engine's output has said, with these figures and no others."""
    reading = Reading()
    for name, value in figures.items():
        assert hasattr(reading, name), name
        setattr(reading, name, value)
    return reading


def a_fault(**fields: Any) -> Fault:
    """Return a fault that is shown on every page."""
    values: dict[str, Any] = {
        "severity": Severity.HIGH,
        "component": Component.STORAGE,
        "error_type": "DiskFull",
        "message": "There is no space left on the disk.",
    }
    return Fault(**(values | fields))

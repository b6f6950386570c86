"""What tests of the commands begin with: a job in some state, and the last line of a journal."""

from __future__ import annotations

from models import events
from models.events import JournalLine
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import Progress
from tests.fakes.builders import a_job
from tests.fakes.outside import World

END = "2026-11-23T13:00:00.000Z"


def ended(outcome: str = "completed", **fields: object) -> JournalLine:
    """Return the last line of a journal."""
    values: dict[str, object] = {
        "attempts": 1,
        "exit_code": 0,
        "message": None,
        "files_failed": 0,
        "files_deleted": 0,
        "progress": Progress(bytes_done=7, percent=100.0),
    }
    return JournalLine(END, events.RunEnded(outcome, **(values | fields)))  # type: ignore[arg-type]


async def put(world: World, job_id: str = "photos-0001", **state: object) -> str:
    """Put a job in this state into the world."""
    return await put_writing_to(world, f"/mnt/nas/{job_id}", job_id, **state)


async def put_writing_to(world: World, destination: str, job_id: str, **state: object) -> str:
    """Put a job with this destination into the world."""
    job = a_job(job_id, destination=destination)
    await world.jobs.create(job, JobState(job_id, **state))  # type: ignore[arg-type]
    return job_id


def status(world: World, job_id: str = "photos-0001") -> JobStatus:
    """Return what a restart would find, which must be what readers see."""
    kept, shown = world.jobs.kept[job_id], world.jobs.snapshot()[job_id].state
    assert kept.status is shown.status
    return kept.status

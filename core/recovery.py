"""At start: adopt the runs that live, close those that are dead, and let the queue go on."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from core.job_manager import JobManager
from core.ports import JobStore, RunDirectories
from models.job_status import JobStatus
from utils.log_context import about

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecoveryReport:
    """What recovery found and did, as run ids."""

    adopted: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()


async def recover(
    jobs: JobStore,
    directories: RunDirectories,
    manager: JobManager,
    *,
    resumes_interrupted: bool = False,
) -> RecoveryReport:
    """Bring every job that was under way in line with what its run has become meanwhile.

    The whole journal is read again: folding it is what makes an adopted run right. With
    `resumes_interrupted` the jobs that were cut off go on. Raises StorageFailed.
    """
    adopted: list[str] = []
    finished: list[str] = []
    interrupted: list[str] = []
    records = tuple(jobs.snapshot().values())
    for record in records:
        state = record.state
        if state.status not in {JobStatus.RUNNING, JobStatus.STOPPING} or state.run_id is None:
            continue
        with about(job_id=state.job_id, run_id=state.run_id):
            await manager.restore_run(state.job_id)
            if await directories.is_held(state.run_id):
                await manager.adopt(state.run_id)
                adopted.append(state.run_id)
            elif await manager.update_job_from_engine(
                state.run_id, await directories.read_journal(state.run_id)
            ):
                finished.append(state.run_id)
            else:
                interrupted.append(state.run_id)
    # Only now that every living run has its place: what ends makes room for others.
    queued = [one.state for one in records if one.state.status is JobStatus.QUEUED]
    await manager.forget_never_begun()
    await manager.wait_again([state.job_id for state in queued])
    for run_id in interrupted:
        with about(run_id=run_id):
            await manager.close_dead_run(run_id)
    await manager.find_deletions()
    await manager.launch_queued()
    if resumes_interrupted:
        for record in jobs.snapshot().values():
            if record.state.status is JobStatus.INTERRUPTED:
                with about(job_id=record.job.id):
                    await manager.resume_interrupted(record.job.id)
    report = RecoveryReport(tuple(adopted), tuple(finished), tuple(interrupted))
    _logger.info(
        "recovery: %d runs adopted, %d had ended, %d were interrupted",
        len(report.adopted),
        len(report.finished),
        len(report.interrupted),
    )
    return report

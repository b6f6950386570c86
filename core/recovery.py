"""At start: adopt the runs that live, close those that are dead, and let the queue go on."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from core.job_manager import JobManager
from core.ports import JobStore, RunDirectories
from models.job_status import JobStatus

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecoveryReport:
    """What recovery found and did, as run ids."""

    adopted: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    interrupted: tuple[str, ...] = ()


async def recover(
    jobs: JobStore, directories: RunDirectories, manager: JobManager
) -> RecoveryReport:
    """Bring every job that was under way in line with what its run has become meanwhile.

    The whole journal is read again: folding it is what makes an adopted run right. Raises
    StorageFailed.
    """
    adopted: list[str] = []
    finished: list[str] = []
    interrupted: list[str] = []
    for record in jobs.snapshot().values():
        state = record.state
        if state.status not in {JobStatus.RUNNING, JobStatus.STOPPING} or state.run_id is None:
            continue
        await manager.restore_run(state.job_id)
        if await directories.is_held(state.run_id):
            await manager.adopt(state.run_id)
            adopted.append(state.run_id)
        elif await manager.update_job_from_engine(
            state.run_id, await directories.read_journal(state.run_id)
        ):
            finished.append(state.run_id)
        else:
            await manager.close_dead_run(state.run_id)
            interrupted.append(state.run_id)
    await manager.launch_queued()
    report = RecoveryReport(tuple(adopted), tuple(finished), tuple(interrupted))
    _logger.info(
        "recovery: %d runs adopted, %d had ended, %d were interrupted",
        len(report.adopted),
        len(report.finished),
        len(report.interrupted),
    )
    return report

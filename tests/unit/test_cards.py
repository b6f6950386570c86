"""Proves that a card goes out to the browsers also when the history of its runs cannot be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.job_queries import JobQueries
from core.overdue import OverdueJobs
from fastapi_app.kept_history import KeptHistory
from fastapi_app.rendering import Cards, Renderer
from models.job_state import JobState
from models.job_status import JobStatus
from models.progress import RunOutcome
from models.run import Run, RunPage
from models.run_history import close_run
from tests.fakes.builders import NOON, a_job, a_run
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.stores import InMemoryJobStore, InMemoryRunStore

JOB_ID = "photos-0001"


class Runs(InMemoryRunStore):
    """A history of which some reads fail."""

    async def get(self, run_id: str) -> Run:
        """Return one run."""
        await self._touch_disk("get")
        return await super().get(run_id)

    async def list_runs(self, **wanted: Any) -> RunPage:
        """Return a page of the history."""
        await self._touch_disk("list_runs")
        return await super().list_runs(**wanted)


@pytest.mark.parametrize("read", ["get", "list_runs"])
async def test_a_card_goes_out_without_what_the_database_does_not_tell(read: str) -> None:
    jobs, runs, log = InMemoryJobStore(), Runs(), InMemoryErrorLog()
    run = close_run(a_run(), RunOutcome.FAILED, ended_at=NOON, message="Why.")
    await runs.save(run)
    await jobs.create(
        a_job(JOB_ID), replace(JobState(JOB_ID), run_id=run.id, status=JobStatus.FAILED)
    )
    queries = JobQueries(jobs, runs)
    history = KeptHistory(queries, log)
    renderer = Renderer(lambda name, **_: f"/{name}", root_path="")
    cards = Cards(queries, renderer, history, OverdueJobs(jobs, log))
    whole = await cards.fragment_of(JOB_ID)
    degraded = [history.is_degraded]

    runs.failing.add(read)
    without = await cards.fragment_of(JOB_ID)
    assert f'id="job-{JOB_ID}"' in without
    assert len(without) < len(whole)
    degraded.append(history.is_degraded)

    runs.failing.clear()
    await history.look_again()
    degraded.append(history.is_degraded)
    assert degraded == [False, True, False]
    assert cards.history_returns() == {JOB_ID}
    assert await cards.fragment_of(JOB_ID) == whole

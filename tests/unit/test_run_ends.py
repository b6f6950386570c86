"""Proves that the end of a run is kept however long the database is held, once, and holds up no
other run."""

from __future__ import annotations

import asyncio

import pytest

from core import run_launcher
from core.error_recovery import RetryPolicy
from core.recovery_states import RecoveryState
from models.errors import StorageBusy
from models.job_status import JobStatus
from models.run import Run
from tests.fakes.outside import World
from tests.fakes.scenes import ended, put, status
from tests.fakes.stores import InMemoryRunStore


class HeldRunStore(InMemoryRunStore):
    """A history that another program holds for so many attempts to keep an end."""

    def __init__(self, held: int = 0) -> None:
        super().__init__()
        self.held = held
        self.ends: list[str] = []

    async def save(self, run: Run) -> None:
        """Keep a run, unless the database is held."""
        if run.is_over and self.held:
            self.held -= 1
            self.publish(run)
            raise StorageBusy("The database", "database is locked")
        await super().save(run)
        self.ends.append(run.id)


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait between two attempts."""
    monkeypatch.setattr(run_launcher, "_KEEPING", RetryPolicy(3, 0, 0))


async def test_an_end_is_kept_once_in_several_attempts() -> None:
    told: list[RecoveryState] = []
    runs = HeldRunStore(held=2)
    world = World(runs=runs, on_recovery=told.append)
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    assert await world.manager.update_job_from_engine(run_id, [ended()])
    assert (status(world), runs.ends) == (JobStatus.COMPLETED, [run_id])
    assert [(state.name, state.state) for state in told] == [
        ("end of a run", "retrying"),
        ("end of a run", "well"),
    ]


async def test_an_end_that_was_given_up_on_is_kept_the_next_time() -> None:
    told: list[RecoveryState] = []
    runs = HeldRunStore(held=4)
    world = World(runs=runs, on_recovery=told.append)
    await put(world)
    run_id = await world.manager.start_job("photos-0001")
    with pytest.raises(StorageBusy):
        await world.manager.update_job_from_engine(run_id, [ended()])
    assert (status(world), runs.ends) == (JobStatus.RUNNING, [])
    assert await world.manager.update_job_from_engine(run_id, [ended()])
    assert (status(world), runs.ends) == (JobStatus.COMPLETED, [run_id])
    assert [state.state for state in told] == ["retrying", "given_up", "retrying", "well"]


async def test_runs_that_end_together_give_each_place_to_one_run() -> None:
    world = World(limit=2)
    for number in range(6):
        await put(world, f"job-{number}")
    run_ids = [await world.manager.start_job(f"job-{number}") for number in range(6)]
    # Somebody is about to do something with the next one, so that both have to wait for it.
    async with world.manager._lock("job-2"):
        ends = [
            asyncio.create_task(world.manager.update_job_from_engine(run_id, [ended()]))
            for run_id in run_ids[:2]
        ]
        for _ in range(50):
            await asyncio.sleep(0)
    await asyncio.gather(*ends)
    assert world.executor.submitted == run_ids[:4]
    # Two are under way: nobody else comes in between.
    await put(world, "late")
    await world.manager.start_job("late")
    assert world.executor.submitted == run_ids[:4]

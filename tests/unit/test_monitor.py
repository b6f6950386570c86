"""Proves that the monitor goes on and tells when a step fails, and ends what has no runner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastapi_app import background, monitor_faults
from fastapi_app.background import Monitor
from fastapi_app.monitor_faults import MONITOR_FAILED
from models.error_event import Severity
from models.events import JournalPart, RunLook
from models.job_status import JobStatus
from models.run import Run
from tests.fakes.error_logs import InMemoryErrorLog
from tests.fakes.outside import InMemoryRunDirectories, World
from tests.fakes.scenes import ended, put, status
from utils import log_context

GRACE_SECONDS = 0.2


class Page:
    """Takes the place of the hub."""

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take no note."""


class TroubledDirectories(InMemoryRunDirectories):
    """Run directories whose journals cannot be read, or have damaged lines, when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: set[str] = set()
        self.damaged: dict[str, int] = {}
        self.looks = 0

    async def look(
        self, offsets: Mapping[str, int], *, at_locks: bool
    ) -> dict[str, RunLook | OSError]:
        """Count the rounds."""
        self.looks += 1
        return await super().look(offsets, at_locks=at_locks)

    async def read_journal_part(self, run_id: str, offset: int) -> JournalPart:
        """Return the next lines, or fail."""
        if run_id in self.unreadable:
            raise OSError(5, "Input/output error")
        part = await super().read_journal_part(run_id, offset)
        damaged = self.damaged.pop(run_id, 0)
        if damaged:
            return part._replace(next_offset=part.next_offset + damaged, damaged=damaged)
        return part


class Scene:
    """A monitor over a world in memory."""

    def __init__(self, directory: Path) -> None:
        self.directories = TroubledDirectories()
        self.world = World(directories=self.directories)
        self.errors = InMemoryErrorLog()
        self.monitor = self.monitor_over(directory)

    def monitor_over(self, directory: Path) -> Monitor:
        """Return one more monitor of the same runs."""
        return Monitor(
            Page(),
            self.directories,
            self.world.executor,
            lambda run_id: directory / run_id,
            self.errors,
            grace_seconds=GRACE_SECONDS,
        )

    async def start(self, job_id: str) -> str:
        """Start a job whose run is followed."""
        await put(self.world, job_id)
        run_id = await self.world.manager.start_job(job_id)
        self.monitor.run_started(run_id)
        return run_id

    @asynccontextmanager
    async def following(self, monitor: Monitor | None = None) -> AsyncIterator[None]:
        """Follow for the time being."""
        task = asyncio.create_task((monitor or self.monitor).run(self.world.manager))
        try:
            async with asyncio.timeout(20):
                yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, job_id: str, wanted: JobStatus) -> None:
        """Wait for a status."""
        while status(self.world, job_id) is not wanted:
            await asyncio.sleep(0.01)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A monitor that looks often, with nothing to follow yet."""
    monkeypatch.setattr(background, "LIVENESS_SECONDS", 0.05)
    return Scene(tmp_path)


async def unresolved(scene: Scene, error_type: str) -> int:
    """Count what is told of a kind and not resolved."""
    page = await scene.errors.list_events(resolved=False)
    return sum(event.error_type == error_type for event in page.items)


async def test_what_is_logged_of_a_step_names_its_run_and_its_job(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[dict[str, str]] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda _record: known.append(dict(log_context.ids())))
    monkeypatch.setattr(monitor_faults._logger, "handlers", [handler])
    with log_context.about():  # A start tells the log of its run: that of the test's own task.
        run_id = await scene.start("good-0001")
        other_id = await scene.start("bad-0002")
    known.clear()

    async def fail(_run: Run) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(scene.world.manager, "_finish", fail)
    scene.directories.journals[run_id] = (ended(),)
    scene.directories.unreadable.add(other_id)
    async with scene.following():
        while len(known) < 4:
            await asyncio.sleep(0.01)
    assert {"run_id": run_id, "job_id": "good-0001"} in known
    # Nothing of the run before it: its job was not come to.
    assert {"run_id": other_id} in known
    assert {tuple(ids) for ids in known} == {("run_id", "job_id"), ("run_id",)}


async def test_a_failing_step_is_told_hurts_no_other_run_and_is_tried_again(scene: Scene) -> None:
    bad, good = await scene.start("bad-0001"), await scene.start("good-0002")
    scene.directories.unreadable.add(bad)
    async with scene.following():
        scene.directories.journals[good] = (ended(),)
        await scene.until("good-0002", JobStatus.COMPLETED)
        while not await unresolved(scene, MONITOR_FAILED):
            await asyncio.sleep(0.01)
        (event,) = (await scene.errors.list_events()).items
        assert (event.run_id, event.severity) == (bad, Severity.HIGH)
        assert "Input/output error" in event.message
        assert event.stack_trace is not None
        scene.directories.unreadable.clear()
        while await unresolved(scene, MONITOR_FAILED):
            await asyncio.sleep(0.01)
        scene.directories.journals[bad] = (ended(),)
        await scene.until("bad-0001", JobStatus.COMPLETED)


async def test_an_end_that_is_not_kept_yet_holds_up_no_other_run(scene: Scene) -> None:
    slow, other = await scene.start("slow-0001"), await scene.start("other-0002")
    goes_on = asyncio.Event()
    save = scene.world.runs.save

    async def save_late(run: Run) -> None:
        if run.id == slow:
            await goes_on.wait()
        await save(run)

    scene.world.runs.save = save_late  # type: ignore[method-assign]
    async with scene.following():
        scene.directories.journals[slow] = (ended(),)
        while scene.monitor.followed_count and not scene.monitor._ending:
            await asyncio.sleep(0.01)
        scene.directories.journals[other] = (ended(),)
        await scene.until("other-0002", JobStatus.COMPLETED)
        assert status(scene.world, "slow-0001") is JobStatus.RUNNING
        goes_on.set()
        await scene.until("slow-0001", JobStatus.COMPLETED)
    assert scene.monitor.followed_count == 0


async def test_what_was_told_of_an_end_that_failed_is_over_with_it(scene: Scene) -> None:
    await scene.start("photos-0001")
    (run_id,) = scene.directories.specs
    scene.world.runs.failing.add("save")
    async with scene.following():
        scene.directories.journals[run_id] = (ended(),)
        while not await unresolved(scene, MONITOR_FAILED):
            await asyncio.sleep(0.01)
        scene.world.runs.failing.clear()
        await scene.until("photos-0001", JobStatus.COMPLETED)
        while await unresolved(scene, MONITOR_FAILED):
            await asyncio.sleep(0.01)


async def test_what_failed_is_told_until_nothing_fails(scene: Scene) -> None:
    first, second = await scene.start("first-0001"), await scene.start("second-0002")
    scene.directories.unreadable |= {first, second}
    async with scene.following():
        while await unresolved(scene, MONITOR_FAILED) < 2:
            await asyncio.sleep(0.01)
        scene.directories.unreadable.discard(first)
        scene.directories.journals[first] = (ended(),)
        await scene.until("first-0001", JobStatus.COMPLETED)
        assert len(scene.errors.events) == 2, "what is told is not told anew"
        assert await unresolved(scene, MONITOR_FAILED) == 2
        scene.directories.unreadable.clear()
        while await unresolved(scene, MONITOR_FAILED):
            await asyncio.sleep(0.01)


async def test_what_an_earlier_dashboard_told_is_over_unless_it_lasts(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.start("mended-0001")
    lasting = await scene.start("lasting-0002")
    scene.directories.unreadable |= set(scene.directories.specs)
    async with scene.following():
        while await unresolved(scene, MONITOR_FAILED) < 2:
            await asyncio.sleep(0.01)
    scene.directories.unreadable = {lasting}
    later = scene.monitor_over(tmp_path)
    for run_id in scene.directories.specs:
        later.run_started(run_id)
    async with scene.following(later):
        while [event.run_id for event in scene.errors.unresolved] != [lasting]:
            await asyncio.sleep(0.01)
        scene.directories.unreadable.clear()
        while await unresolved(scene, MONITOR_FAILED):
            await asyncio.sleep(0.01)


async def test_a_damaged_journal_is_told_and_the_run_goes_on(scene: Scene) -> None:
    run_id = await scene.start("photos-0001")
    scene.directories.damaged[run_id] = 2
    async with scene.following():
        while not await unresolved(scene, "JournalDamaged"):
            await asyncio.sleep(0.01)
        assert status(scene.world) is JobStatus.RUNNING


async def test_what_a_dead_runner_left_is_asked_to_end_and_then_made_to(scene: Scene) -> None:
    run_id = await scene.start("photos-0001")
    scene.world.executor.runners_gone.add(run_id)
    async with scene.following():
        await scene.until("photos-0001", JobStatus.STOPPING)
        assert (run_id, False) in scene.world.executor.ended
        while (run_id, True) not in scene.world.executor.ended:
            await asyncio.sleep(0.01)
        assert scene.world.executor.ended[0] == (run_id, False), "it is asked first"
        scene.directories.held.discard(run_id)
        await scene.until("photos-0001", JobStatus.INTERRUPTED)
    assert scene.monitor.followed_count == 0


async def test_a_runner_that_does_not_heed_a_stop_is_killed_after_the_grace_period(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "LIVENESS_SECONDS", 60.0)
    run_id = await scene.start("photos-0001")
    async with scene.following():
        await asyncio.sleep(0)
        await scene.world.manager.stop_job("photos-0001")
        assert scene.world.sink.stopping == [run_id]
        scene.monitor.run_stopping(run_id, grace_seconds=GRACE_SECONDS)
        while not scene.world.executor.ended:
            await asyncio.sleep(0.01)
        assert scene.world.executor.ended == [(run_id, True)]


async def test_a_runner_that_closes_its_journal_is_not_kept_waiting_for_the_next_round(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "ROUND_SECONDS", 3600.0)
    await put(scene.world, "photos-0001")
    run_id = await scene.world.manager.start_job("photos-0001")
    (tmp_path / run_id).mkdir()
    with (tmp_path / run_id / "journal.jsonl").open("wb") as journal:
        scene.monitor.run_started(run_id)
        async with scene.following():
            while not scene.directories.looks:
                await asyncio.sleep(0.01)
            scene.directories.journals[run_id] = (ended(),)
            journal.write(b"the end\n")
            journal.close()
            await scene.until("photos-0001", JobStatus.COMPLETED)


async def test_a_run_that_starts_while_the_loop_has_ended_is_followed_when_it_begins_anew(
    scene: Scene, tmp_path: Path
) -> None:
    async with scene.following():
        await asyncio.sleep(0)
    await put(scene.world, "photos-0001")
    run_id = await scene.world.manager.start_job("photos-0001")
    (tmp_path / run_id).mkdir()
    (tmp_path / run_id / "journal.jsonl").touch()
    scene.monitor.run_started(run_id)
    async with scene.following():
        scene.directories.journals[run_id] = (ended(),)
        await scene.until("photos-0001", JobStatus.COMPLETED)

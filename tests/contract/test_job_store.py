"""The contract of a JobStore, held by the YAML store and by the one in memory alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from core.ports import JobStore
from models.errors import JobExists, JobNotFound, VersionConflict
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import Progress
from storage.job_storage import JobStorage
from tests.fakes.builders import a_job
from tests.fakes.changes import anything, save_job, save_state
from tests.fakes.stores import InMemoryJobStore

Reopen = Callable[[], Awaitable[JobStore]]


@pytest_asyncio.fixture(params=["yaml", "memory"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopen]:
    """Open the store, or open it anew on what the last one kept."""
    memory = InMemoryJobStore()
    opened: list[JobStorage] = []

    async def open_yaml() -> JobStore:
        while opened:
            await opened.pop().close()
        opened.append(await JobStorage.open(tmp_path))
        return opened[-1]

    async def open_memory() -> JobStore:
        for state in memory.kept.values():
            memory.publish_state(state)
        return memory

    yield open_yaml if request.param == "yaml" else open_memory
    for store in opened:
        await store.close()


async def test_an_empty_store(reopen: Reopen) -> None:
    store = await reopen()
    assert dict(store.snapshot()) == {}
    assert store.damaged() == ()


async def test_a_created_job_is_there_and_stays(reopen: Reopen) -> None:
    store = await reopen()
    job = a_job(name="Grüße 🚢 22:30", tags=["no", "010"], options={"exclude": ["*.tmp", "-"]})
    state = JobState(job.id, changed_at="2026-11-23T12:00:00.000Z", message="a: b")
    await store.create(job, state)
    for current in (store, await reopen()):
        record = current.snapshot()[job.id]
        assert record.job == job
        assert record.state == state


async def test_a_snapshot_does_not_change(reopen: Reopen) -> None:
    store = await reopen()
    before = store.snapshot()
    await store.create(a_job(), JobState("photos-0001"))
    assert dict(before) == {}
    with pytest.raises(TypeError):
        store.snapshot()["x"] = before  # type: ignore[index]


async def test_a_replaced_definition_leaves_the_state_alone(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    state = await save_state(store, JobState("photos-0001", status=JobStatus.COMPLETED))
    changed = a_job(version=2, name="Other")
    await save_job(store, changed, expected_version=1)
    for current in (store, await reopen()):
        assert current.snapshot()["photos-0001"].job == changed
        assert current.snapshot()["photos-0001"].state == state


async def test_an_old_version_is_refused_with_the_current_one(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    await save_job(store, a_job(version=2, name="Theirs"), expected_version=1)
    with pytest.raises(VersionConflict) as caught:
        await save_job(store, a_job(version=2, name="Mine"), expected_version=1)
    facts = caught.value
    assert (facts.job_id, facts.expected, facts.current) == ("photos-0001", 1, 2)
    assert store.snapshot()["photos-0001"].job.name == "Theirs"


async def test_a_state_is_kept_under_the_next_version(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    progress = Progress(phase="transfer", percent=12.5, current_file="a: 'b'\n#c")
    wanted = JobState(
        "photos-0001",
        status=JobStatus.QUEUED,
        previous_status=JobStatus.PAUSED,
        run_id="20261123T120000-00000000",
        progress=progress,
        last_good_at="2026-11-23T12:00:00.000Z",
    )
    first = await save_state(store, wanted)
    second = await save_state(store, replace(first, message="again"))
    assert (first.version, second.version) == (1, 2)
    assert replace(second, version=0, message=None) == wanted
    for current in (store, await reopen()):
        assert current.snapshot()["photos-0001"].state == second
        assert isinstance(current.snapshot()["photos-0001"].state.status, JobStatus)


async def test_a_published_state_is_seen_but_not_kept(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    kept = await save_state(
        store, JobState("photos-0001", status=JobStatus.RUNNING, run_id="20261123T120000-00000000")
    )
    shown = replace(kept, progress=Progress(percent=50.0))
    store.publish_state(shown)
    assert store.snapshot()["photos-0001"].state == shown
    assert (await reopen()).snapshot()["photos-0001"].state == kept


async def test_a_deleted_job_is_gone_for_good(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    await store.create(a_job("music-0002"), JobState("music-0002"))
    await save_state(store, JobState("photos-0001", status=JobStatus.FAILED))
    await store.delete("photos-0001", allow=anything)
    for current in (store, await reopen()):
        assert set(current.snapshot()) == {"music-0002"}
    # A job of the same id begins anew: nothing of the old state is left.
    await (await reopen()).create(a_job(), JobState("photos-0001"))
    assert (await reopen()).snapshot()["photos-0001"].state.status is JobStatus.PENDING


async def test_an_unknown_job_is_refused(reopen: Reopen) -> None:
    store = await reopen()
    for call in (
        lambda: save_job(store, a_job("nobody"), expected_version=1),
        lambda: store.delete("nobody", allow=anything),
        lambda: save_state(store, JobState("nobody")),
    ):
        with pytest.raises(JobNotFound) as caught:
            await call()
        assert caught.value.job_id == "nobody"
    with pytest.raises(JobNotFound):
        store.publish_state(JobState("nobody"))


async def test_an_id_that_is_taken_is_refused(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(name="First"), JobState("photos-0001"))
    with pytest.raises(JobExists):
        await store.create(a_job(name="Second"), JobState("photos-0001"))
    assert (await reopen()).snapshot()["photos-0001"].job.name == "First"


async def test_jobs_are_in_the_order_of_their_names(reopen: Reopen) -> None:
    store = await reopen()
    for number, name in enumerate(("beta", "Alpha", "gamma", "alpha")):
        await store.create(a_job(f"job-{number}", name=name), JobState(f"job-{number}"))
    await save_job(store, a_job("job-2", name="Aardvark"), expected_version=1)
    await store.delete("job-0", allow=anything)
    for current in (store, await reopen()):
        names = [record.job.name for record in current.snapshot().in_order()]
        assert names == ["Aardvark", "Alpha", "alpha"]
        after = [record.job.name for record in current.snapshot().in_order(("alpha", "job-1"))]
        assert after == ["alpha"]


async def test_a_change_that_raises_changes_nothing(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    before = store.snapshot()["photos-0001"]

    def refuse(record: JobRecord) -> JobRecord:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.transform("photos-0001", refuse)
    for current in (store, await reopen()):
        assert current.snapshot()["photos-0001"] == before


async def test_what_a_change_leaves_alone_keeps_its_version(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))
    before = store.snapshot()["photos-0001"]
    assert await store.transform("photos-0001", lambda record: record) == before
    changed = await store.transform(
        "photos-0001",
        lambda record: replace(record, job=record.job.model_copy(update={"name": "Other"})),
    )
    assert (changed.job.version, changed.state) == (2, before.state)


async def test_changes_at_once_are_made_one_after_another(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))

    def longer(record: JobRecord) -> JobRecord:
        return replace(record, state=replace(record.state, message=f"{record.state.message}x"))

    results = await asyncio.gather(
        *(store.transform("photos-0001", longer) for _ in range(25)),
        *(
            store.transform(
                "photos-0001",
                lambda record: replace(
                    record, job=record.job.model_copy(update={"name": record.job.name + "y"})
                ),
            )
            for _ in range(25)
        ),
    )
    assert len(results) == 50
    for current in (store, await reopen()):
        record = current.snapshot()["photos-0001"]
        assert record.job.name == "Photos" + "y" * 25
        assert record.state.message == "None" + "x" * 25
        assert (record.job.version, record.state.version) == (26, 25)


async def test_a_deletion_can_be_refused(reopen: Reopen) -> None:
    store = await reopen()
    await store.create(a_job(), JobState("photos-0001"))

    def refuse(record: JobRecord) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.delete("photos-0001", allow=refuse)
    assert "photos-0001" in (await reopen()).snapshot()

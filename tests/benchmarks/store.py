"""What the job store costs: a save beside its bare system calls, many writers, loading, listing."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from core.job_queries import JobQueries
from models.job_state import JobRecord, JobState
from storage.job_documents import job_content
from storage.job_storage import JobStorage
from tests.benchmarks.table import Row, row
from tests.fakes.builders import a_job
from tests.fakes.stores import InMemoryRunStore

JOBS = 10_000
WRITERS = 20
_SAVES = 400
_SAVES_A_ROUND = 200
"""Few: ext4 gives no inode out again for some minutes, and searches past all that were freed, so
that a long benchmark would measure its own litter."""
_ROUNDS = 9
_LISTINGS = 400
_DISK = "/var/tmp"
_numbers = count()


def job_store() -> list[Row]:
    """Measure a store of ten thousand jobs."""
    with TemporaryDirectory(dir=_DISK) as name:
        return asyncio.run(_measure(Path(name)))


async def _measure(root: Path) -> list[Row]:
    store = await JobStorage.open(root / "data")
    await _fill(store)
    rows = [await _save(store, root / "bare"), await _writers(store), await _listing(store)]
    await store.close()
    return [*rows, await _load(root / "data")]


async def _fill(store: JobStorage) -> None:
    job = a_job(options={"exclude": ["*.tmp", "cache/"]}, tags=["photos"])

    async def create(number: int) -> None:
        job_id = f"job-{number:05d}"
        copy = job.model_copy(update={"id": job_id, "name": f"Job {number}"})
        await store.create(copy, JobState(job_id))

    for start in range(0, JOBS, 500):
        await asyncio.gather(*(create(number) for number in range(start, start + 500)))


def _changed(record: JobRecord) -> JobRecord:
    source = f"/srv/photos/{next(_numbers):08d}"
    return replace(record, job=record.job.model_copy(update={"source": source}))


async def _save(store: JobStorage, bare_directory: Path) -> Row:
    """One save after another, each beside the bare system calls with the same bytes."""
    bare_directory.mkdir()
    saves: list[float] = []
    bare: list[float] = []
    for number in range(_SAVES):
        job_id = f"job-{number % 50:05d}"
        with _timed(saves):
            record = await store.transform(job_id, _changed)
        content = job_content(record.job)
        with _timed(bare):
            _bare_save(bare_directory, job_id, content)
    return row(
        f"durable save among {JOBS} jobs, p50",
        statistics.median(saves) * 1000,
        "ms",
        reference=statistics.median(bare) * 1000,
        aim="at most 2.0 (bare temp, fsync, link, rename, fsync)",
    )


def _bare_save(directory: Path, name: str, content: bytes) -> None:
    path = f"{directory}/{name}"
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(descriptor, content)
    os.fsync(descriptor)
    os.close(descriptor)
    if os.path.exists(path):
        os.link(path, f"{path}.link")
        os.rename(f"{path}.link", f"{path}.bak")
    os.rename(f"{path}.new", path)
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


async def _writers(store: JobStorage) -> Row:
    """Twenty writers at once against one, in turn."""
    rates: dict[int, list[float]] = {1: [], WRITERS: []}
    for _ in range(_ROUNDS):
        for writers, found in rates.items():
            saves = _SAVES_A_ROUND // writers
            began = time.perf_counter()
            await asyncio.gather(*(_write(store, number, saves) for number in range(writers)))
            found.append(_SAVES_A_ROUND / (time.perf_counter() - began))
    return row(
        f"saves per second of {WRITERS} writers against one",
        statistics.median(rates[WRITERS]),
        "1/s",
        reference=statistics.median(rates[1]),
        aim="at least 2 times",
    )


async def _write(store: JobStorage, number: int, saves: int) -> None:
    for _ in range(saves):
        await store.transform(f"job-{number:05d}", _changed)


async def _listing(store: JobStorage) -> Row:
    """Pages of fifty out of all jobs, at rest and while twenty writers save."""
    queries = JobQueries(store, InMemoryRunStore())
    at_rest = await _list(queries)
    writers = [asyncio.create_task(_write_for_ever(store, number)) for number in range(WRITERS)]
    under_load = await _list(queries)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    return row(
        f"listing p99 while {WRITERS} writers save against at rest",
        _p99(under_load) * 1000,
        "ms",
        reference=_p99(at_rest) * 1000,
        aim="at most 2.0",
    )


async def _write_for_ever(store: JobStorage, number: int) -> None:
    while True:
        await store.transform(f"job-{number:05d}", _changed)


async def _list(queries: JobQueries) -> list[float]:
    times: list[float] = []
    cursor = None
    for _ in range(_LISTINGS):
        with _timed(times):
            page = queries.list_jobs(limit=50, cursor=cursor)
            assert len(page.items) == 50
        cursor = page.next_cursor
        await asyncio.sleep(0.002)
    return times


async def _load(directory: Path) -> Row:
    """Opening the store against PyYAML's C loader over the same files."""
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(3):
        gc.collect()
        with _timed(ours):
            store = await JobStorage.open(directory)
        assert len(store.snapshot()) == JOBS
        await store.close()
        del store
        gc.collect()
        with _timed(bare):
            documents = list(_parse(directory, "jobs")) + list(_parse(directory, "state"))
        assert len(documents) == 2 * JOBS
        del documents
    return row(
        f"load of {JOBS} jobs against a bare parse of their files",
        statistics.median(ours),
        "s",
        reference=statistics.median(bare),
        aim="at most 1.5",
    )


def _parse(directory: Path, kind: str) -> Iterator[object]:
    for path in (directory / kind).glob("*.yaml"):
        yield yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)


@contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.append(time.perf_counter() - began)


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]

"""What children of the chaos tests do: use the store or serve the application until a fault comes.

Each is started by `tests.chaos.children`, with its end of a pipe as the last argument.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import stat
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn

from fastapi_app.application import create_app
from models.errors import SaveOutcomeUnknown, StorageFailed
from models.job import Job
from models.job_state import JobState
from models.settings import Settings
from storage import write_queue
from storage.job_documents import job_content
from storage.job_storage import JobStorage
from tests.fakes.builders import a_job
from tests.fakes.changes import anything

BEGIN, END = "marker-begin", "marker-end"
SAVED, CREATED, OTHER, BUSY = "photos-0001", "music-0002", "other-0003", "busy-0004"
"""The jobs of `perform`: all but CREATED are there before."""


@dataclass(frozen=True)
class Report:
    """What became of a change, and what readers of the store are shown after it."""

    outcome: str
    """acknowledged, failed or unknown."""
    shown: bytes | None


async def rename(store: JobStorage, job_id: str, name: str) -> Job:
    """Save a definition under another name."""
    record = await store.transform(
        job_id, lambda record: replace(record, job=record.job.model_copy(update={"name": name}))
    )
    return record.job


async def save_or_create(store: JobStorage, job_id: str, name: str) -> None:
    """The next save, whatever became of the job."""
    if job_id in store.snapshot():
        await rename(store, job_id, name)
    else:
        await store.create(a_job(job_id, name=name), JobState(job_id))


Operation = Callable[[JobStorage], Awaitable[object]]
OPERATIONS: dict[str, tuple[str, Operation]] = {
    "save": (SAVED, lambda store: rename(store, SAVED, "After")),
    "save_in_a_row": (SAVED, lambda store: rename(store, SAVED, "After")),
    "create": (CREATED, lambda store: store.create(a_job(CREATED), JobState(CREATED))),
    "delete": (SAVED, lambda store: store.delete(SAVED, allow=anything)),
}
"""By name: the job, and what is done to it."""


_LONG = 60.0


def perform(directory: Path, operation: str, connection: Connection) -> None:
    """Do one operation between two markers when told to, report, and save once more when told.

    The first message is the id of the thread that writes.
    """
    logging.disable()  # Its lines on standard error would be system calls of the writer, too.
    asyncio.run(_perform(directory, operation, connection))


async def _perform(directory: Path, operation: str, connection: Connection) -> None:
    job_id, work = OPERATIONS[operation]
    write_queue.IDLE_SECONDS = _LONG  # The tracer takes a while to attach itself.
    store = await JobStorage.open(directory)
    if operation == "save_in_a_row":
        for name in ("Busy", "Busier"):
            await rename(store, BUSY, name)
        assert list(directory.glob("jobs/.new-*")), "nothing that the next save could write over"
    (writer,) = (thread for thread in threading.enumerate() if thread.name == "job-writer")
    connection.send(writer.native_id)
    connection.recv()
    _mark(directory, BEGIN)
    report = await _report(store, job_id, work)
    _mark(directory, END)
    connection.send(report)
    connection.recv()
    next_save = await _report(store, job_id, lambda store: save_or_create(store, job_id, "Next"))
    connection.send(next_save)
    await store.close()


async def _report(store: JobStorage, job_id: str, work: Operation) -> Report:
    try:
        await work(store)
        outcome = "acknowledged"
    except SaveOutcomeUnknown:
        outcome = "unknown"
    except StorageFailed:
        outcome = "failed"
    record = store.snapshot().get(job_id)
    return Report(outcome, job_content(record.job) if record else None)


def _mark(directory: Path, name: str) -> None:
    try:
        os.stat(directory / name)
    except FileNotFoundError:
        return


def keep_changing(
    directory: Path, seed: int, syncs_directories: bool, connection: Connection
) -> None:
    """Save, create and delete jobs without an end, and tell what is begun and acknowledged.

    Messages are (job id, document or None, moment of the acknowledgement or None). Without
    `syncs_directories` a change is acknowledged too soon: the control.
    """
    logging.disable()
    if not syncs_directories:
        os.fsync = _sync_files_only
    asyncio.run(_keep_changing(directory, random.Random(seed), connection))


_fsync = os.fsync


def _sync_files_only(fd: Any) -> None:
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        _fsync(fd)


async def _keep_changing(directory: Path, choice: random.Random, connection: Connection) -> None:
    store = await JobStorage.open(directory)
    # One writer leaves the disk alone between its changes, many fill whole groups.
    writers = choice.choice((1, 2, 8))
    round_ = choice.randrange(2**32)
    longest_pause = choice.choice((0.0, 0.005, 0.02))

    async def change_own_jobs(writer: int) -> None:
        serial = 0
        while True:
            serial += 1
            job_id = f"job-{writer}-{choice.randrange(4)}"
            job = _next_job(store, job_id, f"{round_}.{writer}.{serial}")
            is_deleted = job.version > 1 and choice.random() < 0.1
            wanted = None if is_deleted else job.model_dump(mode="json")
            connection.send((job_id, wanted, None))
            if is_deleted:
                await store.delete(job_id, allow=anything)
            elif job.version > 1:
                await rename(store, job_id, job.name)
            else:
                await store.create(job, JobState(job_id))
            connection.send((job_id, wanted, time.monotonic()))
            await asyncio.sleep(choice.random() * longest_pause)

    try:
        await asyncio.gather(*(change_own_jobs(writer) for writer in range(writers)))
    except StorageFailed:
        connection.close()  # The power is gone.


def _next_job(store: JobStorage, job_id: str, name: str) -> Job:
    record = store.snapshot().get(job_id)
    if record is None:
        return a_job(job_id, name=name)
    return record.job.model_copy(update={"name": name, "version": record.job.version + 1})


def serve(data_dir: Path, port: int, _connection: Connection) -> None:
    """Serve the application on a port of this machine."""
    app = create_app(Settings(data_dir=data_dir, port=port))
    options: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "on"}
    uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, **options)).run()

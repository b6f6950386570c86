"""Proves that a command on several jobs tells of each as it is done, whatever ends it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from core.many_jobs import ManyJobs
from models.errors import JobNotFound


def many(start: Any, done: list[str]) -> ManyJobs:
    """Return commands that go to `start`."""
    manager: Any = SimpleNamespace(start_job=start)
    queries: Any = SimpleNamespace(all_jobs=dict)
    return ManyJobs(manager, queries, done.append)


async def test_what_was_done_is_told_though_it_ends_in_between() -> None:
    done: list[str] = []

    async def start(job_id: str) -> None:
        if job_id == "third":
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await many(start, done).start(["first", "second", "third", "fourth"])
    assert done == ["first", "second"]


async def test_what_is_refused_keeps_no_other_from_it() -> None:
    done: list[str] = []

    async def start(job_id: str) -> None:
        if job_id == "second":
            raise JobNotFound(job_id)

    outcome = await many(start, done).start(["first", "second", "third"])
    assert done == outcome.done == ["first", "third"]
    assert [one.job_id for one in outcome.refused] == ["second"]

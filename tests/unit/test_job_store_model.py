"""Proves with arbitrary sequences of saves, edits by hand, crashes and restarts that the store is
what a simple model says: nothing acknowledged is lost, and no version is given to two contents."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from storage.job_storage import JobStorage
from tests.fakes.builders import a_job
from tests.fakes.changes import anything, save_state
from tests.fakes.observers import Noted

Value = TypeVar("Value")
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1)
SHORT_NAMES = NAMES.map(lambda name: name[:20])


@dataclass
class Expected:
    """What a job must be."""

    name: str
    version: int
    message: str | None = None
    is_broken: bool = False
    """Whether the file holds an edit that is not valid."""
    is_unnoticed: bool = False
    """Whether the store has not looked at the last edit yet."""


class StoreMachine(RuleBasedStateMachine):
    """One data directory, and what must be in it."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="longshore-model-"))
        self.loop = asyncio.new_event_loop()
        self.expected: dict[str, Expected] = {}
        self.given: dict[tuple[str, int], str] = {}
        self.noted = Noted()
        self.count = 0
        self.store = self.run(JobStorage.open(self.directory, self.noted.observer))

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Close everything."""
        self.run(self.store.close())
        self.loop.close()
        shutil.rmtree(self.directory)

    def path(self, job_id: str) -> Path:
        """Return a definition's file."""
        return self.directory / "jobs" / f"{job_id}.yaml"

    @rule(target=jobs, name=SHORT_NAMES)
    def create(self, name: str) -> str:
        self.count += 1
        job_id = f"job-{self.count}"
        self.run(self.store.create(a_job(job_id, name=name), JobState(job_id)))
        self.expected[job_id] = Expected(name, 1)
        return job_id

    @rule(job_id=jobs, name=SHORT_NAMES)
    def rename(self, job_id: str, name: str) -> None:
        def change(record: JobRecord) -> JobRecord:
            job = record.job.model_copy(update={"name": name, "version": record.job.version + 1})
            return replace(record, job=job)

        if job_id in self.expected:
            self.run(self.store.transform(job_id, change))
            expected = self.expected[job_id]
            expected.name, expected.is_broken, expected.is_unnoticed = name, False, False
            expected.version += 1

    @rule(job_id=jobs, message=SHORT_NAMES)
    def end_a_run(self, job_id: str, message: str) -> None:
        if job_id in self.expected:
            state = self.store.snapshot()[job_id].state
            state = replace(state, status=JobStatus.FAILED, message=message)
            self.run(save_state(self.store, state))
            self.expected[job_id].message = message

    @rule(job_id=consumes(jobs))
    def delete(self, job_id: str) -> None:
        if job_id in self.expected:
            self.run(self.store.delete(job_id, allow=anything))
            del self.expected[job_id]

    @rule(job_id=jobs, name=SHORT_NAMES, is_noticed=st.booleans())
    def edit_by_hand(self, job_id: str, name: str, is_noticed: bool) -> None:
        if job_id not in self.expected:
            return
        self.count += 1
        quoted = name.replace("'", "''")
        self.path(job_id).write_text(
            f"# edit {self.count}\nname: '{quoted}'\nengine: rsync\nsource: /srv\n"
            "destination: /mnt\n",
            encoding="utf-8",
        )
        expected = self.expected[job_id]
        expected.name, expected.is_broken = name, False
        if not expected.is_unnoticed:
            expected.version += 1
        expected.is_unnoticed = True
        if is_noticed:
            self.notice(job_id)

    @rule(job_id=jobs)
    def break_by_hand(self, job_id: str) -> None:
        if job_id in self.expected:
            self.notice(job_id)
            self.count += 1
            self.path(job_id).write_text(f"name: [{self.count}")
            self.expected[job_id].is_broken = True
            self.notice(job_id)

    @rule(job_id=consumes(jobs))
    def delete_by_hand(self, job_id: str) -> None:
        if job_id in self.expected:
            self.path(job_id).unlink()
            del self.expected[job_id]
            self.notice(job_id)

    @rule(has_time=st.booleans())
    def restart(self, has_time: bool) -> None:
        """Stop in order, or as by SIGKILL: what an interrupted save left lies about."""
        if not has_time:
            (self.directory / "jobs" / ".new-job-1.yaml.00ff").write_bytes(b"name: half")
        self.run(self.store.close())
        self.store = self.run(JobStorage.open(self.directory, self.noted.observer))
        for expected in self.expected.values():
            expected.is_unnoticed = False
            if expected.is_broken:
                # The last good definition was made the backup; it takes a version of its own.
                expected.is_broken = False
                expected.version = 0

    @rule(job_id=jobs)
    def notice(self, job_id: str) -> None:
        """Have the store look, as its watch does; without it the next save or start finds it."""
        for changed in self.run(self.store.changed_on_disk([job_id])):
            self.run(self.store.reconcile(changed))
        if job_id in self.expected:
            self.expected[job_id].is_unnoticed = False

    @invariant()
    def readers_see_what_is_expected(self) -> None:
        snapshot = self.store.snapshot()
        assert set(snapshot) == set(self.expected)
        assert self.store.damaged() == ()
        for job_id, expected in self.expected.items():
            record = snapshot[job_id]
            assert record.state.message == expected.message
            if expected.is_unnoticed:
                continue
            if not expected.version:
                expected.version = record.job.version
            assert record.job.name == expected.name
            # A start may leave out versions: it knows the highest one only from above.
            assert record.job.version >= expected.version
            expected.version = record.job.version
            key = (job_id, record.job.version)
            assert self.given.setdefault(key, record.job.name) == record.job.name


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_store_model = StoreMachine.TestCase

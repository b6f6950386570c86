"""Proves what settings mean for runs, and that nothing is removed while it is not known what was
saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.new_run import RunLimits
from fastapi_app.commands.roots import roots_on_disk
from fastapi_app.settings_in_force import kept_errors_of, limits_of, look_at_refused
from models.error_query import KeptErrors
from models.errors import FieldFault, NoAnswer
from models.job import Job
from models.job_state import JobState
from models.settings import Settings
from storage.job_storage import JobStorage
from storage.job_table import Observer
from storage.settings_store import SettingsStore
from tests.fakes.builders import a_job


async def limits(directory: Path, content: str | None, **given: Any) -> RunLimits:
    """Return the limits that a directory with this settings.yaml comes to."""
    if content is not None:
        (directory / "settings.yaml").write_text(content)
    settings = Settings(data_dir=directory, **given)
    found = limits_of(await SettingsStore.open(directory, settings))
    assert found.data_dir == str(directory)
    return replace(found, data_dir=None)


@pytest.mark.parametrize("content", [None, "unknown: 1\n"])
async def test_without_settings_runs_have_the_limits_that_they_have_without_a_dashboard(
    tmp_path: Path, content: str | None
) -> None:
    assert await limits(tmp_path, content) == RunLimits()


async def test_settings_are_the_limits_of_runs(tmp_path: Path) -> None:
    content = "max_log_megabytes: 0.5\nrclone_config: /a/b\nkept_run_days: 3\n"
    assert await limits(tmp_path, content, max_concurrent_runs=9) == RunLimits(
        max_concurrent_runs=9, max_log_bytes=500_000, rclone_config="/a/b", kept_run_days=3
    )


async def test_while_the_file_cannot_be_used_no_run_is_too_old(tmp_path: Path) -> None:
    found = await limits(tmp_path, "kept_runs_per_job: all\n")
    assert (found.kept_runs_per_job, found.kept_run_days) == (10_000, 36_500)
    found = await limits(tmp_path, "kept_runs_per_job: all\n", kept_run_days=5)
    assert (found.kept_runs_per_job, found.kept_run_days) == (10_000, 5)


async def test_an_edit_that_is_not_valid_leaves_the_limits_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("kept_runs_per_job: 7\n")
    store = await SettingsStore.open(tmp_path, Settings(data_dir=tmp_path))
    path.write_text("kept_runs_per_job: all\n")
    await store.reconcile()
    assert limits_of(store) == RunLimits(kept_runs_per_job=7, data_dir=str(store.directory))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("unknown: 1\n", KeptErrors()),
        ("kept_errors: 200\nkept_error_days: 1.5\n", KeptErrors(1.5, 200)),
        ("kept_errors: all\n", KeptErrors(36_500, 100_000)),
    ],
)
async def test_settings_are_what_is_kept_of_the_error_log(
    tmp_path: Path, content: str, expected: KeptErrors
) -> None:
    (tmp_path / "settings.yaml").write_text(content)
    store = await SettingsStore.open(tmp_path, Settings(data_dir=tmp_path))
    assert kept_errors_of(store) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ()),
        ("unknown: 1\n", ()),
        ("allowed_roots: /a:/b/c\n", ("/a", "/b/c")),
        ("allowed_roots: [/a, /b/c/]\n", ("/a", "/b/c")),
        # A fault elsewhere is no reason to let nothing run; one that may hide folders is.
        ("kept_runs_per_job: all\n", ()),
        ("format: 1\nkept_runs_per_job: all\nupdated_at: 2026-11-27T10:00:00Z\n", ()),
        ("format: 1\nkept_runs_per_job: 3\n", None),
        ("kept_runs_per_job: all\nallowed_roots: /a\n", None),
        ("allowed_roots: [a\n", None),
        ("\0" * 50, None),
        ("\n", None),
    ],
)
async def test_which_folders_are_allowed(
    tmp_path: Path, content: str | None, expected: tuple[str, ...] | None
) -> None:
    assert (await limits(tmp_path, content)).allowed_roots == expected
    assert roots_on_disk(Settings(data_dir=tmp_path)) == expected
    given = Settings(data_dir=tmp_path, allowed_roots="/of/the/environment")
    assert roots_on_disk(given) == ("/of/the/environment",)
    found = await limits(tmp_path, content, allowed_roots="/of/the/environment")
    assert found.allowed_roots == ("/of/the/environment",)


def test_without_a_data_directory_nothing_was_saved(tmp_path: Path) -> None:
    assert roots_on_disk(Settings(data_dir=tmp_path / "none")) == ()
    (tmp_path / "file").write_text("")
    assert roots_on_disk(Settings(data_dir=tmp_path / "file")) == ()


async def test_a_folder_that_does_not_answer_keeps_no_other_definition_out(tmp_path: Path) -> None:
    are_allowed = False

    def faults_of(job: Job) -> list[FieldFault]:
        if not are_allowed:
            return [FieldFault("source", "It is not allowed.")]
        if job.id == "a-0001":
            raise NoAnswer(job.source)
        return []

    (tmp_path / "jobs").mkdir()
    jobs = await JobStorage.open(tmp_path, Observer(faults_of=faults_of))
    for job_id in ("a-0001", "b-0001"):
        await jobs.create(a_job(job_id), JobState(job_id))
        path = tmp_path / "jobs" / f"{job_id}.yaml"
        path.write_text(path.read_text().replace("name: Photos", "name: Edited"))
        await jobs.reconcile(job_id)
    assert names_of(jobs) == ["Photos", "Photos"]

    are_allowed = True
    await look_at_refused(jobs)

    assert names_of(jobs) == ["Photos", "Edited"]
    await jobs.close()


def names_of(jobs: JobStorage) -> list[str]:
    """Return the names of all jobs in the order of their ids."""
    return [record.job.name for _, record in sorted(jobs.snapshot().items())]

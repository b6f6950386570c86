"""Proves that edits of settings.yaml are noticed, where the kernel tells of them and where not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from models.settings import Settings
from storage import file_watch
from storage.file_watch import FileWatch
from storage.settings_document import SETTINGS_NAME
from storage.settings_store import SettingsStore
from tests.support import wait_until_async


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "settings.yaml"


@pytest_asyncio.fixture
async def store(path: Path) -> SettingsStore:
    """A store without settings."""
    return await SettingsStore.open(path.parent, Settings(data_dir=path.parent))


def watch_of(store: SettingsStore) -> FileWatch:
    """A watch over the store's file; what takes it over may be replaced later."""

    async def take_over() -> None:
        await store.reconcile()

    return FileWatch(store.directory, SETTINGS_NAME, take_over)


@pytest_asyncio.fixture
async def watched(store: SettingsStore) -> AsyncIterator[SettingsStore]:
    """The store while it is watched."""
    task = asyncio.create_task(watch_of(store).run())
    yield store
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def wait_for(store: SettingsStore, runs: int) -> None:
    """Wait until so many runs are allowed at once."""

    async def is_so() -> bool:
        return store.in_force.max_concurrent_runs == runs

    await wait_until_async(is_so, seconds=5, what=f"{runs} runs")


async def edits_in_every_way(store: SettingsStore, path: Path) -> None:
    """Change the file as editors and people do."""
    path.write_text("max_concurrent_runs: 5\n")
    await wait_for(store, 5)
    new = path.with_name("new")
    new.write_text("max_concurrent_runs: 6\n")
    os.replace(new, path)
    await wait_for(store, 6)
    path.rename(path.with_name("elsewhere"))
    await wait_for(store, 4)
    path.write_text("max_concurrent_runs: 7\n")
    await wait_for(store, 7)
    path.unlink()
    await wait_for(store, 4)


async def test_every_kind_of_edit_is_taken_over(watched: SettingsStore, path: Path) -> None:
    await edits_in_every_way(watched, path)


async def test_without_the_kernels_help_too(
    store: SettingsStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_to_be_had() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(file_watch, "Inotify", none_to_be_had)
    monkeypatch.setattr(file_watch, "POLL_SECONDS", 0.1)
    task = asyncio.create_task(watch_of(store).run())
    await edits_in_every_way(store, path)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_failing_step_is_tried_again(
    watched: SettingsStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watch, "RETRY_SECONDS", 0.1)
    failures = 0
    reconcile = watched.reconcile

    async def fails_twice() -> None:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise RuntimeError("a defect")
        await reconcile()

    monkeypatch.setattr(watched, "reconcile", fails_twice)
    path.write_text("max_concurrent_runs: 5\n")
    await wait_for(watched, 5)
    assert failures > 2

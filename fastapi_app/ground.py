"""The ground of the composition: what stands on the disk, opened, and what all the rest needs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from core.definition_check import job_root_faults
from core.engines.registry import ENGINES
from core.job_queries import JobQueries
from core.overdue import OverdueJobs
from core.questions import Questions
from core.tools import LocalTools
from fastapi_app.audit import HandEdits, entries_lost, tell_of_early
from fastapi_app.counting import count_fault, open_counters, tell_of_damage
from fastapi_app.data_directory import open_data_directory
from fastapi_app.fault_watch import FaultWatch
from fastapi_app.late_source import LateSource
from fastapi_app.logs import keep_log
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.recovery_words import OF_ERROR_LOG
from fastapi_app.settings_in_force import kept_errors_of, roots_of
from fastapi_app.storage_observers import settings_observer, settle_mended, settler
from fastapi_app.storage_watch import StorageWatch, storage_probe
from fastapi_app.websocket.hub import Hub
from models.settings import Settings
from storage.audit_repository import AuditRepository
from storage.counters import Counters
from storage.database import Database
from storage.deletion_repository import DeletionRepository
from storage.error_repository import ErrorRepository
from storage.job_storage import JobStorage
from storage.job_table import Observer
from storage.notification_rules import NotificationRules
from storage.run_directories import RunDirectoryStorage
from storage.run_repository import RunRepository
from storage.secrets import SecretsFile
from storage.settings_store import SettingsStore


@dataclass(frozen=True)
class Kept:
    """What stands on the disk, opened; and the settings that are saved there."""

    error_log: ErrorRepository
    audit_log: AuditRepository
    settings: SettingsStore
    jobs: JobStorage
    runs: RunRepository
    directories: RunDirectoryStorage
    credentials: SecretsFile
    deletions: DeletionRepository
    rules: NotificationRules


@dataclass(frozen=True)
class Ground:
    """What everything else stands on."""

    data_dir: Path
    database: Database
    counters: Counters
    source: LateSource
    kept: Kept
    tools: LocalTools
    overdue: OverdueJobs
    queries: JobQueries
    faults: FaultWatch
    recovery: RecoveryEvents
    questions: Questions


async def lay_ground(settings: Settings, stack: AsyncExitStack) -> Ground:
    """Open the data directory and put what stands on it together. Raises StorageFailed."""
    data_dir = settings.data_dir.absolute()
    stack.enter_context(open_data_directory(data_dir, settings))
    stack.enter_context(keep_log(data_dir, settings))
    database = await Database.open(data_dir)
    stack.push_async_callback(database.close)
    counters = await _keep_counters(stack, data_dir, database)
    source = LateSource(counters)
    source.hub = hub = Hub(source)
    questions = Questions()
    kept = await _open(settings, source, database, counters, stack, questions)
    error_log, jobs, runs = kept.error_log, kept.jobs, kept.runs
    tools = LocalTools(ENGINES)
    source.overdue = overdue = OverdueJobs(
        jobs, error_log, successes=await runs.last_successes(), changed=hub.jobs_changed
    )
    queries = JobQueries(jobs, runs, overdue=overdue)
    storage_watch = StorageWatch(error_log, storage_probe(database, data_dir))

    def try_again() -> None:
        error_log.try_again()
        kept.audit_log.try_again()

    storage_watch.on_works_again = try_again
    source.faults = faults = FaultWatch(error_log, jobs, runs, tools, storage_watch)
    await faults.find_told()
    hub.on_drop, hub.on_calm = faults.live.dropped, faults.live.calm
    recovery = await _recovery(error_log, source)
    return Ground(
        data_dir,
        database,
        counters,
        source,
        kept,
        tools,
        overdue,
        queries,
        faults,
        recovery,
        questions,
    )


async def _open(
    settings: Settings,
    source: LateSource,
    database: Database,
    counters: Counters,
    stack: AsyncExitStack,
    questions: Questions,
) -> Kept:
    """Open what stands on the disk; what is wrong there is told to the error log."""
    data_dir = settings.data_dir.absolute()
    error_log = ErrorRepository(
        database, on_change=source.errors_changed, on_report=partial(count_fault, counters)
    )
    stack.push_async_callback(error_log.close)
    tell_of_damage(counters, error_log)
    audit_log = AuditRepository(database)
    audit_log.on_loss = lambda count: error_log.report(entries_lost(count))
    audit_log.on_early = partial(tell_of_early, audit_log, error_log)
    stack.push_async_callback(audit_log.close)
    by_hand = HandEdits(audit_log)
    observed = replace(settings_observer(error_log), edited=by_hand.settings_edited)
    store = await SettingsStore.open(data_dir, settings, observed)
    stack.push_async_callback(store.close)
    error_log.kept = kept_errors_of(store)
    observer = Observer(
        source.jobs_changed,
        report=error_log.report,
        settle=settler(error_log),
        run_found=source.run_found,
        faults_of=lambda job: job_root_faults(
            job, roots_of(store), questions, data_dir=str(data_dir)
        ),
        edited=by_hand.job_edited,
    )
    jobs = await JobStorage.open(data_dir, observer)
    stack.push_async_callback(jobs.close)
    await settle_mended(error_log, jobs)
    return Kept(
        error_log=error_log,
        audit_log=audit_log,
        settings=store,
        jobs=jobs,
        runs=RunRepository(database, on_over=source.run_over, on_step=source.run_step),
        directories=RunDirectoryStorage(data_dir),
        credentials=SecretsFile(data_dir),
        deletions=DeletionRepository(database, data_dir),
        rules=await NotificationRules.open(data_dir, settings_observer(error_log)),
    )


async def _keep_counters(stack: AsyncExitStack, data_dir: Path, database: Database) -> Counters:
    counters = await open_counters(data_dir, database)
    stack.push_async_callback(counters.close)
    await keep_running(stack, counters.run(), "counters")
    return counters


async def keep_running(stack: AsyncExitStack, work: Any, name: str) -> None:
    """Have work done in a task until the stack ends."""
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


async def _recovery(error_log: ErrorRepository, source: LateSource) -> RecoveryEvents:
    recovery = RecoveryEvents(error_log, on_change=source.notes_changed)
    await recovery.settle_left_over()
    error_log.on_failing = recovery.watch_error_log(OF_ERROR_LOG)
    return recovery

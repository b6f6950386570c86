"""What routes are handed: the composed parts of one running application, and how to get at them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from core.access.registry import Access
from core.deleted_sources import DeletedSources
from core.disks import Disks
from core.health import HealthBoard
from core.job_manager import JobManager
from core.job_queries import JobQueries
from core.overdue import OverdueJobs
from core.questions import Questions
from core.rclone_remotes import RcloneRemotes
from core.tools import LocalTools
from fastapi_app.access import identity_of
from fastapi_app.audit import Audit
from fastapi_app.background import Monitor
from fastapi_app.banners import Banners
from fastapi_app.error_count import ErrorCount
from fastapi_app.fault_watch import FaultWatch
from fastapi_app.happenings import Happenings
from fastapi_app.kept_history import KeptHistory
from fastapi_app.notices import DISMISSED_COOKIE, dismissed_in
from fastapi_app.notifier import Notifier
from fastapi_app.peers import Networks
from fastapi_app.recovery_events import RecoveryEvents
from fastapi_app.rendering import Cards, Renderer
from fastapi_app.scraping import Metrics
from fastapi_app.security import KnownHosts
from fastapi_app.websocket.hub import Hub
from fastapi_app.websocket.live_access import LiveAccess
from models.access import Identity
from models.settings import Settings
from storage.database import Database
from storage.deletion_repository import DeletionRepository
from storage.error_repository import ErrorRepository
from storage.job_storage import JobStorage
from storage.run_directories import RunDirectoryStorage
from storage.run_logs import RunLogs
from storage.secrets import SecretsFile
from storage.settings_store import SettingsStore
from utils.log_context import note


@dataclass(frozen=True)
class Services:
    """The parts that the lifespan composed."""

    settings: Settings
    """What the environment decided at the start."""
    settings_store: SettingsStore
    hosts: KnownHosts
    data_dir: Path
    database: Database
    error_log: ErrorRepository
    audit: Audit
    jobs: JobStorage
    directories: RunDirectoryStorage
    logs: RunLogs
    manager: JobManager
    credentials: SecretsFile
    deletions: DeletionRepository
    deleted_sources: DeletedSources
    queries: JobQueries
    overdue: OverdueJobs
    faults: FaultWatch
    tools: LocalTools
    questions: Questions
    remotes: RcloneRemotes
    hub: Hub
    monitor: Monitor
    renderer: Renderer
    cards: Cards
    banners: Banners
    disks: Disks
    happenings: Happenings
    recovery: RecoveryEvents
    notifier: Notifier
    history: KeptHistory
    health: HealthBoard
    error_count: ErrorCount
    metrics: Metrics
    access: Access
    live_access: LiveAccess
    metrics_readers: Networks
    dismissed: tuple[str, ...] = ()
    """The notices that are not wanted any more where the request comes from."""
    cursor: str = ""
    """The hub's place when the request came: what changes from then on is told by WebSocket."""
    who: Identity | None = None
    """Who asks."""


def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the application that serves this connection."""
    return cast(Services, connection.app.state.services)


async def _services(request: Request) -> Services:
    services = services_of(request)
    known = request.path_params
    note(job_id=known.get("job_id"), run_id=known.get("run_id"))
    dismissed = dismissed_in(request.cookies.get(DISMISSED_COOKIE, ""))
    who = identity_of(request)
    return replace(services, cursor=services.hub.cursor, dismissed=dismissed, who=who)


ServicesDep = Annotated[Services, Depends(_services)]

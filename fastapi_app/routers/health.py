"""GET /health: how the parts are, without anybody's paths."""

from __future__ import annotations

import asyncio
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from fastapi_app.rendering import VERSION
from fastapi_app.services import Services, ServicesDep
from models.errors import StorageFailed

router = APIRouter()
_RANK = {"healthy": 0, "degraded": 1, "unhealthy": 2}


@router.get("/health", name="health")
async def health(services: ServicesDep) -> JSONResponse:
    """Return 200, or 503 when something that every run needs does not work."""
    components = {
        "storage": await _storage(services),
        "database": await _database(services),
        "monitor": _monitor(services),
        "engines": await _engines(services),
        "error_tracking": await _error_tracking(services),
    }
    worst = max((part["status"] for part in components.values()), key=_RANK.__getitem__)
    document = {
        "status": worst,
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": VERSION,
        "components": components,
    }
    return JSONResponse(document, 503 if worst == "unhealthy" else 200)


async def _storage(services: Services) -> dict[str, Any]:
    damaged = len(services.jobs.damaged())
    has_settings = services.settings_store.damage is None
    figures = {
        "jobs": len(services.jobs.snapshot()),
        "damaged_jobs": damaged,
        "settings": "usable" if has_settings else "damaged",
    }
    try:
        await asyncio.to_thread(_try_to_write, services.data_dir)
    except OSError as error:
        return {"status": "unhealthy", "reason": os.strerror(error.errno or 0), **figures}
    return {"status": "degraded" if damaged or not has_settings else "healthy", **figures}


def _try_to_write(directory: Path) -> None:
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"healthy")


async def _database(services: Services) -> dict[str, Any]:
    try:
        await services.database.check()
    except StorageFailed:
        return {"status": "unhealthy"}
    return {"status": "healthy"}


async def _error_tracking(services: Services) -> dict[str, Any]:
    error_log = services.error_log
    try:
        unresolved: int | None = (await error_log.list_events(resolved=False, limit=1)).total
    except StorageFailed:
        unresolved = None
    is_well = unresolved is not None and not error_log.is_failing
    return {
        "status": "healthy" if is_well else "degraded",
        "unresolved": unresolved,
        "dropped": error_log.dropped_count,
    }


def _monitor(services: Services) -> dict[str, Any]:
    monitor = services.monitor
    status = "healthy" if monitor.is_running else "unhealthy"
    return {
        "status": status,
        "followed_runs": monitor.followed_count,
        "failed_steps": monitor.failed_steps,
        "clients": services.hub.client_count,
    }


async def _engines(services: Services) -> dict[str, Any]:
    tools = await services.tools.all()
    there = [tool for tool in tools if tool.path is not None]
    status = "healthy" if len(there) == len(tools) else "degraded" if there else "unhealthy"
    return {
        "status": status,
        "available": {tool.engine: tool.version for tool in there},
        "missing": [tool.engine for tool in tools if tool.path is None],
        "notices": [tool.notice for tool in there if tool.notice is not None],
    }

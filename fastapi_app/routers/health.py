"""GET /health and its shorter forms for orchestrators: without a login, without anybody's paths."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from fastapi_app.access import guarded_router, open_to_everybody
from fastapi_app.health_checks import health_of, readiness_of
from fastapi_app.rendering import VERSION
from fastapi_app.services import ServicesDep
from models.health import Alive, Health, HealthStatus, Readiness, health_schema

router = guarded_router()


@router.get("/health", name="health", responses={503: {"model": Health}})
@open_to_everybody
async def health(services: ServicesDep, response: Response) -> Health:
    """Return how every part is: 200, or 503 when one that every run needs does not work."""
    answer = health_of(await services.health.findings())
    response.status_code = 503 if answer.status is HealthStatus.UNHEALTHY else 200
    return answer


@router.get("/health/live", name="health_live")
@open_to_everybody
async def live() -> Alive:
    """Return that the process answers; nothing else is looked at."""
    return Alive(version=VERSION)


@router.get("/health/ready", name="health_ready", responses={503: {"model": Readiness}})
@open_to_everybody
async def ready(services: ServicesDep, response: Response) -> Readiness:
    """Return whether storage and database can be used: 200, or 503."""
    answer = readiness_of(health_of(await services.health.findings()))
    response.status_code = 503 if answer.unusable else 200
    return answer


@router.get("/health/schema", name="health_schema")
@open_to_everybody
async def schema() -> dict[str, Any]:
    """Return the JSON Schema of the answer of GET /health."""
    return health_schema()

"""Defects of routes as events of the error log, each until the same route succeeds.

A route is its method and the form of its path; with a job in the path it is that job's. What a
request carried is not told: it may hold what is nobody's business.
"""

from __future__ import annotations

import traceback

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.open_events import left_open
from core.ports import ErrorLog, JobStore
from models.error_event import Component, Fault, Severity

ROUTE_FAILED = "RouteFailed"
_OF_PROGRAMS = ("/api/", "/health", "/metrics")
_MOST_FAILING = 1_000
_SERVER_ERROR = 500


class RouteFaults:
    """Tells the error log of routes that fail, and when they work again."""

    def __init__(self, error_log: ErrorLog, jobs: JobStore) -> None:
        self._error_log = error_log
        self._jobs = jobs
        self._failing: set[tuple[str, str | None]] = set()

    @property
    def is_any_failing(self) -> bool:
        """Whether a success of a route would settle anything."""
        return bool(self._failing)

    def failed(self, scope: Scope, error: Exception) -> None:
        """A route met what none of it should meet; returns at once."""
        route, job_id = _route_of(scope), self._job_of(scope)
        error_type = f"{ROUTE_FAILED}: {route}"
        if len(self._failing) < _MOST_FAILING:
            self._failing.add((error_type, job_id))
        record = self._jobs.snapshot().get(job_id or "")
        run_id = scope.get("path_params", {}).get("run_id")
        self._error_log.report(
            Fault(
                severity=Severity.HIGH,
                component=_component_of(scope),
                error_type=error_type,
                message=f"{route} failed with {type(error).__name__}. Where, the stack trace "
                "tells; it is settled when the same succeeds.",
                details={"error": str(error)},
                job_id=job_id,
                job_name=record.job.name if record else None,
                run_id=run_id if isinstance(run_id, str) else None,
                stack_trace="".join(traceback.format_exception(error)),
            )
        )

    def succeeded(self, scope: Scope) -> None:
        """A route answered as it should; returns at once."""
        key = (f"{ROUTE_FAILED}: {_route_of(scope)}", self._job_of(scope))
        if key in self._failing:
            self._failing.discard(key)
            self._error_log.settle(error_type=key[0], job_id=key[1])

    async def find_told(self) -> None:
        """Take over what an earlier dashboard has told."""
        components = (Component.API, Component.UI)
        for event in await left_open(self._error_log, components, (f"{ROUTE_FAILED}: ",)):
            self._failing.add((event.error_type, event.job_id))

    def _job_of(self, scope: Scope) -> str | None:
        job_id = scope.get("path_params", {}).get("job_id")
        return job_id if job_id in self._jobs.snapshot() else None


class RouteWatch:
    """ASGI middleware that tells which routes fail and which succeed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and look at what comes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        faults: RouteFaults = scope["app"].state.services.faults.routes
        status = 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen if faults.is_any_failing else send)
        except ClientDisconnect:
            raise
        except Exception as error:
            # Not handled here: this is where it is known which route it was.
            faults.failed(scope, error)
            raise
        if 0 < status < _SERVER_ERROR:
            faults.succeeded(scope)


def _route_of(scope: Scope) -> str:
    route = scope.get("route")
    form = getattr(route, "path", None) or "/…"
    return f"{scope['method']} {form}"


def _component_of(scope: Scope) -> Component:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return Component.API if path.startswith(_OF_PROGRAMS) else Component.UI

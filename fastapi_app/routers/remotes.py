"""The remotes of rclone's configuration: which there are, and a test of one; for the API and for
the form of a job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from core.rclone_remotes import RemoteTest
from fastapi_app import formatting
from fastapi_app.services import ServicesDep
from models.errors import RemoteNotFound, RemotesUnknown

router = APIRouter()


@router.get("/api/v1/remotes")
async def list_remotes(services: ServicesDep) -> dict[str, Any]:
    """List the remotes by name, each with its kind of storage; never what else stands there."""
    found = await services.remotes.all()
    items = [{"name": remote.name, "type": remote.type} for remote in found]
    return {"items": items, "total": len(items), "next_cursor": None}


@router.post("/api/v1/remotes/{name}/test")
async def test_remote(services: ServicesDep, name: str) -> dict[str, Any]:
    """Look whether a remote answers, and how much room it has where it tells that (bytes)."""
    result = await services.remotes.test(name)
    return {
        "ok": result.ok,
        "message": result.message,
        "free_bytes": result.free_bytes,
        "total_bytes": result.total_bytes,
    }


@router.get(
    "/remotes/options",
    name="remote_options",
    include_in_schema=False,
    response_class=HTMLResponse,
)
async def remote_options(
    services: ServicesDep, selected: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The remotes as the options of a choice, or why there are none to choose from."""
    try:
        found, reason = await services.remotes.all(), None
    except RemotesUnknown as error:
        found, reason = (), error.reason
    return services.renderer.partial(
        "_remote_choices.html", remotes=found, reason=reason, selected=selected
    )


@router.post(
    "/remotes/{name}/test",
    name="remote_test",
    include_in_schema=False,
    response_class=HTMLResponse,
)
async def test_remote_in_form(services: ServicesDep, name: str) -> Response:
    """What a test of the chosen remote came to, as a sentence; never an error page in a form."""
    try:
        result = await services.remotes.test(name)
    except (RemoteNotFound, RemotesUnknown) as error:
        result = RemoteTest(False, str(error))
    return services.renderer.partial(
        "_remote_test.html",
        result=result,
        free=formatting.size(result.free_bytes),
        total=formatting.size(result.total_bytes),
    )

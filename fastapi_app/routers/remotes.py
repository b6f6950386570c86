"""The remotes of rclone's configuration: which there are, and a test of one; for the API and for
the form of a job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from core.rclone_remotes import RemoteTest
from fastapi_app import amounts
from fastapi_app.access import guarded_router, needs
from fastapi_app.api_description import told
from fastapi_app.location_fields import LOCATIONS
from fastapi_app.services import Services, ServicesDep
from models.access import Role
from models.errors import CircuitOpen, CredentialUnusable, RemoteNotFound, RemotesUnknown

router = guarded_router()
FIELDS = f"^({'|'.join(LOCATIONS)})$"
CredentialName = Annotated[str, Query(alias="credential", max_length=64)]
"""Of the configuration's password, by name; empty where it is not encrypted."""


@router.get("/api/v1/remotes", responses=told("Remotes", 409))
async def list_remotes(services: ServicesDep, credential: CredentialName = "") -> dict[str, Any]:
    """List the remotes by name, each with its kind of storage; never what else stands there.

    `credential` names the one that holds the password of an encrypted configuration.
    """
    found = await services.remotes.all(password=await _password(services, credential))
    items = [{"name": remote.name, "type": remote.type} for remote in found]
    return {"items": items, "total": len(items), "next_cursor": None}


@router.post("/api/v1/remotes/{name}/test", responses=told("RemoteTest", 409))
@needs(Role.OPERATOR)
async def ask_remote(
    services: ServicesDep, name: str, credential: CredentialName = ""
) -> dict[str, Any]:
    """Look whether a remote answers, and how much room it has where it tells that (bytes)."""
    password = await _password(services, credential)
    result = await services.remotes.test(name, password=password)
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
async def remote_options(services: ServicesDep, credential: CredentialName = "") -> Response:
    """The remotes to choose from, or why there are none."""
    try:
        password = await _password(services, credential)
        found, reason = await services.remotes.all(password=password), None
    except RemotesUnknown as error:
        found, reason = (), error.reason
    except CredentialUnusable as error:
        found, reason = (), str(error)
    return services.renderer.partial("_remote_choices.html", remotes=found, reason=reason)


@router.post(
    "/remotes/test/{field}",
    name="remote_test",
    include_in_schema=False,
    response_class=HTMLResponse,
)
async def test_remote_in_form(
    request: Request, services: ServicesDep, field: Annotated[str, Path(pattern=FIELDS)]
) -> Response:
    """What a test of the remote of a location in the form came to, as a sentence; never an error
    page in a form."""
    posted = await request.form(max_files=0, max_fields=100)
    name = str(posted.get(f"{field}_remote", "")).strip()
    credential = str(posted.get("credential", "")).strip()
    try:
        password = await _password(services, credential)
        result = await services.remotes.test(name, password=password)
    except (CircuitOpen, CredentialUnusable, RemoteNotFound, RemotesUnknown) as error:
        result = RemoteTest(False, str(error))
    return services.renderer.partial(
        "_remote_test.html",
        result=result,
        free=amounts.size(result.free_bytes),
        total=amounts.size(result.total_bytes),
    )


async def _password(services: Services, credential: str) -> str | None:
    """Return the password of a credential, None without a name. Raises CredentialUnusable."""
    return (await services.credentials.find(credential)).password if credential else None

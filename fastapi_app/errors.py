"""The one place where exceptions become status codes: a problem for programs, a page for people."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from fastapi_app.access import identity_of
from fastapi_app.security import SECURITY_HEADERS, path_before
from fastapi_app.services import services_of
from fastapi_app.settings_views import settings_document
from models.errors import (
    AccountNotFound,
    CircuitOpen,
    CredentialUnusable,
    ErrorEventNotFound,
    FieldFault,
    FileFailed,
    InvalidDefinition,
    InvalidSettings,
    JobExists,
    JobIsActive,
    JobNotFound,
    LongshoreError,
    NoAnswer,
    NoPreview,
    NotAllowed,
    NothingToDiscard,
    NothingToStop,
    OutsideRoots,
    PutBackRefused,
    RemoteNotFound,
    RemotesUnknown,
    RetryRefused,
    RuleConflict,
    RuleNotFound,
    RunNotFound,
    SaveOutcomeUnknown,
    SettingsConflict,
    SignInBusy,
    SignInNeeded,
    SignInRefused,
    StorageBusy,
    StorageFailed,
    TooManyAttempts,
    VersionConflict,
)

_STATUS: dict[type[LongshoreError], int] = {
    JobNotFound: 404,
    RunNotFound: 404,
    RuleNotFound: 404,
    NoPreview: 404,
    ErrorEventNotFound: 404,
    RemoteNotFound: 404,
    RemotesUnknown: 503,
    NoAnswer: 503,
    CircuitOpen: 503,
    InvalidDefinition: 422,
    InvalidSettings: 422,
    JobIsActive: 409,
    NothingToStop: 409,
    NothingToDiscard: 409,
    RetryRefused: 409,
    OutsideRoots: 409,
    CredentialUnusable: 409,
    PutBackRefused: 409,
    VersionConflict: 412,
    SettingsConflict: 412,
    RuleConflict: 412,
    JobExists: 409,
    StorageFailed: 503,
    StorageBusy: 503,
    SaveOutcomeUnknown: 503,
    FileFailed: 503,
    SignInNeeded: 401,
    SignInRefused: 401,
    NotAllowed: 403,
    AccountNotFound: 404,
    TooManyAttempts: 429,
    SignInBusy: 503,
}
_TITLES = {412: "The job was changed meanwhile", 422: "Some fields need another look"}
API_PREFIX = "/api/"
_WHAT_TO_DO = (
    "Nothing was changed. Make sure that the disk of the data directory has room and can be "
    "written to, then try again."
)
_HELD = (
    "Nothing was changed. Another program holds the file: try again when that is done, or end it."
)
_OF_A_FILE = "Make sure that it can be reached, with the rights that this takes, then try again."
_logger = logging.getLogger(__name__)


class _Problem(JSONResponse):
    """Plain ASCII: a message may quote a lone surrogate, which JSON can spell and UTF-8 cannot."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class PreconditionRequired(LongshoreError):
    """A PUT came without If-Match, so that nobody could tell which version it changes."""

    def __init__(self) -> None:
        super().__init__('Send If-Match with the version that you changed, such as If-Match: "3".')


def register(app: FastAPI) -> None:
    """Install the handlers."""
    app.add_exception_handler(LongshoreError, _on_longshore_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_defect)


def status_of(error: LongshoreError) -> int:
    """Return the status code of an error of ours; 500 for one that no route should meet."""
    if isinstance(error, PreconditionRequired):
        return 428
    return _STATUS.get(type(error), 500)


def problem(
    status: int, detail: str, *, faults: tuple[FieldFault, ...] = (), **more: Any
) -> JSONResponse:
    """Return application/problem+json (RFC 9457)."""
    body: dict[str, Any] = {"title": title_of(status), "status": status, "detail": detail}
    if faults:
        body["errors"] = [fault._asdict() for fault in faults]
    return _Problem(body | more, status)


def refusal_of(request: Request, status: int, detail: str) -> Response:
    """Return the answer to a request that comes to no route: a problem or a page."""
    return _answer(request, status, detail)


def title_of(status: int) -> str:
    """Return the title of a status code, for people."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


async def _on_longshore_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, LongshoreError)
    status = status_of(error)
    if status >= 500:
        _logger.error("%s %s: %s", request.method, request.url.path, error)
        _tell(request, error, status)
    faults = error.faults if isinstance(error, InvalidDefinition) else ()
    more: dict[str, Any] = {}
    if isinstance(error, VersionConflict):
        current = services_of(request).queries.get_job(error.job_id).job
        more["current"] = current.model_dump(mode="json")
    if isinstance(error, RuleConflict):
        more["title"] = "The notification rule was changed meanwhile"
    if isinstance(error, SettingsConflict):
        more["title"] = "The settings were changed meanwhile"
        more["current"] = settings_document(services_of(request).settings_store)
    if isinstance(error, SignInNeeded) and (to_sign_in := _to_sign_in(request)):
        return to_sign_in
    answer = _answer(request, status, _told(error), faults=faults, **more)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="Longshore"'  # RFC 9110, 11.6.1
    if isinstance(error, CircuitOpen | TooManyAttempts):
        answer.headers["Retry-After"] = str(ceil(error.retry_in_seconds) or 1)
    return answer


def _to_sign_in(request: Request) -> Response | None:
    """Return the way to the page for signing in; None for who is no person."""
    if _is_for_programs(request):
        return None
    services = services_of(request)
    if request.headers.get("hx-request"):
        # The whole page leads there, and comes back to where it was.
        page = path_before(request.headers) or ""
        url = services.renderer.url_with_query("sign_in_page", {"next": page})
        return Response(status_code=401, headers={"HX-Redirect": url})
    here = request.url.path if request.method == "GET" else ""
    if here and request.url.query:
        here = f"{here}?{request.url.query}"
    url = services.renderer.url_with_query("sign_in_page", {"next": here})
    return RedirectResponse(url, 303)


def _is_for_programs(request: Request) -> bool:
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return path.startswith((API_PREFIX, "/health", "/metrics"))


def _tell(request: Request, error: LongshoreError, status: int) -> None:
    """Have the error log told of what no request should meet."""
    faults = services_of(request).faults
    if isinstance(error, StorageFailed):
        faults.storage.failed(error)
    elif status == 500:
        faults.routes.failed(request.scope, error)


def _told(error: LongshoreError) -> str:
    if isinstance(error, StorageBusy):
        return f"{error}. {_HELD}"
    if isinstance(error, FileFailed):
        return f"{error}. {_OF_A_FILE}"
    if isinstance(error, StorageFailed) and not isinstance(error, SaveOutcomeUnknown):
        return f"{error}. {_WHAT_TO_DO}"
    return str(error)


async def _on_bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = tuple(
        FieldFault(".".join(str(part) for part in fault["loc"][1:]) or "body", fault["msg"])
        for fault in error.errors()
    )
    return _answer(request, 422, "The request is not of the form it should be.", faults=faults)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = "There is nothing at this address."
    answer = _answer(request, error.status_code, detail)
    if error.status_code == 405:
        # Starlette names those of the first route of this path; RFC 9110, 15.5.6, asks for all.
        answer.headers["Allow"] = ", ".join(sorted(_allowed(request)))
        return answer
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


def _allowed(request: Request) -> set[str]:
    path = get_route_path(request.scope)
    found: dict[str, set[str]] = {}
    for context in iter_route_contexts(request.app.routes):
        pattern = getattr(context, "path_regex", None)
        if pattern is not None and pattern.match(path):
            found.setdefault(context.path or "", set()).update(context.methods or ())
    # A path that is spelled out is not the one with a value in that place.
    return found[min(found, key=lambda form: form.count("{"))] if found else set()


async def _on_defect(request: Request, error: Exception) -> Response:
    # The server's own boundary: a person gets no part of the traceback. RouteWatch has told it.
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    answer = _answer(request, 500, "Something went wrong here. It is in the log.")
    # Starlette answers for a defect outside of every middleware, the guard included.
    answer.headers.update(SECURITY_HEADERS)
    return answer


def _answer(
    request: Request, status: int, detail: str, *, faults: tuple[FieldFault, ...] = (), **more: Any
) -> Response:
    if _is_for_programs(request):
        return problem(status, detail, faults=faults, **more)
    services = services_of(request)
    renderer = services.renderer
    title = title_of(status)
    if request.headers.get("hx-request"):
        answer = renderer.partial("_problem.html", status_code=status, title=title, detail=detail)
        answer.headers["HX-Retarget"] = "#toasts"
        answer.headers["HX-Reswap"] = "beforeend"
        return answer
    who = identity_of(request)
    if who is None:  # A stranger: without what stands on every page.
        return renderer.page("stranger.html", status_code=status, title=title, detail=detail)
    return renderer.page(
        "error.html",
        who=who,
        status_code=status,
        nav="",
        page_notices=(),
        banners=services.banners.view(),
        bell=services.happenings.view(),
        error_count=services.error_count.view(),
        title=title,
        status=status,
        detail=detail,
    )

"""Signing in and out, one's own password and sessions; each works without JavaScript."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from core.access.sessions import digest_of
from fastapi_app.access import (
    address_of,
    forget_session,
    guarded_router,
    identity_of,
    keep_session,
    needs,
    open_to_everybody,
    session_secret,
)
from fastapi_app.access_views import AccountView, account_view, faults_by_field
from fastapi_app.routers.pages import page
from fastapi_app.services import Services, ServicesDep
from models.access import DEFAULT_ACCOUNT, Role, Way
from models.audit import Action
from models.errors import (
    FieldFault,
    InvalidSettings,
    LongshoreError,
    SignInBusy,
    SignInRefused,
    TooManyAttempts,
)

router = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
_SEE_OTHER = 303
_MAX_FIELDS = 10
_REFUSED = (SignInRefused, TooManyAttempts, SignInBusy)


@router.get("/sign-in", name="sign_in_page")
@open_to_everybody
async def sign_in_page(
    request: Request, services: ServicesDep, next_page: Annotated[str, Query(alias="next")] = ""
) -> Response:
    """The form for name and password."""
    if identity_of(request) is not None:
        return RedirectResponse(_own_path(services, next_page), _SEE_OTHER)
    return _sign_in_form(services, next_page)


@router.post("/sign-in", name="sign_in")
@open_to_everybody
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Begin a session; whichever the browser had before is not used again."""
    posted = await posted_texts(request)
    name, next_page = posted.get("name", "").strip(), posted.get("next", "")
    try:
        secret = await services.access.sign_in(
            name, posted.get("password", ""), address_of(request)
        )
    except _REFUSED as error:
        if isinstance(error, SignInRefused):  # What was not even looked at is not told either.
            services.audit.note_refused_sign_in(request, _known(services, name))
        return _sign_in_form(services, next_page, name=name, error=error)
    await _end_session(request, services)
    who = services.access.by_session(secret, address_of(request))
    services.audit.note(request, Action.SIGNED_IN, who=who)
    answer = RedirectResponse(_own_path(services, next_page), _SEE_OTHER)
    keep_session(request, answer, secret)
    return answer


@router.post("/sign-out", name="sign_out")
@needs(Role.VIEWER)
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """End the session."""
    if await _end_session(request, services):
        services.audit.note(request, Action.SIGNED_OUT)
    answer = RedirectResponse(services.renderer.url("sign_in_page"), _SEE_OTHER)
    forget_session(request, answer)
    # What the browser still has of these pages goes with it (Clear-Site-Data, W3C).
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


@router.get("/account", name="account_page")
async def account_page(request: Request, services: ServicesDep, told: str = "") -> Response:
    """Who one is, one's password and sessions; the form for the first password while there is
    none."""
    return await _account(request, services, told=_TOLD.get(told, ""))


@router.post("/account/first", name="account_first")
@needs(Role.ADMIN)
async def set_first(request: Request, services: ServicesDep) -> Response:
    """Make the first account, with the code that the terminal shows."""
    posted = await posted_texts(request)
    name = posted.get("name", "").strip() or DEFAULT_ACCOUNT
    password, again = posted.get("password", ""), posted.get("again", "")
    try:
        _same(password, again)
        secret = await services.access.set_first(
            name, password, posted.get("code", ""), address_of(request)
        )
    except (InvalidSettings, *_REFUSED) as error:
        is_wrong_code = isinstance(error, InvalidSettings) and error.faults[0].field == "code"
        if is_wrong_code:
            services.audit.note_refused_sign_in(request)
        return await _account(request, services, error=error, name=name)
    details = {"account": name, "role": Role.ADMIN, "new_password": True}
    services.audit.note(request, Action.ACCOUNT_CHANGED, details=details)
    answer = RedirectResponse(_told(services, "first"), _SEE_OTHER)
    keep_session(request, answer, secret)
    return answer


@router.post("/account/password", name="account_password")
@needs(Role.VIEWER)
async def change_password(request: Request, services: ServicesDep) -> Response:
    """Change one's own password; all its sessions end, and this browser has a new one."""
    who = services.who
    assert who is not None
    posted = await posted_texts(request)
    password = posted.get("password", "")
    try:
        if who.way is not Way.SESSION:
            raise SignInRefused
        _same(password, posted.get("again", ""))
        secret = await services.access.change_password(
            who.name, posted.get("old", ""), password, address_of(request)
        )
    except (InvalidSettings, *_REFUSED) as error:
        if isinstance(error, SignInRefused):
            services.audit.note_refused_sign_in(request, who.name)
        return await _account(request, services, error=error)
    services.audit.note(request, Action.PASSWORD_CHANGED)
    answer = RedirectResponse(_told(services, "password"), _SEE_OTHER)
    keep_session(request, answer, secret)
    return answer


@router.post("/account/sessions/end", name="account_sessions_end")
@needs(Role.VIEWER)
async def end_other_sessions(request: Request, services: ServicesDep) -> Response:
    """End all sessions of one's account but this one."""
    who, secret = services.who, session_secret(request)
    ended = 0
    if who is not None and who.way is Way.SESSION and secret:
        ended = await services.access.sessions.end_of(who.name, but=digest_of(secret))
    if ended:
        services.audit.note(request, Action.SESSIONS_ENDED)
    return RedirectResponse(_told(services, "sessions"), _SEE_OTHER)


_TOLD = {
    "first": "The account is made, and this browser is signed in. From now on nobody else gets in.",
    "password": "The password is changed. Every other session of this account has ended.",
    "sessions": "Every other session of this account has ended.",
}


def _told(services: Services, what: str) -> str:
    return services.renderer.url_with_query("account_page", {"told": what})


async def posted_texts(request: Request) -> dict[str, str]:
    """Return the texts of a form that was posted."""
    posted = await request.form(max_files=0, max_fields=_MAX_FIELDS)
    return {name: value for name, value in posted.items() if isinstance(value, str)}


def _same(password: str, again: str) -> None:
    if password != again:
        raise InvalidSettings((FieldFault("again", "These two are not the same."),))


def _known(services: Services, name: str) -> str:
    """Return a name when there is such an account: any other text may be a password."""
    return name if name in services.access.listed.accounts else ""


async def _end_session(request: Request, services: Services) -> bool:
    """End the session that the browser shows, if it shows one that there is."""
    secret = session_secret(request)
    session = services.access.sessions.find(secret, is_use=False) if secret else None
    if session is None:
        return False
    await services.access.sessions.end(session.digest)
    return True


def _own_path(services: Services, path: str) -> str:
    """Return a path of ours, never another site's that somebody made a link with."""
    root = services.settings.root_path
    is_plain = path.isprintable() and "\\" not in path and not path.startswith("//")
    if is_plain and path.startswith(f"{root}/"):
        return path
    return services.renderer.url("dashboard")


def _sign_in_form(
    services: Services, next_page: str, *, name: str = "", error: LongshoreError | None = None
) -> Response:
    status = 200
    headers: dict[str, str] = {}
    if error is not None:
        status = 401 if isinstance(error, SignInRefused) else 429
        if isinstance(error, TooManyAttempts):
            headers["Retry-After"] = str(int(error.retry_in_seconds) + 1)
    answer = services.renderer.page(
        "sign_in.html",
        status_code=status,
        title="Sign in",
        given_name=name,
        next_page=next_page,
        error=str(error) if error else "",
    )
    answer.headers.update(headers)
    return answer


async def _account(
    request: Request,
    services: Services,
    *,
    told: str = "",
    error: LongshoreError | None = None,
    name: str = DEFAULT_ACCOUNT,
) -> Response:
    view: AccountView = account_view(services.access, services.who, session_secret(request))
    status, errors = faults_by_field(error)
    context: dict[str, Any] = {"nav": "settings", "title": "Account", "account": view}
    return await page(
        services, "account.html", status, told=told, errors=errors, first_name=name, **context
    )

"""Accounts and tokens, for administrators; each form works without JavaScript."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from core.access.rules import is_last_administrator
from fastapi_app.access import guarded_router, needs
from fastapi_app.access_views import (
    ROLE_WORDS,
    AccountRow,
    TokenRow,
    account_rows,
    faults_by_field,
    token_rows,
)
from fastapi_app.routers.account import posted_texts
from fastapi_app.routers.pages import page
from fastapi_app.services import Services, ServicesDep
from models.access import Role, Way
from models.audit import Action
from models.errors import (
    AccountNotFound,
    FieldFault,
    InvalidDocument,
    InvalidSettings,
    LongshoreError,
    SignInBusy,
)

router = guarded_router(
    prefix="/settings/access", include_in_schema=False, default_response_class=HTMLResponse
)
Row = TypeVar("Row", AccountRow, TokenRow)
_SEE_OTHER = 303
_FAULTS = (InvalidSettings, AccountNotFound, SignInBusy, InvalidDocument)


@router.get("", name="access_page")
@needs(Role.ADMIN)
async def access_page(services: ServicesDep) -> Response:
    """Who may get in, and with what."""
    return await _page(services)


@router.post("/accounts", name="access_account_put")
async def put_account(request: Request, services: ServicesDep) -> Response:
    """Make an account, or change the role or the password of one."""
    posted = await posted_texts(request)
    name = posted.get("name", "").strip()
    if services.access.is_open:
        fault = FieldFault("name", "Make your own account first, on the page “Account”.")
        return await _page(services, error=InvalidSettings((fault,)), posted=posted)
    try:
        role = _role_of(posted)
        await services.access.put_account(name, role, posted.get("password") or None)
    except _FAULTS as error:
        return await _page(services, error=error, posted=posted)
    details = {"account": name, "role": role, "new_password": bool(posted.get("password"))}
    services.audit.note(request, Action.ACCOUNT_CHANGED, details=details)
    return _back(services)


@router.get("/accounts/{account}/delete", name="access_account_delete_page")
@needs(Role.ADMIN)
async def delete_account_page(services: ServicesDep, account: str) -> Response:
    """Ask before an account is forgotten."""
    found = _named(account_rows(services.access), "account", account)
    who = services.who
    return await page(
        services,
        "access_remove.html",
        nav="settings",
        title="Remove account",
        account=found,
        is_own=who is not None and who.way is Way.SESSION and who.name == account,
        is_last=is_last_administrator(services.access.listed.accounts, account),
    )


@router.post("/accounts/{account}/delete", name="access_account_delete")
async def delete_account(request: Request, services: ServicesDep, account: str) -> Response:
    """Forget an account; whoever is signed in with it is so no more."""
    try:
        await services.access.remove_account(account)
    except _FAULTS as error:
        return await _page(services, error=error, about=account)
    services.audit.note(request, Action.ACCOUNT_DELETED, details={"account": account})
    return _back(services)


@router.post("/tokens", name="access_token_make")
async def make_token(request: Request, services: ServicesDep) -> Response:
    """Make a token, and show it this once."""
    posted = await posted_texts(request)
    name = posted.get("token_name", "").strip()
    try:
        role, days = _role_of(posted), _days_of(posted)
        token = await services.access.make_token(name, role, days)
    except _FAULTS as error:
        return await _page(services, token_error=error, posted=posted)
    details = {"name": name, "role": role, "days": days}
    services.audit.note(request, Action.TOKEN_MADE, details=details)
    return await _page(services, made=(name, token))


@router.get("/tokens/{token}/revoke", name="access_token_revoke_page")
@needs(Role.ADMIN)
async def revoke_token_page(services: ServicesDep, token: str) -> Response:
    """Ask before a token is worth nothing any more."""
    found = _named(token_rows(services.access), "token", token)
    return await page(
        services,
        "access_remove.html",
        nav="settings",
        title="Revoke token",
        account=None,
        token=found,
        is_last=False,
    )


@router.post("/tokens/{token}/revoke", name="access_token_revoke")
async def revoke_token(request: Request, services: ServicesDep, token: str) -> Response:
    """Let a token be worth nothing from now on."""
    try:
        await services.access.revoke_token(token)
    except _FAULTS as error:
        return await _page(services, token_error=error)
    services.audit.note(request, Action.TOKEN_REVOKED, details={"name": token})
    return _back(services)


def _named(rows: Iterable[Row], kind: str, name: str) -> Row:
    for one in rows:
        if one.name == name:
            return one
    raise AccountNotFound(kind, name)


def _back(services: Services) -> Response:
    return RedirectResponse(services.renderer.url("access_page"), _SEE_OTHER)


def _role_of(posted: dict[str, str]) -> Role:
    try:
        return Role(posted.get("role", ""))
    except ValueError:
        raise InvalidSettings((FieldFault("role", "Choose one of the roles."),)) from None


def _days_of(posted: dict[str, str]) -> int | None:
    text = posted.get("days", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise InvalidSettings((FieldFault("days", "A number of days, or nothing."),))
    return int(text)


async def _page(
    services: Services,
    *,
    error: LongshoreError | None = None,
    token_error: LongshoreError | None = None,
    posted: dict[str, str] | None = None,
    made: tuple[str, str] | None = None,
    about: str = "",
) -> Response:
    status, errors = faults_by_field(error)
    if about:  # Of one that stands in the list, and not of what was typed.
        errors = {"old": f"{about}: {' '.join(errors.values())}"}
    token_status, token_errors = faults_by_field(token_error)
    context: dict[str, Any] = {"nav": "settings", "title": "Access"}
    return await page(
        services,
        "access.html",
        max(status, token_status),
        accounts=account_rows(services.access),
        tokens=token_rows(services.access),
        roles=ROLE_WORDS,
        errors=errors,
        token_errors=token_errors,
        posted=posted or {},
        made=made,
        is_open=services.access.is_open,
        damage=services.access.damage,
        **context,
    )

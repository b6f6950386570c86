"""The settings: the page with its form, which works without JavaScript, and the same as JSON."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Body, Header, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from core.patience import there_now
from core.questions import is_file
from fastapi_app.access import guarded_router
from fastapi_app.api_description import body_of, refusals
from fastapi_app.audit import settings_changes
from fastapi_app.errors import PreconditionRequired
from fastapi_app.routers.forms import is_htmx
from fastapi_app.routers.pages import page
from fastapi_app.security import KnownHosts
from fastapi_app.services import Services, ServicesDep
from fastapi_app.settings_views import (
    SettingsForm,
    changes_in_words,
    conflict_rows,
    named_paths,
    settings_document,
    settings_form,
    text_of,
    typed_texts,
    values_of,
)
from models.audit import Action
from models.errors import FieldFault, InvalidSettings, SettingsConflict
from models.setting_facts import SAVED, checked

router = guarded_router()
pages = guarded_router(include_in_schema=False, default_response_class=HTMLResponse)
_ETAG = re.compile(r'"?([0-9a-z]{1,64})"?')
_SEE_OTHER = 303
_SAVED = "Saved."
_NOT_OF_THE_CALLER = frozenset({"version", "damage", "unknown_keys", "settings"})


@router.get("/api/v1/settings")
async def get_settings(services: ServicesDep) -> Response:
    """Return every setting with its meaning, value, default and bounds, and who decides it.

    `values` are those that can be saved; the ETag is their version.
    """
    return _answer(services)


@router.put("/api/v1/settings", responses=refusals(412, 428), openapi_extra=body_of("SettingsBody"))
async def put_settings(
    request: Request,
    services: ServicesDep,
    body: Annotated[dict[str, Any], Body()],
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Save `values` in place of those that were saved; If-Match says which version was changed.

    What `values` does not name has its default again. A setting that the environment decides may
    come along unchanged.
    """
    if if_match is None:
        raise PreconditionRequired
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        fault = FieldFault("If-Match", "Write the version as in the ETag.")
        raise InvalidSettings((fault,))
    await _save(request, services, _values_in(body), version=match[1])
    return _answer(services)


@pages.get("/settings", name="settings_page")
async def settings_page(services: ServicesDep, saved: str = "") -> Response:
    """The settings, each with what it means, its default, and who decides it."""
    form = await _form(services)
    return await _page(services, form, status=_SAVED if saved == "1" else "")


@pages.post("/settings", name="settings_save")
async def save_settings(request: Request, services: ServicesDep) -> Response:
    """Save what was typed, or show it again with every fault at its field."""
    posted = await _posted(request)
    texts = typed_texts(posted, services.settings_store)
    refused = await _try(request, services, posted, texts, values_of(texts))
    if isinstance(refused, Response):
        return refused
    if not is_htmx(request):
        return RedirectResponse(f"{services.renderer.url('settings_page')}?saved=1", _SEE_OTHER)
    form = await _form(services)
    return await _form_answer(request, services, form, status=refused)


@pages.post("/settings/reset", name="setting_reset")
async def reset_setting(request: Request, services: ServicesDep) -> Response:
    """Give one setting its default again, and leave what was typed into the others unsaved."""
    posted = await _posted(request)
    store = services.settings_store
    texts = typed_texts(posted, store)
    name = str(posted.get("reset", ""))
    saved = store.saved
    values = {one: getattr(saved, one) for one in saved.model_fields_set - {name} - store.decided}
    refused = await _try(request, services, posted, texts, values)
    if isinstance(refused, Response):
        return refused
    if name in SAVED:
        texts[name] = text_of(getattr(store.in_force, name))
    form = await _form(services, texts=texts, focus=name)
    return await _form_answer(request, services, form, status=refused)


async def _try(
    request: Request,
    services: Services,
    posted: Mapping[str, Any],
    texts: Mapping[str, str],
    values: Mapping[str, Any],
) -> Response | str:
    """Save, and return what was changed in words; or the form again, with what is in the way."""
    store = services.settings_store
    before = store.saved
    try:
        await _save(request, services, values, version=str(posted.get("version", "")))
    except InvalidSettings as error:
        form = await _form(services, texts=texts, errors=error.faults)
        return await _form_answer(request, services, form, status_code=422)
    except SettingsConflict:
        rows = conflict_rows(store, texts)
        form = await _form(services, texts=texts, conflict=rows)
        return await _form_answer(request, services, form, status_code=412)
    return changes_in_words(before, store.saved)


async def _form(services: Services, **given: Any) -> SettingsForm:
    store = services.settings_store
    folders, files = named_paths(store)
    there = await asyncio.gather(
        there_now(services.questions, folders), there_now(services.questions, files, is_file)
    )
    return settings_form(store, there[0] | there[1], **given)


async def _save(
    request: Request, services: Services, values: Mapping[str, Any], *, version: str
) -> None:
    lock_out = _lock_out(request, services, values)
    before = services.settings_store.saved
    await services.settings_store.save(values, expected_version=version, also_wrong=lock_out)
    details = settings_changes(before, services.settings_store.saved)
    services.audit.note(request, Action.SETTINGS_CHANGED, details=details)


def _lock_out(
    request: Request, services: Services, values: Mapping[str, Any]
) -> tuple[FieldFault, ...]:
    """Return a fault when whoever saves this could not come back under the name they came by."""
    host = request.headers.get("host", "")
    if "allowed_hosts" in services.settings_store.decided:
        return ()
    valid, faults = checked(values)
    if any(fault.field == "allowed_hosts" for fault in faults):
        return ()
    if KnownHosts(valid.extra_hosts).knows(host):
        return ()
    message = (
        f"You are here under the name {host.rpartition(':')[0] or host}: without it among these "
        "names this page would be shut to you."
    )
    return (FieldFault("allowed_hosts", message),)


def _values_in(body: Mapping[str, Any]) -> Mapping[str, Any]:
    values = body.get("values")
    faults = [
        FieldFault(key, "There is no such field.")
        for key in body
        if key != "values" and key not in _NOT_OF_THE_CALLER
    ]
    if not isinstance(values, dict):
        faults.append(FieldFault("values", "This must be an object of settings by name."))
    if faults or not isinstance(values, dict):
        raise InvalidSettings(tuple(faults[:50]))
    return values


def _answer(services: Services) -> Response:
    document = settings_document(services.settings_store)
    return JSONResponse(document, headers={"ETag": f'"{document["version"]}"'})


async def _posted(request: Request) -> Mapping[str, Any]:
    form = await request.form(max_files=0, max_fields=100)
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def _page(
    services: Services, form: SettingsForm, status_code: int = 200, *, status: str = ""
) -> HTMLResponse:
    return await page(
        services,
        "settings.html",
        status_code,
        nav="settings",
        title="Settings",
        form=form,
        status=status,
    )


async def _form_answer(
    request: Request,
    services: Services,
    form: SettingsForm,
    *,
    status_code: int = 200,
    status: str = "",
) -> Response:
    if not is_htmx(request):
        return await _page(services, form, status_code, status=status)
    return services.renderer.partial(
        "_settings_answer.html", status_code=status_code, form=form, status=status
    )


router.routes.extend(pages.routes)

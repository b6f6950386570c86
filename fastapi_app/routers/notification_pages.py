"""The page of notifications, the form of a rule and a test of it; each works without JavaScript."""

from __future__ import annotations

from dataclasses import replace

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from core.notifying.process import Receipt
from fastapi_app.access import guarded_router, needs
from fastapi_app.notification_changes import keep_rule, target_state
from fastapi_app.notification_events import rule_lane
from fastapi_app.notification_views import (
    RuleForm,
    RuleView,
    TestView,
    by_field,
    form_of,
    new_form,
    note_view,
    posted_form,
    rule_view,
    values_of,
)
from fastapi_app.query_values import Cursor
from fastapi_app.routers.forms import is_htmx
from fastapi_app.routers.pages import page
from fastapi_app.services import Services, ServicesDep
from models.access import Role
from models.audit import Action
from models.errors import InvalidSettings, RuleConflict
from models.notifications import NotificationRule
from storage.notification_table import WAITING

router = guarded_router(
    prefix="/settings/notifications",
    include_in_schema=False,
    default_response_class=HTMLResponse,
)
_SEE_OTHER = 303
_DELIVERIES = 30


@router.get("", name="notifications_page")
async def notifications_page(services: ServicesDep, cursor: Cursor = None) -> Response:
    """The rules, and what became of the last messages."""
    return await _page(services, cursor=cursor)


@router.get("/new", name="notification_new")
@needs(Role.ADMIN)
async def new_rule(services: ServicesDep) -> Response:
    """An empty form."""
    return await _form_page(services, new_form(await services.credentials.names()))


@router.post("", name="notification_create")
async def create_rule(request: Request, services: ServicesDep) -> Response:
    """Create a rule, or show the form again with every fault at its field."""
    return await _save(request, services, new_form(await services.credentials.names()))


@router.get("/{rule_name}/edit", name="notification_edit")
@needs(Role.ADMIN)
async def edit_rule(services: ServicesDep, rule_name: str) -> Response:
    """The form of a rule."""
    rule = await services.notifier.rules.find(rule_name)
    return await _form_page(services, await _form(services, rule))


@router.post("/{rule_name}", name="notification_save")
async def save_rule(request: Request, services: ServicesDep, rule_name: str) -> Response:
    """Save a rule, or show the form again with every fault at its field."""
    rule = await services.notifier.rules.find(rule_name)
    return await _save(request, services, await _form(services, rule))


@router.get("/{rule_name}/delete", name="notification_delete_page")
@needs(Role.ADMIN)
async def delete_rule_page(services: ServicesDep, rule_name: str) -> Response:
    """Ask before deleting."""
    rule = await services.notifier.rules.find(rule_name)
    waiting = await services.notifier.outbox.list_notes(
        lane=rule_lane(rule.name), state=WAITING, limit=1
    )
    return await page(
        services,
        "notification_delete.html",
        nav="settings",
        title="Delete notification rule",
        rule=rule,
        waiting=waiting.total,
    )


@router.post("/{rule_name}/delete", name="notification_delete")
async def delete_rule(request: Request, services: ServicesDep, rule_name: str) -> Response:
    """Forget a rule."""
    await services.notifier.rules.delete(rule_name)
    services.notifier.rules_changed()
    services.audit.note(request, Action.NOTIFICATION_RULE_DELETED, details={"rule": rule_name})
    return _to_the_list(services)


@router.post("/{rule_name}/test", name="notification_test")
async def test_rule(request: Request, services: ServicesDep, rule_name: str) -> Response:
    """Send a message in a rule's words, and say in its place what came of it."""
    rule = await services.notifier.rules.find(rule_name)
    tested = _tested(await services.notifier.test(rule))
    services.audit.note(request, Action.NOTIFICATION_TESTED, details={"rule": rule.name})
    if is_htmx(request):
        return services.renderer.partial("_notification_test.html", tested=tested)
    return await _page(services, tested=(rule.name, tested))


async def _save(request: Request, services: Services, base: RuleForm) -> Response:
    async with request.form(max_files=0, max_fields=100) as form:
        posted = {name: value for name, value in form.items() if isinstance(value, str)}
        events = [value for value in form.getlist("events") if isinstance(value, str)]
    shown = posted_form(posted, events, base)
    try:
        await keep_rule(
            services,
            request,
            values_of(shown, services.queries.all_jobs()),
            address=posted.get("address", "").strip(),
            replaces=base.replaces,
            version=shown.version,
        )
    except InvalidSettings as error:
        return await _form_page(services, replace(shown, errors=by_field(error.faults)), 422)
    except RuleConflict:
        # Saving once more replaces what somebody else saved.
        again = replace(shown, version=base.version, is_conflict=True)
        return await _form_page(services, again, 412)
    return _to_the_list(services)


async def _form(services: Services, rule: NotificationRule) -> RuleForm:
    target = await target_state(services.credentials, rule.target)
    return form_of(rule, target.scheme, await services.credentials.names())


async def _page(
    services: Services,
    *,
    cursor: str | None = None,
    tested: tuple[str, TestView] | None = None,
) -> HTMLResponse:
    rules = await services.notifier.rules.current()
    found = await services.notifier.outbox.list_notes(limit=_DELIVERIES, cursor=cursor)
    older, link = {"cursor": found.next_cursor}, services.renderer.url_with_query
    return await page(
        services,
        "notifications.html",
        nav="settings",
        title="Notifications",
        rules=[await _view(services, rule, tested) for rule in rules],
        damage=services.notifier.rules.damage,
        is_lost=services.notifier.rules.is_lost,
        notes=[note_view(note, services.queries.all_jobs()) for note in found.items],
        is_first=cursor is None,
        next_url=link("notifications_page", older) if found.next_cursor else None,
    )


async def _view(
    services: Services, rule: NotificationRule, tested: tuple[str, TestView] | None
) -> RuleView:
    target = await target_state(services.credentials, rule.target)
    own = tested[1] if tested is not None and tested[0] == rule.name else None
    return rule_view(rule, target, services.queries.all_jobs(), own)


async def _form_page(services: Services, form: RuleForm, status_code: int = 200) -> HTMLResponse:
    title = f"Notification rule {form.replaces}" if form.replaces else "New notification rule"
    return await page(
        services, "notification_form.html", status_code, nav="settings", title=title, form=form
    )


def _tested(receipt: Receipt) -> TestView:
    return TestView(receipt.reason is None, receipt.reason or "The test arrived.")


def _to_the_list(services: Services) -> Response:
    return RedirectResponse(services.renderer.url("notifications_page"), _SEE_OTHER)

"""The JSON API of notifications, under /api/v1/notifications: rules, a test of one, deliveries."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Body, Header, Query, Request, Response

from fastapi_app.access import guarded_router
from fastapi_app.api_description import body_of, told
from fastapi_app.notification_changes import keep_rule, target_state
from fastapi_app.notification_events import RULE_LANE, rule_lane
from fastapi_app.query_values import EMPTY_IS_NONE, Cursor
from fastapi_app.services import Services, ServicesDep
from models.audit import Action
from models.errors import FieldFault, InvalidSettings
from models.notifications import DERIVED_OF_RULE, NotificationRule
from storage.notification_document import version_of
from storage.notification_repository import MAX_PAGE
from storage.notification_table import STATES, Kept
from utils.timestamps import utc_timestamp

router = guarded_router(prefix="/api/v1/notifications")
Value = TypeVar("Value")
Filter = Annotated[Value | None, Query(max_length=64), EMPTY_IS_NONE]
State = Annotated[
    str | None,
    Query(pattern=f"^({'|'.join(STATES)})$"),
    EMPTY_IS_NONE,
]


@router.get("/rules", responses=told("NotificationRules"))
async def list_rules(services: ServicesDep) -> dict[str, Any]:
    """List the rules. Of a target's address only the scheme is told; `damage` says why the file
    of the rules cannot be used, when that is so."""
    rules = await services.notifier.rules.current()
    items = [await rule_document(services, rule) for rule in rules]
    return {
        "items": items,
        "total": len(items),
        "next_cursor": None,
        "damage": services.notifier.rules.damage,
    }


@router.post(
    "/rules",
    status_code=201,
    responses=told("NotificationRuleAnswer", status=201),
    openapi_extra=body_of("NotificationRuleBody"),
)
async def create_rule(
    request: Request,
    services: ServicesDep,
    response: Response,
    body: Annotated[dict[str, Any], Body()],
) -> dict[str, Any]:
    """Create a rule. `address` is kept under the target's name, and never told again."""
    values, address = _taken_apart(body)
    rule = await keep_rule(services, request, values, address=address, replaces=None)
    response.headers["Location"] = services.renderer.url("notification_rule", rule_name=rule.name)
    return await rule_document(services, rule)


@router.get(
    "/rules/{rule_name}", name="notification_rule", responses=told("NotificationRuleAnswer")
)
async def get_rule(services: ServicesDep, response: Response, rule_name: str) -> dict[str, Any]:
    """Return one rule; the ETag is its version."""
    rule = await services.notifier.rules.find(rule_name)
    response.headers["ETag"] = f'"{version_of(rule)}"'
    return await rule_document(services, rule)


@router.put(
    "/rules/{rule_name}",
    responses=told("NotificationRuleAnswer", 412),
    openapi_extra=body_of("NotificationRuleBody"),
)
async def put_rule(
    request: Request,
    services: ServicesDep,
    rule_name: str,
    body: Annotated[dict[str, Any], Body()],
    if_match: Annotated[str, Header(max_length=80)] = "",
) -> dict[str, Any]:
    """Replace a rule; what the body does not name is the default. With If-Match only in place of
    that version. Without `address` the one that is kept stays."""
    values, address = _taken_apart({"name": rule_name, **body})
    version = if_match.strip().strip('"')
    rule = await keep_rule(
        services, request, values, address=address, replaces=rule_name, version=version
    )
    return await rule_document(services, rule)


@router.delete("/rules/{rule_name}", status_code=204)
async def delete_rule(request: Request, services: ServicesDep, rule_name: str) -> None:
    """Forget a rule; what still waits for it is dropped. The address stays in secrets.yaml."""
    await services.notifier.rules.delete(rule_name)
    services.notifier.rules_changed()
    services.audit.note(request, Action.NOTIFICATION_RULE_DELETED, details={"rule": rule_name})


@router.post("/rules/{rule_name}/test", responses=told("Outcome"))
async def send_test(request: Request, services: ServicesDep, rule_name: str) -> dict[str, Any]:
    """Send a message in the rule's words, and say what came of it."""
    receipt = await services.notifier.test(await services.notifier.rules.find(rule_name))
    services.audit.note(request, Action.NOTIFICATION_TESTED, details={"rule": rule_name})
    return {"ok": receipt.reason is None, "message": receipt.reason or "It arrived."}


@router.get("/deliveries")
async def list_deliveries(
    services: ServicesDep,
    rule: Filter[str] = None,
    state: State = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """List what was to be told and what became of it, newest first; pings too. What went out as
    one message has one `delivery`."""
    page = await services.notifier.outbox.list_notes(
        lane=rule_lane(rule) if rule else None, state=state, limit=limit, cursor=cursor
    )
    return {
        "items": [_delivery_document(note) for note in page.items],
        "total": page.total,
        "next_cursor": page.next_cursor,
    }


async def rule_document(services: Services, rule: NotificationRule) -> dict[str, Any]:
    """Return a rule as the API's JSON."""
    target = await target_state(services.credentials, rule.target)
    return {
        **rule.model_dump(mode="json"),
        "version": version_of(rule),
        "target_scheme": target.scheme,
        "target_fault": target.reason,
    }


def _delivery_document(note: Kept) -> dict[str, Any]:
    is_of_rule = note.lane.startswith(RULE_LANE)
    return {
        "id": str(note.id),
        "rule": note.lane.removeprefix(RULE_LANE) if is_of_rule else None,
        "target": note.target,
        "event": note.occasion,
        "job_id": note.job_id,
        "title": note.title if is_of_rule else f"ping {note.title or 'success'}",
        "state": note.state,
        "attempts": note.attempts,
        "reason": note.reason,
        "delivery": note.delivery,
        "created_at": utc_timestamp(note.created_at),
        "ended_at": utc_timestamp(note.ended_at) if note.ended_at is not None else None,
    }


def _taken_apart(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    values = {key: value for key, value in body.items() if key not in (*DERIVED_OF_RULE, "address")}
    address = body.get("address") or ""
    if not isinstance(address, str):
        raise InvalidSettings((FieldFault("address", "This must be text."),))
    return values, address.strip()

"""A rule kept together with the address of its target, which goes into secrets.yaml and is never
shown again: of it only the scheme is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from core.notifying.addresses import address_fault, scheme_of
from fastapi_app.services import Services
from models.audit import Action, changes
from models.errors import (
    CredentialUnusable,
    FieldFault,
    InvalidDocument,
    InvalidSettings,
)
from models.notifications import NotificationRule, rule_of
from storage.secrets import SECRETS_NAME, SecretsFile, is_fit

MAX_ADDRESS = 4096


@dataclass(frozen=True)
class TargetState:
    """What may be told of a target's address."""

    scheme: str | None
    reason: str | None
    """Why nothing can be sent to it; a sentence, or None."""


async def target_state(credentials: SecretsFile, name: str) -> TargetState:
    """Return what may be told of the address of a target."""
    try:
        address = (await credentials.find(name)).password
    except CredentialUnusable as error:
        return TargetState(None, str(error))
    return TargetState(scheme_of(address), address_fault(address))


async def keep_rule(
    services: Services,
    request: HTTPConnection,
    values: Mapping[str, Any],
    *,
    address: str,
    replaces: str | None,
    version: str = "",
) -> NotificationRule:
    """Keep what values mean, and the address unless it is empty: then the one that is kept under
    the target's name stays.

    Raises InvalidSettings with every fault, and what NotificationRules.put raises. When only the
    address cannot be kept the rule is, and shows that it has none it can use.
    """
    rule, faults = rule_of(values)
    wrong = [*faults]
    if address:
        wrong += [FieldFault("address", fault) for fault in [_fault_of(address)] if fault]
    if rule is not None:
        wrong += await _faults_of_target(services.credentials, rule.target, has_new=bool(address))
    if rule is None or wrong:
        raise InvalidSettings(tuple(wrong))
    before = await services.notifier.rules.find(replaces) if replaces else None
    await services.notifier.put_rule(rule, replaces=replaces, version=version)
    details = {"rule": rule.name, **_differences(before, rule)}
    services.audit.note(request, Action.NOTIFICATION_RULE_CHANGED, details=details)
    if address:
        # Last: a save that is refused must leave the address as it is, which nobody has twice.
        await _keep_address(services.credentials, rule.target, address)
        services.audit.note(request, Action.SECRET_CHANGED, details={"secret": rule.target})
    await services.notifier.try_again(rule)
    return rule


def _differences(before: NotificationRule | None, after: NotificationRule) -> dict[str, object]:
    if before is None:
        return {"is_new": True, "target": after.target}
    return changes(before.model_dump(mode="json"), after.model_dump(mode="json"))


def _fault_of(address: str) -> str | None:
    if not is_fit(address) or len(address) > MAX_ADDRESS:
        return f"An address is one line of at most {MAX_ADDRESS:,} characters."
    return address_fault(address)


async def _faults_of_target(
    credentials: SecretsFile, name: str, *, has_new: bool
) -> list[FieldFault]:
    if has_new:
        try:
            # What a person did to the file is found before anything is kept.
            await asyncio.to_thread(credentials.read)
        except InvalidDocument as error:
            return [_unwritable(error)]
    try:
        known = await credentials.find(name)
    except CredentialUnusable:
        told = "Type the address, or name a secret that holds one."
        return [] if has_new else [FieldFault("address", told)]
    if has_new and (known.user is not None or scheme_of(known.password) is None):
        # It may be what a job shows to a daemon.
        return [FieldFault("target", "A secret of this name is no address: choose another name.")]
    return []


async def _keep_address(credentials: SecretsFile, name: str, address: str) -> None:
    def work() -> None:
        credentials.put(name, user=None, password=address)

    try:
        await asyncio.to_thread(work)
    except InvalidDocument as error:
        raise InvalidSettings((_unwritable(error),)) from error


def _unwritable(error: InvalidDocument) -> FieldFault:
    return FieldFault("address", f"{SECRETS_NAME}: {error.reason}")

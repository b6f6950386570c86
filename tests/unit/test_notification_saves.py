"""Proves that a save which is refused leaves the address of a target as it is, and which faults of
secrets.yaml are told at their field."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import HTTPConnection

from fastapi_app.notification_changes import keep_rule
from fastapi_app.services import Services
from models.errors import InvalidSettings, RuleConflict
from storage.notification_rules import NotificationRules
from storage.secrets import SECRETS_NAME, SecretsFile

BEFORE, NEW = "json://before/secret", "json://new/secret"


class Parts:
    """What a save needs of the application."""

    def __init__(self, data_dir: Path, rules: NotificationRules) -> None:
        self.rules = rules
        self.secrets = SecretsFile(data_dir, {})
        notifier = SimpleNamespace(rules=rules, put_rule=rules.put, try_again=self._nothing_waits)
        audit = SimpleNamespace(note=lambda *_, **__: None)
        parts = SimpleNamespace(credentials=self.secrets, notifier=notifier, audit=audit)
        self.services = cast(Services, parts)

    async def _nothing_waits(self, _rule: object) -> None:
        return None

    async def save(self, name: str = "mail", **fields: Any) -> None:
        """Save a rule over the target `hook`."""
        values = {"address": "", "replaces": None, "version": ""} | fields
        request = HTTPConnection({"type": "http"})
        await keep_rule(self.services, request, {"name": name, "target": "hook"}, **values)

    async def address(self) -> str:
        """Return the address that is kept."""
        return (await self.secrets.find("hook")).password


@pytest.fixture
async def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path, await NotificationRules.open(tmp_path))
    await made.save(address=BEFORE)
    return made


async def test_a_save_that_is_refused_leaves_the_address_as_it_is(parts: Parts) -> None:
    with pytest.raises(InvalidSettings, match="already"):
        await parts.save(address=NEW)
    with pytest.raises(RuleConflict):
        await parts.save(address=NEW, replaces="mail", version="another")
    assert await parts.address() == BEFORE
    await parts.save(address=NEW, replaces="mail")
    assert await parts.address() == NEW


@pytest.mark.parametrize("spoil", ["typo", "mode"])
async def test_what_is_wrong_with_the_file_of_secrets_is_told_at_the_address(
    parts: Parts, tmp_path: Path, spoil: str
) -> None:
    path = tmp_path / SECRETS_NAME
    if spoil == "typo":
        path.write_text("format: 1\ncredentials: [\n")
    else:
        path.chmod(0o644)
    with pytest.raises(InvalidSettings) as refusal:
        await parts.save("other", address=NEW)
    (fault,) = refusal.value.faults
    assert fault.field == "address"
    assert fault.message.startswith(f"{SECRETS_NAME}: ")
    assert [rule.name for rule in await parts.rules.current()] == ["mail"]

"""`notifications.yaml` as a document, there and back; nothing here reads or writes a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from models.errors import FieldFault, InvalidDocument
from models.notifications import MAX_RULES, NotificationRule, rule_of
from storage import yaml_documents
from storage.job_documents import FORMAT, check_whole, told

RULES_NAME = "notifications.yaml"
_OF_THE_FILE = frozenset({"format", "updated_at", "rules"})
_VERSION_CHARACTERS = 16
Rules = tuple[NotificationRule, ...]


def rules_from(content: bytes) -> Rules:
    """Return what stands in the file. Raises InvalidDocument with every fault and its line.

    What the program wrote begins with `format` and ends with `updated_at`; a person need not know
    of either.
    """
    document = yaml_documents.parse(content, RULES_NAME)
    if "format" in document:
        check_whole(document, RULES_NAME)
    found = document.get("rules")
    faults = [
        FieldFault(key, "This key has no meaning here.") for key in document.keys() - _OF_THE_FILE
    ]
    if found is not None and not isinstance(found, list):
        faults.append(FieldFault("rules", "This must be a list of rules."))
    entries = found if isinstance(found, list) else []
    rules: list[NotificationRule] = []
    for place, entry in enumerate(entries):
        rule, wrong = _rule(entry)
        faults += (FieldFault(f"rules.{place}.{field}", text) for field, text in wrong)
        if rule is not None:
            rules.append(rule)
    faults += _faults_of_all(rules)
    if faults:
        raise InvalidDocument(RULES_NAME, told(content, tuple(faults)))
    return tuple(rules)


def rules_content(rules: Iterable[NotificationRule], *, updated_at: str) -> bytes:
    """Return what stands in the file."""
    return yaml_documents.render(
        {
            "format": FORMAT,
            "rules": [rule.model_dump(mode="json") for rule in rules],
            "updated_at": updated_at,
        }
    )


def version_of(rule: NotificationRule) -> str:
    """Return what tells a rule from every other state of it."""
    text = json.dumps(rule.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_CHARACTERS]


def _rule(entry: Any) -> tuple[NotificationRule | None, tuple[FieldFault, ...]]:
    if not isinstance(entry, dict):
        return None, (FieldFault("name", "A rule has a name, a target and events."),)
    return rule_of(entry)


def _faults_of_all(rules: list[NotificationRule]) -> list[FieldFault]:
    names = [rule.name for rule in rules]
    faults = [
        FieldFault("rules", f"There are two rules called {name}.")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if len(rules) > MAX_RULES:
        faults.append(FieldFault("rules", f"There are at most {MAX_RULES} rules."))
    return faults

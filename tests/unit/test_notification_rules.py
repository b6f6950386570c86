"""Proves that the rules are kept durably, survive damage, and that a hand edit is taken over or
told with every fault."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from models.error_event import Fault
from models.errors import InvalidSettings, RuleConflict, RuleNotFound
from models.notifications import NotificationRule, Occasion
from storage.notification_document import RULES_NAME, version_of
from storage.notification_rules import DAMAGED, RECOVERED, NotificationRules
from storage.settings_store import SettingsObserver

BY_HAND = b"""# mine
rules:
  - name: mail
    target: mail
    events: [run_failed, error]
    digest_seconds: 10
"""


class Told:
    """Who is told of faults, and of their end."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.settled: list[str] = []
        self.observer = SettingsObserver(self.faults.append, self.settled.append)

    @property
    def types(self) -> list[str]:
        """Return the types of what was told."""
        return [fault.error_type for fault in self.faults]


def a_rule(name: str = "mail", **fields: object) -> NotificationRule:
    return NotificationRule.model_validate({"name": name, "target": "mail", **fields})


def is_lost(store: NotificationRules) -> bool:
    return store.is_lost


async def test_rules_are_kept_for_the_owner_alone_with_the_version_before(tmp_path: Path) -> None:
    store = await NotificationRules.open(tmp_path)
    await store.put(a_rule(), replaces=None)
    await store.put(a_rule("other", title="{event} {{}}"), replaces=None)
    await store.delete("mail")
    path = tmp_path / RULES_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"name: mail" in Path(f"{path}.bak").read_bytes()
    again = await NotificationRules.open(tmp_path)
    assert await again.current() == (a_rule("other", title="{event} {{}}"),)


async def test_a_rule_is_not_saved_over_another_or_over_what_was_not_seen(tmp_path: Path) -> None:
    store = await NotificationRules.open(tmp_path)
    await store.put(a_rule(), replaces=None)
    seen = version_of(await store.find("mail"))
    with pytest.raises(InvalidSettings, match="already"):
        await store.put(a_rule(), replaces=None)
    await store.put(a_rule(enabled=False), replaces="mail", version=seen)
    with pytest.raises(RuleConflict):
        await store.put(a_rule(), replaces="mail", version=seen)
    with pytest.raises(RuleNotFound):
        await store.put(a_rule("x"), replaces="x")
    await store.put(a_rule("renamed"), replaces="mail")
    assert [rule.name for rule in await store.current()] == ["renamed"]


async def test_an_edit_by_hand_is_taken_over_and_one_with_faults_changes_nothing(
    tmp_path: Path,
) -> None:
    told = Told()
    store = await NotificationRules.open(tmp_path, told.observer)
    path = tmp_path / RULES_NAME
    path.write_bytes(BY_HAND)
    (rule,) = await store.current()
    assert rule.events == (Occasion.RUN_FAILED, Occasion.ERROR)
    path.write_bytes(BY_HAND.replace(b"error]", b"mirror]").replace(b": 10", b": ten") + b"x: 1\n")
    assert await store.current() == (rule,)
    assert told.types == [DAMAGED]
    for part in ("line 5: rules.0.events", "line 6: rules.0.digest_seconds", "line 7: x"):
        assert part in told.faults[0].message
    await store.put(a_rule("other"), replaces=None)
    assert store.damage is None
    assert told.settled[-1] == DAMAGED
    aside = [name for name in os.listdir(tmp_path) if ".damaged-" in name]
    assert len(aside) == 1
    assert b"mirror" in (tmp_path / aside[0]).read_bytes()


async def test_what_a_power_cut_left_gives_way_to_the_version_before(tmp_path: Path) -> None:
    store = await NotificationRules.open(tmp_path)
    await store.put(a_rule(), replaces=None)
    await store.put(a_rule("other"), replaces=None)
    path = tmp_path / RULES_NAME
    path.write_bytes(path.read_bytes()[:40])
    told = Told()
    again = await NotificationRules.open(tmp_path, told.observer)
    assert [rule.name for rule in await again.current()] == ["mail"]
    assert told.types == [RECOVERED]
    path.write_bytes(b"")
    Path(f"{path}.bak").write_bytes(b"")
    lost = await NotificationRules.open(tmp_path, told.observer)
    assert await lost.current() == ()
    assert told.types == [RECOVERED, DAMAGED]
    assert lost.damage is not None
    assert is_lost(lost)


async def test_a_file_that_is_away_counts_as_no_rules_only_after_a_while(tmp_path: Path) -> None:
    now = 0.0
    told = Told()
    fresh = await NotificationRules.open(tmp_path, clock=lambda: now)
    assert not is_lost(fresh)
    await fresh.put(a_rule(), replaces=None)
    await fresh.put(a_rule(enabled=False), replaces="mail")
    path = tmp_path / RULES_NAME
    for is_back in (True, False):
        path.rename(tmp_path / "aside")
        assert await fresh.current() == (a_rule(enabled=False),)
        assert is_lost(fresh)
        now += 9 if is_back else 11
        if is_back:
            (tmp_path / "aside").rename(path)
        assert (await fresh.current() != ()) is is_back
        assert not is_lost(fresh)
    again = await NotificationRules.open(tmp_path, told.observer, clock=lambda: now)
    assert is_lost(again)  # Its previous version says that there was one.
    now += 11
    assert await again.current() == ()
    assert not is_lost(again)


async def test_damage_after_a_good_version_loses_no_rules_and_ends_with_a_good_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / RULES_NAME
    path.write_bytes(b"rules: [")
    store = await NotificationRules.open(tmp_path)
    assert is_lost(store)
    path.write_bytes(BY_HAND)
    assert len(await store.current()) == 1
    assert not is_lost(store)
    path.write_bytes(b"rules: {")
    assert len(await store.current()) == 1
    assert store.damage is not None
    assert not is_lost(store)

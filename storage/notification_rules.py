"""The notification rules of a data directory: read anew when the file has changed, and replaced
durably with the previous version kept. Files are read and written in threads."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from models.error_event import Component, Fault, Severity
from models.errors import (
    FieldFault,
    InvalidDocument,
    InvalidSettings,
    RuleConflict,
    RuleNotFound,
    SaveOutcomeUnknown,
    StorageFailed,
)
from models.notifications import MAX_RULES, NotificationRule
from storage.found_files import keep_aside, read_file, reason_of
from storage.notification_document import (
    RULES_NAME,
    Rules,
    rules_content,
    rules_from,
    version_of,
)
from storage.settings_store import SettingsObserver
from utils.durable_file import TEMPORARY_PREFIX, NotSynced, backup_of, drop_file, replace_file
from utils.shown_names import shown_name
from utils.timestamps import utc_timestamp

Value = TypeVar("Value")
DAMAGED = "NotificationRulesDamaged"
RECOVERED = "NotificationRulesRecovered"
_SAVING = "Saving the notification rules"
_READING = "Reading the notification rules"
_MAX_REASON = 600
_MISSING_SECONDS = 10.0
"""So long a file may be away: an editor moves the old one aside before the new one is there."""
_Facts = tuple[int, int, int]
"""What tells one state of the file from another: inode, size, time of change."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    facts: _Facts | None
    rules: Rules | None
    reason: str | None = None


class NotificationRules:
    """The rules of one data directory. Owned by the event loop."""

    def __init__(
        self,
        directory: Path,
        observer: SettingsObserver | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._path = os.fspath(directory / RULES_NAME)
        self._observer = observer or SettingsObserver()
        self._rules: Rules = ()
        self._facts: _Facts | None = None
        self._lock = asyncio.Lock()
        self._clock = clock
        self._has_good = False
        self._missing_since: float | None = None
        self.damage: str | None = None
        """Why the file cannot be used, or None; the last good rules stay in force."""

    @classmethod
    async def open(
        cls,
        directory: Path,
        observer: SettingsObserver | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> NotificationRules:
        """Read the rules, and mend the file from its backup if need be. Raises StorageFailed."""
        store = cls(directory, observer, clock=clock)
        found, fault = await _blocking(_READING, store._load)
        store._take(found)
        if found.facts is None and await asyncio.to_thread(os.path.exists, backup_of(store._path)):
            store._missing_since = clock()  # There were rules before.
        if fault is not None:
            store._observer.report(fault)
        return store

    @property
    def is_lost(self) -> bool:
        """Whether nobody can tell which rules there are: the file was damaged already when this
        started, or is missing since a moment ago."""
        return self._missing_since is not None or (self.damage is not None and not self._has_good)

    async def current(self) -> Rules:
        """Return the rules in force, with what a person did to the file meanwhile. Raises
        StorageFailed when the directory cannot be read."""
        async with self._lock:
            await self._refresh()
            return self._rules

    async def find(self, name: str) -> NotificationRule:
        """Return one rule. Raises RuleNotFound, StorageFailed."""
        return _found_in(await self.current(), name)

    async def put(self, rule: NotificationRule, *, replaces: str | None, version: str = "") -> None:
        """Keep a rule, durable when this returns: a new one, or in place of the one of a name, of
        which the caller has seen this version (an empty one means any).

        Raises InvalidSettings, RuleNotFound, RuleConflict, StorageFailed, SaveOutcomeUnknown.
        """
        async with self._lock:
            await self._refresh()
            names = [one.name for one in self._rules]
            if rule.name in names and rule.name != replaces:
                fault = FieldFault("name", "There is a rule of this name already.")
                raise InvalidSettings((fault,))
            if replaces is None:
                if len(names) >= MAX_RULES:
                    fault = FieldFault("name", f"There are at most {MAX_RULES} rules.")
                    raise InvalidSettings((fault,))
                await self._save((*self._rules, rule))
                return
            before = _found_in(self._rules, replaces)
            if version and version != version_of(before):
                raise RuleConflict(replaces)
            await self._save(tuple(rule if one is before else one for one in self._rules))

    async def delete(self, name: str) -> None:
        """Forget a rule. Raises RuleNotFound, StorageFailed, SaveOutcomeUnknown."""
        async with self._lock:
            await self._refresh()
            gone = _found_in(self._rules, name)
            await self._save(tuple(one for one in self._rules if one is not gone))

    async def _refresh(self) -> None:
        facts = await _blocking(_READING, self._look)
        if facts is not None:
            if facts == self._facts:
                self._missing_since = None
                return
            found = await _blocking(_READING, self._read)
        else:
            found = _Found(None, ())
        if found.facts is None and self._is_missed():
            return
        self._missing_since = None
        if found.facts == self._facts:
            return
        self._take(found)
        if found.reason is not None:
            self._observer.report(_damaged(found.reason))

    def _is_missed(self) -> bool:
        """Whether a file that is not there may still come back: until then the last one counts."""
        if self._missing_since is None:
            if self._facts is None:
                return False
            self._missing_since = self._clock()
        return self._clock() - self._missing_since < _MISSING_SECONDS

    async def _save(self, rules: Rules) -> None:
        content = rules_content(rules, updated_at=f"{utc_timestamp()[:19]}Z")
        # A person's work all the same, and it must not become the backup.
        is_damaged = self.damage is not None

        def work() -> None:
            if is_damaged:
                keep_aside(self._path)
            replace_file(self._path, content, keep_backup=not is_damaged)

        try:
            await asyncio.to_thread(work)
        except NotSynced as error:
            await self._refresh()
            raise SaveOutcomeUnknown(_SAVING, error.strerror or str(error)) from error
        except OSError as error:
            raise StorageFailed(_SAVING, error.strerror or str(error)) from error
        await self._refresh()

    def _take(self, found: _Found) -> None:
        self._facts, self.damage = found.facts, found.reason
        if found.rules is not None:
            self._rules, self._has_good = found.rules, True
            self._observer.settle(DAMAGED)

    def _look(self) -> _Facts | None:
        try:
            facts = os.stat(self._path)
        except FileNotFoundError:
            # A disk that is not mounted any more must not look like rules that were removed.
            os.stat(self._directory)
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def _read(self) -> _Found:
        facts = self._look()
        if facts is None:
            return _Found(None, ())
        try:
            return _Found(facts, rules_from(read_file(self._path).content))
        except (OSError, InvalidDocument) as error:
            reason = shown_name(reason_of(error).encode("utf-8", "backslashreplace"))
            return _Found(facts, None, reason[:_MAX_REASON])

    def _load(self) -> tuple[_Found, Fault | None]:
        for left in self._directory.glob(f"{TEMPORARY_PREFIX}{RULES_NAME}*"):
            drop_file(os.fspath(left))
        found = self._read()
        if found.reason is None:
            return found, None
        try:
            backup = read_file(backup_of(self._path)).content
            rules_from(backup)
            aside = keep_aside(self._path)
            replace_file(self._path, backup)
        except (OSError, InvalidDocument) as error:
            _logger.error("%s has no usable backup: %s", RULES_NAME, reason_of(error))
            return found, _damaged(found.reason)
        return self._read(), _recovered(found.reason, aside)


def _found_in(rules: Rules, name: str) -> NotificationRule:
    for rule in rules:
        if rule.name == name:
            return rule
    raise RuleNotFound(name)


def _damaged(reason: str) -> Fault:
    return _fault(
        DAMAGED,
        f"{RULES_NAME} cannot be used: {reason}. The last good rules stay in force until the file "
        "is mended; after a restart nothing is told until then, and what waits goes on waiting.",
        reason,
    )


def _recovered(reason: str, aside: str) -> Fault:
    return _fault(
        RECOVERED,
        f"{RULES_NAME} was damaged ({reason}). Its previous version is in force again; the damaged "
        f"file is kept as {aside}.",
        reason,
    )


def _fault(error_type: str, message: str, reason: str) -> Fault:
    return Fault(
        severity=Severity.HIGH,
        component=Component.STORAGE,
        error_type=error_type,
        message=message,
        details={"reason": reason},
    )


async def _blocking(what: str, work: Callable[[], Value]) -> Value:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise StorageFailed(what, error.strerror or str(error)) from error

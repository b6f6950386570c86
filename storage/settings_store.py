"""The settings in force: what the environment decided and what settings.yaml says, saved and taken
over without a restart. Owned by the event loop; files are read and written in threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from models.error_event import Fault
from models.errors import (
    FieldFault,
    InvalidSettings,
    SaveOutcomeUnknown,
    SettingsConflict,
    StorageFailed,
)
from models.setting_facts import SAVED, checked
from models.settings import SavedSettings, Settings
from storage.settings_document import SETTINGS_NAME, SettingsDocument, settings_content
from storage.settings_file import (
    CLEARED_BY_MENDING,
    ChangedOnDisk,
    FoundSettings,
    SettingsFile,
    edit_invalid,
)
from utils.durable_file import NotSynced
from utils.shown_names import shown_name
from utils.timestamps import utc_timestamp

Value = TypeVar("Value")
_MAX_TURNS = 5
"""How often a save begins anew because a person edits the file meanwhile."""
_MAX_KEYS, _MAX_KEY = 20, 80
"""How many unknown keys are told, and how many characters of each; all of them are kept."""
_SAVING = "Saving the settings"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SettingsObserver:
    """Who is told what the store meets by itself."""

    report: Callable[[Fault], None] = lambda _fault: None
    settle: Callable[[str], None] = lambda _error_type: None
    """The cause of the faults of this type is gone."""
    edited: Callable[[SavedSettings, SavedSettings], None] = lambda _before, _after: None
    """A person wrote the file: the settings before and after that."""


class SettingsStore:
    """The settings of one data directory."""

    def __init__(
        self, directory: Path, given: Settings, observer: SettingsObserver | None = None
    ) -> None:
        self.directory = directory
        self._file = SettingsFile(directory)
        self._given = given
        self._observer = observer or SettingsObserver()
        self._apply: Callable[[], Awaitable[None]] | None = None
        self._found = FoundSettings(None, SettingsDocument())
        self._good: SettingsDocument | None = None
        """What last stood in the file that was valid; None when that is not known."""
        self._good_content: bytes | None = None
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Future[Any]] = set()

    @classmethod
    async def open(
        cls, directory: Path, given: Settings, observer: SettingsObserver | None = None
    ) -> SettingsStore:
        """Read what was saved, and mend it if need be; `given` is what the environment decides.

        Raises StorageFailed when the directory itself cannot be used.
        """
        store = cls(directory, given, observer)
        loaded = await _blocking("Reading the settings", store._file.load)
        store._see(loaded.found)
        for fault in loaded.faults:
            _logger.error("%s", fault.message)
            store._observer.report(fault)
        return store

    def call_after_changes(self, apply: Callable[[], Awaitable[None]]) -> None:
        """Have this called whenever other settings are in force."""
        self._apply = apply

    @property
    def in_force(self) -> Settings:
        """The settings as they are now."""
        return self._given.with_saved(self.saved)

    @property
    def saved(self) -> SavedSettings:
        """What was saved; what its `model_fields_set` does not name is the default."""
        return self._good.saved if self._good else SavedSettings()

    @property
    def unknown(self) -> tuple[str, ...]:
        """The keys in the file that mean nothing to this version, for people: the first ones."""
        keys = islice(self._good.unknown, _MAX_KEYS) if self._good else ()
        return tuple(shown_name(key[:_MAX_KEY].encode("utf-8", "backslashreplace")) for key in keys)

    @property
    def decided(self) -> frozenset[str]:
        """The settings that the environment decides, for as long as this server runs."""
        return frozenset(self._given.model_fields_set)

    @property
    def version(self) -> str:
        """What a change must name, so that it is not made to other settings than were looked at."""
        return self._found.version

    @property
    def damage(self) -> str | None:
        """Why the file cannot be used, or None."""
        return self._found.reason

    @property
    def is_lost(self) -> bool:
        """Whether it is not known what was saved: nothing may then be removed by the defaults."""
        return self._good is None

    def may_have_lost(self, name: str) -> bool:
        """Whether it is not known what was saved of a setting, or whether it was."""
        return self.is_lost and not self._found.surely_leaves_out(name)

    async def save(
        self,
        values: Mapping[str, Any],
        *,
        expected_version: str,
        also_wrong: tuple[FieldFault, ...] = (),
    ) -> None:
        """Save these settings in place of those that were saved; what is not named is the default.

        A setting that the environment decides may come along unchanged, and keeps what the file
        says of it. `also_wrong` is what the caller knows against the values.

        Raises SettingsConflict, InvalidSettings, StorageFailed, SaveOutcomeUnknown.
        """
        await self._whole(lambda: self._save(values, expected_version, also_wrong))

    async def reconcile(self) -> None:
        """Take over what a person did to the file. Raises StorageFailed."""
        await self._whole(self._reconcile)

    async def close(self) -> None:
        """Finish what is under way; may be called twice."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _save(
        self,
        values: Mapping[str, Any],
        expected_version: str,
        also_wrong: tuple[FieldFault, ...],
    ) -> None:
        for _ in range(_MAX_TURNS):
            await self._reconcile()
            if expected_version != self.version:
                raise SettingsConflict(expected_version, self.version)
            wanted = self._wanted(values, also_wrong)
            present = self._found.document
            if present is not None and present.says_the_same(wanted):
                return
            try:
                await self._write(wanted)
            except ChangedOnDisk:
                continue
            return
        raise StorageFailed(_SAVING, "the file is being changed again and again")

    async def _write(self, wanted: SettingsDocument) -> None:
        seen = self._found
        if seen.content is None and seen.document is None:
            raise StorageFailed(_SAVING, f"the present {SETTINGS_NAME} {seen.reason}")
        content = settings_content(wanted, updated_at=f"{utc_timestamp()[:19]}Z")
        try:
            await asyncio.to_thread(self._file.replace, content, seen=seen)
        except NotSynced as error:
            await self._reconcile(by_hand=False)
            raise SaveOutcomeUnknown(_SAVING, error.strerror or str(error)) from error
        except OSError as error:
            raise StorageFailed(_SAVING, error.strerror or str(error)) from error
        await self._take(FoundSettings(content, wanted))

    async def _reconcile(self, *, by_hand: bool = True) -> None:
        found = await _blocking("Reading the settings", self._file.look)
        if found == self._found:
            return
        if found.reason is not None:
            _logger.error("%s cannot be used: %s", SETTINGS_NAME, found.reason)
            for error_type in CLEARED_BY_MENDING:
                self._observer.settle(error_type)
            self._observer.report(edit_invalid(found.reason))
        else:
            _logger.info("%s was changed by hand and is taken over", SETTINGS_NAME)
        before, saved = self._good_content, self.saved
        await self._take(found)
        if by_hand and found.reason is None:
            self._observer.edited(saved, self.saved)
        if before is not None and before != found.content:
            await self._keep_backup(before)

    async def _keep_backup(self, content: bytes) -> None:
        """An edit is in force whether or not there is room for what stood there before it."""
        try:
            await asyncio.to_thread(self._file.keep_backup, content)
        except OSError as error:
            _logger.warning("the settings before an edit are not kept: %s", error)

    async def _take(self, found: FoundSettings) -> None:
        before = (self.in_force, self.is_lost)
        self._see(found)
        if self._apply is not None and (self.in_force, self.is_lost) != before:
            await self._apply()

    def _see(self, found: FoundSettings) -> None:
        self._found = found
        if found.document is not None:
            self._good, self._good_content = found.document, found.content
            for error_type in CLEARED_BY_MENDING:
                self._observer.settle(error_type)

    def _wanted(
        self, values: Mapping[str, Any], also_wrong: tuple[FieldFault, ...]
    ) -> SettingsDocument:
        """Return what is to stand in the file. Raises InvalidSettings with every fault."""
        posted, faults = checked(values)
        decided = [
            FieldFault(name, f"{SAVED[name].variable} decides this: change it there.")
            for name in SAVED
            if name in self.decided and name in values and self._differs(posted, name)
        ]
        told = {fault.field for fault in decided}
        faults = (*(fault for fault in faults if fault.field not in told), *decided, *also_wrong)
        if faults:
            raise InvalidSettings(faults)
        saved, kept = self.saved, {}
        for name, facts in SAVED.items():
            if name in self.decided:
                if name in saved.model_fields_set:
                    kept[name] = getattr(saved, name)
            elif name in posted.model_fields_set:
                value = getattr(posted, name)
                # A default that a person wrote into the file stays there.
                was_there = name in saved.model_fields_set and getattr(saved, name) == value
                if was_there or value != facts.default:
                    kept[name] = value
        unknown = self._good.unknown if self._good else {}
        return SettingsDocument(SavedSettings.model_validate(kept), unknown)

    def _differs(self, posted: SavedSettings, name: str) -> bool:
        if name not in posted.model_fields_set:
            return True
        return bool(getattr(posted, name) != getattr(self.in_force, name))

    async def _whole(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do one change alone, and to its end even when the caller goes away."""

        async def locked() -> None:
            async with self._lock:
                await work()

        task = asyncio.ensure_future(locked())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)


async def _blocking(what: str, work: Callable[[], Value]) -> Value:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise StorageFailed(what, error.strerror or str(error)) from error

"""`settings.yaml` on disk: how it is read, mended and replaced.

Everything here blocks and belongs into a thread. Who calls it holds the directory (longshore.lock).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from models.error_event import Component, Fault, Severity
from models.errors import InvalidDocument
from storage.found_files import keep_aside, read_file, reason_of
from storage.settings_document import (
    SETTINGS_NAME,
    SettingsDocument,
    settings_from,
    surely_leaves_out,
)
from utils.durable_file import TEMPORARY_PREFIX, backup_of, drop_file, replace_file
from utils.shown_names import shown_name

RECOVERED = "SettingsRecovered"
DAMAGED = "SettingsDamaged"
EDIT_INVALID = "SettingsEditInvalid"
CLEARED_BY_MENDING = (DAMAGED, EDIT_INVALID)
"""What is over once the file is mended."""
NO_FILE = "none"
"""The version of settings that were never saved."""
_VERSION_CHARACTERS = 16
_MAX_REASON = 600


@dataclass(frozen=True)
class FoundSettings:
    """The file as it was found."""

    content: bytes | None
    """None when there is no file, or it cannot be read."""
    document: SettingsDocument | None = field(default=None, compare=False)
    """None when it cannot be used; `reason` says why."""
    reason: str | None = None

    def surely_leaves_out(self, name: str) -> bool:
        """Whether a file that cannot be used does not name a setting: nothing of it is lost, and
        only what else stands there is not valid."""
        return self.content is not None and surely_leaves_out(self.content, name)

    @property
    def version(self) -> str:
        """What tells this content from every other: the beginning of its SHA-256."""
        if self.content is None:
            return NO_FILE if self.document is not None else "unreadable"
        return hashlib.sha256(self.content).hexdigest()[:_VERSION_CHARACTERS]


@dataclass(frozen=True)
class LoadedSettings:
    """What was found at the start, after it was mended, and what there is to tell about that."""

    found: FoundSettings
    faults: tuple[Fault, ...] = field(default=())


class ChangedOnDisk(Exception):
    """The file is not what was last seen: nothing was written over it."""


class SettingsFile:
    """The settings of a data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = os.fspath(directory / SETTINGS_NAME)

    def look(self) -> FoundSettings:
        """Read the file and change nothing. Raises OSError when the directory itself is gone: a
        disk that is not mounted any more must not look like settings that a person removed."""
        try:
            content = read_file(self._path).content
        except FileNotFoundError:
            os.stat(self._directory)
            return FoundSettings(None, SettingsDocument())
        except OSError as error:
            os.stat(self._directory)
            return FoundSettings(None, reason=reason_of(error))
        return _found(content)

    def load(self) -> LoadedSettings:
        """Read the file at the start; one that is damaged gives way to the one before it. Raises
        OSError when the directory itself is gone."""
        for left in self._directory.glob(f"{TEMPORARY_PREFIX}{SETTINGS_NAME}*"):
            drop_file(os.fspath(left))
        found = self.look()
        if found.reason is None:
            return LoadedSettings(found)
        if found.content is None:
            # Whole for all we know, and its owner's to open up: nothing is put in its place.
            return LoadedSettings(found, (damaged(found.reason),))
        try:
            backup = read_file(backup_of(self._path)).content
            document = settings_from(backup)
            aside = keep_aside(self._path)
            replace_file(self._path, backup)
        except (OSError, InvalidDocument) as error:
            because = None if isinstance(error, FileNotFoundError) else reason_of(error)
            return LoadedSettings(found, (damaged(found.reason, because),))
        return LoadedSettings(FoundSettings(backup, document), (_recovered(found.reason, aside),))

    def replace(self, content: bytes, *, seen: FoundSettings) -> None:
        """Put new content in the file's place, durable when this returns; what stood there becomes
        the backup, or is kept aside when it cannot be used.

        Raises ChangedOnDisk when the file is not as it was last seen, OSError, NotSynced.
        """
        if self.look() != seen:
            raise ChangedOnDisk
        if seen.content is not None and seen.document is None:
            # A person's work all the same; and it must not become the backup.
            keep_aside(self._path)
        replace_file(self._path, content, keep_backup=seen.document is not None)

    def keep_backup(self, content: bytes) -> None:
        """Keep what stood in the file before a person changed it. Raises OSError."""
        replace_file(backup_of(self._path), content)


def _found(content: bytes) -> FoundSettings:
    try:
        return FoundSettings(content, settings_from(content))
    except InvalidDocument as error:
        reason = shown_name(error.reason.encode("utf-8", "backslashreplace"))
        return FoundSettings(content, reason=reason[:_MAX_REASON])


def damaged(reason: str, backup_reason: str | None = None) -> Fault:
    """The file cannot be used, and why its previous version cannot stand in for it."""
    backup = (
        f" Its previous version ({SETTINGS_NAME}.bak) {backup_reason}." if backup_reason else ""
    )
    return _fault(
        DAMAGED,
        f"{SETTINGS_NAME} cannot be used: {reason}.{backup} The defaults are in force, and no old "
        "run is removed, until the file is mended or the settings are saved.",
        reason=reason,
    )


def edit_invalid(reason: str) -> Fault:
    """A person's edit is not valid; the last good settings stay in force."""
    return _fault(
        EDIT_INVALID,
        f"{SETTINGS_NAME} was changed by hand and cannot be used: {reason}. The last good settings "
        "stay in force until the file is mended.",
        reason=reason,
    )


def _recovered(reason: str, aside: str) -> Fault:
    return _fault(
        RECOVERED,
        f"{SETTINGS_NAME} was damaged ({reason}). Its previous version is in force again; the "
        f"damaged file is kept as {aside}.",
        reason=reason,
    )


def _fault(error_type: str, message: str, *, reason: str) -> Fault:
    return Fault(
        severity=Severity.HIGH,
        component=Component.STORAGE,
        error_type=error_type,
        message=message,
        details={"reason": reason},
    )

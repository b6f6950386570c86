"""Whether a data directory is whole, looked at without changing anything, also beside a server.

Its files may come and go meanwhile: what is gone when it is read is not told.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from models.errors import InvalidDocument, StorageFailed
from models.run_spec import RunSpec
from storage.database_check import database_faults
from storage.found_files import DAMAGED_MARK, OnDisk, read_file
from storage.job_documents import job_from, state_from
from storage.job_files import JOBS_DIRECTORY, STATES_DIRECTORY
from storage.layout import COUNTERS_NAME, DATABASE_NAME
from storage.notification_document import RULES_NAME, rules_from
from storage.run_directories import RUNS_DIRECTORY
from storage.secrets import SECRETS_NAME, parse_secrets
from storage.settings_document import SETTINGS_NAME, settings_from
from utils.durable_file import BACKUP_SUFFIX, TEMPORARY_PREFIX

LOGS_DIRECTORY = "logs"
_OWN_FILES = ("longshore.lock", SETTINGS_NAME, SECRETS_NAME, "known_hosts", DATABASE_NAME)
"""What is ours at the top of a data directory, with what stands beside it under the same name."""
_SUFFIX = ".yaml"
_WRITING_SECONDS = 60
"""Longer than any file is on its way to its place."""


class Mark(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warn"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was found; `place` is a path beneath the data directory, or empty."""

    mark: Mark
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass
class DirectoryCheck:
    """What a check found, and how much of each kind it looked at."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: {"definitions": 0, "states": 0, "backups": 0, "runs": 0}
    )

    def of(self, mark: Mark) -> int:
        """Return how many findings are of this kind."""
        return sum(finding.mark is mark for finding in self.findings)


def check_directory(directory: Path, *, is_served: bool) -> DirectoryCheck:
    """Look at everything in a data directory; `is_served` tells whether a server runs on it."""
    checker = _Checker(directory, is_served)
    if not directory.is_dir():
        checker.fault("", f"there is no data directory {directory}")
        return checker.result
    try:
        checker.check_all()
    except OSError as error:
        checker.fault("", f"{error.filename or directory} cannot be read: {error.strerror}")
    return checker.result


class _Checker:
    def __init__(self, directory: Path, is_served: bool) -> None:
        self.result = DirectoryCheck()
        self._directory = directory
        self._is_served = is_served
        self._began = time.time()

    def check_all(self) -> None:
        """Raises OSError when a directory cannot be listed."""
        definitions = set(self._check_documents(JOBS_DIRECTORY, "definitions", _definition))
        states = set(self._check_documents(STATES_DIRECTORY, "states", _state))
        for job_id in sorted(states - definitions):
            if not (self._directory / JOBS_DIRECTORY / f"{job_id}{_SUFFIX}").exists():
                place = f"{STATES_DIRECTORY}/{job_id}{_SUFFIX}"
                self.warn(place, "is the state of no job: its definition is gone")
        self._check_settings()
        self._check_database()
        self._check_runs()
        self._check_privacy()

    def fault(self, place: str, message: str) -> None:
        self._add(Mark.FAULT, place, message)

    def warn(self, place: str, message: str) -> None:
        self._add(Mark.WARNING, place, message)

    def _add(self, mark: Mark, place: str, message: str) -> None:
        self.result.findings.append(Finding(mark, place, message))

    def _check_documents(
        self, name: str, counted: str, read: Callable[[OnDisk, str], object]
    ) -> Iterator[str]:
        """Check one directory of YAML files; yields the ids of the jobs that have one."""
        for entry in self._entries(name):
            place = f"{name}/{entry}"
            if entry.startswith(TEMPORARY_PREFIX):
                self._check_leftover(place)
            elif DAMAGED_MARK in entry:
                self.warn(place, "was damaged and is kept for you to look at")
            elif entry.endswith(_SUFFIX + BACKUP_SUFFIX):
                job_id = entry.removesuffix(_SUFFIX + BACKUP_SUFFIX)
                if self._is_there(place, job_id, read, self.warn):
                    self.result.counts["backups"] += 1
            elif entry.endswith(_SUFFIX) and not entry.startswith("."):
                job_id = entry.removesuffix(_SUFFIX)
                if self._is_there(place, job_id, read, self.fault):
                    self.result.counts[counted] += 1
                    yield job_id

    def _is_there(
        self,
        place: str,
        job_id: str,
        read: Callable[[OnDisk, str], object],
        tell: Callable[[str, str], None],
    ) -> bool:
        path = self._directory / place
        try:
            read(read_file(os.fspath(path)), job_id)
        except InvalidDocument as error:
            tell(place, error.reason)
        except OSError as error:
            if not os.path.lexists(path):
                return False  # Deleted meanwhile.
            tell(place, f"cannot be read: {error.strerror}")
        return True

    def _check_leftover(self, place: str) -> None:
        if self._is_settled(place):
            self.warn(place, "is a file that was being written when the program was cut off")

    def _is_settled(self, place: str) -> bool:
        """Whether something is not merely on its way under a server that is at work."""
        try:
            changed_at = os.lstat(self._directory / place).st_ctime
        except FileNotFoundError:
            return False
        return not self._is_served or self._began - changed_at > _WRITING_SECONDS

    def _check_settings(self) -> None:
        for name, read in ((SETTINGS_NAME, _settings), (RULES_NAME, _rules)):
            for place, tell in ((name, self.fault), (name + BACKUP_SUFFIX, self.warn)):
                if os.path.lexists(self._directory / place):
                    self._is_there(place, place, read, tell)
            for entry in self._entries(""):
                if entry.startswith(f"{name}{DAMAGED_MARK}"):
                    self.warn(entry, "was damaged and is kept for you to look at")
                elif entry.startswith(f"{TEMPORARY_PREFIX}{name}"):
                    self._check_leftover(entry)
        for entry in self._entries(""):
            if entry.startswith(f"{COUNTERS_NAME}{DAMAGED_MARK}"):
                self.warn(entry, "could not be used and is kept for you to look at")
        if os.path.lexists(self._directory / SECRETS_NAME):
            self._is_there(SECRETS_NAME, SECRETS_NAME, _secrets, self.fault)

    def _check_database(self) -> None:
        path = self._directory / DATABASE_NAME
        if not path.exists():
            if self._entries(RUNS_DIRECTORY):
                self.warn(DATABASE_NAME, "is missing, though there are runs: their history is gone")
            return
        try:
            faults = database_faults(path, is_served=self._is_served)
        except StorageFailed as error:
            self.warn(DATABASE_NAME, f"was not checked: {error.reason}")
            return
        for fault in faults:
            self.fault(DATABASE_NAME, fault)
        if not faults:
            self._add(Mark.OK, DATABASE_NAME, "is whole")

    def _check_runs(self) -> None:
        for run_id in self._entries(RUNS_DIRECTORY):
            run = f"{RUNS_DIRECTORY}/{run_id}"
            if not (self._directory / run).is_dir():
                continue
            self.result.counts["runs"] += 1
            for entry in self._entries(run):
                if entry.startswith(TEMPORARY_PREFIX):
                    self._check_leftover(f"{run}/{entry}")
            place = f"{run}/spec.json"
            if os.path.lexists(self._directory / place):
                self._is_there(place, run_id, _spec, self.fault)
            elif self._is_settled(run):
                self.warn(run, "has no spec.json: it never began")

    def _check_privacy(self) -> None:
        own = [
            name
            for name in self._entries("")
            if any(name.startswith(own_name) for own_name in _OWN_FILES)
        ]
        self._check_modes("", own)
        for name in (JOBS_DIRECTORY, STATES_DIRECTORY, LOGS_DIRECTORY, RUNS_DIRECTORY):
            if (self._directory / name).is_dir():
                self._check_modes(name, self._entries(name))
        for run_id in self._entries(RUNS_DIRECTORY):
            run = f"{RUNS_DIRECTORY}/{run_id}"
            if (self._directory / run).is_dir():
                self._check_modes(run, self._entries(run))

    def _check_modes(self, name: str, entries: Iterable[str]) -> None:
        """Tell once for a directory how many of its files others may use."""
        directory = self._directory / name
        if _is_open(directory, stat.S_ISDIR):
            self.warn(name or ".", "can be used by others: chmod 700")
        files = [entry for entry in entries if _is_open(directory / entry, stat.S_ISREG)]
        if files:
            more = f", as can {len(files) - 1} more" if len(files) > 1 else ""
            first = f"{name}/{files[0]}" if name else files[0]
            self.warn(first, f"can be used by others{more}: chmod 600")

    def _entries(self, name: str) -> list[str]:
        try:
            return sorted(os.listdir(self._directory / name))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _is_open(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    return kind(mode) and bool(stat.S_IMODE(mode) & 0o077)


def _definition(found: OnDisk, job_id: str) -> object:
    return job_from(found.content, job_id, modified_at_ns=found.modified_at_ns)


def _state(found: OnDisk, job_id: str) -> object:
    return state_from(found.content, job_id)


def _settings(found: OnDisk, _name: str) -> object:
    return settings_from(found.content)


def _rules(found: OnDisk, _name: str) -> object:
    return rules_from(found.content)


def _secrets(found: OnDisk, _name: str) -> object:
    return parse_secrets(found.content)


def _spec(found: OnDisk, _run_id: str) -> object:
    try:
        document = json.loads(found.content)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument("spec.json", f"is not JSON: {error}") from error
    return RunSpec.from_document(document)

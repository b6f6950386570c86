"""The options of a job and its source deletion: each by itself, and what goes with what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from models.extra_args import extra_argument_fault
from models.job_part import Part
from models.location import control_character
from models.remote import RSYNC_SCHEME, SSH_SCHEME, is_remote

MAX_PATTERNS = 1000
MAX_PATTERN_CHARACTERS = 50_000
"""So that a definition stays well below what the store reads back (1 MB)."""
MAX_EXTRA_ARGUMENTS = 50
MAX_DELETE = 2**31 - 1
"""rsync keeps the number in a C int (rsync(1), --max-delete)."""
_RATE = re.compile(r"^(?P<number>\d{1,12}(?:\.\d{1,3})?)(?P<unit>[KMGT]?)$", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MINIMUM_RATE = 1024
_MAX_PATH_CHARACTERS = 4096
EXPANDED_BY_SSH = "\"'\\%$"
"""ssh takes these in a path for something else (ssh_config(5), TOKENS)."""
CREDENTIAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def parse_rate(text: str) -> int:
    """Return bytes per second for a limit such as `500K` or `10M` (powers of 1024).

    Raises ValueError for anything else and for less than 1024 bytes per second, the smallest step
    of rsync's own limit (rsync(1), --bwlimit).
    """
    match = _RATE.match(text.strip())
    if not match:
        raise ValueError("Write a rate such as 500K or 10M: bytes per second, powers of 1024.")
    rate = int(float(match["number"]) * _UNITS[match["unit"].upper()])
    if rate < _MINIMUM_RATE:
        raise ValueError("The smallest limit is 1K (1,024 bytes per second).")
    return rate


def checked_credential_name(value: str | None) -> str | None:
    """Return the name of an entry in secrets.yaml; nothing is None. Raises ValueError."""
    if value is None or not value.strip():
        return None
    if not CREDENTIAL_NAME.fullmatch(value):
        raise ValueError("The name of a credential has letters, digits and “_.-”.")
    return value


class JobOptions(Part):
    """How a job is done. What one engine alone understands is a fault in a job of the other."""

    exclude: tuple[str, ...] = Field(default=(), max_length=MAX_PATTERNS)
    include: tuple[str, ...] = Field(default=(), max_length=MAX_PATTERNS)
    bandwidth_limit: str | None = None
    delete_extraneous: bool = False
    max_delete: int | None = Field(default=None, ge=0, le=MAX_DELETE)
    keep_replaced: bool = False
    """Whether what a run replaces or deletes at the destination is kept in a dated folder there."""
    extra_args: tuple[str, ...] = Field(default=(), max_length=MAX_EXTRA_ARGUMENTS)
    timeout_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """How long the other side may be silent; None leaves it to Longshore."""
    credential: str | None = None
    """The name of what stands in secrets.yaml: a daemon's user and password, or the password of the
    rclone configuration."""

    # rsync alone.
    hard_links: bool = False
    acls: bool = False
    xattrs: bool = False
    ssh_identity: str | None = None
    """The file of the private key, as an absolute path; None leaves it to ssh."""
    ssh_host_keys: Literal["strict", "accept_new"] = "strict"
    """Whether a host that ssh has never met is refused, or remembered (ssh_config(5),
    StrictHostKeyChecking). One whose key changed is refused in any case."""

    # rclone alone.
    transfers: int | None = Field(default=None, ge=1, le=64)
    checkers: int | None = Field(default=None, ge=1, le=256)

    # What must hold before anything is touched.
    source_marker: str | None = None
    """A file or folder within the source without which no run begins."""
    source_mount: str | None = None
    destination_mount: str | None = None
    """A mount point that must be mounted, and hold the location."""

    @field_validator("exclude", "include")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if sum(len(pattern) for pattern in patterns) > MAX_PATTERN_CHARACTERS:
            raise ValueError(
                f"All patterns together have at most {MAX_PATTERN_CHARACTERS:,} characters."
            )
        for pattern in patterns:
            escape = control_character(pattern)
            if not pattern.strip():
                raise ValueError("A pattern must not be empty.")
            if escape is not None:
                raise ValueError(f"A pattern must not contain the control character {escape}.")
            if pattern == "!" or pattern.startswith(("+ ", "- ")):
                # rsync reads these as filter rules even in --exclude (rsync(1), FILTER RULES).
                raise ValueError(f"“{pattern}” is a filter rule, not a pattern.")
        return patterns

    @field_validator("bandwidth_limit", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError("Write a rate such as 500K or 10M.")
        parse_rate(value)
        return value.strip().upper()

    @field_validator("ssh_identity", "source_mount", "destination_mount")
    @classmethod
    def _absolute_path(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        escape = control_character(value)
        if escape is not None:
            raise ValueError(f"A path must not contain the control character {escape}.")
        if not value.startswith("/") or len(value) > _MAX_PATH_CHARACTERS:
            raise ValueError("Write the absolute path, which begins with “/”.")
        if ".." in value.split("/"):
            raise ValueError("The path must not contain “..”: write where it really leads.")
        return value

    @field_validator("ssh_identity")
    @classmethod
    def _key_file(cls, value: str | None) -> str | None:
        found = next((one for one in value or "" if one in EXPANDED_BY_SSH), None)
        if found is not None:
            raise ValueError(
                f"The path must not contain “{found}”, which ssh takes for something else."
            )
        return value

    @field_validator("source_marker")
    @classmethod
    def _marker(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        escape = control_character(value)
        if escape is not None:
            raise ValueError(f"A name must not contain the control character {escape}.")
        if value.startswith("/") or ".." in value.split("/") or len(value) > _MAX_PATH_CHARACTERS:
            raise ValueError("Write a name within the source, such as .this-is-the-nas.")
        return value

    @field_validator("credential")
    @classmethod
    def _credential(cls, value: str | None) -> str | None:
        return checked_credential_name(value)

    @property
    def bytes_per_second(self) -> int | None:
        """The bandwidth limit in bytes per second, or None."""
        return parse_rate(self.bandwidth_limit) if self.bandwidth_limit else None


class SourceDeletion(Part):
    """Whether and how sources are deleted once their copies are proven."""

    enabled: bool = False
    mode: Literal["verify_then_delete", "per_file"] = "verify_then_delete"
    """All or nothing, or each file after its own proof."""
    delete_empty_directories: bool = False
    trash_days: int | None = Field(default=None, ge=1, le=3650)
    """How many days what was deleted is kept in a trash folder on the source's own file system;
    None deletes at once."""


class Monitoring(Part):
    """Who is to notice when a job does not do what it should."""

    success_within_seconds: int | None = Field(default=None, ge=60, le=10 * 366 * 86_400)
    """The job is overdue when it has had no success for longer; None expects nothing of it."""
    ping: str | None = None
    """The name of the entry in secrets.yaml whose password is the address that is told of the
    start, the success and the failure of each run (healthchecks.io, Pinging API)."""

    @field_validator("ping")
    @classmethod
    def _ping(cls, value: str | None) -> str | None:
        return checked_credential_name(value)


class OptionFault(NamedTuple):
    """What is wrong with one option of a job, by its name."""

    name: str
    message: str


_OF_RSYNC = ("hard_links", "acls", "xattrs", "ssh_identity")
_OF_RCLONE = ("transfers", "checkers")


def option_faults(
    options: JobOptions, *, engine: str, source: str, destination: str
) -> Iterator[OptionFault]:
    """Yield what does not go together with the engine and the locations, all of it."""
    for argument in options.extra_args:
        fault = extra_argument_fault(engine, argument)
        if fault is not None:
            yield OptionFault("extra_args", fault)
    foreign = _OF_RCLONE if engine == "rsync" else _OF_RSYNC
    for name in foreign:
        if getattr(options, name):
            yield OptionFault(name, f"The engine {engine} has no such option.")
    over_ssh = source.startswith(SSH_SCHEME) or destination.startswith(SSH_SCHEME)
    if options.ssh_identity and engine == "rsync" and not over_ssh:
        yield OptionFault("ssh_identity", "A key is for a location over ssh: ssh://user@host/path.")
    has_daemon = source.startswith(RSYNC_SCHEME) or destination.startswith(RSYNC_SCHEME)
    if options.credential and engine == "rsync" and not has_daemon:
        yield OptionFault(
            "credential", "A credential is for a location on an rsync daemon; ssh uses a key."
        )
    yield from _mount_faults("source_mount", options.source_mount, source)
    yield from _mount_faults("destination_mount", options.destination_mount, destination)
    if options.source_marker and is_remote(source):
        yield OptionFault("source_marker", "Only a source on this machine can be looked at.")


def _mount_faults(name: str, mount: str | None, location: str) -> Iterator[OptionFault]:
    if mount is None:
        return
    if is_remote(location):
        yield OptionFault(name, "Only a location on this machine can be on a mount.")
    elif not f"{location}/".startswith(mount.rstrip("/") + "/"):
        yield OptionFault(name, f"{location} does not lie on {mount}.")

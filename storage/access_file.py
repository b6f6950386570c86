"""`access.yaml`: who may get in, with hashes of passwords and tokens. A person can read it.

Nobody gets in by damage: what cannot be read is an error and never an empty list. Beside it stands
the digest of what the program wrote last (`access.written`), so that it knows what it did not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.access import ACCOUNT_NAME, AccessList, AccessToken, Account, FoundAccess, Role
from models.errors import InvalidDocument, StorageFailed
from storage import yaml_documents
from utils.durable_file import replace_file

ACCESS_NAME = "access.yaml"
WRITTEN_NAME = "access.written"
_FORMAT = "1"
_MAX_BYTES = 1024 * 1024
_NAME = re.compile(ACCOUNT_NAME)
_HASH = re.compile(r"\$argon2id\$[\x21-\x7e]{20,500}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""As utc_timestamp writes it: times are compared as texts."""
_FORM_OF_TIME = "write it as 2027-01-31T12:00:00.000Z"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class AccessFile:
    """The file of one data directory."""

    def __init__(self, data_directory: Path) -> None:
        self._directory = data_directory
        self._path = data_directory / ACCESS_NAME
        self._written = data_directory / WRITTEN_NAME

    @property
    def directory(self) -> Path:
        """Where the file is."""
        return self._directory

    def read(self) -> AccessList:
        """Return what stands in the file; nobody when there is none. Blocking.

        Raises InvalidDocument when it is not as it should be, and StorageFailed when it cannot be
        read.
        """
        return _listed(self._content())

    def look(self) -> FoundAccess:
        """Return the same, and whether the program wrote that. Blocking. Raises as `read` does."""
        with self._locked(fcntl.LOCK_SH):
            return self._look()

    def accept(self, digest: str) -> None:
        """Take what has this digest for what the program wrote. Blocking. Raises StorageFailed."""
        with self._locked(fcntl.LOCK_EX):
            self._keep_digest(digest)

    @contextmanager
    def changing(self) -> Iterator[tuple[dict[str, Account], dict[str, AccessToken]]]:
        """Give accounts and tokens to be changed, and write them when they were: durable when this
        returns, and one at a time, also with other processes. Where somebody else wrote the file
        before, that stays to be seen. Blocking. Raises as `read` does."""
        with self._locked(fcntl.LOCK_EX):
            found = self._look()
            accounts, tokens = dict(found.listed.accounts), dict(found.listed.tokens)
            yield accounts, tokens
            changed = AccessList(accounts, tokens)
            if changed != found.listed:
                content = _rendered(changed)
                if found.left is None or not found.is_by_hand:
                    self._keep_digest(_digest(content))
                self._write(content)

    def _look(self) -> FoundAccess:
        content = self._content()
        try:
            left = self._written.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            left = None
        return FoundAccess(_listed(content), "" if content is None else _digest(content), left)

    def _content(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed("Reading", error) from error

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed("Opening the folder of", error) from error
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _keep_digest(self, digest: str) -> None:
        try:
            replace_file(self._written, f"{digest}\n".encode())
        except OSError as error:
            raise _failed("Writing the digest of", error) from error

    def _write(self, content: bytes) -> None:
        try:
            # Without a backup: that would keep a password which was changed.
            replace_file(self._path, content)
        except OSError as error:
            raise _failed("Writing", error) from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _listed(content: bytes | None) -> AccessList:
    return AccessList() if content is None else parse_access(content)


def parse_access(content: bytes) -> AccessList:
    """Return what stands in the file's content. Raises InvalidDocument with every fault."""
    document = yaml_documents.parse(content, ACCESS_NAME)
    faults: list[str] = []
    if document.get("format") != _FORMAT:
        faults.append("format is not 1")
    accounts = dict(_accounts(_mapping(document, "accounts", faults), faults))
    if not accounts and not faults:
        # The first account is made with the file: one without any is damaged, or cut.
        faults.append("it has no account; remove the file to begin anew without a password")
    tokens = dict(_tokens(_mapping(document, "tokens", faults), faults))
    if faults:
        raise InvalidDocument(ACCESS_NAME, "; ".join(faults))
    return AccessList(accounts, tokens)


def _mapping(document: Mapping[str, Any], key: str, faults: list[str]) -> dict[str, dict[str, Any]]:
    found = document.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        faults.append(f"{key} must be names with what belongs to each")
        return {}
    faults += [
        f"{key} has a name that cannot be one" for name in found if not _NAME.fullmatch(name)
    ]
    return found


def _accounts(found: dict[str, dict[str, Any]], faults: list[str]) -> Iterator[tuple[str, Account]]:
    for name, entry in found.items():
        password = entry.get("password")
        role = _role_of(name, entry, faults)
        if password is not None and not (isinstance(password, str) and _HASH.fullmatch(password)):
            faults.append(f"the password of {name} is no hash: set it with `longshore passwd`")
        elif role is not None:
            yield name, Account(role, password)


def _tokens(
    found: dict[str, dict[str, Any]], faults: list[str]
) -> Iterator[tuple[str, AccessToken]]:
    for name, entry in found.items():
        digest, created = entry.get("digest"), entry.get("created_at")
        expires = entry.get("expires_at")
        role = _role_of(name, entry, faults)
        if not (isinstance(digest, str) and _DIGEST.fullmatch(digest) and _is_time(created)):
            faults.append(f"the token {name} has no digest or no time")
        elif not (expires is None or _is_time(expires)):
            faults.append(f"the time at which the token {name} expires is none: {_FORM_OF_TIME}")
        elif role is not None:
            yield name, AccessToken(role, digest, str(created), expires)


def _is_time(text: object) -> bool:
    return isinstance(text, str) and _TIME.fullmatch(text) is not None


def _role_of(name: str, entry: Mapping[str, Any], faults: list[str]) -> Role | None:
    try:
        return Role(str(entry.get("role")))
    except ValueError:
        faults.append(f"the role of {name} is none of {', '.join(Role)}")
        return None


def _rendered(changed: AccessList) -> bytes:
    accounts = {
        name: {"role": one.role.value, "password": one.password}
        for name, one in sorted(changed.accounts.items())
    }
    tokens = {
        name: {
            "role": one.role.value,
            "digest": one.digest,
            "created_at": one.created_at,
            "expires_at": one.expires_at,
        }
        for name, one in sorted(changed.tokens.items())
    }
    return yaml_documents.render({"format": _FORMAT, "accounts": accounts, "tokens": tokens})


def _failed(what: str, error: OSError) -> StorageFailed:
    return StorageFailed(f"{what} {ACCESS_NAME}", error.strerror or str(error))

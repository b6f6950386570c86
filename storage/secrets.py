"""`secrets.yaml`: users and passwords by name. Read anew each time; nothing of it is kept.

No message here repeats what stands in the file, but for names that have the form of names.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.credential import SECRET_PREFIX, Credential
from models.errors import CredentialUnusable, InvalidDocument, StorageFailed
from models.job_options import CREDENTIAL_NAME
from storage.yaml_documents import MAX_BYTES, Place, line_of, parse_with_lines, render
from utils.durable_file import TEMPORARY_PREFIX, drop_file, replace_file

SECRETS_NAME = "secrets.yaml"
_FORMAT = "1"
_KEYS = frozenset({"format", "credentials"})
_KEYS_OF_ONE = frozenset({"user", "password"})
_UNFIT = re.compile("[\0\r\n]")
"""An environment cannot hold the first, and no line of a daemon's secrets file the others."""


@dataclass(frozen=True)
class StoredCredential:
    """One entry of the file; a password that is not there may stand in the environment."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)


class SecretsFile:
    """The credentials of a data directory."""

    def __init__(self, data_directory: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._directory = data_directory
        self._path = data_directory / SECRETS_NAME
        self._environment = environment

    async def find(self, name: str) -> Credential:
        """Return a credential as it is now; what the environment holds goes before the file.
        Raises CredentialUnusable."""
        return await asyncio.to_thread(self._find, name)

    async def names(self) -> tuple[str, ...]:
        """Return the names that stand in the file, to choose from; none when it cannot be read."""
        try:
            return tuple(sorted(await asyncio.to_thread(self.read)))
        except (InvalidDocument, StorageFailed):
            return ()  # Each run that needs one says why.

    def read(self) -> dict[str, StoredCredential]:
        """Return what stands in the file, nothing when there is none. Blocking.

        Raises InvalidDocument when it is not as it should be or not its owner's alone, and
        StorageFailed when it cannot be read.
        """
        try:
            return parse_secrets(_read_private(self._path))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _failed("Reading", error) from error

    def put(self, name: str, *, user: str | None, password: str) -> None:
        """Keep a password, durable when this returns, and the user unless it is None: then the one
        that was there stays. Blocking. Raises as `read` does."""
        with self._changing() as found:
            kept = found.get(name, StoredCredential())
            found[name] = StoredCredential(kept.user if user is None else user, password)

    def remove(self, name: str) -> bool:
        """Forget a credential, durable when this returns; False when there is none. Blocking.
        Raises as `read` does."""
        with self._changing() as found:
            return found.pop(name, None) is not None

    def _find(self, name: str) -> Credential:
        try:
            stored = self.read().get(name)
        except (InvalidDocument, StorageFailed) as error:
            raise CredentialUnusable(name, f"{error}.") from error
        variable = variable_of(name)
        password = self._environment.get(variable) or (stored.password if stored else None)
        if password is None:
            there = "it has no password" if stored else "there is none of this name"
            raise CredentialUnusable(
                name, f"{there}, neither in {SECRETS_NAME} nor in the environment as {variable}."
            )
        if not is_fit(password):
            raise CredentialUnusable(name, f"{variable} holds more than one line.")
        return Credential(stored.user if stored else None, password)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, StoredCredential]]:
        """Give what stands in the file to be changed, and write it when it was; one at a time."""
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed("Opening the folder of", error) from error
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                # The service could not read what somebody else writes.
                raise InvalidDocument(SECRETS_NAME, "only who owns the data directory may write it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            found = self.read()
            before = dict(found)
            yield found
            if found != before:
                self._write(found)
        finally:
            os.close(descriptor)

    def _write(self, found: Mapping[str, StoredCredential]) -> None:
        try:
            for left in self._directory.glob(f"{TEMPORARY_PREFIX}{SECRETS_NAME}.*"):
                drop_file(str(left))
            # Without a backup: that would keep a password which was changed or removed.
            replace_file(self._path, _rendered(found))
        except OSError as error:
            raise _failed("Writing", error) from error


def variable_of(name: str) -> str:
    """Return the environment variable that may hold the password of a credential."""
    return SECRET_PREFIX + re.sub("[-.]", "_", name).upper()


def is_fit(password: str) -> bool:
    """Whether a text can be a password: not empty, and on one line."""
    return bool(password) and _UNFIT.search(password) is None


def parse_secrets(content: bytes) -> dict[str, StoredCredential]:
    """Return the credentials in the file's content. Raises InvalidDocument with every fault."""
    try:
        document, lines = parse_with_lines(content, SECRETS_NAME)
    except InvalidDocument as error:
        # Its words may be the password's: `password: !word` is a tag.
        places: list[str] = re.findall(r" at line (\d+)", error.reason)
        place = f" at line {places[-1]}" if places else ""
        hint = "a password with special characters stands in quotation marks"
        raise InvalidDocument(SECRETS_NAME, f"cannot be read{place}: {hint}") from None
    found = document.get("credentials")
    entries = found if isinstance(found, dict) else {}
    faults = [*_faults_of_document(document, lines)]
    for name, entry in entries.items():
        faults += _faults_of_entry(name, entry, lines)
    if faults:
        raise InvalidDocument(SECRETS_NAME, "; ".join(faults))
    return {
        name: StoredCredential(entry.get("user"), entry.get("password"))
        for name, entry in entries.items()
    }


def _faults_of_document(document: dict[str, Any], lines: Mapping[Place, int]) -> Iterator[str]:
    if document.get("format") != _FORMAT:
        yield f"must say format: {_FORMAT}"
    for key in document.keys() - _KEYS:
        yield f"has a key without a meaning at line {line_of(lines, (key,))}"
    if not isinstance(document.get("credentials"), dict | None):
        yield f"credentials at line {line_of(lines, ('credentials',))} must have names in it"


def _faults_of_entry(name: str, entry: Any, lines: Mapping[Place, int]) -> Iterator[str]:
    line = line_of(lines, ("credentials", name))
    if not CREDENTIAL_NAME.fullmatch(name):
        yield f"the name at line {line} must have letters, digits and “_.-”"
    if not isinstance(entry, dict):
        yield f"the credential at line {line} must have a password in it"
        return
    for key in entry.keys() - _KEYS_OF_ONE:
        wrong = line_of(lines, ("credentials", name, key))
        yield f"has a key without a meaning at line {wrong}"
    for key in _KEYS_OF_ONE & entry.keys():
        value = entry[key]
        # `true` and `null` have a meaning of their own when nothing stands around them.
        if not isinstance(value, str) or not is_fit(value):
            wrong = line_of(lines, ("credentials", name, key))
            yield f"the {key} at line {wrong} must be a text on one line, in quotation marks"


def _rendered(found: Mapping[str, StoredCredential]) -> bytes:
    credentials = {
        name: {
            key: value
            for key, value in (("user", one.user), ("password", one.password))
            if value is not None
        }
        for name, one in sorted(found.items())
    }
    return render({"format": int(_FORMAT), "credentials": credentials})


def _read_private(path: Path) -> bytes:
    """Return a file that is its owner's alone, at most a byte more than is allowed. Raises OSError,
    InvalidDocument."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    if path.is_symlink():
        raise InvalidDocument(path.name, "is a link: put the file itself there")
    descriptor = os.open(path, flags)
    try:
        # Of what is open: another file may stand there a moment later.
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise InvalidDocument(path.name, "is not a file")
        if facts.st_uid != os.geteuid():
            raise InvalidDocument(path.name, "belongs to another user than the one who reads it")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise InvalidDocument(path.name, "can be used by others: chmod 600")
        return os.read(descriptor, min(facts.st_size, MAX_BYTES) + 1)
    finally:
        os.close(descriptor)


def _failed(what: str, error: OSError) -> StorageFailed:
    return StorageFailed(f"{what} {SECRETS_NAME}", error.strerror or str(error))

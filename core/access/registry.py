"""Who gets in: accounts, tokens, sessions, put together. Pages, API and guard ask here alone."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable

from core.access.attempts import Attempts
from core.access.passwords import Passwords, password_fault
from core.access.ports import AccessStore
from core.access.rules import NAME_FAULT, check_password, need_an_administrator, tag_of
from core.access.sessions import Sessions, digest_of
from models.access import (
    ACCOUNT_NAME,
    AccessList,
    AccessToken,
    Account,
    FoundAccess,
    Identity,
    Role,
    Way,
)
from models.errors import (
    AccountNotFound,
    FieldFault,
    InvalidDocument,
    InvalidSettings,
    SignInRefused,
    StorageFailed,
    TooManyAttempts,
)
from utils.timestamps import utc_timestamp

MAX_ACCOUNTS = 200
MAX_TOKENS = 200
MAX_TOKEN_DAYS = 3650
TOKEN_PREFIX = "longshore_"  # noqa: S105 - how every token begins
"""What secret scanners find it by."""
OWNER = "owner"
LOCAL_NAME = "command line"
_NAME = re.compile(ACCOUNT_NAME)
_logger = logging.getLogger(__name__)


class Access:
    """For one event loop; what is written is written in threads."""

    def __init__(
        self,
        file: AccessStore,
        sessions: Sessions,
        local_token: str,
        *,
        first_code: str = "",
        may_be_open: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._clock = clock
        self._local_digest = digest_of(local_token) if local_token else ""
        self._list = AccessList()
        self._passwords = Passwords()
        self._attempts = Attempts()
        self._turn = asyncio.Lock()
        self.sessions = sessions
        self._first_code = first_code
        self._may_be_open = may_be_open
        self.damage: str | None = None
        """Why the file cannot be used; what it said before holds on."""
        self.on_damage: Callable[[str | None], None] = _nothing
        """Told why it cannot be used, and with None when it can be again."""
        self.on_change: Callable[[], None] = _nobody
        self.on_hand_edit: Callable[[AccessList, AccessList], None] = _no_edit
        """Told of everybody before and after the file was changed past the program."""
        self.was_edited_away = False
        """Whether the file is not as the program left it before this one was opened."""

    async def open(self) -> None:
        """Read who gets in. Raises InvalidDocument and StorageFailed: nobody gets in by damage."""
        found = await asyncio.to_thread(self._file.look)
        self._list = found.listed
        self.was_edited_away = found.left is not None and found.is_by_hand
        if found.is_by_hand:
            await self._accept(found)
        await self.sessions.open()
        for address in self.sessions.addresses():
            self._attempts.remember(address)
        self.sessions.on_end = self._changed

    async def read(self) -> None:
        """Read the file alone. Raises InvalidDocument and StorageFailed."""
        self._list = await asyncio.to_thread(self._file.read)

    @property
    def is_open(self) -> bool:
        """Whether nobody has an account yet: whoever reaches the dashboard is its owner."""
        return self._may_be_open and not self._list.accounts

    @property
    def listed(self) -> AccessList:
        """Everybody who may get in."""
        return self._list

    async def reload(self) -> None:
        """Take over what stands in the file now, which somebody else has changed."""
        async with self._turn:
            try:
                found = await asyncio.to_thread(self._file.look)
            except InvalidDocument as error:
                self._found_damage(error.reason)
                return
            except StorageFailed as error:
                self._found_damage(str(error))
                return
            before = self._list
            if before.accounts and not found.listed.accounts:
                # Moved away by an editor perhaps, or gone with a full disk: that opens nothing.
                self._found_damage(_gone().reason)
                return
            await self._take(found.listed)
            if found.is_by_hand:
                self._tell_edit(before, found.listed)
                await self._accept(found)

    def by_session(self, secret: str, address: str, *, is_use: bool = True) -> Identity | None:
        """Return whose session this is, with the role that the account has now."""
        session = self.sessions.find(secret, is_use=is_use)
        account = self._list.accounts.get(session.account) if session else None
        if session is None or account is None or session.password != tag_of(account):
            return None
        return Identity(session.account, account.role, Way.SESSION, address)

    def by_token(self, token: str, address: str) -> Identity | None:
        """Return whose token this is, unless it has expired."""
        digest = digest_of(token)
        if hmac.compare_digest(digest, self._local_digest):
            return Identity(LOCAL_NAME, Role.ADMIN, Way.LOCAL, address)
        now = utc_timestamp(self._clock())
        for name, one in self._list.tokens.items():
            if hmac.compare_digest(digest, one.digest) and one.is_valid(now):
                return Identity(name, one.role, Way.TOKEN, address)
        return None

    def by_proxy(self, name: str, address: str) -> Identity | None:
        """Return whom a trusted proxy vouches for, if there is an account of that name."""
        account = self._list.accounts.get(name)
        return Identity(name, account.role, Way.PROXY, address) if account else None

    def owner(self, address: str) -> Identity:
        """Return who everybody is while there is no account."""
        return Identity(OWNER, Role.ADMIN, Way.OPEN, address)

    def is_known(self, address: str) -> bool:
        """Whether an address is this machine's, or somebody has signed in from there lately."""
        return self._attempts.is_known(address)

    async def sign_in(self, name: str, password: str, address: str) -> str:
        """Return the secret of a new session.

        Raises SignInRefused, TooManyAttempts, SignInBusy.
        """
        await self._check(name, password, address)
        return await self._begin(name, address)

    async def change_password(
        self, name: str, old: str, new: str, address: str, *, field: str = "password"
    ) -> str:
        """Change one's own password: every session of the account ends; returns the secret of the
        new one. Raises as `sign_in` does, InvalidSettings and StorageFailed."""
        check_password(new, field)
        checked = await self._check(name, old, address)
        await self.put_password(name, new, instead_of=checked)
        return await self._begin(name, address)

    @property
    def takes_first_code(self) -> bool:
        """Whether the terminal shows a code, with which the first password is set in a browser."""
        return bool(self._first_code) and self.is_open

    async def put_password(self, name: str, new: str, *, instead_of: str | None = None) -> None:
        """Set the password of an account and end its sessions; only if it still has the hash that
        is told, where one is.

        Raises AccountNotFound, InvalidSettings, SignInRefused, StorageFailed, SignInBusy.
        """
        check_password(new, "password")
        hashed = await self._passwords.hash(new)

        def change(accounts: dict[str, Account], _tokens: dict[str, AccessToken]) -> None:
            if name not in accounts:
                raise AccountNotFound("account", name)
            if instead_of is not None and accounts[name].password != instead_of:
                raise SignInRefused  # Somebody else has set another one meanwhile.
            accounts[name] = Account(accounts[name].role, hashed)

        await self._change(change)

    async def set_first(self, name: str, password: str, code: str, address: str) -> str:
        """Make the first account, an administrator; returns the secret of its session.

        Raises InvalidSettings, TooManyAttempts, StorageFailed.
        """
        wait = self._attempts.admit(address)
        if wait:
            raise TooManyAttempts(wait)
        if not self.is_open:
            raise InvalidSettings((FieldFault("name", "There is an account already: sign in."),))
        is_right = hmac.compare_digest(code.strip().encode(), self._first_code.encode())
        if not (self._first_code and is_right):
            fault = FieldFault("code", "This is not the code that the terminal shows.")
            raise InvalidSettings((fault,))
        await self.put_account(name, Role.ADMIN, password, is_first=True)
        self._first_code = ""
        return await self._begin(name, address)

    async def put_account(
        self, name: str, role: Role, password: str | None, *, is_first: bool = False
    ) -> None:
        """Make an account, or change the role of one; a password that is None stays as it is. One
        that `is_first` is refused where there is another by now.

        Raises InvalidSettings with every fault, StorageFailed, SignInBusy.
        """
        faults = [FieldFault("name", NAME_FAULT)] if not _NAME.fullmatch(name) else []
        if password is not None and (fault := password_fault(password)):
            faults.append(FieldFault("password", fault))
        if faults:
            raise InvalidSettings(tuple(faults))
        hashed = None if password is None else await self._passwords.hash(password)

        def change(accounts: dict[str, Account], _tokens: dict[str, AccessToken]) -> None:
            old = accounts.get(name)
            if is_first and accounts:
                fault = FieldFault("name", "There is an account already: sign in.")
                raise InvalidSettings((fault,))
            if old is None and len(accounts) >= MAX_ACCOUNTS:
                fault = FieldFault("name", f"There can be at most {MAX_ACCOUNTS} accounts.")
                raise InvalidSettings((fault,))
            kept = old.password if old else None
            accounts[name] = Account(role, hashed or kept)
            need_an_administrator(accounts, "role")

        await self._change(change)

    async def remove_account(self, name: str) -> None:
        """Forget an account and end its sessions. Raises AccountNotFound, InvalidSettings for the
        last administrator, StorageFailed."""

        def change(accounts: dict[str, Account], _tokens: dict[str, AccessToken]) -> None:
            if accounts.pop(name, None) is None:
                raise AccountNotFound("account", name)
            need_an_administrator(accounts, "name")

        await self._change(change)

    async def make_token(self, name: str, role: Role, days: int | None) -> str:
        """Return a new token, which is told this once. Raises InvalidSettings, StorageFailed."""
        faults = [FieldFault("name", NAME_FAULT)] if not _NAME.fullmatch(name) else []
        if days is not None and not 1 <= days <= MAX_TOKEN_DAYS:
            faults.append(FieldFault("days", f"Between 1 and {MAX_TOKEN_DAYS:,} days."))
        if faults:
            raise InvalidSettings(tuple(faults))
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        expires = None if days is None else utc_timestamp(now + days * 86_400)
        made = AccessToken(role, digest_of(token), utc_timestamp(now), expires)

        def change(accounts: dict[str, Account], tokens: dict[str, AccessToken]) -> None:
            if not accounts:
                # Whoever reaches the dashboard now would keep a way in.
                raise InvalidSettings((FieldFault("name", "Set a password first."),))
            if name in tokens:
                fault = FieldFault("name", "There is a token of this name: revoke that first.")
                raise InvalidSettings((fault,))
            if len(tokens) >= MAX_TOKENS:
                fault = FieldFault("name", f"There can be at most {MAX_TOKENS} tokens.")
                raise InvalidSettings((fault,))
            tokens[name] = made

        await self._change(change)
        return token

    async def revoke_token(self, name: str) -> None:
        """Let a token be worth nothing from now on. Raises AccountNotFound, StorageFailed."""

        def change(_accounts: dict[str, Account], tokens: dict[str, AccessToken]) -> None:
            if tokens.pop(name, None) is None:
                raise AccountNotFound("token", name)

        await self._change(change)

    async def _begin(self, name: str, address: str) -> str:
        account = self._list.accounts.get(name)
        if account is None:
            raise SignInRefused  # Removed in this moment.
        self._attempts.remember(address)
        return await self.sessions.begin(name, address, password=tag_of(account))

    async def _check(self, name: str, password: str, address: str) -> str:
        """Return the hash that the password belongs to."""
        wait = self._attempts.admit(address)
        if wait:
            raise TooManyAttempts(wait)
        account = self._list.accounts.get(name)
        hashed = account.password if account else None
        is_known = self.is_known(address)
        if not await self._passwords.matches(hashed, password, is_known=is_known):
            raise SignInRefused
        # Meanwhile it may have been changed.
        now = self._list.accounts.get(name)
        if now is None or hashed is None or now.password != hashed:
            raise SignInRefused
        return hashed

    async def _change(
        self, change: Callable[[dict[str, Account], dict[str, AccessToken]], None]
    ) -> None:
        edited: list[AccessList] = []

        def work() -> AccessList:
            with self._file.changing() as (accounts, tokens):
                edited.append(AccessList(dict(accounts), dict(tokens)))
                if before.accounts and not accounts:
                    raise _gone()  # It would be written anew, without anybody else.
                change(accounts, tokens)
                return AccessList(accounts, tokens)

        async with self._turn:
            before = self._list
            is_by_hand = (await asyncio.to_thread(self._file.look)).is_by_hand
            await self._take(await asyncio.to_thread(work))
            if is_by_hand:
                # Before the watch came to it, which finds no difference any more.
                self._tell_edit(before, edited[0])

    def _tell_edit(self, before: AccessList, after: AccessList) -> None:
        if before != after:
            self.on_hand_edit(before, after)

    async def _accept(self, found: FoundAccess) -> None:
        try:
            await asyncio.to_thread(self._file.accept, found.digest)
        except StorageFailed as error:
            # It is told once more, at worst.
            _logger.warning("%s", error)

    def _found_damage(self, reason: str) -> None:
        if reason != self.damage:
            self.damage = reason
            _logger.error("who may get in stays as it was: access.yaml: %s", reason)
            self.on_damage(reason)

    async def _take(self, found: AccessList) -> None:
        if self.damage is not None:
            self.damage = None
            self.on_damage(None)
        before, self._list = self._list, found
        for name, account in before.accounts.items():
            after = found.accounts.get(name)
            if after is None or after.password != account.password:
                await self.sessions.end_of(name)
        if before != found:
            self._changed()

    def _changed(self) -> None:
        self.on_change()


def _gone() -> InvalidDocument:
    return InvalidDocument("access.yaml", "it is gone, or empty")


def _nothing(_damage: str | None) -> None:
    """Nobody wants to know."""


def _no_edit(_before: AccessList, _after: AccessList) -> None:
    """Nobody wants to know."""


def _nobody() -> None:
    """Nobody wants to know."""

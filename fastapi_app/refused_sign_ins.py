"""What the audit log has of refused sign-ins, which strangers can cause without end: an entry at
once where there is room, else a number in an entry that follows.

They have a share of the log, which they fill no faster than it is forgotten: whoever has any number
of addresses pushes out nothing of what accounts did.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.audit import MAX_ENTRIES, Action, NewAuditEntry
from models.errors import StorageFailed
from storage.audit_repository import AuditRepository
from utils.timestamps import utc_timestamp

GATHER_SECONDS = 60.0
"""Of refused sign-ins from one address there is one entry in so long."""
MAX_ADDRESSES = 1_000
"""How many addresses are counted each by itself; further ones together, without an address."""
SHARE = MAX_ENTRIES // 5
"""As many entries are theirs, at most and in the time for which entries are kept."""
AT_ONCE = 500
"""As many may come without a pause."""
_MOST_COUNTED = 10_000
_MOST_ACCOUNTS = 10
_DAY_SECONDS = 86_400


@dataclass
class _Attempts:
    """Sign-ins from one address that were refused and are not in the log yet."""

    count: int = 0
    account: str = ""
    first: str = ""


@dataclass
class _Rest:
    """Those for which there was no room, of all addresses."""

    since: str
    count: int = 0
    addresses: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)

    def add(self, address: str, account: str, count: int) -> None:
        """Count some more."""
        self.count += count
        if len(self.addresses) < _MOST_COUNTED:
            self.addresses.add(address)
        if account and len(self.accounts) < _MOST_ACCOUNTS:
            self.accounts.add(account)

    def details(self) -> Mapping[str, object]:
        """Return what is told of them."""
        number = len(self.addresses)
        told = number if number < _MOST_COUNTED else f"{number:,} or more"
        accounts = {"accounts": sorted(self.accounts)} if self.accounts else {}
        return {"attempts": self.count, "addresses": told, "since": self.since, **accounts}


class RefusedSignIns:
    """Notes them. For one event loop."""

    def __init__(
        self, log: AuditRepository, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._clock = clock
        self._attempts: dict[str, _Attempts] = {}
        self._rest: _Rest | None = None
        self._room = float(AT_ONCE)
        self._counted_at = clock()

    async def open(self) -> None:
        """Go on with the room that is left: a restart gives no more of it."""
        since = utc_timestamp(time.time() - AT_ONCE * self._pace)
        try:
            spent = await self._log.count_since(Action.SIGN_IN_FAILED, since)
        except StorageFailed:
            spent = AT_ONCE  # They are counted, and told when there is room again.
        self._room = float(max(0, AT_ONCE - spent))

    def note(self, address: str, account: str) -> None:
        """Note one more: the first from an address at once, those that follow within a minute as
        one entry with their number at its end."""
        attempts = self._attempts.get(address)
        if attempts is not None:
            attempts.first = attempts.first or utc_timestamp()
            attempts.count += 1
            attempts.account = account or attempts.account
        elif len(self._attempts) >= MAX_ADDRESSES:
            self._add_to_rest(address, account, 1)
        else:
            self._attempts[address] = _Attempts()
            self._add(address, account, 1, {"attempts": 1})
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._gather, address)

    def tell_all(self) -> None:
        """Note what was only counted so far: the program ends."""
        for address in list(self._attempts):
            self._tell(address)
        self._attempts.clear()
        if self._rest is not None:
            self._write("", "", self._rest.details())
            self._rest = None

    @property
    def _pace(self) -> float:
        """In how many seconds there is room for one more."""
        return self._log.kept_days * _DAY_SECONDS / SHARE

    def _gather(self, address: str) -> None:
        if self._tell(address):
            self._attempts[address] = _Attempts()
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._gather, address)
        else:
            self._attempts.pop(address, None)

    def _tell(self, address: str) -> bool:
        attempts = self._attempts.get(address)
        if attempts is None or not attempts.count:
            return False
        details = {"attempts": attempts.count, "since": attempts.first}
        self._add(address, attempts.account, attempts.count, details)
        return True

    def _add(self, address: str, account: str, count: int, details: Mapping[str, object]) -> None:
        if self._take_room():
            self._write(address, account, details)
        else:
            self._add_to_rest(address, account, count)

    def _add_to_rest(self, address: str, account: str, count: int) -> None:
        if self._rest is None:
            self._rest = _Rest(utc_timestamp())
            self._tell_rest_later()
        self._rest.add(address, account, count)

    def _tell_rest_later(self) -> None:
        asyncio.get_running_loop().call_later(max(GATHER_SECONDS, self._pace), self._tell_rest)

    def _tell_rest(self) -> None:
        if self._rest is None:
            return
        if not self._take_room():
            self._tell_rest_later()
            return
        self._write("", "", self._rest.details())
        self._rest = None

    def _take_room(self) -> bool:
        now = self._clock()
        self._room = min(AT_ONCE, self._room + (now - self._counted_at) / self._pace)
        self._counted_at = now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    def _write(self, address: str, account: str, details: Mapping[str, object]) -> None:
        self._log.add(
            NewAuditEntry(
                utc_timestamp(),
                account,
                None,
                None,
                address,
                Action.SIGN_IN_FAILED,
                details=details,
            )
        )

"""How many browsers there may be with a WebSocket: in all, of one address, of one session."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi_app import limits


@dataclass(frozen=True)
class Share:
    """Whose browsers are counted together, and how many of them there may be."""

    key: str
    most: int


def share_of_session(key: str) -> Share:
    """Return the share of a session, by what tells it from others."""
    return Share(f"session {key}", limits.MAX_CLIENTS_OF_SESSION)


def share_of_address(address: str) -> tuple[Share, ...]:
    """Return the share of an address; none for this machine's own, where a proxy may stand."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ()
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return ()
    if isinstance(found, ipaddress.IPv6Address):
        # One machine has as many addresses of its /64 as it likes.
        key = str(ipaddress.ip_network((int(found), 64), strict=False))
    else:
        key = str(found)
    return (Share(f"address {key}", limits.MAX_CLIENTS_OF_ADDRESS),)


class Seats:
    """The seats of one server. Only who has one at this moment is remembered."""

    def __init__(self) -> None:
        self._count = 0
        self._of: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are taken."""
        return self._count

    @contextmanager
    def taken(self, *shares: Share) -> Iterator[bool]:
        """Hold a seat while inside; False where there is none, of all or of a share."""
        if self._count >= limits.MAX_CLIENTS or any(
            self._of[share.key] >= share.most for share in shares if share.key in self._of
        ):
            yield False
            return
        self._take(shares, 1)
        try:
            yield True
        finally:
            self._take(shares, -1)

    def _take(self, shares: tuple[Share, ...], by: int) -> None:
        self._count += by
        for share in shares:
            self._of[share.key] += by
            if not self._of[share.key]:
                del self._of[share.key]

"""Where a request comes from: the peer, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Scope

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_FORWARDED = 2_000
_FORWARDED_BEGIN = ("x-forwarded-", "x-original-", "cf-")
_FORWARDED = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-proxyuser-ip",
        "true-client-ip",
        "fastly-client-ip",
    }
)
"""What proxies add to a request: RFC 9110, 7.6.3, RFC 7239, and what is usual."""
_PROXIES_VERSION = "1.0"
"""nginx speaks it to what is behind it unless it is told otherwise (proxy_http_version, before
1.29.7), and browsers have not for decades."""


def networks_of(setting: str) -> tuple[str, ...]:
    """Return the networks that a setting names."""
    return tuple(part.strip() for part in setting.split(",") if part.strip())


class Networks:
    """Some addresses."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[_Network, ...] = tuple(
            ipaddress.ip_network(one, strict=False) for one in networks
        )

    def has(self, address: str) -> bool:
        """Whether an address is one of them."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._networks)


class TrustedProxies(Networks):
    """The proxies whose word is taken."""

    def is_peer(self, scope: Scope) -> bool:
        """Whether a request was handed over by a trusted proxy."""
        return self.has(_peer(scope))

    def address_of(self, scope: Scope, headers: Headers) -> str:
        """Return where a request began: the last address that no trusted proxy has, for what
        stands before it anybody can have written."""
        address = _peer(scope)
        forwarded = ",".join(headers.getlist("x-forwarded-for"))[-_MAX_FORWARDED:]
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
        while hops and self.has(address):
            address = hops.pop()
        return address if _is_address(address) else _peer(scope)


def is_behind_tls(scope: Scope, headers: Headers) -> bool:
    """Whether the browser speaks https. A proxy's word is enough, whoever it is: the answer only
    decides whether the asker's own cookie stays with https."""
    return scope.get("scheme") in {"https", "wss"} or headers.get("x-forwarded-proto") == "https"


def was_forwarded(scope: Scope, headers: Headers) -> bool:
    """Whether a proxy has handed a request over, as far as that can be seen in it."""
    names = headers.keys()
    return scope.get("http_version") == _PROXIES_VERSION or any(
        name in _FORWARDED or name.startswith(_FORWARDED_BEGIN) for name in names
    )


def is_loopback_host(host: str) -> bool:
    """Whether a server that listens there is reached from this machine alone."""
    return host == "localhost" or is_of_this_machine(host)


def is_of_this_machine(address: str) -> bool:
    """Whether an address is one of loopback."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

"""A link between two network namespaces, that of the tests and a new one, which can be cut."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import need

_PLACES = 2**15
"""Networks of four addresses in 198.18.0.0/15, which is set aside for tests (RFC 2544)."""


def _run(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Link:
    """A pair of interfaces; `far_address` is that of the other namespace."""

    def __init__(self) -> None:
        name = secrets.token_hex(4)
        self.namespace = f"longshore-{name}"
        self._near, self._far = f"lsn{name}", f"lsf{name}"
        base = (198 << 24) + (18 << 16) + 4 * secrets.randbelow(_PLACES)
        near, self.far_address = (_dotted(base + number) for number in (1, 2))
        _run("netns", "add", self.namespace)
        _run("link", "add", self._near, "type", "veth", "peer", self._far, "netns", self.namespace)
        _run("addr", "add", f"{near}/30", "dev", self._near)
        _run("-n", self.namespace, "addr", "add", f"{self.far_address}/30", "dev", self._far)
        self.prefix = ("ip", "netns", "exec", self.namespace)
        for end in ("near", "far"):
            self.restore(end)

    def cut(self, end: str) -> None:
        """Take the link down at one of its ends, `near` or `far`."""
        self._set(end, "down")

    def restore(self, end: str) -> None:
        """Take it up again."""
        self._set(end, "up")

    def bytes_over(self) -> int:
        """Return how many bytes have gone over the link, both ways together."""
        statistics = Path("/sys/class/net") / self._near / "statistics"
        return sum(int((statistics / f"{way}_bytes").read_text()) for way in ("rx", "tx"))

    def remove(self) -> None:
        """Remove the namespace, and the link with it."""
        _run("netns", "delete", self.namespace)

    def _set(self, end: str, state: str) -> None:
        where = ("-n", self.namespace) if end == "far" else ()
        _run(*where, "link", "set", self._far if end == "far" else self._near, state)


@contextmanager
def linked_namespace() -> Iterator[Link]:
    """A namespace that is joined to the one of the tests."""
    need("ip (iproute2)", shutil.which("ip"))
    need("the right to make network namespaces", _may_make_namespaces())
    link = Link()
    try:
        yield link
    finally:
        link.remove()


def _may_make_namespaces() -> bool:
    if os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


def _dotted(address: int) -> str:
    return ".".join(str(byte) for byte in address.to_bytes(4, "big"))

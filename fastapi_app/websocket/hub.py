"""The hub: fans changed jobs out to every browser that shows them (frontend.md, Live updates).

A client has a set of changed ids and never a queue of messages, so the newest state of a card
replaces the older one and memory is bounded. Publishing never waits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

TICK_SECONDS = 0.1
PING_SECONDS = 10.0
STUCK_SECONDS = 5.0
MAX_CLIENTS = 1000
MAX_SUBSCRIPTIONS = 10_000
MAX_REMEMBERED = 20_000
_LONGEST_PLACE = 19
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CardUpdate:
    """What a job looks like now: `values` patch a card in place; when `structure` differs from
    the one before, its fragment is rendered and replaces the card."""

    structure: str
    values: dict[str, Any] | None


class CardSource(Protocol):
    """Where the hub learns what a job looks like; None and the empty text when it is gone."""

    def update_of(self, job_id: str) -> CardUpdate | None:
        """Return the present state of a card."""
        ...

    async def fragment_of(self, job_id: str) -> str:
        """Render what replaces the card."""
        ...


@dataclass
class _Seen:
    structure: str
    structure_at: int
    changed_at: int
    fragment: asyncio.Future[str] | None = None


@dataclass(eq=False)
class Client:
    """One browser."""

    send: Callable[[str], Awaitable[None]]
    subscriptions: frozenset[str] = frozenset()
    changed: set[str] = field(default_factory=set)
    sent_at: int = 0
    """The place in the order of changes up to which this client is informed."""
    awaited_ack: int | None = None
    sending_since: float | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def wants(self, job_id: str, *, is_structural: bool) -> bool:
        """Whether this change is for this client: new and removed jobs are for everybody."""
        return is_structural or job_id in self.subscriptions


class Hub:
    """All connected browsers. Runs on one event loop; start `run` as its sweeper."""

    def __init__(self, source: CardSource) -> None:
        self._source = source
        self._boot = secrets.token_hex(4)
        self._sequence = 0
        self._seen: dict[str, _Seen] = {}
        self._clients: set[Client] = set()
        self.dropped_clients = 0

    @property
    def client_count(self) -> int:
        """How many browsers are connected."""
        return len(self._clients)

    @property
    def cursor(self) -> str:
        """The place in the order of changes, of this process."""
        return f"{self._boot}:{self._sequence}"

    def is_full(self) -> bool:
        """Whether another browser would be one too many."""
        return len(self._clients) >= MAX_CLIENTS

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note that these jobs look different; returns at once."""
        for job_id in job_ids:
            self._sequence += 1
            is_structural = self._note(job_id)
            for client in self._clients:
                if client.wants(job_id, is_structural=is_structural):
                    client.changed.add(job_id)
                    client.wake.set()

    def join(self, client: Client) -> None:
        """From now on the client is told what changes."""
        client.sent_at = self._sequence
        self._clients.add(client)

    def leave(self, client: Client) -> None:
        """Forget the client; may be called twice."""
        client.gone.set()
        client.wake.set()
        self._clients.discard(client)

    def subscribe(self, client: Client, job_ids: Iterable[str], cursor: str | None) -> None:
        """The client shows these cards; what changed since its cursor is sent to it."""
        client.subscriptions = frozenset(list(job_ids)[:MAX_SUBSCRIPTIONS])
        since = self._place_of(cursor)
        for job_id in client.subscriptions:
            seen = self._seen.get(job_id)
            if since is None or (seen is not None and seen.changed_at > since):
                client.changed.add(job_id)
        if since is not None:
            # New and removed jobs are for everybody, also for who was away.
            missed = (job_id for job_id, seen in self._seen.items() if seen.structure_at > since)
            client.changed.update(missed)
        client.sent_at = -1 if since is None else min(client.sent_at, since)
        if client.changed:
            client.wake.set()

    def acknowledge(self, client: Client, sequence: int) -> None:
        """The client has shown the frame of this number."""
        if client.awaited_ack == sequence:
            client.awaited_ack = None
            client.sending_since = None
            client.wake.set()

    async def serve(self, client: Client) -> None:
        """Send the client its frames, one in flight at a time, until it is gone."""
        while not client.gone.is_set():
            await client.wake.wait()
            client.wake.clear()
            if client.gone.is_set() or client.awaited_ack is not None or not client.changed:
                continue
            await self._send_frame(client)
            await asyncio.sleep(TICK_SECONDS)
            client.wake.set()

    async def run(self) -> None:
        """Ping every client, and drop who has not acknowledged for five seconds. Never returns."""
        next_ping = asyncio.get_running_loop().time() + PING_SECONDS
        while True:
            await asyncio.sleep(1.0)
            now = asyncio.get_running_loop().time()
            for client in list(self._clients):
                since = client.sending_since
                if since is not None and now - since > STUCK_SECONDS:
                    self.dropped_clients += 1
                    self.leave(client)
            if now >= next_ping:
                next_ping = now + PING_SECONDS
                self._ping()

    def _ping(self) -> None:
        for client in self._clients:
            if client.sending_since is None:
                client.sending_since = asyncio.get_running_loop().time()
                client.changed.add("")
                client.wake.set()

    async def _send_frame(self, client: Client) -> None:
        job_ids, client.changed = client.changed, set()
        is_ping = "" in job_ids
        job_ids.discard("")
        sequence = self._sequence
        patches, fragments = [], []
        for job_id in sorted(job_ids):
            seen = self._seen.get(job_id) or self._first_sight(job_id)
            update = self._source.update_of(job_id)
            if update is None or seen.structure_at > client.sent_at:
                fragments.append(await self._fragment(job_id, seen))
            if update is not None and update.values is not None:
                # Beside a fragment too: that was rendered when the structure changed, and shared.
                patches.append([job_id, update.values])
        client.sending_since = asyncio.get_running_loop().time()
        if patches or any(fragments):
            client.awaited_ack = sequence
            frame: dict[str, Any] = {"t": "update", "seq": sequence, "cursor": self._at(sequence)}
            frame |= {"set": patches, "html": "".join(fragments)}
            await client.send(json.dumps(frame))
        else:
            if is_ping:
                await client.send('{"t":"ping"}')
            client.sending_since = None
        client.sent_at = sequence

    async def _fragment(self, job_id: str, seen: _Seen) -> str:
        # Rendered once and shared by all who need it, also while it is being rendered.
        if seen.fragment is None:
            seen.fragment = asyncio.ensure_future(self._source.fragment_of(job_id))
        try:
            return await asyncio.shield(seen.fragment)
        finally:
            if seen.fragment.done() and seen.fragment.exception() is not None:
                seen.fragment = None

    def _note(self, job_id: str) -> bool:
        update = self._source.update_of(job_id)
        structure = update.structure if update is not None else ""
        seen = self._seen.get(job_id)
        if seen is None or seen.structure != structure:
            self._seen.pop(job_id, None)
            self._seen[job_id] = _Seen(structure, self._sequence, self._sequence)
            while len(self._seen) > MAX_REMEMBERED:
                del self._seen[next(iter(self._seen))]
            return True
        seen.changed_at = self._sequence
        return False

    def _first_sight(self, job_id: str) -> _Seen:
        update = self._source.update_of(job_id)
        structure = update.structure if update is not None else ""
        return self._seen.setdefault(job_id, _Seen(structure, 0, 0))

    def _at(self, sequence: int) -> str:
        return f"{self._boot}:{sequence}"

    def _place_of(self, cursor: str | None) -> int | None:
        boot, _, place = (cursor or "").partition(":")
        is_place = boot == self._boot and place.isdecimal() and len(place) < _LONGEST_PLACE
        return int(place) if is_place else None

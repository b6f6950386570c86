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

from fastapi_app.websocket.seats import Seats

TICK_SECONDS = 0.08
"""The time from one frame to the next on the average; two may be closer by half of it. Runs are
looked at every 100 ms: a frame that was late for once does not make all that follow late."""
PING_SECONDS = 10.0
STUCK_SECONDS = 5.0
CALM_SECONDS = 60.0
"""After so long without a dropped client, what was told of those is over."""
MAX_SUBSCRIPTIONS = 1000
MAX_REMEMBERED = 20_000
_MAX_PATCHES = 2000
_MAX_SHARED, _LONGEST_SHARED = 16, 256 * 1024
"""Of frames: how many are kept for others, and of what length."""
_LONGEST_PLACE = 19
_PING = ""
"""Its place among the ids of changed jobs; no job has this one."""
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
    next_frame_at: float = 0.0
    """When the next frame would come at an even pace; as the loop's clock tells it."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


def _nobody() -> None:
    """Nobody wants to know."""


class Hub:
    """All connected browsers. Runs on one event loop; start `run` as its sweeper."""

    def __init__(self, source: CardSource) -> None:
        self._source = source
        self._boot = secrets.token_hex(4)
        self._sequence = 0
        self._restructured_at = 0
        """The place of the newest change of a structure."""
        self._seen: dict[str, _Seen] = {}
        self._clients: set[Client] = set()
        self.seats = Seats()
        self._patches: dict[str, str] = {}
        """The values of cards as JSON, since their last change: written once for all clients."""
        self._frames: dict[tuple[int, frozenset[str], frozenset[str]], str] = {}
        """Frames of the present place, by the cards that are patched and those that are replaced:
        who shows the same is sent the same text."""
        self.dropped_clients = 0
        self.sent_frames = 0
        self._joined = asyncio.Event()
        self._dropped_at: float | None = None
        self.on_drop: Callable[[], None] = _nobody
        self.on_calm: Callable[[], None] = _nobody
        self.on_ping: Callable[[], None] = _nobody
        """Called from time to time while browsers are connected."""

    @property
    def client_count(self) -> int:
        """How many browsers are connected."""
        return len(self._clients)

    @property
    def cursor(self) -> str:
        """The place in the order of changes, of this process."""
        return f"{self._boot}:{self._sequence}"

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """Take note that these jobs look different; returns at once."""
        patched: set[str] = set()
        replaced: set[str] = set()
        for job_id in job_ids:
            self._sequence += 1
            self._patches.pop(job_id, None)
            (replaced if self._note(job_id) else patched).add(job_id)
        self._frames.clear()
        for client in self._clients:
            # New and removed jobs, and new statuses, are for everybody.
            wanted = replaced | (client.subscriptions & patched)
            if wanted:
                client.changed |= wanted
                client.wake.set()

    def join(self, client: Client) -> None:
        """From now on the client is told what changes."""
        client.sent_at = self._sequence
        self._clients.add(client)
        self._joined.set()

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
            if client.changed:
                client.wake.set()

    async def serve(self, client: Client) -> None:
        """Send the client its frames, one in flight at a time, until it is gone."""
        while not client.gone.is_set():
            await client.wake.wait()
            client.wake.clear()
            if client.gone.is_set() or client.awaited_ack is not None or not client.changed:
                continue
            if client.changed != {_PING}:  # A ping must not make the next frame late.
                await self._keep_pace(client)
            if not client.gone.is_set():
                await self._send_frame(client)

    async def run(self) -> None:
        """Ping every client, and drop who has not acknowledged for five seconds. Never returns."""
        clock = asyncio.get_running_loop().time
        next_ping = clock() + PING_SECONDS
        while True:
            if not self._clients and self._dropped_at is None:
                await self._joined.wait()  # With nobody there it does not wake at all.
                next_ping = clock() + PING_SECONDS
            self._joined.clear()
            await asyncio.sleep(1.0)
            now = clock()
            for client in list(self._clients):
                since = client.sending_since
                if since is not None and now - since > STUCK_SECONDS:
                    self.dropped_clients += 1
                    self._dropped_at = now
                    self.leave(client)
                    self.on_drop()
            if self._dropped_at is not None and now - self._dropped_at > CALM_SECONDS:
                self._dropped_at = None
                self.on_calm()
            if now >= next_ping:
                next_ping = now + PING_SECONDS
                self._ping()
                self.on_ping()

    async def _keep_pace(self, client: Client) -> None:
        clock = asyncio.get_running_loop().time
        early = client.next_frame_at - TICK_SECONDS / 2 - clock()
        if early > 0:
            await asyncio.sleep(early)
        client.next_frame_at = max(client.next_frame_at, clock()) + TICK_SECONDS

    def _ping(self) -> None:
        for client in self._clients:
            if client.sending_since is None:
                client.sending_since = asyncio.get_running_loop().time()
                client.changed.add(_PING)
                client.wake.set()

    async def _send_frame(self, client: Client) -> None:
        job_ids, client.changed = client.changed, set()
        is_ping = _PING in job_ids
        job_ids.discard(_PING)
        sequence = self._sequence
        frame = await self._frame(sequence, job_ids, sent_at=client.sent_at)
        client.sending_since = asyncio.get_running_loop().time()
        if frame is not None:
            client.awaited_ack = sequence
            self.sent_frames += 1
            await client.send(frame)
        else:
            if is_ping:
                await client.send('{"t":"ping"}')
            client.sending_since = None
        client.sent_at = sequence
        if client.changed and client.awaited_ack is None:
            client.wake.set()

    async def _frame(self, sequence: int, job_ids: set[str], *, sent_at: int) -> str | None:
        """Return what a client is sent that was informed up to a place; None when it is nothing."""
        replaced: frozenset[str] = frozenset()
        if sent_at < self._restructured_at or sent_at < 0:
            replaced = frozenset(job_id for job_id in job_ids if self._is_new(job_id, sent_at))
        key = (sequence, frozenset(job_ids), replaced)
        if key in self._frames:
            return self._frames[key]
        fragments = [await self._fragment(job_id) for job_id in sorted(replaced)]
        # Beside a fragment too: that was rendered when the structure changed, and shared.
        patches = [patch for job_id in sorted(job_ids) if (patch := self._patch(job_id))]
        if not patches and not any(fragments):
            return None
        facts = {"t": "update", "seq": sequence, "cursor": self._at(sequence)}
        html = json.dumps("".join(fragments))
        frame = f'{json.dumps(facts)[:-1]}, "set": [{", ".join(patches)}], "html": {html}}}'
        has_room = len(self._frames) < _MAX_SHARED and len(frame) <= _LONGEST_SHARED
        if has_room and sequence == self._sequence:
            self._frames[key] = frame
        return frame

    def _is_new(self, job_id: str, sent_at: int) -> bool:
        """Whether a card must be replaced where it was last seen at this place, or is gone."""
        seen = self._seen.get(job_id) or self._first_sight(job_id)
        return seen.structure_at > sent_at or not seen.structure

    def _patch(self, job_id: str) -> str:
        """Return what patches a card as JSON; the empty text when there is nothing to patch."""
        if job_id not in self._patches:
            update = self._source.update_of(job_id)
            if update is None:
                return ""  # Whatever a browser asks for that is no job is not kept.
            values = update.values
            if len(self._patches) >= _MAX_PATCHES:
                self._patches.clear()
            self._patches[job_id] = json.dumps([job_id, values]) if values is not None else ""
        return self._patches[job_id]

    async def _fragment(self, job_id: str) -> str:
        # Rendered once and shared by all who need it, also while it is being rendered.
        seen = self._seen.get(job_id) or self._first_sight(job_id)
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
            self._remember(job_id, _Seen(structure, self._sequence, self._sequence))
            self._restructured_at = self._sequence
            return True
        seen.changed_at = self._sequence
        return False

    def _first_sight(self, job_id: str) -> _Seen:
        update = self._source.update_of(job_id)
        if update is None:
            return _Seen("", 0, 0)  # Likewise.
        return self._remember(job_id, _Seen(update.structure, 0, 0))

    def _remember(self, job_id: str, seen: _Seen) -> _Seen:
        self._seen[job_id] = seen
        while len(self._seen) > MAX_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return seen

    def _at(self, sequence: int) -> str:
        return f"{self._boot}:{sequence}"

    def _place_of(self, cursor: str | None) -> int | None:
        boot, _, place = (cursor or "").partition(":")
        is_place = boot == self._boot and place.isdecimal() and len(place) < _LONGEST_PLACE
        return int(place) if is_place else None

"""The courier: sends what is due in a lane, and keeps what came of it; a target that failed again
and again is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from core.error_recovery import CircuitBreaker, CircuitBreakers
from core.job_queries import JobQueries
from core.notifying.addresses import ping_address, ping_fault
from core.notifying.process import Letter, Receipt, SenderProcess
from core.ports import Credentials, ErrorLog
from core.recovery_states import CIRCUIT_CLOSED, OnChange, no_listener
from fastapi_app.notification_events import (
    PING,
    PING_LANE,
    RULE_LANE,
    composed,
    sample_message,
)
from fastapi_app.notification_faults import TargetFaults
from fastapi_app.recovery_words import TARGET_PREFIX
from models.errors import CircuitOpen, CredentialUnusable, StorageFailed
from models.notifications import NotificationRule
from storage.notification_repository import MAX_DIGEST, NotificationRepository
from storage.notification_rules import NotificationRules
from storage.notification_table import Kept

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 5.0, 900.0
GIVE_UP_SECONDS = {RULE_LANE: 3 * 86_400.0, PING_LANE: 86_400.0}
"""So long it is tried to send something; a late ping says little."""
RETRY_SECONDS = 5.0
BREAKER_FAILURES, _BREAKER_SECONDS = 3, 60.0
Value = TypeVar("Value")
_logger = logging.getLogger(__name__)


def retry_delay(attempts: int, share: float) -> float:
    """Return the seconds until the next attempt: they double up to a bound, and are spread by a
    fifth by a share from 0 to 1, so that targets which failed together are not tried together."""
    delay = FIRST_DELAY_SECONDS * 2.0 ** min(max(attempts, 1) - 1, 20)
    return min(delay, LONGEST_DELAY_SECONDS) * (0.8 + 0.4 * share)


async def until_it_works(work: Callable[[], Awaitable[Value]]) -> Value:
    """Return what `work` returns, tried again for as long as it fails."""
    while True:
        try:
            return await work()
        except StorageFailed as error:
            _logger.error("notifications wait: %s", error)
        except Exception:
            # The loop's boundary: a defect must not end all notifications.
            _logger.exception("notifications wait")
        await asyncio.sleep(RETRY_SECONDS)


class NotSent(Exception):
    """A message did not arrive; `receipt` says why."""

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt
        super().__init__(receipt.reason)


@dataclass(frozen=True)
class Surroundings:
    """What notifications work with."""

    rules: NotificationRules
    outbox: NotificationRepository
    error_log: ErrorLog
    queries: JobQueries
    credentials: Credentials
    sender: SenderProcess
    on_change: OnChange = no_listener
    """Told of targets that are left alone."""


class Courier:
    """Sends, one delivery of a lane at a time."""

    def __init__(
        self,
        surroundings: Surroundings,
        faults: TargetFaults,
        *,
        clock: Callable[[], float],
        share: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = surroundings.outbox
        self._sender = surroundings.sender
        self._credentials = surroundings.credentials
        self._on_change = surroundings.on_change
        self._faults = faults
        self._clock = clock
        self._share = share
        self._breakers = CircuitBreakers(self._breaker)

    async def deliver(self, lane: str, rule: NotificationRule | None) -> None:
        """Send what waits in a lane: as one message of a rule, or the oldest ping."""
        delivery = self._new_delivery("d")
        most = MAX_DIGEST if rule is not None else 1
        # Until it is known: it may have been marked all the same.
        notes = await until_it_works(partial(self._outbox.begin, lane, delivery, most))
        if not notes:
            return
        target = rule.target if rule is not None else notes[0].target
        try:
            receipt = await self._breakers.of(target).call(
                partial(self._send, delivery, target, notes)
            )
        except NotSent as error:
            receipt = error.receipt
        except CircuitOpen as error:
            due_at = self._clock() + max(error.retry_in_seconds, 1.0)
            reason = notes[0].reason or "It waits until the target is tried again."
            await until_it_works(partial(self._outbox.postpone, delivery, due_at, reason))
            return
        await self._conclude(delivery, target, notes, receipt)

    async def resume(self, delivery: str, notes: Sequence[Kept]) -> None:
        """Go on with what was being sent when an earlier dashboard, or what sent it, ended."""
        receipt = await self._sender.find(delivery)
        await self._conclude(delivery, notes[0].target, notes, receipt)

    async def test(self, rule: NotificationRule) -> Receipt:
        """Send a message in a rule's words, past the outbox. Raises StorageFailed."""
        try:
            credential = await self._credentials.find(rule.target)
        except CredentialUnusable as error:
            return Receipt(str(error))
        message = sample_message(rule)
        letter = Letter(credential.password, message.body, message.title, message.type)
        delivery = self._new_delivery("test")
        try:
            receipt = await self._sender.send(delivery, letter)
        finally:
            await self._sender.forget(delivery)
        if receipt.reason is None:
            self._faults.arrived(rule.target)
        return receipt

    def forget(self, target: str) -> None:
        """A target may work now, whatever was before."""
        self._breakers.forget(target)

    @property
    def leaves_alone(self) -> bool:
        """Whether a target is left alone."""
        return any(one.state != CIRCUIT_CLOSED for one in self._breakers.all())

    def forget_others(
        self, waited_for: Collection[str | None], named: Collection[str | None]
    ) -> float | None:
        """Leave no target alone for which nothing waits: at once when nobody names it any more, or
        after its time; returns in how many seconds the next one is."""
        left: list[float] = []
        for breaker in self._breakers.all():
            target = breaker.name.removeprefix(TARGET_PREFIX)
            if breaker.state == CIRCUIT_CLOSED or target in waited_for:
                continue
            if target not in named or breaker.retry_in_seconds <= 0:
                self._breakers.forget(target)
            else:
                left.append(breaker.retry_in_seconds)
        return min(left, default=None)

    async def _send(self, delivery: str, target: str, notes: Sequence[Kept]) -> Receipt:
        """Raises NotSent."""
        try:
            address = (await self._credentials.find(target)).password
            if notes[0].occasion == PING:
                fault = ping_fault(address)
                if fault is not None:
                    raise NotSent(Receipt(fault))
                place = ping_address(address, notes[0].title)
                letter = Letter(place, notes[0].body, is_ping=True)
            else:
                message = composed(notes)
                letter = Letter(address, message.body, message.title, message.type)
            receipt = await self._sender.send(delivery, letter)
        except (CredentialUnusable, StorageFailed) as error:
            raise NotSent(Receipt(str(error))) from error
        if receipt.reason is not None:
            raise NotSent(receipt)
        return receipt

    async def _conclude(
        self, delivery: str, target: str, notes: Sequence[Kept], receipt: Receipt
    ) -> None:
        """Keep what came of a delivery, as soon as the database takes it."""
        now = self._clock()
        is_ping = notes[0].occasion == PING
        job_id = notes[0].job_id if is_ping else None
        if receipt.reason is None:
            await until_it_works(partial(self._outbox.sent, delivery, now))
            self._faults.arrived(target, job_id)
        else:
            attempts = max(note.attempts for note in notes) + 1
            # What came later than the oldest has its own time.
            too_old = now - GIVE_UP_SECONDS[PING_LANE if is_ping else RULE_LANE]
            due_at = now + retry_delay(attempts, self._share())
            given_up = await until_it_works(
                partial(
                    self._outbox.failed,
                    delivery,
                    now,
                    receipt.reason,
                    due_at=due_at,
                    too_old=too_old,
                )
            )
            self._faults.failed(
                target, receipt.reason, attempts, is_last=given_up > 0, job_id=job_id
            )
        await self._sender.forget(delivery)

    def _breaker(self, target: str) -> CircuitBreaker:
        return CircuitBreaker(
            f"{TARGET_PREFIX}{target}",
            failures=BREAKER_FAILURES,
            open_seconds=_BREAKER_SECONDS,
            on_change=self._on_change,
        )

    def _new_delivery(self, kind: str) -> str:
        return f"{kind}-{int(self._clock() * 1000):x}-{secrets.token_hex(4)}"

"""The notifier: takes what happened into the outbox, and sees to it that it arrives.

What ended or went wrong is noted in the transaction that keeps it, so that nothing is missed while
the dashboard is away. A message is marked as being sent before it is, and its receipt outlives the
dashboard: it arrives once, also when that is killed meanwhile. Only when the process that sends is
itself cut off between sending and noting it, nobody can tell, and it is sent again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from core.error_recovery import CircuitBreaker
from core.job_queries import JobQueries
from core.notifying.addresses import ping_address, ping_fault
from core.notifying.process import MAX_AT_ONCE, Letter, Receipt, SenderProcess
from core.ports import Credentials, ErrorLog
from fastapi_app.notification_events import (
    PING,
    PING_LANE,
    RULE_LANE,
    composed,
    rule_lane,
    sample_message,
)
from fastapi_app.notification_faults import TargetFaults
from fastapi_app.notification_intake import Intake
from models.errors import CircuitOpen, CredentialUnusable, StorageFailed
from models.notifications import NotificationRule
from models.run import Run
from storage.notification_repository import MAX_DIGEST, NotificationRepository
from storage.notification_rules import NotificationRules
from storage.notification_table import Kept, Lane

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 5.0, 900.0
GIVE_UP_SECONDS = {RULE_LANE: 3 * 86_400.0, PING_LANE: 86_400.0}
"""So long it is tried to send something; a late ping says little."""
_HOUR = 3_600.0
_LONGEST_WAIT = 86_400.0 + _HOUR
"""Nothing is ever due later than so: a clock that was set back would hold it up."""
_BREAKER_FAILURES, _BREAKER_SECONDS = 3, 60.0
_RETRY_SECONDS = 5.0
_FAREWELL_SECONDS = 0.5
"""So long an ending dashboard waits for what is being sent: what then is under way ends without it,
and its receipt is found by the next one."""
Value = TypeVar("Value")
_logger = logging.getLogger(__name__)


def retry_delay(attempts: int, share: float) -> float:
    """Return the seconds until the next attempt: they double up to a bound, and are spread by a
    fifth by a share from 0 to 1, so that targets which failed together are not tried together."""
    delay = FIRST_DELAY_SECONDS * 2.0 ** min(max(attempts, 1) - 1, 20)
    return min(delay, LONGEST_DELAY_SECONDS) * (0.8 + 0.4 * share)


class NotSent(Exception):
    """A message did not arrive; `receipt` says why."""

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt
        super().__init__(receipt.reason)


@dataclass(frozen=True)
class Surroundings:
    """What the notifier works with."""

    rules: NotificationRules
    outbox: NotificationRepository
    error_log: ErrorLog
    queries: JobQueries
    credentials: Credentials
    sender: SenderProcess


class Notifier:
    """One per application. `run` is its loop; everything else returns at once, but `test`."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        clock: Callable[[], float] = time.time,
        share: Callable[[], float] = random.random,
    ) -> None:
        self._with = surroundings
        self.rules = surroundings.rules
        self.outbox = surroundings.outbox
        self._clock = clock
        self._share = share
        self._faults = TargetFaults(surroundings.error_log)
        self._breakers: dict[str, CircuitBreaker] = {}
        self._intake = Intake(
            surroundings.outbox, surroundings.error_log, surroundings.queries, clock
        )
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._is_waiting = False
        self._wake = asyncio.Event()
        self._wake.set()

    def run_step(self, run: Run) -> None:
        """A run has begun or ended."""
        if not run.is_over:
            # One that waited for its turn begins in memory alone.
            self._intake.run_begun(run)
        self._wake.set()

    def errors_changed(self) -> None:
        """The error log has something new."""
        self._intake.errors_changed()
        self._wake.set()

    def rules_changed(self) -> None:
        """A rule was saved or deleted."""
        self._wake.set()

    async def try_again(self, rule: NotificationRule) -> None:
        """A rule's target may work now: what waits for it is sent at once. Raises StorageFailed."""
        self._breakers.pop(rule.target, None)
        await self.outbox.hurry(rule_lane(rule.name))
        self._wake.set()

    @property
    def is_at_rest(self) -> bool:
        """Whether all that is due is done or being sent."""
        return self._is_waiting and not self._wake.is_set()

    async def run(self) -> None:
        """Take in and send until cancelled; then wait a moment for what is being sent."""
        try:
            await self._until_it_works(self._tidy)
            while True:
                due = await self._until_it_works(self._turn)
                await self._pause(due)
        finally:
            tasks = tuple(self._sending.values())
            if tasks:
                await asyncio.wait(tasks, timeout=_FAREWELL_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def test(self, rule: NotificationRule) -> Receipt:
        """Send a message in a rule's words, past the outbox. Raises StorageFailed."""
        try:
            credential = await self._with.credentials.find(rule.target)
        except CredentialUnusable as error:
            return Receipt(str(error))
        message = sample_message(rule)
        letter = Letter(credential.password, message.body, message.title, message.type)
        delivery = self._new_delivery("test")
        try:
            receipt = await self._with.sender.send(delivery, letter)
        finally:
            await self._with.sender.forget(delivery)
        if receipt.reason is None:
            self._faults.arrived(rule.target)
            await self.try_again(rule)
        return receipt

    async def _until_it_works(self, work: Callable[[], Awaitable[Value]]) -> Value:
        while True:
            try:
                return await work()
            except StorageFailed as error:
                _logger.error("notifications wait: %s", error)
            except Exception:
                # The loop's boundary: a defect must not end all notifications.
                _logger.exception("notifications wait")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _pause(self, due: float | None) -> None:
        seconds = None if due is None else min(max(0.0, due - self._clock()), _HOUR)
        self._is_waiting = True
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        finally:
            self._is_waiting = False

    async def _tidy(self) -> None:
        await self._with.sender.forget_others(await self.outbox.under_way())

    async def _pick_up(self) -> None:
        """Go on with what was being sent when an earlier dashboard, or what sent it, ended."""
        for delivery, notes in (await self.outbox.under_way(but=tuple(self._sending))).items():
            self._start(notes[0].lane, self._resume(delivery, notes))

    async def _turn(self) -> float | None:
        """Take in what is new and begin to send what is due; returns when more is due."""
        self._wake.clear()
        await self._pick_up()
        rules = await self.rules.current()
        dropped = await self._intake.take(rules)
        if dropped:
            self._faults.dropped(dropped)
        return await self._send_due({rule_lane(rule.name): rule for rule in rules if rule.enabled})

    async def _send_due(self, rules: dict[str, NotificationRule]) -> float | None:
        now = self._clock()
        next_due: float | None = None
        for lane in await self.outbox.waiting_lanes():
            if lane.lane in self._sending:
                continue
            rule = rules.get(lane.lane)
            if rule is None and not lane.lane.startswith(PING_LANE):
                await self.outbox.drop(lane.lane, now, "Its rule is gone or switched off.")
                continue
            due = await self._due(lane, rule, now)
            if due > now:
                next_due = due if next_due is None else min(due, next_due)
            elif len(self._sending) < MAX_AT_ONCE:
                self._start(lane.lane, self._deliver(lane.lane, rule))
        return next_due

    async def _due(self, lane: Lane, rule: NotificationRule | None, now: float) -> float:
        """Return from when on a lane's oldest may be sent."""
        due = lane.due_at
        if rule is not None:
            if not lane.attempts:
                due = max(due, lane.first_at + rule.digest_seconds)
            sent = await self.outbox.sent_since(lane.lane, now - _HOUR)
            if len(sent) >= rule.at_most_per_hour:
                due = max(due, sent[-rule.at_most_per_hour] + _HOUR)
        return due if due <= now + _LONGEST_WAIT else now

    def _start(self, lane: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work), name=f"notify-{lane}")
        self._sending[lane] = task

        def ended(_task: asyncio.Task[None]) -> None:
            self._sending.pop(lane, None)
            self._wake.set()

        task.add_done_callback(ended)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            # The boundary of what is sent: it is picked up again, but not at once.
            _logger.exception("a notification is not sent")
            await asyncio.sleep(_RETRY_SECONDS)

    async def _deliver(self, lane: str, rule: NotificationRule | None) -> None:
        delivery = self._new_delivery("d")
        most = MAX_DIGEST if rule is not None else 1
        # Until it is known: it may have been marked all the same.
        notes = await self._until_it_works(partial(self.outbox.begin, lane, delivery, most))
        if not notes:
            return
        target = rule.target if rule is not None else notes[0].target
        breaker = self._breaker(target)
        try:
            receipt = await breaker.call(partial(self._send, delivery, target, notes))
        except NotSent as error:
            receipt = error.receipt
        except CircuitOpen as error:
            wait = self._clock() + max(error.retry_in_seconds, 1.0)
            reason = notes[0].reason or "It waits until the target is tried again."
            postpone = partial(self.outbox.postpone, delivery, wait, reason, counts=False)
            await self._keep(postpone)
            return
        await self._conclude(delivery, target, notes, receipt)

    async def _resume(self, delivery: str, notes: Sequence[Kept]) -> None:
        receipt = await self._with.sender.find(delivery)
        await self._conclude(delivery, notes[0].target, notes, receipt)

    async def _send(self, delivery: str, target: str, notes: Sequence[Kept]) -> Receipt:
        """Raises NotSent."""
        try:
            address = (await self._with.credentials.find(target)).password
            if notes[0].occasion == PING:
                fault = ping_fault(address)
                if fault is not None:
                    raise NotSent(Receipt(fault))
                place = ping_address(address, notes[0].title)
                letter = Letter(place, notes[0].body, is_ping=True)
            else:
                message = composed(notes)
                letter = Letter(address, message.body, message.title, message.type)
            receipt = await self._with.sender.send(delivery, letter)
        except (CredentialUnusable, StorageFailed) as error:
            raise NotSent(Receipt(str(error))) from error
        if receipt.reason is not None:
            raise NotSent(receipt)
        return receipt

    async def _conclude(
        self, delivery: str, target: str, notes: Sequence[Kept], receipt: Receipt
    ) -> None:
        now, outbox = self._clock(), self.outbox
        is_ping = notes[0].occasion == PING
        job_id = notes[0].job_id if is_ping else None
        if receipt.reason is None:
            await self._keep(partial(outbox.sent, delivery, now))
            self._faults.arrived(target, job_id)
        else:
            attempts = max(note.attempts for note in notes) + 1
            limit = GIVE_UP_SECONDS[PING_LANE if is_ping else RULE_LANE]
            is_last = now - min(note.created_at for note in notes) > limit
            if is_last:
                await self._keep(partial(outbox.give_up, delivery, now, receipt.reason))
            else:
                due = now + retry_delay(attempts, self._share())
                await self._keep(
                    partial(outbox.postpone, delivery, due, receipt.reason, counts=True)
                )
            self._faults.failed(target, receipt.reason, attempts, is_last=is_last, job_id=job_id)
        await self._with.sender.forget(delivery)

    async def _keep(self, write: Callable[[], Awaitable[None]]) -> None:
        """Keep what came of a delivery, as soon as the database takes it."""
        await self._until_it_works(write)

    def _breaker(self, target: str) -> CircuitBreaker:
        if target not in self._breakers:
            self._breakers[target] = CircuitBreaker(
                f"notification target {target}",
                failures=_BREAKER_FAILURES,
                open_seconds=_BREAKER_SECONDS,
            )
        return self._breakers[target]

    def _new_delivery(self, kind: str) -> str:
        return f"{kind}-{int(self._clock() * 1000):x}-{secrets.token_hex(4)}"

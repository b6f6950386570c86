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
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from core.notifying.process import MAX_AT_ONCE, Receipt
from fastapi_app.notification_courier import (
    RETRY_SECONDS,
    Courier,
    Surroundings,
    until_it_works,
)
from fastapi_app.notification_events import PING_LANE, RULE_LANE, rule_lane
from fastapi_app.notification_faults import TargetFaults
from fastapi_app.notification_intake import Intake
from models.errors import InvalidSettings, RuleConflict, RuleNotFound, StorageFailed
from models.notifications import MAX_RULES, NotificationRule
from models.run import Run
from storage.notification_repository import MAX_WAITING
from storage.notification_table import Lane

_HOUR = 3_600.0
_LONGEST_WAIT = 86_400.0 + _HOUR
"""Nothing is ever due later than so: a clock that was set back would hold it up."""
_FAREWELL_SECONDS = 0.5
"""So long an ending dashboard waits for what is being sent: what then is under way ends without it,
and its receipt is found by the next one."""
_LOOK_AGAIN_SECONDS = 5.0
"""How often is looked for rules that are lost."""
_Rules = Mapping[str, NotificationRule]
"""The rules that are in force, by lane."""
_logger = logging.getLogger(__name__)


class Notifier:
    """One per application. `run` is its loop; everything else returns at once, but `test`."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        clock: Callable[[], float] = time.time,
        share: Callable[[], float] = random.random,
    ) -> None:
        self.rules = surroundings.rules
        self.outbox = surroundings.outbox
        self._sender = surroundings.sender
        self._queries = surroundings.queries
        self._clock = clock
        self._faults = TargetFaults(surroundings.error_log)
        self._courier = Courier(surroundings, self._faults, clock=clock, share=share)
        self._intake = Intake(
            surroundings.outbox, surroundings.error_log, surroundings.queries, clock
        )
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._renamed: dict[str, str] = {}
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

    def jobs_changed(self, job_ids: Iterable[str]) -> None:
        """These jobs look different; one of them may ping nobody any more."""
        if self._faults.is_about(job_ids):
            self._wake.set()

    async def put_rule(self, rule: NotificationRule, *, replaces: str | None, version: str) -> None:
        """Keep a rule, and let what waits for one that gets another name wait for that. Raises what
        NotificationRules.put raises."""
        lane = rule_lane(rule.name)
        before = rule_lane(replaces) if replaces is not None else lane
        if before != lane:
            # Before it is kept: a turn may come in between.
            self._renamed[before] = lane
            if len(self._renamed) > MAX_RULES:
                del self._renamed[next(iter(self._renamed))]
        try:
            await self.rules.put(rule, replaces=replaces, version=version)
        except (InvalidSettings, RuleConflict, RuleNotFound, StorageFailed):
            self._renamed.pop(before, None)  # Whatever else it was, it may be kept.
            raise
        self._renamed.pop(lane, None)
        if before != lane:
            await self.outbox.move(before, lane, self._clock())
        self._wake.set()

    async def try_again(self, rule: NotificationRule) -> None:
        """A rule's target may work now: what waits for it is sent at once. Raises StorageFailed."""
        self._courier.forget(rule.target)
        await self.outbox.hurry(rule_lane(rule.name))
        self._wake.set()

    @property
    def is_at_rest(self) -> bool:
        """Whether all that is due is done or being sent."""
        return self._is_waiting and not self._wake.is_set()

    async def run(self) -> None:
        """Take in and send until cancelled; then wait a moment for what is being sent."""
        try:
            await until_it_works(self._tidy)
            while True:
                due = await until_it_works(self._turn)
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
        receipt = await self._courier.test(rule)
        if receipt.reason is None:
            await self.try_again(rule)
        return receipt

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
        await self._sender.forget_others(await self.outbox.under_way())
        await self._faults.find_told()

    async def _pick_up(self) -> None:
        """Go on with what was being sent when an earlier dashboard, or what sent it, ended."""
        for delivery, notes in (await self.outbox.under_way(but=tuple(self._sending))).items():
            self._start(notes[0].lane, self._courier.resume(delivery, notes))

    async def _turn(self) -> float | None:
        """Take in what is new and begin to send what is due; returns when more is due."""
        self._wake.clear()
        await self._pick_up()
        found = await self.rules.current()
        rules: _Rules | None = None
        if self.rules.is_lost:
            # What a rule may tell of is told when it is known again which there are.
            dropped = await self._intake.take_pings()
        else:
            rules = {rule_lane(rule.name): rule for rule in found if rule.enabled}
            dropped = await self._intake.take(found)
        await self._tell_room(dropped)
        targets = None if rules is None else {rule.target for rule in rules.values()}
        self._faults.settle_unnamed(targets, lambda job_id: self._ping_of(job_id) is not None)
        lanes = await self.outbox.waiting_lanes()
        dues = [await self._send_due(lanes, rules), self._forget_breakers(lanes, rules)]
        if rules is None:
            dues.append(self._clock() + _LOOK_AGAIN_SECONDS)
        return min((due for due in dues if due is not None), default=None)

    async def _tell_room(self, dropped: int) -> None:
        if dropped:
            self._faults.dropped(dropped)
        elif self._faults.is_crowded and await self.outbox.waiting_count() <= MAX_WAITING // 2:
            self._faults.has_room()

    async def _send_due(self, lanes: Iterable[Lane], rules: _Rules | None) -> float | None:
        now = self._clock()
        next_due: float | None = None
        for lane in lanes:
            if lane.lane in self._sending:
                continue
            is_ping = lane.lane.startswith(PING_LANE)
            if rules is None and not is_ping:
                continue
            if self._target_of(lane.lane, rules) is None:
                await self._drop(lane.lane, rules or {}, now)
                continue
            rule = None if is_ping or rules is None else rules[lane.lane]
            due = await self._due(lane, rule, now)
            if due > now:
                next_due = due if next_due is None else min(due, next_due)
            elif len(self._sending) < MAX_AT_ONCE:
                self._start(lane.lane, self._courier.deliver(lane.lane, rule))
        return next_due

    async def _drop(self, lane: str, rules: _Rules, now: float) -> None:
        """Let go of what waits for nobody."""
        if lane.startswith(PING_LANE):
            await self.outbox.drop(lane, now, "Its job pings nobody any more.")
            return
        present = lane
        while present in self._renamed and present not in rules:
            present = self._renamed[present]
        if present in rules:
            # It was being sent, or taken in, while its rule got another name.
            await self.outbox.move(lane, present, now)
            self._wake.set()
            return
        count = await self.outbox.drop(lane, now, "Its rule is gone or switched off.")
        self._faults.dropped_with_rule(lane.removeprefix(RULE_LANE), count)

    def _forget_breakers(self, lanes: Iterable[Lane], rules: _Rules | None) -> float | None:
        """Have no target left alone that nothing waits for; returns when to look again."""
        if rules is None or not self._courier.leaves_alone:
            return None
        waiting = (*(lane.lane for lane in lanes), *self._sending)
        waited_for = {self._target_of(lane, rules) for lane in waiting}
        jobs = self._queries.all_jobs().values()
        named = {rule.target for rule in rules.values()} | {job.job.monitoring.ping for job in jobs}
        seconds = self._courier.forget_others(waited_for, named)
        return None if seconds is None else self._clock() + seconds

    def _target_of(self, lane: str, rules: _Rules | None) -> str | None:
        """Return to whom what waits in a lane goes; None when nobody takes it any more."""
        if lane.startswith(PING_LANE):
            return self._ping_of(lane.removeprefix(PING_LANE))
        rule = (rules or {}).get(lane)
        return rule.target if rule is not None else None

    def _ping_of(self, job_id: str) -> str | None:
        record = self._queries.all_jobs().get(job_id)
        return record.job.monitoring.ping if record is not None else None

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
            await asyncio.sleep(RETRY_SECONDS)

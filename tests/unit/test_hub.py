"""Proves the fan-out: what each browser is told, never more than one frame ahead of it, and that
one which does not answer costs nobody else anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fastapi_app.websocket import hub as hub_module
from fastapi_app.websocket.hub import CardUpdate, Client, Hub


class Cards:
    """Cards whose state a test sets; counts how often each was rendered."""

    def __init__(self) -> None:
        self.updates: dict[str, CardUpdate] = {}
        self.rendered: list[str] = []
        self.asked = 0

    def update_of(self, job_id: str) -> CardUpdate | None:
        """Return the present state."""
        self.asked += 1
        return self.updates.get(job_id)

    async def fragment_of(self, job_id: str) -> str:
        """Render a card, or its removal."""
        self.rendered.append(job_id)
        await asyncio.sleep(0)
        update = self.updates.get(job_id)
        return f"<{job_id} {update.structure}>" if update else f"<{job_id} removed>"


class Browser:
    """One connected browser: what it was sent, and a hand to acknowledge it."""

    def __init__(self, hub: Hub, *shows: str, cursor: str | None = None) -> None:
        self.hub = hub
        self.frames: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.client = Client(send=self._take)
        hub.join(self.client)
        hub.subscribe(self.client, shows, hub.cursor if cursor is None else cursor)
        self.task = asyncio.create_task(hub.serve(self.client))

    async def next(self, *, ack: bool = True) -> dict[str, Any]:
        """Return the next frame, and acknowledge it."""
        async with asyncio.timeout(5):
            while not self.frames:
                self.arrived.clear()
                await self.arrived.wait()
        frame = self.frames.pop(0)
        if ack and "seq" in frame:
            self.hub.acknowledge(self.client, frame["seq"])
        return frame

    async def _take(self, text: str) -> None:
        self.frames.append(json.loads(text))
        self.arrived.set()


class Stage:
    """A hub with its cards."""

    def __init__(self) -> None:
        self.cards = Cards()
        self.hub = Hub(self.cards)
        self.browsers: list[Browser] = []

    def connect(self, *shows: str, cursor: str | None = None) -> Browser:
        """Connect a browser that shows these cards; without cursor its page is of this moment."""
        self.browsers.append(Browser(self.hub, *shows, cursor=cursor))
        return self.browsers[-1]

    def change(self, job_id: str, structure: str = "running", **values: Any) -> None:
        """Change a job, as a command does."""
        self.cards.updates[job_id] = CardUpdate(structure, values)
        self.hub.jobs_changed([job_id])


@pytest_asyncio.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A stage with a short tick, whose browsers leave at the end."""
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.001)
    made = Stage()
    yield made
    for browser in made.browsers:
        made.hub.leave(browser.client)
        await browser.task


async def test_a_new_structure_is_html_and_values_are_a_patch(stage: Stage) -> None:
    browser = stage.connect("a")
    stage.change("a", percent=1)
    frame = await browser.next()
    assert (frame["t"], frame["html"]) == ("update", "<a running>")
    # A fragment is shared and may be older than the figures: those come beside it.
    assert frame["set"] == [["a", {"percent": 1}]]
    stage.change("a", percent=2)
    frame = await browser.next()
    assert (frame["set"], frame["html"]) == ([["a", {"percent": 2}]], "")
    assert frame["cursor"] == stage.hub.cursor
    stage.change("a", "completed", percent=100)
    assert (await browser.next())["html"] == "<a completed>"


async def test_only_the_newest_of_many_changes_is_sent(stage: Stage) -> None:
    browser = stage.connect("a")
    stage.change("a", percent=0)
    held = await browser.next(ack=False)
    for percent in range(1, 500):
        stage.change("a", percent=percent)
    assert browser.client.changed == {"a"}, "a set of jobs, never a queue of messages"
    stage.hub.acknowledge(browser.client, held["seq"])
    assert (await browser.next())["set"] == [["a", {"percent": 499}]]


async def test_an_update_is_written_once_for_all_who_show_the_same(stage: Stage) -> None:
    browsers = [stage.connect("a", "b") for _ in range(10)]
    stage.change("a", percent=1)
    for browser in browsers:
        await browser.next()
    before = stage.cards.asked
    stage.change("a", percent=2)
    for browser in browsers:
        assert (await browser.next())["set"] == [["a", {"percent": 2}]]
    assert stage.cards.asked == before + 2, "once to note the change, once to write it"


async def test_what_changes_at_an_even_pace_is_never_sent_late(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = asyncio.get_running_loop().time
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 1000.0)
    browser = stage.connect("a")
    stage.change("a", percent=0)
    await browser.next()
    # As if the tick were over, but for less than a half of it.
    browser.client.next_frame_at = clock() + 499.0
    stage.change("a", percent=1)
    await browser.next()
    assert browser.client.next_frame_at - clock() > 1400.0, "the next one is not early as well"
    stage.change("a", percent=2)
    await asyncio.sleep(0.02)
    assert browser.frames == []
    # It would sleep for long.
    browser.task.cancel()
    stage.browsers.clear()


async def test_the_memory_of_a_client_is_bounded_by_its_jobs(stage: Stage) -> None:
    browser = stage.connect(*(f"job-{number}" for number in range(20)))
    for percent in range(100):
        for number in range(20):
            stage.change(f"job-{number}", percent=percent)
    assert len(browser.client.changed) == 20


async def test_one_frame_is_in_flight_until_its_acknowledgement(stage: Stage) -> None:
    browser, other = stage.connect("a"), stage.connect("a")
    stage.change("a", percent=1)
    frame = await browser.next(ack=False)
    await other.next()
    stage.change("a", percent=2)
    # The other one has its second frame: so this one would have had it too.
    assert (await other.next())["set"] == [["a", {"percent": 2}]]
    assert browser.frames == []
    stage.hub.acknowledge(browser.client, frame["seq"] + 1)
    stage.change("a", percent=3)
    await other.next()
    assert browser.frames == [], "another number is no acknowledgement"
    stage.hub.acknowledge(browser.client, frame["seq"])
    assert (await browser.next())["set"] == [["a", {"percent": 3}]]


async def test_a_patch_goes_to_those_alone_who_show_the_card(stage: Stage) -> None:
    shows, other = stage.connect("a"), stage.connect("b")
    stage.change("a", percent=1)
    for browser in (shows, other):
        assert (await browser.next())["html"] == "<a running>", "a new job is for everybody"
    stage.change("a", percent=2)
    assert (await shows.next())["set"] == [["a", {"percent": 2}]]
    assert other.client.changed == set()
    assert other.frames == []


async def test_a_removed_job_is_told_to_everybody(stage: Stage) -> None:
    stage.change("a", percent=1)
    browsers = [stage.connect("a"), stage.connect("b"), stage.connect()]
    del stage.cards.updates["a"]
    stage.hub.jobs_changed(["a"])
    for browser in browsers:
        assert (await browser.next())["html"] == "<a removed>"


async def test_a_card_is_rendered_once_for_all(stage: Stage) -> None:
    browsers = [stage.connect("a") for _ in range(20)]
    stage.change("a", percent=1)
    for browser in browsers:
        await browser.next()
    assert stage.cards.rendered == ["a"]


async def test_who_comes_back_is_told_what_changed_since(stage: Stage) -> None:
    for job_id in ("patched", "restructured", "removed", "untouched"):
        stage.change(job_id, percent=1)
    cursor = stage.hub.cursor
    stage.change("patched", percent=2)
    stage.change("restructured", "completed", percent=2)
    stage.change("created", percent=2)
    del stage.cards.updates["removed"]
    stage.hub.jobs_changed(["removed"])
    browser = stage.connect("patched", "restructured", "removed", "untouched", cursor=cursor)
    frame = await browser.next()
    assert ["patched", {"percent": 2}] in frame["set"]
    assert "untouched" not in dict(frame["set"])
    assert frame["html"] == "<created running><removed removed><restructured completed>"


async def test_who_comes_back_up_to_date_is_told_nothing(stage: Stage) -> None:
    stage.change("a", percent=1)
    assert stage.connect("a", cursor=stage.hub.cursor).client.changed == set()


@pytest.mark.parametrize("cursor", ["", "rubbish", "00000000:1", ":", "another:²"])
async def test_the_cursor_of_another_process_gets_all_of_its_cards(
    stage: Stage, cursor: str
) -> None:
    stage.change("a", percent=1)
    browser = stage.connect("a", "gone", cursor=cursor)
    assert (await browser.next())["html"] == "<a running><gone removed>"


async def test_who_does_not_answer_is_dropped_and_the_others_go_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "STUCK_SECONDS", 0.05)
    stuck, good = stage.connect("a"), stage.connect("a")
    sweeper = asyncio.create_task(stage.hub.run())
    stage.change("a", percent=0)
    await stuck.next(ack=False)
    percent = 0
    async with asyncio.timeout(10):
        while not stuck.client.gone.is_set():
            await good.next()
            percent += 1
            stage.change("a", percent=percent)
            await asyncio.sleep(0.01)
    sweeper.cancel()
    await asyncio.gather(sweeper, return_exceptions=True)
    assert percent > 5
    assert not good.client.gone.is_set()
    assert (stage.hub.dropped_clients, stage.hub.client_count) == (1, 1)
    await asyncio.wait_for(stuck.task, 5)


async def test_a_send_that_hangs_holds_up_nobody_else(stage: Stage) -> None:
    never = asyncio.Event()

    async def hang(_: str) -> None:
        await never.wait()

    client = Client(send=hang)
    stage.hub.join(client)
    stage.hub.subscribe(client, ["a"], stage.hub.cursor)
    hanging = asyncio.create_task(stage.hub.serve(client))
    good = stage.connect("a")
    for percent in range(5):
        stage.change("a", percent=percent)
        await good.next()
    assert client.sending_since is not None, "the sweeper will find it"
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    stage.hub.leave(client)


async def test_pings_need_no_acknowledgement_and_take_no_frame_s_turn(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.0)
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 60.0)
    browser = stage.connect("a")
    sweeper = asyncio.create_task(stage.hub.run())
    assert await browser.next() == {"t": "ping"}
    assert (browser.client.awaited_ack, browser.client.sending_since) == (None, None)
    sweeper.cancel()
    await asyncio.gather(sweeper, return_exceptions=True)
    stage.change("a", percent=1)
    assert (await browser.next())["html"] == "<a running>"


async def test_what_is_remembered_and_subscribed_is_bounded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(hub_module, "MAX_SUBSCRIPTIONS", 2)
    browser = stage.connect("a", "b", "c", "d")
    assert len(browser.client.subscriptions) == 2
    for number in range(10):
        stage.change(f"job-{number}")
    assert len(stage.hub._seen) == 3
    # What is shown before it ever changed, too.
    for number in range(10):
        stage.cards.updates[f"older-{number}"] = CardUpdate("idle", None)
        await stage.connect(f"older-{number}", cursor="").next()
    assert len(stage.hub._seen) == 3


async def test_what_is_no_job_is_not_remembered(stage: Stage) -> None:
    browser = stage.connect("invented", cursor="")
    assert (await browser.next())["html"] == "<invented removed>"
    assert (stage.hub._seen, stage.hub._patches) == ({}, {})

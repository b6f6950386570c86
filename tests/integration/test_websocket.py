"""Proves the live updates: hello, patches, cards, acknowledgements, and coming back after a gap."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.live import Frame, LiveClient, live, shows
from tests.integration.pages import Page
from tests.integration.running import run_to_end
from tests.support import RunningServer, make_tree, wait_until_async

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
THROTTLED = {"bandwidth_limit": "1500K"}


def throttled_job(server: RunningServer, room: Path, *, files: int = 400) -> str:
    """Create a job of about three seconds, whose figures change all the time."""
    source = make_tree(room / "from", files=files, largest=20_000)
    return server.create_job(source, room / "to", options=THROTTLED)


async def test_a_run_is_seen_live_from_its_start_to_its_end(
    shared_server: RunningServer, room: Path
) -> None:
    job_id = throttled_job(shared_server, room)
    async with live(shared_server) as client:
        await client.send(subscribe=[job_id])
        await asyncio.to_thread(shared_server.start_job, job_id)
        await client.until(shows(job_id, "running"))
        last = await client.until(shows(job_id, "completed"))

    percents = [patch["percent"] for patch in client.patches_of(job_id) if patch["percent"]]
    assert len(set(percents)) >= 5, percents
    assert percents == sorted(percents), "a percentage went back"
    run_id = shared_server.state(job_id)["run_id"]
    for patch in client.patches_of(job_id):
        assert patch.keys() >= {"run_id", "percent", "percent_text", "phase", "rate", "bytes"}
        assert patch["run_id"] in {run_id, ""}
    html = "".join(frame.get("html", "") for frame in client.frames)
    assert 'hx-swap-oob="' in last["html"]
    assert f'id="run-{run_id}"' in html
    assert Page(html).forbidden == []
    places = [frame["seq"] for frame in client.frames if frame["t"] == "update"]
    assert places == sorted(set(places))


async def test_there_is_no_second_frame_before_the_first_is_acknowledged(
    shared_server: RunningServer, room: Path
) -> None:
    job_id = throttled_job(shared_server, room)
    async with live(shared_server) as client:
        await client.send(subscribe=[job_id])
        await asyncio.to_thread(shared_server.start_job, job_id)
        frame = await client.receive(acknowledge=False)
        assert frame["t"] == "update"

        await client.nothing_more(seconds=1)
        await client.send(ack=frame["seq"] + 1_000_000)
        await client.send(ack="no number")
        await client.nothing_more(seconds=0.5)

        await client.send(ack=frame["seq"])
        assert (await client.receive(seconds=2))["t"] == "update"
        await client.until(shows(job_id, "completed"))


async def test_who_comes_back_with_a_cursor_gets_what_changed_meanwhile(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "from", files=2)
    names = ("changes", "stays", "goes")
    changes, stays, goes = (
        shared_server.create_job(source, tmp_path / name, name=name) for name in names
    )
    async with live(shared_server) as client:
        cursor = client.cursor
    await asyncio.to_thread(run_to_end, shared_server, changes)
    assert shared_server.http.delete(f"/api/v1/jobs/{goes}").status_code == 204
    new = shared_server.create_job(source, tmp_path / "new", name="new")

    async with live(shared_server, cursor) as client:
        await client.send(subscribe=[changes, stays, goes])
        frame = await client.receive()
        await client.nothing_more(seconds=0.5)

    assert shows(changes, "completed")(frame)
    assert f'id="job-{goes}"' in frame["html"]
    assert "delete" in frame["html"]
    assert stays not in frame["html"]
    assert f'id="job-{new}"' in frame["html"], "a job that was created meanwhile is not shown"

    async with live(shared_server, "0000:7") as client:
        # The cursor of another process of the server: everything that is shown is sent.
        await client.send(subscribe=[changes, stays])
        frame = await client.receive()
    assert shows(changes, "completed")(frame) or frame["set"]
    assert {changes, stays} <= set(_changed(frame, [changes, stays]))


async def test_new_and_removed_jobs_and_new_statuses_reach_everybody(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "from", files=2)
    async with live(shared_server) as first, live(shared_server) as second:
        await first.send(subscribe=[])
        job_id = shared_server.create_job(source, tmp_path / "to", name="<b>new</b>")
        for client in (first, second):
            frame = await client.until(shows(job_id, "pending"))
            assert "<b>new" not in frame["html"]
        await asyncio.to_thread(run_to_end, shared_server, job_id)
        for client in (first, second):
            await client.until(shows(job_id, "completed"))
        shared_server.http.delete(f"/api/v1/jobs/{job_id}")
        for client in (first, second):
            frame = await client.until(lambda frame: job_id in frame.get("html", ""))
            assert "delete" in frame["html"]
            assert "<b>new" not in frame["html"]


async def test_who_never_acknowledges_is_dropped_while_another_goes_on(
    shared_server: RunningServer, room: Path
) -> None:
    job_id = throttled_job(shared_server, room, files=1400)
    async with live(shared_server) as silent, live(shared_server) as other:
        for client in (silent, other):
            await client.send(subscribe=[job_id])
        run_id = await asyncio.to_thread(shared_server.start_job, job_id)
        await silent.receive(acknowledge=False)
        seen: list[float] = []

        async def go_on() -> None:
            while True:
                await other.receive()
                seen.append(asyncio.get_running_loop().time())

        task = asyncio.create_task(go_on())
        with pytest.raises(ConnectionClosed):
            await silent.until_dropped(seconds=9)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        shared_server.http.post(f"/api/v1/jobs/{job_id}/stop")
        await other.until(shows(job_id, "paused"))

    gaps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    assert len(seen) > 20
    assert max(gaps) < 2, "the silent client held up the other one"
    shared_server.wait_for_end(run_id)


async def test_who_never_reads_is_dropped(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    source = make_tree(tmp_path / "from", files=1)
    # Enough cards that one frame is more than all buffers between server and client hold.
    jobs = [
        server.create_job(source, tmp_path / f"{number}", name=f"{number} " + "n" * 110)
        for number in range(40)
    ]
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

        async def clients() -> int:
            health = await asyncio.to_thread(server.http.get, "/health")
            return int(health.json()["components"]["monitor"]["clients"])

        await wait_until_async(lambda: _is(clients, 1), what="the client that never reads")
        async with live(server) as other:
            await other.send(subscribe=jobs)
            frame = await other.receive()
            assert len(_changed(frame, jobs)) == len(jobs)
            run = await asyncio.to_thread(run_to_end, server, jobs[0])
            await other.until(shows(jobs[0], "completed"))
            assert run["outcome"] == "completed"
            await wait_until_async(lambda: _is(clients, 1), seconds=12, what="its end")


async def test_a_quiet_connection_is_pinged(shared_server: RunningServer) -> None:
    async with live(shared_server) as client:
        await client.until(lambda frame: frame["t"] == "ping", seconds=11)


@pytest.mark.parametrize("message", ["{", "[]", "7", "null", "\ud7ff", '"' + "x" * 2_000_000 + '"'])
async def test_what_is_not_of_the_protocol_ends_that_connection_alone(
    shared_server: RunningServer, message: str
) -> None:
    async with live(shared_server) as other:
        async with live(shared_server) as client:
            with pytest.raises(ConnectionClosed):
                await _send_and_wait_for_the_end(client, message)
        await other.send(subscribe=["none", "", 7, None], ack=-1, other={"a": []})
        assert (await asyncio.to_thread(shared_server.http.get, "/health")).status_code == 200
        assert other.connection.state.name == "OPEN"


async def _send_and_wait_for_the_end(client: LiveClient, message: str) -> None:
    # The server may close while a long message is still being sent.
    await client.connection.send(message)
    await client.until_dropped(seconds=5)


async def _is(figure: Callable[[], object], wanted: int) -> bool:
    value = figure()
    return (await value) == wanted if asyncio.iscoroutine(value) else value == wanted


def _changed(frame: Frame, job_ids: list[str]) -> list[str]:
    in_place = {changed for changed, _ in frame.get("set", [])}
    html = frame.get("html", "")
    return [job_id for job_id in job_ids if job_id in in_place or f'id="job-{job_id}"' in html]

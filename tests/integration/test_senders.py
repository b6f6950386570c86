"""Proves of the processes that send: what they refuse, that one which hangs is ended, and that its
receipt is found by who did not start it."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.notifying.process import Letter, Receipt, SenderProcess
from models.errors import StorageFailed
from tests.fakes.receivers import WebReceiver, a_web_receiver
from tests.support import wait_until_async

pytestmark = pytest.mark.integration


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with a_web_receiver() as receiver:
        yield receiver


async def _is(value: bool) -> bool:
    return value


async def test_a_receipt_is_waited_for_and_found_by_another(
    tmp_path: Path, web: WebReceiver
) -> None:
    folder = tmp_path / "receipts"
    web.may_answer.clear()
    ping = Letter(f"http://u:p@127.0.0.1:{web.port}/ping", "body", is_ping=True)
    sending = asyncio.create_task(SenderProcess(folder).send("one", ping))
    await wait_until_async(lambda: _is(bool(web.requests)), what="the request")
    another = SenderProcess(folder)
    await another.forget_others(())
    looking = asyncio.create_task(another.find("one"))
    done, _ = await asyncio.wait([looking], timeout=0.3)
    assert not done
    web.may_answer.set()
    assert await looking == await sending == Receipt()
    assert [one.path for one in web.requests] == ["/ping"]
    await another.forget_others(["one"])
    assert [path.name for path in folder.iterdir()] == ["one.receipt"]
    await another.forget_others(())
    assert list(folder.iterdir()) == []
    assert "cut off" in ((await another.find("one")).reason or "")


async def test_what_hangs_is_ended_and_nobody_knows_whether_it_arrived(
    tmp_path: Path, web: WebReceiver
) -> None:
    web.may_answer.clear()
    sender = SenderProcess(tmp_path, limit_seconds=2.0)
    ping = Letter(f"http://127.0.0.1:{web.port}/ping", "", is_ping=True)
    receipt = await sender.send("one", ping)
    assert "cut off" in (receipt.reason or "")


async def test_the_process_itself_refuses_what_stays_here_and_what_leads_elsewhere(
    tmp_path: Path, web: WebReceiver
) -> None:
    sender = SenderProcess(tmp_path)
    for address, word in (
        ("dbus://", "stays on this machine"),
        ("slack://a/b/c?template=/etc/passwd", "template"),
        ("nonsense://x", "none that a message can be sent to"),
    ):
        receipt = await sender.send("one", Letter(address, "body"))
        assert word in (receipt.reason or "")
    web.status = 302
    moved = Letter(f"http://127.0.0.1:{web.port}/ping", "", is_ping=True)
    assert "leads elsewhere" in ((await sender.send("one", moved)).reason or "")
    assert len(web.requests) == 1


async def test_a_message_follows_no_redirect(tmp_path: Path, web: WebReceiver) -> None:
    sender = SenderProcess(tmp_path)
    for number, status in enumerate((302, 307), start=1):
        web.status = status
        letter = Letter(f"json://127.0.0.1:{web.port}/hook", "about a run")
        assert f"status {status}" in ((await sender.send("one", letter)).reason or "")
        assert [request.path for request in web.requests] == ["/hook"] * number


async def test_without_room_for_a_receipt_nothing_is_sent(tmp_path: Path, web: WebReceiver) -> None:
    folder = tmp_path / "gone" / "receipts"
    ping = Letter(f"http://127.0.0.1:{web.port}/ping", "", is_ping=True)
    shutil.rmtree(folder.parent, ignore_errors=True)
    with pytest.raises(StorageFailed):
        await SenderProcess(folder).send("one", ping)
    assert web.requests == []


async def test_a_receipt_that_cannot_be_locked_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("core.notifying.process.fcntl.flock", refuse)
    with pytest.raises(StorageFailed, match="No locks available"):
        await SenderProcess(tmp_path).send("one", Letter("http://127.0.0.1:1/", "", is_ping=True))
    held = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if path.startswith(str(tmp_path))]

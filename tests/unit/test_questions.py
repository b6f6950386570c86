"""Proves on a disk that really hangs that nobody waits for it for long, that it takes few threads
and none of others, and that it is asked again once it answers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from core import patience
from core import questions as room
from core.patience import ask, there_now
from core.questions import MOST_ON_A_DISK, Questions, is_folder, reach
from core.real_paths import Touch
from models.errors import NoAnswer
from tests.hanging import HangingDisk, hanging_disk
from tests.support import wait_until

_PATIENCE = 30
"""Seconds, far more than a machine under load takes for what asks nobody."""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingDisk]:
    """One that hangs, and little patience with it."""
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.3)
    with hanging_disk(tmp_path / "dead") as disk:
        yield disk


def hang(questions: Questions, disk: HangingDisk, path: str) -> str:
    """Ask for a folder with little patience until one question hangs there: on a busy machine its
    thread may come too late to be waited for. Returns what was told of it."""
    touched: list[str] = []

    def look(touch: Touch) -> bool:
        def noted(place: str) -> None:
            touch(place)
            touched.append(place)

        return is_folder(path, noted)

    def ask_once() -> str:
        with pytest.raises(NoAnswer) as told:
            questions.ask(look, seconds=0.3)
        hangs = any(place.startswith(str(disk.path)) for place in touched)
        return told.value.place if hangs else ""

    return wait_until(ask_once, seconds=_PATIENCE, what="a question that hangs")


def is_refused_at_once(questions: Questions, path: Path) -> bool:
    """Ask for a folder that gives no answer, with much patience; whether none was taken."""
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        questions.ask(partial(is_folder, str(path)), seconds=_PATIENCE)
    return time.monotonic() - began < _PATIENCE / 2


def test_a_disk_that_hangs_is_named_and_not_asked_again_until_it_answers(
    disk: HangingDisk, tmp_path: Path
) -> None:
    questions = Questions()
    assert hang(questions, disk, f"{disk.path}/photos") == str(disk.path)
    for _ in range(20):
        assert is_refused_at_once(questions, disk.path / "photos")
    wait_until(lambda: questions.threads == 1, what="all but the one that the kernel keeps")
    assert questions.ask(partial(is_folder, str(tmp_path)))
    disk.let_go()
    wait_until(lambda: questions.threads == 0, what="the thread that hung")
    assert questions.ask(partial(is_folder, str(disk.path)))


def test_where_a_link_leads_is_what_hangs_and_not_where_it_lies(
    disk: HangingDisk, tmp_path: Path
) -> None:
    questions = Questions()
    (tmp_path / "link").symlink_to(disk.path)
    (tmp_path / "chain").symlink_to("link/photos")
    assert hang(questions, disk, f"{tmp_path}/chain/2026") == str(disk.path)
    assert questions.ask(partial(is_folder, str(tmp_path)))
    assert is_refused_at_once(questions, tmp_path / "link")


async def test_however_many_ask_at_once_few_threads_hang_and_others_are_answered(
    disk: HangingDisk, tmp_path: Path
) -> None:
    questions = Questions()
    dead, well = partial(is_folder, str(disk.path)), partial(is_folder, str(tmp_path))
    everybody = [asyncio.create_task(ask(questions, dead, seconds=1)) for _ in range(60)]
    await asyncio.sleep(0)
    answers = await asyncio.gather(*(ask(questions, well, seconds=_PATIENCE) for _ in range(60)))
    assert answers == [True] * 60
    ended = await asyncio.gather(*everybody, return_exceptions=True)
    assert all(isinstance(one, NoAnswer) for one in ended)
    await until(lambda: questions.threads <= MOST_ON_A_DISK)


async def test_of_the_folders_of_a_page_those_are_unknown_that_do_not_answer(
    disk: HangingDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take longer than a page waits to ask what does answer.
    monkeypatch.setattr(patience, "PAGE_SECONDS", 0.5)
    (tmp_path / "link").symlink_to(disk.path)
    paths = [f"{tmp_path}/link", f"{disk.path}/a", f"{disk.path}/b", str(tmp_path), "/nowhere"]
    questions = Questions()
    found: dict[str, bool | None] = {}
    for _ in range(2):
        began = time.monotonic()
        found = await there_now(questions, paths)
        assert time.monotonic() - began < 2
        assert [found[path] for path in paths] == [None, None, None, True, False]
    assert questions.threads <= 2 * MOST_ON_A_DISK


def test_what_takes_long_and_goes_on_is_no_silence(tmp_path: Path) -> None:
    questions, goes_on, begun = Questions(), threading.Event(), threading.Event()

    def long(touch: Touch) -> int:
        steps = 0
        while not goes_on.wait(0.02):
            touch(str(tmp_path))
            steps += 1
            begun.set()
        return steps

    found: list[int] = []
    asker = threading.Thread(target=lambda: found.append(questions.ask(long, seconds=10)))
    asker.start()
    assert begun.wait(10)
    time.sleep(2 * 0.02)
    assert questions.ask(partial(is_folder, str(tmp_path)))
    goes_on.set()
    asker.join(10)
    assert found[0] > 0


def test_what_went_wrong_is_told_to_who_asked(tmp_path: Path) -> None:
    def fail(touch: Touch) -> None:
        reach(f"{tmp_path}/gone", touch)
        os.listdir(f"{tmp_path}/gone")

    with pytest.raises(FileNotFoundError):
        Questions().ask(fail)
    with pytest.raises(KeyError):
        Questions().ask(lambda _: {"y": 1}["x"])


def test_who_waits_may_be_called_away(disk: HangingDisk) -> None:
    class CalledAway(Exception):
        pass

    def leave() -> None:
        raise CalledAway

    with pytest.raises(CalledAway):
        Questions().ask(partial(is_folder, str(disk.path)), seconds=30, meanwhile=leave)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    while not condition():
        await asyncio.sleep(0.01)

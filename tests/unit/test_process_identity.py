"""Proves that a process is known by more than its pid, and that no stranger is ever signalled."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import wait_until
from utils.process_identity import identify, is_alive, send_signal
from utils.timestamps import utc_timestamp


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own and waits."""
    process = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_this_process_is_alive() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert me.pid == os.getpid()
    assert me.start_ticks > 0
    assert re.fullmatch(r"[0-9a-f-]{36}", me.boot_id)
    assert is_alive(me)


def test_another_start_time_or_boot_is_another_process() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert not is_alive(me._replace(start_ticks=me.start_ticks - 1))
    assert not is_alive(me._replace(boot_id="another"))


def test_a_name_with_spaces_and_parentheses(sleeper: subprocess.Popen[bytes]) -> None:
    program = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') S 1 (', 0, 0, 0); "
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        who, other = identify(process.pid), identify(sleeper.pid)
        assert who is not None
        assert other is not None
        assert other.start_ticks <= who.start_ticks < other.start_ticks + 100_000


def test_a_zombie_and_a_dead_process_are_not_alive() -> None:
    process = subprocess.Popen(["/bin/sleep", "60"])
    who = identify(process.pid)
    assert who is not None
    process.kill()
    wait_until(lambda: identify(process.pid) is None, what="the zombie")
    assert not is_alive(who)
    assert send_signal(who, signal.SIGTERM) is False
    process.wait()
    assert identify(process.pid) is None
    assert not is_alive(who)
    assert send_signal(who, signal.SIGTERM) is False


@pytest.mark.parametrize("to_group", [False, True])
def test_a_stranger_with_the_same_pid_is_not_signalled(
    sleeper: subprocess.Popen[bytes], to_group: bool
) -> None:
    who = identify(sleeper.pid)
    assert who is not None
    stranger = who._replace(start_ticks=who.start_ticks + 1)
    assert send_signal(stranger, signal.SIGKILL, to_group=to_group) is False
    # Whatever had been sent would be seen before this one.
    assert send_signal(who, signal.SIGTERM, to_group=to_group) is True
    assert sleeper.wait(timeout=10) == -signal.SIGTERM


def test_a_group_is_signalled_as_a_whole() -> None:
    with subprocess.Popen(
        ["/bin/sh", "-c", "sleep 60 & echo $!; wait"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        child = identify(int(process.stdout.readline()))
        leader = identify(process.pid)
        assert child is not None
        assert leader is not None
        assert send_signal(leader, signal.SIGTERM, to_group=True)
        wait_until(lambda: not is_alive(child), what="the end of the child")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_795_521_600.5, "2026-11-24T12:00:00.500Z"),
        (1_795_521_600.9999, "2026-11-24T12:00:00.999Z"),
        (1_709_208_000.25, "2024-02-29T12:00:00.250Z"),
    ],
)
def test_a_timestamp(seconds: float, text: str) -> None:
    assert utc_timestamp(seconds) == text


def test_timestamps_sort_as_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [0.0, 9.5, 10.0, 999_999_999.999, 1_000_000_000.0, 1_795_521_600.1]
    texts = [utc_timestamp(moment) for moment in moments]
    assert texts == sorted(texts)
    monkeypatch.setenv("TZ", "America/New_York")
    assert utc_timestamp(0.0) == texts[0]
    assert utc_timestamp() > texts[-1][:4]

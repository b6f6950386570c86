"""Proves how real processes are attended: drained, stopped, killed and never waited for in vain."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.runner import process
from core.runner.process import Attendant, Child, StopSwitch
from tests.support import wait_until
from utils.process_identity import identify

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def stop() -> Iterator[StopSwitch]:
    """The runner's switch, with this process's own handlers put back afterwards."""
    before = {number: signal.getsignal(number) for number in HEARD}
    switch = StopSwitch()
    yield switch
    os.close(signal.set_wakeup_fd(-1))
    os.close(switch.fileno())
    for number, handler in before.items():
        signal.signal(number, handler)


class Tool:
    """A small program as a child, with all that it wrote."""

    def __init__(self, program: str, *, limit: int = 1000, shell: bool = False) -> None:
        self.output: list[bytes] = []
        self.errors: list[bytes] = []
        argv = ["/bin/sh", "-c", program] if shell else [sys.executable, "-S", "-c", program]
        self.child = Child(
            argv,
            {"PATH": os.environ["PATH"]},
            take_output=self.output.extend,
            take_errors=self.errors.extend,
            line_limit=limit,
        )


def attend(stop: StopSwitch, tool: Tool, *, grace: float = 10.0, stop_at: bytes = b"?") -> int:
    """Attend a tool; a stop is requested with a real signal once it has written `stop_at`."""

    def on_tick() -> None:
        if stop_at in tool.output and not stop.requested:
            os.kill(os.getpid(), signal.SIGTERM)

    return Attendant(stop, grace_seconds=grace).attend(tool.child, on_tick=on_tick)


def is_inheritable(descriptor: int) -> bool:
    """Whether whoever started the tests passed this on to every process."""
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


def test_large_output_is_drained_without_losing_a_line(stop: StopSwitch) -> None:
    tool = Tool(
        "import sys\n"
        "for n in range(200_000): sys.stdout.write(f'line {n}\\n')\n"
        "for n in range(20_000): sys.stderr.write(f'error {n}\\n')"
    )
    assert attend(stop, tool) == 0
    assert tool.output == [b"line %d" % number for number in range(200_000)]
    assert tool.errors == [b"error %d" % number for number in range(20_000)]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("exit 0", 0),
        ("exit 23", 23),
        ("kill -9 $$", -9),
        ("kill -TERM $$", -15),
        ("echo; exit 1", 1),
    ],
)
def test_exit_codes(stop: StopSwitch, program: str, code: int) -> None:
    assert attend(stop, Tool(program, shell=True)) == code


def test_lines_end_at_newlines_and_carriage_returns(stop: StopSwitch) -> None:
    tool = Tool(r"printf 'a\r b\r\n\n\nc\377\001\nno end'", shell=True)
    attend(stop, tool)
    assert tool.output == [b"a", b" b", b"c\xff\x01", b"no end"]


def test_a_long_line_is_cut_and_memory_is_bounded(stop: StopSwitch) -> None:
    tool = Tool("print('x' * 5_000_000); print('next')", limit=1000)
    attend(stop, tool)
    assert tool.output[-1] == b"next"
    assert all(len(line) <= 1000 for line in tool.output)
    assert len(tool.output) < 5_000


def test_standard_input_is_empty(stop: StopSwitch) -> None:
    tool = Tool("cat; echo end", shell=True)
    assert attend(stop, tool) == 0
    assert tool.output == [b"end"]


def test_no_descriptor_is_left_open_in_here_nor_in_there(stop: StopSwitch) -> None:
    before = set(os.listdir("/proc/self/fd"))
    tool = Tool("ls /proc/self/fd", shell=True)
    attend(stop, tool)
    assert set(os.listdir("/proc/self/fd")) == before
    given = {name.encode() for name in before if int(name) > 2 and is_inheritable(int(name))}
    assert set(tool.output) - given == {b"0", b"1", b"2", b"3"}, "3 is the listing's own"


def test_a_tool_that_cannot_be_run(stop: StopSwitch, tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ignore: list[bytes] = []
    with pytest.raises(FileNotFoundError):
        Child(
            [str(tmp_path / "missing")],
            {},
            take_output=ignore.extend,
            take_errors=ignore.extend,
            line_limit=10,
        )
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_stop_is_a_sigterm_for_the_whole_group(stop: StopSwitch) -> None:
    tool = Tool(
        "(trap 'echo inner; exit' TERM; echo ready; while :; do sleep 0.02; done) & "
        "trap 'wait; exit 20' TERM; wait; wait",
        shell=True,
    )
    assert attend(stop, tool, stop_at=b"ready") == 20
    assert tool.output == [b"ready", b"inner"]
    assert stop.requested


def test_who_ignores_a_stop_is_killed_after_the_grace_period(stop: StopSwitch) -> None:
    tool = Tool("trap '' TERM; echo ready; while :; do sleep 0.02; done", shell=True)
    began = time.monotonic()
    assert attend(stop, tool, grace=0.3, stop_at=b"ready") == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < 10


def test_a_grandchild_that_holds_the_pipe_does_not_hang_the_run(
    stop: StopSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LAST_WORDS_SECONDS", 0.2)
    tool = Tool("sleep 60 & echo $!; exit 7", shell=True)
    began = time.monotonic()
    assert attend(stop, tool) == 7
    assert time.monotonic() - began < 10
    grandchild = int(tool.output[0])
    wait_until(lambda: identify(grandchild) is None, what="the end of the grandchild")


def test_what_is_left_of_a_group_ends_with_its_leader(stop: StopSwitch) -> None:
    tool = Tool("sleep 60 >/dev/null 2>&1 & echo $!; exit 7", shell=True)
    assert attend(stop, tool) == 7
    helper = int(tool.output[0])
    wait_until(lambda: identify(helper) is None, what="the end of the helper")


def test_a_child_beside_the_main_one_is_drained_too(stop: StopSwitch) -> None:
    main = Tool("sleep 0.2; echo main", shell=True)
    beside = Tool("import sys\nfor n in range(100_000): print(n)")
    attendant = Attendant(stop, grace_seconds=1)
    attendant.attend_beside(beside.child)
    assert attendant.attend(main.child, on_tick=lambda: None) == 0
    assert attendant.finish(beside.child, kill=False) == 0
    assert len(beside.output) == 100_000


def test_a_child_beside_can_be_ended(stop: StopSwitch) -> None:
    main, beside = Tool("sleep 0.3", shell=True), Tool("sleep 60", shell=True)
    attendant = Attendant(stop, grace_seconds=1)
    late = [beside.child]  # As a scan is that waits for its time.

    def begin_late() -> None:
        if late:
            attendant.attend_beside(late.pop())

    attendant.attend(main.child, on_tick=begin_late)
    assert not late
    assert attendant.finish(beside.child, kill=True) == -signal.SIGKILL


def test_ticks_go_on_while_a_tool_is_silent(stop: StopSwitch) -> None:
    ticks: list[float] = []
    tool = Tool("sleep 0.6", shell=True)
    Attendant(stop, grace_seconds=1).attend(
        tool.child, on_tick=lambda: ticks.append(time.monotonic())
    )
    assert 3 <= len(ticks) <= 8


def test_a_wait_ends_with_a_stop(stop: StopSwitch) -> None:
    assert stop.wait(0.01) is False
    os.kill(os.getpid(), signal.SIGHUP)
    assert stop.wait(0.01) is False, "a terminal that closes stops nothing"
    os.kill(os.getpid(), signal.SIGINT)
    began = time.monotonic()
    assert stop.wait(60) is True
    assert time.monotonic() - began < 10

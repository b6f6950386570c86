"""Proves that starts, stops, kills and restarts in any order end with page, YAML, SQLite and `ps`
telling the same, and that nothing ever runs twice (`tests/chaos/run_machine.py`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.run_machine import RunMachine, Tried
from tests.support import RunningServer

IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
EXAMPLES, STEPS = (60, 25) if IS_FULL else (4, 10)
SEED = 5
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    database=None,
    deadline=None,
    # Nothing is made smaller: each try takes seconds, and its story is printed as it was.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
MUST_BE_TRIED = (
    "start",
    "stop",
    "SIGKILL server",
    "SIGTERM server",
    "SIGKILL runner",
    "SIGKILL engine",
)
pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.usefixtures("rsync")]


@pytest.mark.timeout(7200 if IS_FULL else 600)
def test_any_order_of_starts_stops_kills_and_restarts(
    make_server: Callable[..., RunningServer], room: Path, tell: Callable[[str], None]
) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="2", LONGSHORE_STOP_GRACE_SECONDS="2")
    tried = Tried()

    class Machine(RunMachine):
        def __init__(self) -> None:
            super().__init__(server, room, tried)

    if not IS_FULL:
        # The same steps each time, so that it is a change that makes it fail.
        seed(SEED)(Machine)
    try:
        run_state_machine_as_test(Machine, settings=SETTINGS)
    except BaseException:
        for story in tried.stories[-2:]:
            tell("\n  ".join(["what led to it:", *story]))
        raise
    tell(", ".join(f"{count} {what}" for what, count in tried.counts.most_common()))
    assert all(tried.counts[what] for what in MUST_BE_TRIED)
    assert tried.counts["runs compared"] >= EXAMPLES

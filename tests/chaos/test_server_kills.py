"""The server is killed again and again while a transfer goes on: the transfer takes no note of it.

Short within `make test`; `make chaos` kills ten times as often.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import RunningServer, make_large_file, rsync_differences, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("rsync")]
KILLS = 30 if os.environ.get("LONGSHORE_CHAOS") == "full" else 3
MEGABYTES = 6 * KILLS
LONGEST_LIFE_SECONDS = 0.8


def test_a_transfer_outlives_every_server(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    source = tmp_path / "from"
    make_large_file(source / "large.bin", megabytes=MEGABYTES)
    server = make_server()
    job_id = server.create_job(
        source, tmp_path / "to", verification="checksum", options={"bandwidth_limit": "1500K"}
    )
    run_id = server.start_job(job_id)
    generator = random.Random(1)
    adopted_under_way = 0

    for _ in range(KILLS):
        time.sleep(generator.random() * LONGEST_LIFE_SECONDS)  # The fault is its random moment.
        server.kill()
        server.start()
        restarted_with = server.run(run_id)
        if restarted_with["outcome"] is None:
            before = restarted_with["bytes_done"]
            wait_until(
                lambda before=before: server.run(run_id)["bytes_done"] > before,  # type: ignore[misc]
                what="progress after the restart",
            )
            adopted_under_way += 1

    run = server.wait_for_end(run_id, seconds=MEGABYTES + 60)
    engines = [line for line in server.journal(run_id) if line["event"] == "engine_started"]
    print(f"{KILLS} kills, {adopted_under_way} while it was under way, {len(engines)} engine")  # noqa: T201
    assert adopted_under_way >= KILLS // 2, "the transfer ended too soon to prove anything"
    assert run["outcome"] == "completed"
    assert run["attempts"] == len(engines) == 1
    assert rsync_differences(source, tmp_path / "to") == ""

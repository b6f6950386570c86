"""Proves the throughput that the API tells of real runs; a long journal holds up nobody."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.running import run_to_end
from tests.support import RunningServer, make_large_file
from utils.timestamps import utc_timestamp

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
_LINES = 150_000


def test_the_throughput_of_a_run_adds_up_to_what_it_sent(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_large_file(room / "from" / "large.bin", megabytes=6).parent
    options = {"bandwidth_limit": "2M"}
    run = run_to_end(shared_server, shared_server.create_job(source, room / "to", options=options))
    answer = shared_server.http.get(f"/api/v1/runs/{run['id']}/throughput").json()
    items = answer["items"]
    assert (answer["total"], answer["next_cursor"]) == (len(items), None)
    assert 2 <= len(items) <= 300
    begins = [0.0, *(seconds for seconds, _ in items)]
    sent = sum((until - since) * rate for since, (until, rate) in zip(begins, items, strict=False))
    assert sent == pytest.approx(run["bytes_sent"], rel=0.01)
    assert items[-1][0] == pytest.approx(run["duration_seconds"], abs=1.0)
    unknown = shared_server.http.get("/api/v1/runs/nobody/throughput")
    assert (unknown.status_code, unknown.json()["status"]) == (404, 404)
    assert run["attempt_times"] == [run["attempt_times"][0]]
    assert run["started_at"] <= run["attempt_times"][0] <= run["ended_at"]


def test_a_long_journal_holds_up_nobody_else(shared_server: RunningServer, room: Path) -> None:
    source = make_large_file(room / "from" / "small.bin", megabytes=1).parent
    run = run_to_end(shared_server, shared_server.create_job(source, room / "to"))
    journal = shared_server.data_dir / "runs" / run["id"] / "journal.jsonl"
    line = {"t": utc_timestamp(), "event": "progress", "progress": run["progress"]}
    with journal.open("ab") as file:
        file.write((json.dumps(line, separators=(",", ":")).encode() + b"\n") * _LINES)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(shared_server.http.get, f"/api/v1/runs/{run['id']}/throughput")
        longest, began = 0.0, time.monotonic()
        while not answer.done():
            asked = time.monotonic()
            assert shared_server.run(run["id"])["id"] == run["id"]
            longest = max(longest, time.monotonic() - asked)
    took = time.monotonic() - began
    assert len(answer.result().json()["items"]) <= 300
    assert longest < took / 2, f"the server stood still for {longest:.3f} of {took:.3f} s"
    # The bench and the end of the tests read every journal: not one of this length.
    journal.unlink()

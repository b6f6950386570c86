"""Proves that Prometheus can read what a real server tells of itself, and that it is true."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import need
from tests.integration.live import live
from tests.integration.running import ended_server, run_to_end
from tests.scraped import Series, openmetrics_families, samples, series
from tests.support import RunningServer, make_tree, wait_until

ODD_NAMES = 'A "quoted" \\ name', "Zürich 🚢 {le='1'} # HELP x y", "\u202eback\u2028line"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HELD_READERS = """
import os, time
from fastapi_app.commands.serve import serve
from storage.database import Database

real = Database.read

async def read(self, work):
    def held(connection):
        while os.path.exists(os.environ["HOLD"]):
            time.sleep(0.02)
        return work(connection)
    return await real(self, held)

Database.read = read
serve()
"""
SINCE_THE_START = ("longshore_write_queue", "longshore_monitor", "longshore_websocket")
"""What begins anew with each server, as Prometheus expects of a counter."""


def text_of(server: RunningServer) -> str:
    """Return what Prometheus is told."""
    return server.http.get("/metrics").raise_for_status().text


def value(server: RunningServer, name: str, **labels: str) -> float | None:
    """Return one figure; None when it is not told."""
    return samples(text_of(server)).get(series(name, **labels))


def counters(server: RunningServer) -> dict[Series, float]:
    """Return what must never fall."""
    found = samples(text_of(server), "counter", "histogram")
    return {
        key: count
        for key, count in found.items()
        if key[0].startswith("longshore_") and not key[0].startswith(SINCE_THE_START)
    }


def run_count(server: RunningServer, outcome: str) -> float:
    """Return how many transfers of rsync ended so."""
    labels = {"engine": "rsync", "kind": "transfer", "outcome": outcome}
    return value(server, "longshore_runs_total", **labels) or 0.0


def total(server: RunningServer, name: str) -> float:
    """Return the sum over all series of a name."""
    return sum(count for key, count in samples(text_of(server)).items() if key[0] == name)


def check_with_promtool(text: str) -> None:
    """Have Prometheus' own tool read it, which also judges names and units."""
    promtool = shutil.which("promtool")
    need("promtool", promtool)
    assert promtool is not None
    told = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def test_prometheus_reads_what_really_happened_and_no_counter_falls(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = make_server()
    make_tree(tmp_path / "from", files=3)
    good = [
        server.create_job(tmp_path / "from", tmp_path / f"to-{number}", name=name)
        for number, name in enumerate(ODD_NAMES)
    ]
    gone = make_tree(tmp_path / "gone", files=1)
    bad = server.create_job(gone, tmp_path / "to", name="Fails")
    shutil.rmtree(gone)
    runs = [run_to_end(server, job_id) for job_id in good]
    assert run_to_end(server, bad)["outcome"] == "failed"
    # A fault: a definition that nobody can read.
    (server.data_dir / "jobs" / "broken.yaml").write_text("{")
    wait_until(lambda: value(server, "longshore_damaged_jobs") == 1, what="the fault")
    wait_until(lambda: run_count(server, "failed") == 1, what="the count of the failed run")

    text = text_of(server)

    check_with_promtool(text)
    assert run_count(server, "completed") == len(good)
    sent = sum(run["bytes_sent"] for run in runs)
    assert (value(server, "longshore_sent_bytes_total", engine="rsync") or 0) >= sent > 0
    took = value(server, "longshore_run_duration_seconds_count", engine="rsync")
    assert took == len(good) + 1
    assert value(server, "longshore_jobs", status="failed") == 1
    assert value(server, "longshore_job_status", job_id=bad, job_name="Fails", status="failed") == 1
    for job_id, name, run in zip(good, ODD_NAMES, runs, strict=True):
        labels = {"job_id": job_id, "job_name": name}
        at = value(server, "longshore_job_last_success_timestamp_seconds", **labels)
        told = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
        assert told == run["ended_at"][:19]
    assert (value(server, "longshore_monitor_lag_seconds_count") or 0) > len(good)
    assert (value(server, "longshore_write_queue_latency_seconds_count") or 0) > len(good)
    wait_until(lambda: total(server, "longshore_errors_total") > 0, what="the count of the fault")
    assert total(server, "longshore_unresolved_errors") > 0

    # A file that nobody can read makes the storage less than healthy.
    wait_until(
        lambda: value(server, "longshore_health_status", component="storage") == 1,
        what="the health of the storage",
    )
    assert value(server, "longshore_health_status", component="database") == 0

    answer = server.http.get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = openmetrics_families(answer.text)
    assert len(families["longshore_job_last_success_timestamp_seconds"].samples) == len(good)
    plain = server.http.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")

    before = counters(server)
    server.kill()
    server.start()
    after = counters(server)
    assert {key: count for key, count in before.items() if after.get(key, 0) < count} == {}
    assert run_count(server, "completed") == len(good)


def test_what_is_told_of_single_jobs_is_bounded_by_a_setting(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    for number in range(3):
        shared_server.create_job(tmp_path, f"/srv/there/{number}", name=f"Job {number}")
    assert value(shared_server, "longshore_jobs_not_exported") == 0
    told = shared_server.cli("settings", "set", "metrics_max_jobs=2")
    assert told.returncode == 0, told.stderr
    wait_until(
        lambda: value(shared_server, "longshore_jobs_not_exported") == 1, what="the new limit"
    )


async def test_browsers_are_counted(shared_server: RunningServer) -> None:
    assert value(shared_server, "longshore_websocket_clients") == 0
    async with live(shared_server):
        wait_until(lambda: value(shared_server, "longshore_websocket_clients") == 1)
    wait_until(lambda: value(shared_server, "longshore_websocket_clients") == 0)


def test_what_waits_for_a_locked_database_is_counted(shared_server: RunningServer) -> None:
    other = sqlite3.connect(shared_server.data_dir / "longshore.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        (shared_server.data_dir / "jobs" / "broken.yaml").write_text("{")
        wait_until(
            lambda: (value(shared_server, "longshore_error_log_waiting") or 0) > 0,
            what="the entry that waits",
        )
    finally:
        other.execute("ROLLBACK")
        other.close()
    (shared_server.data_dir / "jobs" / "broken.yaml").unlink()
    wait_until(
        lambda: value(shared_server, "longshore_error_log_waiting") == 0, what="the entry written"
    )


def test_a_database_that_hangs_is_told_and_keeps_no_scrape_waiting(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    server = RunningServer(tmp_path / "data", HOLD=str(hold))
    server.program = ("-c", HELD_READERS)
    with ended_server(server):
        wait_until(lambda: value(server, "longshore_database_up") == 1, what="the database")
        assert value(server, "longshore_error_log_waiting") is not None
        hold.touch()
        # Every reader waits until the file is gone: an answer that waited for one would never come.
        for _ in range(3):
            told = samples(text_of(server))
            assert told[series("longshore_database_up")] == 0
            assert "longshore_unresolved_errors" not in {name for name, *_ in told}
            assert told[series("longshore_error_log_waiting")] == 0
        hold.unlink()
        wait_until(lambda: value(server, "longshore_database_up") == 1, what="the database")

"""A server with jobs that really ran, one for each thing that pages show differently."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.fakes.histories import keep, past_runs
from tests.integration.running import ended_server, wait_for_bytes, wait_for_status
from tests.integration.test_copy_faults import WeakServer
from tests.integration.test_retry_failed import lock_away
from tests.integration.test_source_deletion import a_deleting_job
from tests.support import RunningServer, make_large_file, make_tree, wait_until

_MANY = 120
"""More than one page of any list."""
_SETTINGS = "max_concurrent_runs: 10\nkept_runs_per_job: 500\n"
_SLOW = {"bandwidth_limit": "40K"}
_OLD_RSYNC = """#!/bin/sh
if [ "$*" != --version ]; then exec {rsync} "$@"; fi
{rsync} --version | sed '1s/version 3[.0-9]*/version 3.2.3/'
"""


@dataclass(frozen=True)
class LivedIn:
    """The server, its folder, and the jobs and runs by what became of them."""

    server: RunningServer
    room: Path
    jobs: dict[str, str]
    runs: dict[str, str]

    @property
    def url(self) -> str:
        """Where it is."""
        return self.server.url


@contextmanager
def lived_in(room: Path) -> Iterator[LivedIn]:
    """Run such a server until the block ends: one whom permission bits stop, so that files fail."""
    data = room / "data"
    (data / "jobs").mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    (data / "settings.yaml").write_text(_SETTINGS, encoding="utf-8")
    (data / "jobs" / "broken.yaml").write_text("name: [\n", encoding="utf-8")
    (room / "rclone.conf").write_text(f"[cloud]\ntype = alias\nremote = {room}\n", encoding="utf-8")
    environment = {"LONGSHORE_RCLONE_CONFIG": str(room / "rclone.conf")}
    with ended_server(WeakServer(data, PATH=_path_with_old_rsync(room), **environment)) as server:
        yield _furnish(server, room)


def _path_with_old_rsync(room: Path) -> str:
    """Return a PATH whose rsync calls itself an old one, of which every page has a notice."""
    tool = room / "bin" / "rsync"
    tool.parent.mkdir()
    tool.write_text(_OLD_RSYNC.format(rsync=shutil.which("rsync")), encoding="utf-8")
    tool.chmod(0o755)
    return f"{tool.parent}:{os.environ['PATH']}"


def _furnish(server: RunningServer, room: Path) -> LivedIn:
    gone = make_tree(room / "gone", files=1)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    doomed = make_tree(room / "doomed", files=_MANY)
    large = make_large_file(room / "large" / "film.bin", megabytes=8).parent
    small = make_tree(room / "small", files=_MANY * 4)
    (small / "changed").write_bytes(b"new")
    locked = make_tree(room / "locked", files=3)
    for number in range(_MANY):
        path = locked / f"locked {number:03d}"
        path.write_bytes(b"x")
        lock_away(path)
        os.mkfifo(locked / f"fifo {number:03d}")
    extra = make_tree(room / "to Planned" / "only here", files=3).parent
    (extra / "changed").write_bytes(b"older")

    def create(name: str, source: Path, **fields: object) -> str:
        return server.create_job(source, room / f"to {name}", name=name, **fields)

    jobs = {
        "completed": create("Completed", small, tags=["nightly"], verification="checksum"),
        "failed": create("Failed", locked),
        "gone": create("Gone", gone),
        "running": create("Running", large, options=_SLOW),
        "paused": create("Paused", large, options=_SLOW),
        "planned": create("Planned", small, options={"delete_extraneous": True}),
        "deleting": a_deleting_job(
            server, doomed, room / "to Deleting", name="Deleting", trash_days=30
        ),
    }
    shutil.rmtree(gone)
    keep(server.data_dir, past_runs(jobs["completed"], _MANY, until=yesterday))
    runs = {name: server.start_job(job_id) for name, job_id in jobs.items() if name != "planned"}
    answer = server.http.post(f"/api/v1/jobs/{jobs['planned']}/dry-run")
    runs["planned"] = answer.json()["run_id"]
    wait_for_bytes(server, jobs["paused"], 1)
    server.http.post(f"/api/v1/jobs/{jobs['paused']}/stop")
    wait_for_bytes(server, jobs["running"], 1)
    for name in ("completed", "failed", "gone", "planned", "deleting", "paused"):
        server.wait_for_end(runs[name])
    wait_for_status(server, jobs["deleting"], "completed")
    wait_for_status(server, jobs["paused"], "paused")
    log = server.data_dir / "runs" / runs["completed"] / "engine.log"
    log.write_bytes(log.read_bytes() * 10)
    wait_until(lambda: server.http.get("/api/v1/errors").json()["total"], what="the damaged job")
    return LivedIn(server, room, jobs, runs)

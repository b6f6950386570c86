"""Proves that a tool's flood of output neither fills the disk nor costs the run its outcome, and
that its newest lines can be read meanwhile, after its end and after its runner was killed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.flood import FloodingRsync
from tests.integration.running import event_of, run_to_end, wait_for_status
from tests.support import RunningServer, make_tree, tree_of, wait_until

SIZE = 60_000_000
DEFAULT_CAP = 20_000_000
SMALL_CAP = 1_000_000
FIRST = b"block 00000000 line 0000: "
LAST = re.compile(rb"the last of (\d{8}) blocks\n")
CUT = re.compile("\n… (\\d+) bytes of output were not kept here …\n\n".encode())
BLOCKS = re.compile(rb"block (\d{8}) line (\d{4}): ")
FILES = 12


@pytest.fixture
def flooding(tmp_path: Path, rsync: str) -> FloodingRsync:
    """An rsync that writes three times as much as the log may hold before it copies."""
    return FloodingRsync(tmp_path / "tool", rsync, size=SIZE)


def files_of(directory: Path) -> dict[str, tuple[int, int, str]]:
    """Return the files of a tree. Not its folders: rsync leaves the time of one that was made in
    the same second as its copy."""
    found = tree_of(directory)
    return {name: facts for name, facts in found.items() if name.endswith(".dat")}


def log_files(server: RunningServer, run_id: str) -> dict[str, int]:
    """Return the sizes of the files that the log is in."""
    directory = server.data_dir / "runs" / run_id
    sizes = {}
    for path in directory.glob("engine.log*"):
        try:
            sizes[path.name] = path.stat().st_size
        except FileNotFoundError:
            continue  # The runner put it behind the other one in between.
    return sizes


def log_of(server: RunningServer, run_id: str, *, step: int = 1_000_000) -> bytes:
    """Return the whole log through the API."""
    content = b""
    while True:
        query = f"offset={len(content)}&limit={step}"
        answer = server.http.get(f"/api/v1/runs/{run_id}/log?{query}")
        assert answer.status_code == 200
        if not answer.content:
            return content
        content += answer.content


def check_cut(text: bytes, *, written: int) -> None:
    """Check that head and tail are whole lines in their order, and what was dropped is said."""
    head, *cut = CUT.split(text)
    assert len(cut) == 2, "the cut is said once"
    dropped, tail = int(cut[0]), cut[1]
    assert head.startswith(FIRST)
    assert head.endswith(b"\n")
    assert tail.startswith(b"block ")
    assert written == len(head) + dropped + len(tail)
    for part in (head, tail):
        numbers = [int(block) * 1000 + int(line) for block, line in BLOCKS.findall(part)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 1000


def start_flood(server: RunningServer, root: Path) -> tuple[str, str]:
    """Start a job over a small tree; returns the ids of job and run."""
    make_tree(root / "from", files=FILES)
    job_id = server.create_job(root / "from", root / "to", verification="fast")
    return job_id, server.start_job(job_id)


@pytest.mark.parametrize(
    ("cap", "environment"),
    [(DEFAULT_CAP, {}), (SMALL_CAP, {"LONGSHORE_MAX_LOG_MEGABYTES": "1"})],
)
def test_a_flood_stays_under_the_cap_and_costs_nothing_of_the_run(
    tmp_path: Path,
    make_server: Callable[..., RunningServer],
    flooding: FloodingRsync,
    cap: int,
    environment: dict[str, str],
) -> None:
    server = make_server(**flooding.environment, **environment)
    job_id, run_id = start_flood(server, tmp_path)
    most = 0

    def has_ended() -> bool:
        nonlocal most
        most = max(most, sum(log_files(server, run_id).values()))
        return server.run(run_id)["outcome"] is not None

    wait_until(has_ended, seconds=120, what="the end of the flood")
    assert cap / 3 < most <= cap
    run = server.run(run_id)
    # One file has failed in words, whatever the exit code says.
    assert (run["outcome"], run["files_done"]) == ("warning", FILES)
    assert files_of(tmp_path / "from") == files_of(tmp_path / "to")
    failures = server.http.get(f"/api/v1/runs/{run_id}/failures").json()
    assert [failed["path"] for failed in failures["items"]] == ["/in/the/flood"]
    files = log_files(server, run_id)
    text = (server.data_dir / "runs" / run_id / "engine.log").read_bytes()
    assert files["engine.log"] == len(text) > cap / 2
    assert log_of(server, run_id) == text
    last = LAST.search(text)
    assert last is not None
    assert text.count(b">f+++++++++ ", last.end()) == FILES, "what came after the flood is there"
    page = server.http.get(f"/runs/{run_id}")
    assert page.status_code == 200
    assert last[0].decode() in page.text
    wait_for_status(server, job_id, "completed")


def test_a_live_log_shows_the_newest_lines_and_goes_on_from_there(
    tmp_path: Path, make_server: Callable[..., RunningServer], flooding: FloodingRsync
) -> None:
    flooding.hold()
    server = make_server(**flooding.environment)
    _, run_id = start_flood(server, tmp_path)
    address = f"/api/v1/runs/{run_id}/log"

    def newest() -> bytes:
        return server.http.get(f"{address}?offset=-200").content

    wait_until(lambda: LAST.search(newest()), seconds=120, what="the flood's last line")
    assert server.run(run_id)["outcome"] is None
    assert "the last of" in server.http.get(f"/runs/{run_id}").text
    live = log_of(server, run_id)
    assert len(live) <= DEFAULT_CAP
    place = int(server.http.get(f"{address}?offset=-1").headers["Longshore-Log-Next"])
    check_cut(live, written=place)
    behind = server.http.get(f"{address}?since=5&limit=5000")
    assert behind.content.startswith(b"block ")
    assert int(behind.headers["Longshore-Log-Skipped"]) == place - 5 - len(behind.content)
    assert server.http.get(f"{address}?since={place}").content == b""

    flooding.go_on()
    server.wait_for_end(run_id)
    added = server.http.get(f"{address}?since={place}")
    assert added.content.count(b">f+++++++++ ") == FILES
    assert added.headers["Longshore-Log-Skipped"] == "0"
    text = (server.data_dir / "runs" / run_id / "engine.log").read_bytes()
    assert text.endswith(added.content)
    check_cut(text, written=place + len(added.content))


def test_a_log_is_readable_after_its_runner_was_killed(
    tmp_path: Path, make_server: Callable[..., RunningServer], flooding: FloodingRsync
) -> None:
    flooding.hold()
    server = make_server(**flooding.environment)
    job_id, run_id = start_flood(server, tmp_path)
    wait_until(lambda: flooding.has_flooded, seconds=120, what="the end of the flood")
    address = f"/api/v1/runs/{run_id}/log"
    wait_until(
        lambda: LAST.search(server.http.get(f"{address}?offset=-200").content),
        what="the flood's last line in the log",
    )
    os.kill(event_of(server, run_id, "run_started")["runner"]["pid"], signal.SIGKILL)
    server.wait_for_end(run_id)
    assert set(log_files(server, run_id)) == {"engine.log", "engine.log.tail"}
    newest = server.http.get(f"{address}?offset=-200")
    assert LAST.search(newest.content)
    text = log_of(server, run_id)
    assert len(text) <= DEFAULT_CAP
    check_cut(text, written=int(newest.headers["Longshore-Log-Next"]))
    assert "the last of" in server.http.get(f"/runs/{run_id}").text
    flooding.go_on()
    wait_for_status(server, job_id, "interrupted", "failed", "completed", seconds=120)


def test_a_log_within_its_cap_is_one_whole_file(
    tmp_path: Path, make_server: Callable[..., RunningServer], rsync: str
) -> None:
    flooding = FloodingRsync(tmp_path / "tool", rsync, size=3_000_000)
    server = make_server(**flooding.environment)
    make_tree(tmp_path / "from", files=FILES)
    job_id = server.create_job(tmp_path / "from", tmp_path / "to", verification="off")
    run_id = run_to_end(server, job_id)["id"]
    assert set(log_files(server, run_id)) == {"engine.log"}
    text = log_of(server, run_id)
    assert text.startswith(FIRST)
    assert CUT.search(text) is None
    assert text.count(b">f+++++++++ ") == FILES
    answer = server.http.get(f"/api/v1/runs/{run_id}/log?since=0&limit=500")
    assert int(answer.headers["Longshore-Log-Next"]) == len(text)
    assert text.endswith(answer.content)


@pytest.mark.parametrize("query", ["since=-1", "since=x", "since=1&limit=-1", "since=9" + "9" * 30])
def test_a_place_that_cannot_be(shared_server: RunningServer, tmp_path: Path, query: str) -> None:
    make_tree(tmp_path / "from", files=1)
    job_id = shared_server.create_job(tmp_path / "from", tmp_path / "to")
    run_id = run_to_end(shared_server, job_id)["id"]
    answer = shared_server.http.get(f"/api/v1/runs/{run_id}/log?{query}")
    assert answer.status_code == (200 if query.startswith("since=9") else 422)
    assert answer.content == b"" or answer.status_code == 422

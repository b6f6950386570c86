"""The link to an rsync daemon is cut for half a minute in the midst of a large file: it heals.

Two network namespaces, joined by a pair of interfaces of which one is taken down. Once within
`make test`; `make chaos` cuts either end, and transfers in the other direction too.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.network import Link, linked_namespace
from tests.integration.running import seconds_since_epoch, wait_for_bytes
from tests.integration.trees import hash_of
from tests.rsync_daemon import RsyncDaemon, running_daemon
from tests.support import (
    RunningServer,
    assert_progress_never_decreases,
    make_large_file,
    rsync_differences,
    wait_until,
)

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("rsync"),
]
Tell = Callable[[str], None]
CUT_SECONDS = 30.0
HEALS_WITHIN_SECONDS = 60.0
MEGABYTES = 32
SIZE = MEGABYTES * 1024 * 1024
OPTIONS = {"bandwidth_limit": "3M"}
CUT_AT = 0.6
MOST_SENT_AFTERWARDS = 0.8
NEXT_ATTEMPT = r"Attempt \d+ of 10, next in \d+ s"
ALL = [("to", "far"), ("to", "near"), ("from", "far"), ("from", "near")]
TRIED = ALL if os.environ.get("LONGSHORE_CHAOS") == "full" else ALL[:1]


@pytest.fixture
def link() -> Iterator[Link]:
    """A namespace of the daemon's own."""
    with linked_namespace() as joined:
        yield joined


@pytest.fixture
def daemon(room: Path, link: Link) -> Iterator[RsyncDaemon]:
    """A daemon in there."""
    where = room / "daemon"
    with running_daemon(where, address=link.far_address, prefix=link.prefix) as running:
        yield running


@pytest.mark.parametrize(("way", "end"), TRIED)
def test_a_transfer_heals_when_the_link_is_back(
    make_server: Callable[..., RunningServer],
    daemon: RsyncDaemon,
    link: Link,
    room: Path,
    tell: Tell,
    way: str,
    end: str,
) -> None:
    source = room / "from" if way == "to" else daemon.module / "a"
    destination = daemon.module / "a" if way == "to" else room / "to"
    large = make_large_file(source / "deep" / "large.bin", megabytes=MEGABYTES)
    here, there = (source, daemon.url("a")) if way == "to" else (daemon.url("a"), destination)
    server = make_server()
    job_id = server.create_job(here, there, options=OPTIONS, verification="checksum")
    run_id = server.start_job(job_id)
    wait_for_bytes(server, job_id, int(SIZE * CUT_AT))

    link.cut(end)
    cut_at, sent_until_cut = time.monotonic(), link.bytes_over()
    if way == "to":
        # Whoever sends notices; whoever receives may as well be waiting for a slow disk.
        wait_until(lambda: says_what_comes(server, run_id), what="word of the next attempt")
    time.sleep(max(0.0, cut_at + CUT_SECONDS - time.monotonic()))  # The fault is its length.
    assert server.run(run_id)["outcome"] is None
    link.restore(end)
    restored_at = time.time()

    run = server.wait_for_end(run_id, seconds=HEALS_WITHIN_SECONDS + 30)

    healed = seconds_since_epoch(run["ended_at"]) - restored_at
    over = link.bytes_over() - sent_until_cut
    counted = assert_progress_never_decreases(server.journal(run_id))
    tell(
        f"{way} a daemon, {end} end cut {CUT_SECONDS:.0f} s at {CUT_AT:.0%} of {MEGABYTES} MiB: "
        f"whole {healed:.1f} s after it was back, in {run['attempts']} attempts; {over / SIZE:.0%} "
        f"of the file went over the link after the cut; {counted} progress events, none back"
    )
    assert (run["outcome"], run["message"]) == ("completed", None)
    assert run["attempts"] > 1
    assert healed <= HEALS_WITHIN_SECONDS
    assert over < MOST_SENT_AFTERWARDS * SIZE
    assert run["bytes_sent"] < (CUT_AT + MOST_SENT_AFTERWARDS) * SIZE
    assert run["bytes_done"] == SIZE
    assert hash_of(destination / "deep" / "large.bin") == hash_of(large)
    assert rsync_differences(source, destination) == ""
    assert sorted(path.name for path in destination.rglob("*")) == ["deep", "large.bin"]


def says_what_comes(server: RunningServer, run_id: str) -> bool:
    """Whether the run says which attempt comes next and when, and a page as well."""
    run: dict[str, Any] = server.run(run_id)
    page = server.http.get(f"/runs/{run_id}").text
    return all(re.search(NEXT_ATTEMPT, text) for text in (run["message"] or "", page))

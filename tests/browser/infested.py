"""A server where all that people, files and tools say is payloads: jobs, trees, logs, errors."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser.payloads import PAYLOADS, Payload
from tests.integration.access_server import bear_local_token, set_password
from tests.integration.running import ended_server, wait_for_status
from tests.integration.test_copy_faults import WeakServer
from tests.integration.test_hostile_values import FIELDS, is_about, with_value
from tests.integration.test_retry_failed import lock_away
from tests.integration.test_source_deletion import a_deleting_job
from tests.support import RunningServer, wait_until

NAME = "anna"
PASSWORD = "seven cranes at the quay"
LARGE_BYTES = 400_000
# The real tool, but for sources called “printed”: there it says what it is told to, and fails.
_TOOL = """#!/bin/sh
case "$*" in
  *--version*) ;;
  *{room}/printed/*) cat {room}/said; cat {room}/said >&2; exit 23 ;;
esac
exec {rsync} "$@"
"""
_MOST_TAG = 50


@dataclass
class Infested:
    """The server, its folder, and the jobs and runs by what became of them."""

    server: RunningServer
    room: Path
    jobs: dict[str, str]
    runs: dict[str, str]
    by_number: dict[int, str]
    """Jobs with a payload in every field that takes it."""

    def look_alive(self, payloads: Sequence[Payload], kind: str) -> None:
        """Have something happen with these payloads that open pages are told of; `kind` is new."""
        for one in payloads:
            self.server.start_job(self.by_number[one.number])
            damage(self.server.data_dir, one, kind)

    def transfer(self) -> str:
        """Return a run that is under way."""
        if self.server.run(self.runs["running"])["outcome"] is not None:
            shutil.rmtree(self.room / "to Running")
            self.runs["running"] = self.server.start_job(self.jobs["running"])
        return self.runs["running"]


@contextmanager
def infested(room: Path) -> Iterator[Infested]:
    """Run such a server until the block ends: one whom permission bits stop, so that files fail."""
    data = room / "data"
    (data / "jobs").mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    for one in PAYLOADS:
        damage(data, one, "")
    config = [f"[{name}]\ntype = local\n" for name in map(remote_name, PAYLOADS) if name]
    (room / "rclone.conf").write_text("\n".join(config), encoding="utf-8")
    (room / "said").write_bytes(b"".join(one.raw + b"\n" for one in PAYLOADS))
    server = WeakServer(
        data,
        PATH=_path_with_tool(room),
        LONGSHORE_RCLONE_CONFIG=str(room / "rclone.conf"),
        LONGSHORE_MAX_CONCURRENT_RUNS="8",
    )
    with ended_server(server):
        yield _furnish(server, room)


def shut(site: Infested) -> None:
    """Have the server ask who one is, from now on: its own client bears a token."""
    set_password(site.server, "passwd", NAME, password=PASSWORD)
    wait_until(
        lambda: site.server.http.get("/api/v1/jobs").status_code == 401,
        what="a server that asks who one is",
    )
    bear_local_token(site.server)


def file_name(one: Payload) -> bytes:
    """Return a payload as the path of a file: all its bytes, but the one that none can have."""
    raw = one.raw.replace(b"\0", b"\1")
    return b"/".join(part for part in raw.split(b"/") if part)


def remote_name(one: Payload) -> str:
    """Return a payload as the name of a section of a configuration, or nothing."""
    return re.sub(r"[\]\[\x00-\x1f]", " ", one.text).strip() if one.text.isprintable() else ""


def damage(data: Path, one: Payload, kind: str) -> None:
    """Leave files of jobs that cannot be read: one called after a payload, one that says it."""
    name = one.raw.replace(b"\0", b"").replace(b"/", b"\xe2\x88\x95")[:200]
    engine = json.dumps(one.raw.decode("utf-8", "replace")).encode()
    jobs = os.fsencode(data / "jobs")
    for path in (kind.encode() + name, f"damaged-{kind}{one.number}".encode()):
        with open(os.path.join(jobs, path + b".yaml"), "wb") as file:
            file.write(b"name: x\nsource: /x\ndestination: /y\nengine: " + engine + b"\n")


def make_payload_tree(root: Path, content: bytes = b"x") -> list[Path]:
    """Make a file for each payload, called after it."""
    paths = []
    for one in PAYLOADS:
        path = root / os.fsdecode(file_name(one))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def _path_with_tool(room: Path) -> str:
    tool = room / "bin" / "rsync"
    tool.parent.mkdir()
    tool.write_text(_TOOL.format(room=room, rsync=shutil.which("rsync")), encoding="utf-8")
    tool.chmod(0o755)
    return f"{tool.parent}:{os.environ['PATH']}"


def _furnish(server: RunningServer, room: Path) -> Infested:
    small, locked, doomed, large = (room / name for name in ("small", "locked", "doomed", "large"))
    make_payload_tree(small)
    make_payload_tree(doomed)
    make_payload_tree(large, b"x" * LARGE_BYTES)
    make_payload_tree(room / "to Planned", b"older")
    for path in make_payload_tree(locked):
        lock_away(path)
    for number, path in enumerate(make_payload_tree(small / "special")):
        path.unlink()
        os.mkfifo(path)
        (small / "new" / str(number)).mkdir(parents=True)
    make_payload_tree(small / "new")
    (room / "printed").mkdir()

    def create(name: str, source: Path, **fields: Any) -> str:
        retry = {"max_attempts": 1}
        return server.create_job(source, room / f"to {name}", name=name, retry=retry, **fields)

    tags = [one.text for one in PAYLOADS if len(one.text) <= _MOST_TAG and one.text.isprintable()]
    jobs = {
        "copied": create("Copied", small, tags=tags, verification="checksum"),
        "failed": create("Failed", locked),
        "other": create("Other", locked, engine="rclone"),
        "printed": create("Printed", room / "printed"),
        "planned": create("Planned", small, options={"delete_extraneous": True}),
        "running": create("Running", large, options={"bandwidth_limit": "300K"}),
        "deleting": a_deleting_job(
            server, doomed, room / "to Deleting", name="Deleting", trash_days=30
        ),
    }
    runs = {name: server.start_job(job_id) for name, job_id in jobs.items() if name != "planned"}
    answer = server.http.post(f"/api/v1/jobs/{jobs['planned']}/dry-run")
    runs["planned"] = answer.json()["run_id"]
    by_number = {one.number: job_with(server, room, one) for one in PAYLOADS}
    shutil.rmtree(room / "gone")
    _make_rule(server, tags)
    for name in runs.keys() - {"running"}:
        server.wait_for_end(runs[name])
        if name != "planned":
            wait_for_status(server, jobs[name], "completed", "failed")
    wait_until(lambda: server.http.get("/api/v1/errors").json()["total"] > 1, what="the errors")
    return Infested(server, room, jobs, runs, by_number)


def job_with(server: RunningServer, room: Path, one: Payload) -> str:
    """Make a job with a payload in every field that takes it; returns its id."""
    fields = list(FIELDS)
    # JSON has no bytes that are not UTF-8, and a location no control characters.
    text = one.raw.decode("utf-8", "replace")
    plain = re.sub(r"[\x00-\x1f]", " ", text)
    good = {
        "name": f"Job {one.number} {plain}"[:120],
        "engine": "rclone" if one.number % 2 else "rsync",
        "source": f"{room}/gone/{plain}",
        "destination": f"{room}/to {one.number}/{plain}",
        "retry": {"max_attempts": 1},
    }
    Path(str(good["source"])).mkdir(parents=True)
    while True:
        answer = server.http.post("/api/v1/jobs", json=with_value(good, fields, text))
        if answer.status_code == 201:
            return str(answer.json()["id"])
        assert answer.status_code == 422, answer.text
        faults = [fault["field"] for fault in answer.json()["errors"]]
        refused = {path for path in fields if any(is_about(fault, path) for fault in faults)}
        assert refused, answer.text
        fields = [path for path in fields if path not in refused]


def _make_rule(server: RunningServer, tags: list[str]) -> None:
    # What it tells waits for the other end of the day: nothing of it is sent.
    rule = {"name": "hook", "target": "hook", "address": "json://127.0.0.1/x"}
    words = "\n".join(one.text for one in PAYLOADS if one.text.isascii())
    words = words.replace("{", "{{").replace("}", "}}")[:3000]
    more = {"title": words[:150], "body": words, "tags": tags, "digest_seconds": 86_400}
    answer = server.http.post("/api/v1/notifications/rules", json=rule | more)
    assert answer.status_code == 201, answer.text

"""Proves that a dry run announces what the run then does, does nothing itself, and leaves its job
as it was, however it ends.

What a run did is told by pictures of the destination before and after it, not by the tools.
"""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import event_of, processes_of, run_to_end, wait_for_status
from tests.integration.trees import make_hostile_tree
from tests.rsync_daemon import running_daemon
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
ENGINES = ["rsync", "rclone"]
Picture = dict[bytes, tuple[Any, ...]]
MakeServer = Callable[..., RunningServer]


def picture(root: Path) -> Picture:
    """Return everything beneath a folder, and itself: kind, size, content, mode, time, inode."""
    top = os.fsencode(root)
    if not os.path.lexists(top):
        return {}
    found = {b".": _facts(top)}
    for directory, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, top)] = _facts(path)
    return found


def _facts(path: bytes) -> tuple[Any, ...]:
    facts = os.lstat(path)
    content: Any = None
    if stat.S_ISLNK(facts.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(facts.st_mode):
        content = Path(os.fsdecode(path)).read_bytes()
    size = None if stat.S_ISDIR(facts.st_mode) else facts.st_size
    return stat.S_IFMT(facts.st_mode), size, content, facts.st_mode, facts.st_mtime_ns, facts.st_ino


def shown(name: bytes, facts: tuple[Any, ...]) -> str:
    """Return a name as it is to be shown, by the rule of contracts.md and not by our code."""
    text = name.decode("utf-8", errors="backslashreplace")
    plain = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
    return f"{plain}/" if facts[0] == stat.S_IFDIR else plain


def done_between(before: Picture, after: Picture) -> dict[str, dict[str, int | None]]:
    """Return what was created, changed in its content and deleted, each path with its size."""
    names = set(before) | set(after)
    created = {name for name in names if name not in before}
    deleted = {name for name in names if name not in after}
    changed = {
        name
        for name in names - created - deleted
        if before[name][0] != after[name][0]
        or (before[name][0] != stat.S_IFDIR and before[name][1:3] != after[name][1:3])
    }
    return {
        "create": {shown(name, after[name]): after[name][1] for name in created},
        "update": {shown(name, after[name]): after[name][1] for name in changed},
        "delete": {shown(name, before[name]): before[name][1] for name in deleted},
    }


def dry_run(server: RunningServer, job_id: str) -> dict[str, Any]:
    """Do a dry run to its end and return it."""
    answer = server.http.post(f"/api/v1/jobs/{job_id}/dry-run")
    assert answer.status_code == 202, answer.text
    run = server.wait_for_end(answer.json()["run_id"])
    wait_until(
        lambda: server.state(job_id)["run_kind"] == "transfer", what="the job's earlier state"
    )
    return run


def listed(server: RunningServer, run_id: str, **query: Any) -> list[dict[str, Any]]:
    """Return every listed change, page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        parameters = {**query, "limit": 37, "cursor": cursor}
        page = server.http.get(f"/api/v1/runs/{run_id}/preview", params=parameters).json()
        items += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            assert len(items) == page["total"]
            return items


def announced(items: list[dict[str, Any]], kind: str) -> dict[str, int | None]:
    """Return the announced changes of a kind, each path with its size."""
    found = {item["path"]: item["size"] for item in items if item["change"] == kind}
    assert len(found) == sum(item["change"] == kind for item in items), "one is told of twice"
    return found


def furnish(root: Path) -> tuple[Path, Path]:
    """Make a source, and a destination in which things are missing, other, and too many."""
    source, destination = root / "from", root / "to"
    make_tree(source, files=60)
    make_tree(destination, files=60)
    for path in source.rglob("*.dat"):
        copy = destination / path.relative_to(source)
        facts = path.stat()
        os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    files = sorted(source.rglob("*.dat"))
    files[0].write_bytes(b"other, and longer than before" * 300)
    files[1].write_bytes(bytes(reversed(files[1].read_bytes())))
    os.utime(files[1], ns=(1, 1_600_000_000_000_000_000))
    (source / "left out.tmp").write_bytes(b"left out")
    (source / "new folder" / "deep").mkdir(parents=True)
    (source / "new folder" / "deep" / "new.dat").write_bytes(b"new")
    (source / "empty folder").mkdir()
    (source / "link").symlink_to("elsewhere")
    (destination / "protected.tmp").write_bytes(b"not in the source, and left out")
    (destination / "extra" / "deep").mkdir(parents=True)
    (destination / "extra" / "deep" / "file").write_bytes(b"12345")
    (destination / "extra.dat").write_bytes(b"123456789")
    (destination / "extra link").symlink_to("nowhere")
    return source, destination


@pytest.mark.parametrize("deletes", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_announced_is_what_the_run_then_does(
    shared_server: RunningServer, room: Path, engine: str, deletes: bool
) -> None:
    source, destination = furnish(room)
    options = {"exclude": ["*.tmp"], "delete_extraneous": deletes}
    job_id = shared_server.create_job(source, destination, engine=engine, options=options)
    before = picture(room)

    dry = dry_run(shared_server, job_id)

    assert picture(room) == before, "a dry run changed something"
    assert (dry["kind"], dry["outcome"], dry["message"]) == ("dry_run", "completed", None)
    assert [phase["name"] for phase in dry["phases"]] == ["preflight", "dry_run"]
    assert shared_server.state(job_id)["status"] == "pending"
    before = picture(destination)
    run = run_to_end(shared_server, job_id)
    assert run["outcome"] == "completed", run["message"]
    done = done_between(before, picture(destination))
    items = listed(shared_server, dry["id"])
    assert done["create"]
    assert done["update"]
    assert bool(done["delete"]) is deletes
    for kind, expected in done.items():
        assert sorted(announced(items, kind).items()) == sorted(expected.items())
    counts = dry["preview"]
    for kind, figure in (("create", "created"), ("update", "updated"), ("delete", "deleted")):
        assert counts[figure] == len(done[kind])
        assert counts[f"{figure}_bytes"] == sum(size or 0 for size in done[kind].values())
        assert counts[f"{figure}_folders"] == sum(size is None for size in done[kind].values())
    assert counts["listed"] == len(items)
    assert counts["looked_at"] == dry["files_done"] == 62
    again = dry_run(shared_server, job_id)["preview"]
    assert [again[figure] for figure in ("created", "updated", "deleted")] == [0, 0, 0]


@pytest.mark.parametrize("engine", ENGINES)
def test_hostile_names_are_announced_as_they_will_be(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = room / "from", room / "to"
    (source / "tree").parent.mkdir()
    make_hostile_tree(source / "tree", room / "outside")
    destination.mkdir()
    make_hostile_tree(destination / "too many", room / "outside too")
    (destination / "too many" / "fifo").unlink()
    job_id = shared_server.create_job(
        source, destination, engine=engine, options={"delete_extraneous": True}
    )
    before = picture(room)

    dry = dry_run(shared_server, job_id)

    assert picture(room) == before
    before = picture(destination)
    assert run_to_end(shared_server, job_id)["outcome"] in {"completed", "warning"}
    done = done_between(before, picture(destination))
    items = listed(shared_server, dry["id"])
    assert announced(items, "create") == done["create"]
    if engine == "rsync":
        assert announced(items, "delete") == done["delete"]
    else:
        # Folders to be removed are told of in the log alone, which has no bytes but UTF-8.
        folders = {path for path, size in done["delete"].items() if size is None}
        files = {path: size for path, size in done["delete"].items() if path not in folders}
        told = announced(items, "delete")
        assert {path: size for path, size in told.items() if size is not None} == files
        assert sum(size is None for size in told.values()) == len(folders)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_destination_that_is_not_there_stays_away(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source = make_tree(room / "from", files=30)
    destination = room / "not" / "yet" / "there"
    job_id = shared_server.create_job(
        source,
        destination,
        engine=engine,
        verification="checksum",
        options={"delete_extraneous": True, "keep_replaced": True},
    )
    before = picture(room)

    dry = dry_run(shared_server, job_id)

    assert picture(room) == before
    assert not (room / "not").exists()
    files = [item for item in listed(shared_server, dry["id"]) if not item["path"].endswith("/")]
    assert {item["change"] for item in files} == {"create"}
    assert {item["path"]: item["size"] for item in files} == {
        str(path.relative_to(source)): path.stat().st_size for path in source.rglob("*.dat")
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_that_is_one_file(shared_server: RunningServer, room: Path, engine: str) -> None:
    source, destination = room / "one file", room / "to"
    source.write_bytes(b"content")
    destination.mkdir()
    (destination / "other").write_bytes(b"stays")
    job_id = shared_server.create_job(source, destination, engine=engine)
    before = picture(room)
    dry = dry_run(shared_server, job_id)
    assert picture(room) == before
    items = [item for item in listed(shared_server, dry["id"]) if item["path"] != "./"]
    assert items == [{"change": "create", "path": "one file", "size": 7}]


@pytest.mark.parametrize("engine", ENGINES)
def test_kept_files_and_a_limit_of_deletions(
    shared_server: RunningServer, room: Path, engine: str
) -> None:
    source, destination = furnish(room)
    options = {"delete_extraneous": True, "keep_replaced": True, "exclude": ["*.tmp"]}
    keeping = shared_server.create_job(source, destination, engine=engine, options=options)
    before = picture(room)
    dry = dry_run(shared_server, keeping)
    deleted = announced(listed(shared_server, dry["id"], change="delete"), "delete")
    assert {path for path, size in deleted.items() if size is not None} == {
        "extra/deep/file",
        "extra.dat",
        "extra link",
    }
    limited = shared_server.create_job(
        source, destination, engine=engine, options={**options, "max_delete": 1}
    )
    dry = dry_run(shared_server, limited)
    assert dry["outcome"] in {"warning", "failed"}
    assert dry["message"]
    assert dry["preview"]["deleted"] == 1
    assert picture(room) == before


def test_the_list_is_found_by_words_and_kinds_and_damaged_questions_are_refused(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = furnish(room)
    options = {"delete_extraneous": True}
    job_id = shared_server.create_job(source, destination, options=options)
    run_id = dry_run(shared_server, job_id)["id"]
    items = listed(shared_server, run_id)

    assert listed(shared_server, run_id, q="EXTRA") == [
        item for item in items if "extra" in item["path"].lower()
    ]
    assert listed(shared_server, run_id, change="delete", q=".dat") == [
        item for item in items if item["change"] == "delete" and ".dat" in item["path"]
    ]
    assert listed(shared_server, run_id, q="path") == [], "no more than paths are searched"
    address = f"/api/v1/runs/{run_id}/preview"
    for query in ("change=all", "cursor=x", "limit=0", "limit=501", f"q={'x' * 201}"):
        answer = shared_server.http.get(f"{address}?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["errors"]
    assert shared_server.http.get(f"{address}?cursor=999999999").json()["items"] == []
    assert shared_server.http.get("/api/v1/runs/nobody/preview").status_code == 404
    transfer = run_to_end(shared_server, job_id)["id"]
    answer = shared_server.http.get(f"/api/v1/runs/{transfer}/preview")
    assert answer.status_code == 404
    assert "no dry run" in answer.json()["detail"]


def slow_job(server: RunningServer, room: Path, slow_rsync: Path, **fields: Any) -> str:
    """Create a job; its server's rsync waits in a dry run while a file beside it is there."""
    (slow_rsync / "wait").touch()
    return server.create_job(make_tree(room / "from", files=20), room / "to", **fields)


@pytest.fixture
def slow_rsync(tmp_path: Path, rsync: str) -> Path:
    """A folder for PATH with an rsync that is the real one, and in a dry run of ours takes its time
    before it ends while a file called `wait` is beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "rsync"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *--dry-run*--partial-dir*) ;; *) exec {rsync} "$@" ;; esac\n'
        f'{rsync} "$@"\ncode=$?\n'
        f"while [ -e {folder}/wait ]; do sleep 0.05; done\nexit $code\n"
    )
    tool.chmod(0o755)
    return folder


def earlier_state(server: RunningServer, job_id: str, room: Path, status: str) -> dict[str, Any]:
    """Bring a job into a status by real means, and return its state."""
    if status == "completed":
        run_to_end(server, job_id)
    elif status in {"paused", "interrupted"}:
        make_large_file(room / "from" / "large.bin", megabytes=2)
        run_id = server.start_job(job_id)
        event_of(server, run_id, "engine_started")
        if status == "paused":
            server.http.post(f"/api/v1/jobs/{job_id}/stop")
        else:
            runner = event_of(server, run_id, "run_started")["runner"]["pid"]
            os.kill(runner, signal.SIGKILL)
        wait_for_status(server, job_id, status)
    return server.state(job_id)


IS_FULL = os.environ.get("LONGSHORE_CHAOS") == "full"
STATUSES = ["paused", "completed", "pending", "interrupted"] if IS_FULL else ["paused"]


def same(state: dict[str, Any]) -> dict[str, Any]:
    """Return what of a state a dry run must bring back: all but its version."""
    return {key: value for key, value in state.items() if key != "version"}


@pytest.mark.parametrize("status", STATUSES)
def test_whatever_ends_a_dry_run_the_job_is_what_it_was(
    make_server: MakeServer, room: Path, slow_rsync: Path, status: str
) -> None:
    server = make_server(PATH=f"{slow_rsync}:{os.environ['PATH']}")
    limit = {"options": {"bandwidth_limit": "1M"}} if status != "completed" else {}
    job_id = slow_job(server, room, slow_rsync, **limit)
    before = earlier_state(server, job_id, room, status)
    assert before["status"] == status
    start = f"/api/v1/jobs/{job_id}/dry-run"

    stopped = server.http.post(start).json()["run_id"]
    event_of(server, stopped, "engine_started")
    state = server.state(job_id)
    assert (state["status"], state["run_kind"], state["run_id"]) == ("running", "dry_run", stopped)
    refused = server.http.post(start)
    assert refused.status_code == 409
    assert server.http.post(f"/api/v1/jobs/{job_id}/start").status_code == 409
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    run = server.wait_for_end(stopped)
    assert (run["outcome"], run["message"]) == ("paused", "Stopped: what is listed is not all.")
    wait_until(lambda: same(server.state(job_id)) == same(before), what="the state before a stop")

    killed = server.http.post(start).json()["run_id"]
    event_of(server, killed, "engine_started")
    os.kill(event_of(server, killed, "run_started")["runner"]["pid"], signal.SIGKILL)
    run = server.wait_for_end(killed)
    assert run["outcome"] == "interrupted"
    assert "resumed" not in run["message"]
    wait_until(lambda: same(server.state(job_id)) == same(before), what="the state before a kill")
    assert processes_of(killed) == []

    survived = server.http.post(start).json()["run_id"]
    event_of(server, survived, "engine_started")
    server.kill()
    server.start()
    state = server.state(job_id)
    assert (state["run_kind"], state["run_id"]) == ("dry_run", survived)
    (slow_rsync / "wait").unlink()
    run = server.wait_for_end(survived)
    assert (run["outcome"], run["kind"]) == ("completed", "dry_run")
    wait_until(lambda: same(server.state(job_id)) == same(before), what="the state in the end")
    assert run["preview"]["looked_at"] >= 20

    (slow_rsync / "wait").touch()
    unseen = server.http.post(start).json()["run_id"]
    event_of(server, unseen, "engine_started")
    server.kill()
    (slow_rsync / "wait").unlink()
    wait_until((server.data_dir / "runs" / unseen / "result.json").exists, what="its result")
    server.start()
    assert server.run(unseen)["outcome"] == "completed"
    assert same(server.state(job_id)) == same(before)

    run_to_end(server, job_id)
    assert server.state(job_id)["status"] == "completed"


def test_a_dry_run_waits_its_turn_and_goes_when_it_is_stopped(
    make_server: MakeServer, room: Path
) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="1")
    make_large_file(room / "busy" / "large.bin", megabytes=4)
    options = {"bandwidth_limit": "256K"}
    busy = server.create_job(room / "busy", room / "busy copy", options=options)
    job_id = server.create_job(make_tree(room / "from", files=5), room / "to")
    server.start_job(busy)
    before = server.state(job_id)
    run_id = server.http.post(f"/api/v1/jobs/{job_id}/dry-run").json()["run_id"]
    state = server.state(job_id)
    assert (state["status"], state["run_kind"]) == ("queued", "dry_run")
    server.kill()
    server.start()
    assert server.state(job_id)["status"] == "queued"
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").status_code == 202
    assert same(server.state(job_id)) == same(before)
    assert server.http.get(f"/api/v1/runs/{run_id}").status_code == 404
    again = server.http.post(f"/api/v1/jobs/{job_id}/dry-run").json()["run_id"]
    server.http.post(f"/api/v1/jobs/{busy}/stop")
    run = server.wait_for_end(again)
    assert (run["outcome"], run["preview"]["created"]) == ("completed", 7)


def test_a_source_that_is_gone_fails_the_dry_run_and_not_the_job(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    job_id = shared_server.create_job(source, room / "to")
    run_to_end(shared_server, job_id)
    before = shared_server.state(job_id)
    source.rename(room / "away")
    run = dry_run(shared_server, job_id)
    assert (run["outcome"], run["preview"]) == ("failed", None)
    assert same(shared_server.state(job_id)) == same(before)


def test_the_command_line(shared_server: RunningServer, room: Path) -> None:
    source, destination = furnish(room)
    job_id = shared_server.create_job(
        source, destination, options={"delete_extraneous": True}, name="[bold]Named"
    )
    done = shared_server.cli("jobs", "dry-run", job_id, "--follow")
    assert done.returncode == 0, done.stderr
    run_id = shared_server.http.get(f"/api/v1/jobs/{job_id}/runs").json()["items"][0]["id"]
    counts = shared_server.run(run_id)["preview"]
    words = [line.split() for line in done.stdout.splitlines()]
    rows = {line[0]: line[1] for line in words if len(line) > 1}
    assert rows["deleted"] == str(counts["deleted"]) == "6"
    assert rows["created"] == str(counts["created"])
    assert run_id in done.stdout
    told = shared_server.cli("runs", "preview", run_id, "--change", "delete").stdout
    assert "extra/deep/file" in told
    assert "new.dat" not in told
    limited = shared_server.cli("runs", "preview", run_id, "--limit", "1")
    assert f"of {counts['listed']} are shown" in limited.stderr
    started = shared_server.cli("jobs", "dry-run", job_id, "--json")
    assert shared_server.wait_for_end(json.loads(started.stdout)["run_id"])
    assert shared_server.cli("jobs", "dry-run", "nobody").returncode == 1


def test_a_daemon_is_asked_again_and_nothing_is_written_to_it(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = room / "from", room / "daemon"
    make_tree(source, files=20)
    with running_daemon(destination) as daemon:
        (daemon.module / "there").mkdir()
        (daemon.module / "there" / "extra").write_bytes(b"too many")
        retry = {"max_attempts": 5, "first_delay_seconds": 0.5, "max_delay_seconds": 1}
        options = {"delete_extraneous": True}
        there, away = (
            shared_server.create_job(source, daemon.url(path), options=options, retry=retry)
            for path in ("there", "not/yet")
        )
        before = picture(daemon.module)
        daemon.stop()
        answer = shared_server.http.post(f"/api/v1/jobs/{there}/dry-run")
        run_id = answer.json()["run_id"]
        event_of(shared_server, run_id, "retry_scheduled")
        daemon.start()
        run = shared_server.wait_for_end(run_id)
        assert run["outcome"] == "completed"
        assert run["attempts"] > 1
        assert picture(daemon.module) == before
        counts = run["preview"]
        assert (counts["created"], counts["created_folders"]) == (21, 1)
        assert (counts["deleted"], counts["sizes_unknown"]) == (1, 1), "nobody tells its size"
        items = listed(shared_server, run_id, change="delete")
        assert items == [{"change": "delete", "path": "extra", "size": None}]
        assert "size unknown" in shared_server.http.get(f"/runs/{run_id}").text
        assert dry_run(shared_server, away)["preview"]["created"] == 22
        assert picture(daemon.module) == before

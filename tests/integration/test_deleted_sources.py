"""Proves that what runs deleted is on record in API, page and command line, and comes back whole.

With real files: what was put back is compared with a copy of the source that was taken before.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from models.run_spec import TRASH_FOLDER
from models.source_deletions import RECORD_NAME
from storage.layout import DATABASE_NAME
from tests.integration.pages import Page
from tests.integration.running import processes_of, run_to_end, wait_for_status
from tests.integration.test_failures import everything
from tests.integration.test_source_deletion import a_deleting_job, files_in
from tests.integration.trees import make_hostile_tree
from tests.support import RunningServer, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
DAYS = 30
HOSTILE = (b"<img src=x onerror=alert(1)>", b"\x1b[31m\xff", b"-a&amp;b\nc")


def saved(source: Path) -> Path:
    """Return a copy of the source as it is now, with all that files have."""
    copy = source.with_name(f"{source.name} before")
    subprocess.run(["cp", "-a", f"{source}/.", copy], check=True)
    return copy


def differences(one: Path, other: Path) -> str:
    """Return what diff(1) finds between two trees."""
    argv = ["diff", "-r", "--no-dereference", str(one), str(other)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def names(source: Path) -> dict[str, int]:
    """Return what is no folder in a tree, as it is on disk, with the sizes."""
    return {
        str(path.relative_to(source)): path.lstat().st_size
        for path in source.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def deletions(server: RunningServer, run_id: str, **query: Any) -> list[dict[str, Any]]:
    """Return the record of a run as the API tells it, in pages of 50."""
    return everything(server, f"/api/v1/runs/{run_id}/deletions", limit=50, **query)


def outcomes(server: RunningServer, run_id: str) -> set[str]:
    """Return what became of a run's sources."""
    return {item["outcome"] for item in deletions(server, run_id)}


def test_everything_comes_back_as_it_was_with_one_click(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=150)
    for name in HOSTILE:
        Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_bytes(name)
    (source / "link").symlink_to("nowhere")
    make_hostile_tree(source / "hostile", room / "outside")
    # diff(1) takes no two of them for the same.
    (source / "hostile" / "fifo").unlink()
    before, sizes = saved(source), names(source)
    job_id = a_deleting_job(
        shared_server, source, room / "to", trash_days=DAYS, delete_empty_directories=True
    )

    run = run_to_end(shared_server, job_id)

    items = deletions(shared_server, run["id"])
    gone = len(sizes.keys() - names(source).keys())
    assert run["sources_deleted"] == len(items) == gone > 150
    assert outcomes(shared_server, run["id"]) == {"trashed"}
    assert sorted(item["size"] for item in items) == sorted(
        size for name, size in sizes.items() if name not in names(source)
    )
    regular = [item for item in items if item["hash"].startswith("sha256:")]
    assert len({item["number"] for item in items}) == len(items)
    assert len(regular) >= 150
    assert {item["path"] for item in items} >= {"\\x1b[31m\\xff", "-a&amp;b\\nc"}
    assert not any("\x1b" in item["path"] or "\n" in item["path"] for item in items)
    first = shared_server.http.get(f"/api/v1/runs/{run['id']}/deletions?limit=1").json()
    assert (first["total"], first["trash_until"] > run["ended_at"]) == (gone, True)

    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back")

    assert (answer.status_code, answer.json()) == (200, {"restored": gone, "stayed": 0})
    assert differences(source, before) == ""
    assert not (source / TRASH_FOLDER).exists()
    assert outcomes(shared_server, run["id"]) == {"restored"}
    again = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back")
    assert (again.status_code, again.json()["detail"]) == (409, "Everything was put back already.")


def test_nothing_is_written_over_and_the_reason_is_on_record(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=5)
    before = saved(source)
    taken = next(path for path in source.rglob("*.dat"))
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)
    facts = (before / taken.relative_to(source)).stat()
    new = bytes(reversed(range(256))) * 16
    new = new[: facts.st_size]
    taken.write_bytes(new)
    # Alike from outside: only that the other one lies in the trash tells that it is not back.
    os.utime(taken, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back").json()

    assert answer == {"restored": 4, "stayed": 1}
    assert taken.read_bytes() == new
    (stayed,) = deletions(shared_server, run["id"], outcome="trashed")
    assert stayed["path"] == str(taken.relative_to(source))
    assert "Another file has its name" in stayed["reason"]

    taken.unlink()
    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back").json()

    assert answer == {"restored": 1, "stayed": 0}
    assert differences(source, before) == ""


def test_what_cannot_be_put_back_is_refused_with_the_reason(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    put_back = "/api/v1/runs/{}/put-back"

    gone = run_to_end(shared_server, a_deleting_job(shared_server, source, room / "to"))
    answer = shared_server.http.post(put_back.format(gone["id"]))
    assert (answer.status_code, "was not moved into a trash" in answer.text) == (409, True)

    plain = run_to_end(shared_server, shared_server.create_job(room / "to", room / "other"))
    answer = shared_server.http.post(put_back.format(plain["id"]))
    assert (answer.status_code, "deleted nothing" in answer.text) == (409, True)
    assert shared_server.http.post(put_back.format("nobody")).status_code == 404
    assert shared_server.http.get("/api/v1/runs/nobody/deletions").status_code == 404
    for query in ({"outcome": "x"}, {"limit": 0}, {"cursor": "-1"}, {"q": "x" * 201}):
        address = f"/api/v1/runs/{gone['id']}/deletions"
        assert shared_server.http.get(address, params=query).status_code == 422, query


def test_a_run_under_way_keeps_everything_where_it_is(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    job_id = a_deleting_job(
        shared_server, source, room / "to", trash_days=DAYS, options={"bandwidth_limit": "100K"}
    )
    run = run_to_end(shared_server, job_id)
    (source / "next.bin").write_bytes(os.urandom(4_000_000))
    shared_server.start_job(job_id)

    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back")
    page = shared_server.http.get(f"/runs/{run['id']}").text

    assert (answer.status_code, answer.json()["title"]) == (409, "Conflict")
    assert len(files_in(source / TRASH_FOLDER / run["id"])) == 3
    assert 'id="put-back"' not in page
    assert "A run of its job is under way." in page
    shared_server.http.post(f"/api/v1/jobs/{job_id}/stop")
    wait_for_status(shared_server, job_id, "paused")
    assert shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back").json()["restored"] == 3


def test_a_trash_folder_that_is_not_there_changes_nothing_on_record(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    before = saved(source)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)
    source.rename(room / "unplugged")

    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back")

    assert (answer.status_code, "is the disk of the source mounted" in answer.text) == (409, True)
    assert outcomes(shared_server, run["id"]) == {"trashed"}
    (room / "unplugged").rename(source)
    assert shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back").status_code == 200
    assert differences(source, before) == ""


def test_what_came_back_before_the_machine_went_down_is_found_and_written_down(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=20)
    before = saved(source)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)
    trash = source / TRASH_FOLDER / run["id"]
    moved = sorted(path for path in trash.rglob("*") if path.is_file())
    for path in moved[:12]:
        path.rename(source / path.relative_to(trash))

    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back")

    assert answer.json() == {"restored": 20, "stayed": 0}
    assert outcomes(shared_server, run["id"]) == {"restored"}
    assert differences(source, before) == ""


def test_all_came_back_before_the_machine_went_down(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=4)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)
    trash = source / TRASH_FOLDER / run["id"]
    *back, gone = sorted(path for path in trash.rglob("*") if path.is_file())
    for path in back:
        path.rename(source / path.relative_to(trash))
    shutil.rmtree(source / TRASH_FOLDER)
    (source / gone.relative_to(trash)).write_bytes(b"another one")

    answer = shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back")

    assert answer.json() == {"restored": 3, "stayed": 0}
    # Of the one that somebody removed there is nothing that could be said anew.
    assert sorted(item["outcome"] for item in deletions(shared_server, run["id"])) == [
        *["restored"] * 3,
        "trashed",
    ]


def test_the_page_names_them_escaped_and_puts_them_back_without_javascript(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=120)
    for name in HOSTILE:
        Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_bytes(name)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)
    total = 120 + len(HOSTILE)

    assert len(deletions(shared_server, run["id"])) == total
    address = f"/runs/{run['id']}"
    html = shared_server.http.get(address).text
    page = Page(html)

    assert page.forbidden == []
    assert "<img src=x" not in html
    assert "\x1b" not in html
    assert f"{total} lie in the trash folder." in page.text
    assert f"{TRASH_FOLDER}/{run['id']}" in page.text
    (more,) = [link for link in page.links if "deleted_from=" in link and "#deletions" in link]
    rest = shared_server.http.get(more.partition("#")[0]).text
    assert html.count('class="deletion-row') + rest.count('class="deletion-row') == total
    found = shared_server.http.get(f"{address}?deleted_q=IMG%20SRC").text
    assert (found.count('class="deletion-row'), f"1 of {total} match" in found) == (1, True)
    none = shared_server.http.get(f"{address}?deleted_q=100%25_").text
    assert "No source matches." in none
    assert shared_server.http.get(f"{address}?deleted_outcome=x").status_code == 422

    (action,) = [action for action, form in page.buttons if action.endswith("/put-back")]
    answer = shared_server.http.post(action, headers={"Origin": shared_server.url})

    assert answer.status_code == 303
    after = Page(shared_server.http.get(answer.headers["location"]).text)
    assert f"{total} were put back." in after.text
    assert not any(action.endswith("/put-back") for action, _ in after.buttons)


def test_the_command_line_lists_and_puts_back(shared_server: RunningServer, room: Path) -> None:
    source = make_tree(room / "from", files=3)
    (source / "[red]name").write_bytes(b"1")
    before = saved(source)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)

    listed = shared_server.cli("runs", "deletions", run["id"])
    told = json.loads(shared_server.cli("runs", "deletions", run["id"], "--json").stdout)
    back = shared_server.cli("runs", "put-back", run["id"])

    assert (listed.returncode, "[red]name" in listed.stdout) == (0, True)
    assert (told["total"], len(told["items"])) == (4, 4)
    assert (back.returncode, back.stdout.strip()) == (0, "4 put back, 0 stayed.")
    assert differences(source, before) == ""


def test_the_record_outlives_the_history_and_the_job(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=3)
    before = saved(source)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=DAYS)
    run = run_to_end(shared_server, job_id)

    assert shared_server.http.delete(f"/api/v1/jobs/{job_id}").status_code == 204

    assert shared_server.http.get(f"/api/v1/runs/{run['id']}").status_code == 404
    assert not (shared_server.data_dir / "runs" / run["id"]).exists()
    assert outcomes(shared_server, run["id"]) == {"trashed"}
    assert shared_server.http.post(f"/api/v1/runs/{run['id']}/put-back").json()["restored"] == 3
    assert differences(source, before) == ""


def test_the_record_is_whole_though_the_server_is_killed_right_at_the_end(
    shared_server: RunningServer, room: Path
) -> None:
    server = shared_server
    source = make_tree(room / "from", files=700, largest=64)
    sizes = names(source)
    job_id = a_deleting_job(server, source, room / "to", trash_days=DAYS)
    run_id = server.start_job(job_id)
    directory = server.data_dir / "runs" / run_id
    wait_until((directory / "result.json").exists, what="the end of the run")

    server.kill()
    # As if it had been in the middle of taking the record over.
    with sqlite3.connect(server.data_dir / DATABASE_NAME) as database:
        for statement in (
            "DELETE FROM deleting_runs WHERE run_id = ?",
            "DELETE FROM deletions WHERE run_id = ? AND number % 3 = 0",
            "UPDATE runs SET outcome = NULL, ended_at = NULL, status = 'running' WHERE id = ?",
        ):
            database.execute(statement, (run_id,))
    database.close()
    state = server.data_dir / "state" / f"{job_id}.yaml"
    state.write_text(state.read_text().replace("status: completed", "status: running"))
    server.start()

    wait_for_status(server, job_id, "completed")
    items = deletions(server, run_id)
    assert sorted(item["path"] for item in items) == sorted(sizes)
    assert len({item["number"] for item in items}) == len(items) == 700
    assert outcomes(server, run_id) == {"trashed"}
    first = server.http.get(f"/api/v1/runs/{run_id}/deletions?limit=1").json()
    assert first["total"] == 700


def test_a_run_that_is_killed_while_it_deletes_comes_back_whole(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_tree(room / "from", files=1500, largest=32)
    before = saved(source)
    job_id = a_deleting_job(shared_server, source, room / "to", trash_days=1, mode="per_file")
    run_id = shared_server.start_job(job_id)
    record = shared_server.data_dir / "runs" / run_id / RECORD_NAME
    wait_until(
        lambda: record.exists() and record.read_bytes().count(b'"trashed"') > 300,
        what="some deletions",
    )

    processes = [int(process.split()[0]) for process in processes_of(run_id)]
    # All at one moment: none has the time to see another one go.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            os.kill(process, number)

    wait_for_status(shared_server, job_id, "interrupted")
    found = outcomes(shared_server, run_id)
    assert found <= {"trashed", "intended"}
    first = shared_server.http.get(f"/api/v1/runs/{run_id}/deletions?limit=1").json()
    # What was not looked at for the last time is not emptied by itself.
    assert first["trash_until"] is None or "intended" not in found
    answer = shared_server.http.post(f"/api/v1/runs/{run_id}/put-back")
    assert (answer.status_code, answer.json()["stayed"]) == (200, 0)
    assert differences(source, before) == ""
    assert outcomes(shared_server, run_id) == {"restored"}

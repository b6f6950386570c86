"""Proves that the command line changes jobs as the pages do, and overwrites nobody's change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_line import at_terminal, document, editor, words
from tests.integration.running import run_to_end, wait_for_bytes, wait_for_status
from tests.support import RunningServer, make_large_file, make_tree

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
SOURCE = "/usr/share"
CHANGED = "text = text.replace('bandwidth_limit: null', 'bandwidth_limit: 5M')"


def job_of(server: RunningServer, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = server.http.get(f"/api/v1/jobs/{job_id}").json()
    return job


def with_stdin(server: RunningServer, text: str, *arguments: str) -> str:
    result = server.cli(*arguments, typed=text)
    assert result.returncode == 0, result
    return result.stdout.strip()


def kept_files(directory: Path) -> list[Path]:
    return list(directory.glob("longshore-*/job.yaml"))


def test_a_job_is_created_with_every_option_and_changed_by_options(
    shared_server: RunningServer, room: Path
) -> None:
    (room / "from").mkdir()
    places = ["--source", str(room / "from"), "--destination", str(room / "to")]
    more = ["--tag", "one", "--tag", "two", "--max-attempts", "3", "--max-delete", "7"]
    flags = ["--delete-extraneous", "--hard-links", "--include", "*.jpg", "--exclude", "a b"]
    job_id = words(shared_server, "jobs", "create", "--name", "Options", *places, *more, *flags)
    job_id = job_id.strip()
    job = job_of(shared_server, job_id)
    assert (job["tags"], job["retry"]["max_attempts"]) == (["one", "two"], 3)
    options = job["options"]
    assert (options["include"], options["exclude"]) == (["*.jpg"], ["a b"])
    assert (options["max_delete"], options["delete_extraneous"], options["hard_links"]) == (
        7,
        True,
        True,
    )
    assert job["verification"] == "fast"

    change = ["--exclude", "x", "--exclude", "y", "--no-hard-links", "--max-delete", ""]
    saved = document(shared_server, "jobs", "edit", job_id, *change, "--include", "")
    assert saved["version"] == 2
    assert saved["options"] == {
        **options,
        "include": [],
        "exclude": ["x", "y"],
        "hard_links": False,
        "max_delete": None,
    }
    assert (saved["retry"], saved["tags"]) == (job["retry"], job["tags"])

    said = words(shared_server, "jobs", "edit", job_id, "--exclude", "x", "--exclude", "y")
    assert "Nothing was changed." in said
    assert job_of(shared_server, job_id)["version"] == 2
    wrong = ["--name", "", "--bandwidth-limit", "fast", "--source", "relative"]
    said = words(shared_server, "jobs", "edit", job_id, *wrong, code=1)
    for field in ("name:", "options.bandwidth_limit:", "source:"):
        assert field in said
    assert job_of(shared_server, job_id)["version"] == 2


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_job_is_created_from_a_definition_with_options_put_into_it(
    shared_server: RunningServer, room: Path, form: str
) -> None:
    (room / "from").mkdir()
    original = job_of(shared_server, shared_server.create_job(room / "from", room / "to"))
    text = json.dumps({**original, "name": "Snow 🏔"})
    if form == "yaml":
        text = (
            f"name: Snow 🏔\nengine: rsync\nsource: {original['source']}\n"
            f"destination: {original['destination']}\noptions:\n  exclude: [x]\n"
        )
    file = room / "definition"
    file.write_text(text, encoding="utf-8")

    first = words(shared_server, "jobs", "create", "--from", str(file), "--tag", "new").strip()
    second = with_stdin(shared_server, text, "jobs", "create", "--from", "-", "--name", "Rain")

    job = job_of(shared_server, first)
    assert (job["name"], job["tags"], job["source"]) == ("Snow 🏔", ["new"], original["source"])
    assert first != original["id"]
    assert job_of(shared_server, second)["name"] == "Rain"
    file.write_text("name: [", encoding="utf-8")
    for path in (file, room / "none"):
        said = words(shared_server, "jobs", "create", "--from", str(path), code=1)
        assert len(said.splitlines()) == 1
        assert str(path) in said


def test_the_editor_gets_a_private_file_and_what_it_saves_is_the_new_version(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    job_id = shared_server.create_job(SOURCE, "/srv/b", name="In an editor")

    result = at_terminal(
        shared_server,
        *("jobs", "edit", job_id),
        VISUAL=editor(tmp_path, f"{CHANGED}; assert arguments[0] == '--wait'"),
        EDITOR="/bin/false",
        TMPDIR=str(tmp_path),
    )

    assert result.returncode == 0, result
    job = job_of(shared_server, job_id)
    assert (job["version"], job["options"]["bandwidth_limit"]) == (2, "5M")
    assert (tmp_path / "modes").read_text() == "0o600 0o700"
    assert not kept_files(tmp_path)


@pytest.mark.parametrize("edit", ["text = text", "text = text + '# a remark'"])
def test_a_file_that_says_the_same_changes_nothing(
    shared_server: RunningServer, tmp_path: Path, edit: str
) -> None:
    job_id = shared_server.create_job(SOURCE, "/srv/b")

    command = editor(tmp_path, edit)
    arguments = ("jobs", "edit", job_id)
    result = at_terminal(shared_server, *arguments, EDITOR=command, TMPDIR=str(tmp_path), VISUAL="")

    assert (result.returncode, "Nothing was changed." in result.stderr) == (0, True), result
    assert job_of(shared_server, job_id)["version"] == 1
    assert not kept_files(tmp_path)


def test_at_a_terminal_a_file_with_faults_is_offered_again_with_all_of_them_told(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    job_id = shared_server.create_job(SOURCE, "/srv/b")
    bad = "text = text.replace('/usr/share', 'relative').replace('bandwidth_limit: null', "
    bad += "'bandwidth_limit: fast')"
    good = "text = text.replace('relative', '/usr/lib').replace('fast', '5M')"

    result = at_terminal(
        shared_server,
        *("jobs", "edit", job_id),
        typed="y\ny\n",
        VISUAL=editor(tmp_path, "text += 'name: again'", "text = text[:-11]\n" + bad, good),
        TMPDIR=str(tmp_path),
    )

    assert result.returncode == 0, result
    assert "'name' twice" in result.stderr
    lines = [line for line in result.stderr.splitlines() if "line" in line]
    assert any("line 5: source:" in line for line in lines), result
    assert any("options.bandwidth_limit:" in line for line in lines), result
    job = job_of(shared_server, job_id)
    assert (job["version"], job["source"], job["options"]["bandwidth_limit"]) == (
        2,
        "/usr/lib",
        "5M",
    )
    assert not kept_files(tmp_path)


def test_without_a_terminal_a_file_with_faults_is_kept_and_told(
    shared_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = shared_server.create_job(SOURCE, "/srv/b")
    command = editor(tmp_path, "text = text.replace('/usr/share', 'relative')")
    monkeypatch.setitem(shared_server.environment, "VISUAL", command)
    monkeypatch.setitem(shared_server.environment, "TMPDIR", str(tmp_path))
    said = words(shared_server, "jobs", "edit", job_id, code=1)
    (kept,) = kept_files(tmp_path)
    assert str(kept) in said
    assert "source: relative" in kept.read_text()
    assert job_of(shared_server, job_id)["version"] == 1

    monkeypatch.setitem(shared_server.environment, "VISUAL", "/bin/false")
    assert "ended with 1" in words(shared_server, "jobs", "edit", job_id, code=1)
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.setitem(shared_server.environment, name, "")
    said = words(shared_server, "jobs", "edit", job_id, code=1)
    assert "Set VISUAL or EDITOR" in said
    assert kept_files(tmp_path) == [kept]


def test_what_somebody_else_saved_meanwhile_is_told_and_not_overwritten(
    shared_server: RunningServer, tmp_path: Path
) -> None:
    job_id = shared_server.create_job(SOURCE, "/srv/b", name="Two people")
    meanwhile = (
        "import json, urllib.request as r; "
        f"u = '{shared_server.url}/api/v1/jobs/{job_id}'; "
        "d = json.load(r.urlopen(u)); d['name'] = 'Theirs'; "
        "r.urlopen(r.Request(u, json.dumps(d).encode(), "
        "{'If-Match': '1', 'Content-Type': 'application/json'}, method='PUT')); "
    )

    result = at_terminal(
        shared_server,
        *("jobs", "edit", job_id),
        VISUAL=editor(tmp_path, meanwhile + CHANGED),
        TMPDIR=str(tmp_path),
    )

    assert result.returncode == 1, result
    assert "nothing was overwritten" in result.stderr
    job = job_of(shared_server, job_id)
    assert (job["name"], job["version"], job["options"]["bandwidth_limit"]) == ("Theirs", 2, None)
    (kept,) = kept_files(tmp_path)
    assert "bandwidth_limit: 5M" in kept.read_text()


def test_a_job_is_deleted_when_its_name_was_typed(shared_server: RunningServer, room: Path) -> None:
    name = "Old [photos]"
    job_id = shared_server.create_job(make_tree(room / "from", files=1), room / "to", name=name)
    run_to_end(shared_server, job_id)

    said = words(shared_server, "jobs", "delete", job_id, code=1)
    assert len(said.splitlines()) == 1
    assert "--yes" in said
    wrong = at_terminal(shared_server, "jobs", "delete", job_id, typed="y\n")
    assert (wrong.returncode, "was not deleted" in wrong.stderr) == (1, True), wrong
    assert job_of(shared_server, job_id)["name"] == name
    right = at_terminal(shared_server, "jobs", "delete", job_id, typed=f"{name}\n")
    assert right.returncode == 0, right
    assert shared_server.http.get(f"/api/v1/jobs/{job_id}").status_code == 404

    new = shared_server.create_job(room / "from", room / "to", name=name)
    assert at_terminal(shared_server, "jobs", "delete", new, typed="y\n").returncode == 0
    assert shared_server.http.get(f"/api/v1/jobs/{new}").status_code == 404


def test_of_several_jobs_each_fault_is_told_and_the_others_are_done(
    shared_server: RunningServer, room: Path
) -> None:
    source = make_large_file(room / "from" / "large", megabytes=8).parent
    slow = {"bandwidth_limit": "1M"}
    jobs = [shared_server.create_job(source, room / n, options=slow) for n in ("to 1", "to 2")]

    started = shared_server.cli("jobs", "start", jobs[0], "none", jobs[1], "--json")
    assert started.returncode == 1
    answer = json.loads(started.stdout)
    assert [item["id"] for item in answer["items"]] == jobs
    assert [fault["id"] for fault in answer["errors"]] == ["none"]
    assert started.stderr.startswith("none: ")
    for job_id in jobs:
        wait_for_status(shared_server, job_id, "running")
        wait_for_bytes(shared_server, job_id, 1)
    refused = words(shared_server, "jobs", "delete", "--yes", *jobs, code=1)
    assert all(f"{job_id}: " in refused for job_id in jobs)
    words(shared_server, "jobs", "stop", *jobs)
    for job_id in jobs:
        wait_for_status(shared_server, job_id, "paused")
    assert "nothing to stop" in words(shared_server, "jobs", "stop", *jobs, code=1)
    words(shared_server, "jobs", "discard", *jobs)
    assert {shared_server.state(job_id)["status"] for job_id in jobs} == {"pending"}
    assert "nothing to discard" in words(shared_server, "jobs", "discard", jobs[0], code=1)
    words(shared_server, "jobs", "delete", "--yes", *jobs)
    assert not {job["id"] for job in shared_server.jobs()} & set(jobs)


def test_jobs_are_duplicated_tagged_and_found(shared_server: RunningServer) -> None:
    job_id = shared_server.create_job(
        SOURCE, "/srv/b", name="n" * 120, options={"exclude": ["*.tmp"]}, tags=["old", "kept"]
    )
    copy = words(shared_server, "jobs", "duplicate", job_id).strip()
    named = document(shared_server, "jobs", "duplicate", job_id, "--name", "Another")
    original, duplicate = job_of(shared_server, job_id), job_of(shared_server, copy)
    assert (duplicate["name"], named["name"]) == (f"{'n' * 113} (copy)", "Another")
    for field in ("source", "destination", "options", "retry", "tags", "verification"):
        assert duplicate[field] == original[field]

    tags = ["--add", "weekly", "--add", "kept", "--remove", "old"]
    words(shared_server, "jobs", "tag", job_id, copy, *tags)
    for one in (job_id, copy):
        job = job_of(shared_server, one)
        assert (job["tags"], job["version"]) == (["kept", "weekly"], 2)
    words(shared_server, "jobs", "tag", job_id, *tags)
    assert job_of(shared_server, job_id)["version"] == 2
    assert "--add" in words(shared_server, "jobs", "tag", job_id, code=1)
    found = document(shared_server, "jobs", "list", "--tag", "weekly", "--engine", "rsync")
    assert {job["id"] for job in found["items"]} == {job_id, copy}
    assert not document(shared_server, "jobs", "list", "--tag", "weekly", "--engine", "rclone")[
        "items"
    ]


def test_all_jobs_are_listed_page_by_page(server: RunningServer) -> None:
    jobs = server.data_dir / "jobs"
    for number in range(1203):
        (jobs / f"many-{number:04d}.yaml").write_text(
            f"name: Many {number:04d}\nengine: rsync\nsource: {SOURCE}\n"
            f"destination: /srv/{number}\n"
        )
    server.terminate()
    server.start()

    first = server.cli("jobs", "list")
    everything = document(server, "jobs", "list", "--all")

    assert "500 of 1,203 are shown" in first.stderr
    assert [job["id"] for job in everything["items"]] == [f"many-{n:04d}" for n in range(1203)]
    assert everything["next_cursor"] is None
    assert "many-1202" in words(server, "jobs", "list", "--all")

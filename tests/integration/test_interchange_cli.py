"""Proves `longshore import`, `export` and `check` as processes, with and without a server."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from storage.yaml_documents import render
from tests.integration.running import ended_server, run_to_end
from tests.support import RunningServer, make_tree, tree_of, wait_until

pytestmark = pytest.mark.integration
MakeServer = Callable[..., RunningServer]
OLDER = """\
jobs:
  - id: photos
    name: Photos 🗄️
    source: /srv/photos
    dest: /mnt/nas/photos
    type: rsync
    status: completed
    progress: {percent: 100}
    settings: {exclude: ["*.tmp"]}
  - id: My Music
    name: Music
    source: /srv/music
    dest: /mnt/nas/music
    type: rclone
    status: running
"""
FAULTY = """\
jobs:
  - {id: good, name: Good, source: /a, dest: /b, type: rsync, owner: ada}
  - id: remote
    name: "[bold]Remote[/bold]"
    source: nas:/srv
    type: tar
  - 17
"""


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[RunningServer]:
    """A data directory on which no server runs."""
    server = RunningServer(tmp_path / "data")
    yield server
    server.http.close()


def run(server: RunningServer, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run a command that is to exit with this code; returns what it printed and complained."""
    result = server.cli(*arguments)
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr
    return result.stdout, result.stderr


def written(path: Path, text: str) -> str:
    """Write a file and return its path."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_a_server_what_is_imported_is_there_after_the_start(
    stopped: RunningServer, tmp_path: Path
) -> None:
    file = written(tmp_path / "older.yaml", OLDER)
    said, complained = run(stopped, "import", file)
    assert "imported photos  Photos 🗄️" in said
    assert said.endswith(
        "2 imported, 0 there already, 0 not imported; 0 lines with something that was not taken\n"
    )
    assert complained.splitlines() == [
        "line 10: jobs[1].id: becomes “my-music-878467f2”: an id has small letters, digits and "
        "hyphens",
        "line 15: jobs[1].status: was running: the job is interrupted until it is started again",
    ]
    before = tree_of(stopped.data_dir)

    said, complained = run(stopped, "import", file)
    assert said.startswith("0 imported, 2 there already")
    assert "line 2: photos is there already: nothing was changed" in complained
    assert tree_of(stopped.data_dir) == before

    with ended_server(stopped):
        jobs = {job["id"]: job for job in stopped.jobs()}
        assert len(jobs) == 2
        assert jobs["photos"]["name"] == "Photos 🗄️"
        assert jobs["photos"]["version"] == 1
        assert jobs["photos"]["state"]["status"] == "completed"
        music = jobs["my-music-878467f2"]["state"]
        assert music["status"] == "interrupted"
        assert music["message"] == "Was running elsewhere when it was imported. Start it to go on."
        for page in ("/", "/jobs/photos", "/jobs/my-music-878467f2"):
            assert stopped.http.get(page).status_code == 200


def test_a_running_server_shows_what_is_imported_within_two_seconds(
    server: RunningServer, tmp_path: Path
) -> None:
    file = written(tmp_path / "older.yaml", OLDER)
    run(server, "import", file)
    began = time.monotonic()
    wait_until(lambda: len(server.jobs()) == 2, seconds=2, what="the imported jobs")
    assert time.monotonic() - began < 2
    assert server.state("photos")["status"] == "completed"
    assert server.state("my-music-878467f2")["status"] == "interrupted"

    run(server, "import", file)
    assert {job["id"] for job in server.jobs()} == {"photos", "my-music-878467f2"}
    assert {job["version"] for job in server.jobs()} == {1}
    run(server, "check")


@pytest.mark.usefixtures("rsync")
def test_an_imported_job_runs_and_an_interrupted_one_can_be_discarded(
    server: RunningServer, tmp_path: Path
) -> None:
    source = make_tree(tmp_path / "from", files=3)
    entries = [
        {"id": name, "source": str(source), "dest": str(tmp_path / name), "type": "rsync"}
        | {"status": "running"}
        for name in ("one", "two")
    ]
    (tmp_path / "older.yaml").write_bytes(render({"jobs": entries}))
    run(server, "import", str(tmp_path / "older.yaml"))
    wait_until(lambda: len(server.jobs()) == 2, what="the imported jobs")

    assert run_to_end(server, "one")["outcome"] == "completed"
    assert server.http.post("/api/v1/jobs/two/discard").is_success
    assert server.state("two")["status"] == "pending"


def test_every_line_that_is_not_taken_is_told_and_the_exit_code_says_so(
    stopped: RunningServer, tmp_path: Path
) -> None:
    file = written(tmp_path / "faulty.yaml", FAULTY)
    said, complained = run(stopped, "import", file, code=1)
    assert complained.splitlines() == [
        "line 2: jobs[0].owner: not taken: there is no such field",
        "line 3: jobs[1]: not imported: “[bold]Remote[/bold]”",
        "line 3: jobs[1].destination: This field is required.",
        "line 5: jobs[1].source: not taken: This looks like a remote location. A remote is "
        "written as a URL, such as ssh://nas/srv; a local path begins with “/”.",
        "line 6: jobs[1].type: not taken: There is no engine “tar”. Choose one of: rsync, rclone.",
        "line 7: jobs[2]: not imported: a job is a mapping of keys to values",
    ]
    assert said.splitlines()[0] == "imported good  Good"
    assert "1 imported, 0 there already, 2 not imported" in said

    result = stopped.cli("import", file, "--json")
    assert (result.returncode, result.stderr) == (1, "")
    document = json.loads(result.stdout)
    assert (document["imported"], document["already_there"]) == ([], ["good"])
    assert [remark["line"] for remark in document["remarks"]] == [2, 3, 3, 5, 6, 7]
    assert all(remark["is_fault"] for remark in document["remarks"])
    assert (document["not_imported"], document["failure"]) == (2, None)


@pytest.mark.parametrize("content", [None, "jobs: [", "a: 1", ""])
def test_a_file_that_cannot_be_used_is_one_clear_line(
    stopped: RunningServer, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        written(tmp_path / "file", content)
    said, complained = run(stopped, "import", str(tmp_path / "file"), code=1)
    assert (said, len(complained.splitlines())) == ("", 1)
    assert not stopped.data_dir.exists()


def test_a_data_directory_that_is_a_file_is_told(stopped: RunningServer, tmp_path: Path) -> None:
    file = written(tmp_path / "older.yaml", OLDER)
    stopped.data_dir.write_text("")
    said, complained = run(stopped, "import", file, code=1)
    assert said.startswith("0 imported")
    assert "Writing failed: " in complained


def test_an_export_brings_the_same_jobs_elsewhere(server: RunningServer, tmp_path: Path) -> None:
    options = {"exclude": ["*.tmp", "010"], "bandwidth_limit": "10M"}
    for name in ("Plain", "22:30 🗄️ – no"):
        server.create_job(make_tree(tmp_path / "from", files=1), tmp_path / name, name=name,
                          options=options)  # fmt: skip
    before = {job["id"]: {**job, "state": None} for job in server.jobs()}
    said, complained = run(server, "export")
    assert complained == ""
    assert "22:30 🗄️ – no" in said
    assert said.startswith("format: 1\nexported_at: ")
    file = tmp_path / "all.yaml"
    assert run(server, "export", str(file))[0] == f"2 jobs are in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600

    other = RunningServer(tmp_path / "other")
    run(other, "import", str(file))
    for path in (server.data_dir / "jobs").iterdir():
        assert (other.data_dir / "jobs" / path.name).read_bytes() == path.read_bytes()
    with ended_server(other):
        assert {job["id"]: {**job, "state": None} for job in other.jobs()} == before
        assert {job["state"]["status"] for job in other.jobs()} == {"pending"}


def test_an_export_replaces_a_file_only_when_forced(stopped: RunningServer, tmp_path: Path) -> None:
    run(stopped, "import", written(tmp_path / "older.yaml", OLDER))
    file = tmp_path / "all.yaml"
    file.write_text("mine")
    assert "--force" in run(stopped, "export", str(file), code=1)[1]
    assert file.read_text() == "mine"
    run(stopped, "export", str(file), "--force")
    assert "id: photos" in file.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"older.yaml", "all.yaml", "data"}
    assert "cannot be written" in run(stopped, "export", str(tmp_path / "no" / "x"), code=1)[1]


def test_a_damaged_job_is_told_and_the_others_are_exported(
    stopped: RunningServer, tmp_path: Path
) -> None:
    run(stopped, "import", written(tmp_path / "older.yaml", OLDER))
    (stopped.data_dir / "jobs" / "photos.yaml").write_text("name: [")
    said, complained = run(stopped, "export", code=1)
    assert "name: Music" in said
    assert "photos" not in said
    assert complained.startswith("photos is damaged and not exported: is not valid YAML at line")


def test_without_a_data_directory_export_and_check_say_so(stopped: RunningServer) -> None:
    assert "There is no data directory" in run(stopped, "export", code=1)[1]
    said, _ = run(stopped, "check", code=1)
    assert said.splitlines()[0] == f"fault  there is no data directory {stopped.data_dir}"
    assert not stopped.data_dir.exists()


def found_by_check(server: RunningServer) -> list[str]:
    """Check, and see that nothing is changed; returns what is not well: mark, place, message."""
    # What a server still writes after a run is not the check's.
    before = wait_until(lambda: settled(server.data_dir), what="a quiet data directory")
    result = server.cli("check", "--json")
    assert contents_of(server.data_dir) == before
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    marks = [finding["mark"] for finding in document["findings"]]
    assert (document["faults"], document["warnings"]) == (marks.count("fault"), marks.count("warn"))
    return [
        f"{finding['mark']} {finding['place']}: {finding['message']}"
        for finding in document["findings"]
        if finding["mark"] != "ok"
    ]


def settled(directory: Path) -> dict[str, tuple[int, int, str]] | None:
    """Return what stands in a directory, when it is the same a moment later."""
    before = contents_of(directory)
    return before if contents_of(directory) == before else None


def contents_of(directory: Path) -> dict[str, tuple[int, int, str]]:
    """Return what stands in a directory, but for what a server counts for /metrics: that it keeps
    once a second, with the time of the directory itself."""
    found = tree_of(directory)
    for name in (".", "counters.json"):
        found.pop(name, None)
    return found


@pytest.mark.usefixtures("rsync")
def test_a_healthy_directory_has_no_finding_and_nothing_is_changed(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    job_id = server.create_job(make_tree(tmp_path / "from", files=3), tmp_path / "to")
    run_to_end(server, job_id)
    (server.data_dir / "settings.yaml").write_text("a: 1\n")
    (server.data_dir / "settings.yaml").chmod(0o600)
    unknown = partial(server.http.get, "/api/v1/settings")
    wait_until(lambda: unknown().json()["unknown_keys"] == ["a"], what="the edit, which is logged")

    assert found_by_check(server) == [], "beside the server"
    said, _ = run(server, "check")
    assert said.splitlines()[0] == "   ok  longshore.db: is whole"
    assert said.splitlines()[-1].startswith("1 definitions, 1 states, 1 backups, 1 runs:")
    killed = tmp_path / "killed"
    server.kill()
    shutil.copytree(server.data_dir, killed)
    assert (killed / "longshore.db-wal").stat().st_size > 0
    assert found_by_check(server) == [], "as a crash leaves it"
    server.start()
    server.terminate()
    assert not (server.data_dir / "longshore.db-wal").exists()
    assert found_by_check(server) == [], "after an orderly end"
    (killed / "longshore.db-shm").unlink()
    assert found_by_check(RunningServer(killed)) == [
        "warn longshore.db: was not checked: its -shm file is missing; a start makes it"
    ]


def test_faults_and_warnings_are_told_in_lines_and_counted(
    stopped: RunningServer, tmp_path: Path
) -> None:
    run(stopped, "import", written(tmp_path / "older.yaml", OLDER))
    backup = stopped.data_dir / "state" / "photos.yaml.bak"
    backup.write_bytes(b"")
    backup.chmod(0o600)
    assert run(stopped, "check")[0].splitlines() == [
        " warn  state/photos.yaml.bak: is empty",
        "2 definitions, 2 states, 1 backups, 0 runs: 0 faults, 1 warnings",
    ]
    (stopped.data_dir / "jobs" / "photos.yaml").write_text("name: \x1b[\n")
    said = run(stopped, "check", code=1)[0].splitlines()
    assert said[0].startswith("fault  jobs/photos.yaml: is not valid YAML")
    assert said[-1].endswith(": 1 faults, 1 warnings")


def test_what_a_server_is_writing_is_no_finding(server: RunningServer) -> None:
    leftover = server.data_dir / "jobs" / ".new-a.yaml.1f"
    leftover.write_bytes(b"x")
    leftover.chmod(0o600)
    (server.data_dir / "runs").mkdir(mode=0o700, exist_ok=True)
    (server.data_dir / "runs" / "x").mkdir(mode=0o700)
    assert found_by_check(server) == []

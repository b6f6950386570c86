"""Proves that settings are saved by page, API and command line, and in effect without a restart."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.pages import Form, Page
from tests.integration.running import (
    ended_server,
    event_of,
    wait_for_bytes,
    wait_for_status,
)
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
HTMX = {"HX-Request": "true"}
API = "/api/v1/settings"
SLOW = {"bandwidth_limit": "1M"}


def document(server: RunningServer) -> dict[str, Any]:
    """Return the settings through the API."""
    answer = server.http.get(API)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["etag"] == f'"{found["version"]}"'
    return found


def put(server: RunningServer, version: str | None = None, **values: Any) -> httpx.Response:
    """Save settings through the API, on top of the present version unless another is named."""
    tag = document(server)["version"] if version is None else version
    return server.http.put(API, json={"values": values}, headers={"If-Match": f'"{tag}"'})


def form_of(server: RunningServer) -> Form:
    """Return the form of the page."""
    answer = server.http.get("/settings")
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert page.forbidden == []
    (form,) = [form for form in page.forms if "max_log_megabytes" in form.values]
    return form


def send(
    server: RunningServer, form: Form, *, htmx: bool = False, to: str = "", **changes: str | None
) -> httpx.Response:
    """Send the form as a browser does, with some fields filled in, or a box (None) not ticked."""
    headers = {"Origin": server.url} | (HTMX if htmx else {})
    values = {k: v for k, v in (form.values | changes).items() if v is not None}
    return server.http.post(to or form.action, data=values, headers=headers)


def file_of(server: RunningServer) -> Path:
    """Return where the settings are kept."""
    return server.data_dir / "settings.yaml"


def two_slow_jobs(server: RunningServer, room: Path) -> tuple[str, str]:
    """Start two jobs of which only one may run; returns their ids, the running one first."""
    source = make_large_file(room / "from" / "large.bin", megabytes=20).parent
    first, second = (
        server.create_job(source, room / f"to-{number}", options=SLOW) for number in (1, 2)
    )
    server.start_job(first)
    server.start_job(second)
    wait_for_status(server, first, "running")
    assert server.state(second)["status"] == "queued"
    return first, second


def test_a_queued_run_starts_when_more_may_run_and_all_of_it_survives_a_restart(
    tmp_path: Path, room: Path
) -> None:
    server = RunningServer(tmp_path / "data")
    with ended_server(server):
        assert put(server, max_concurrent_runs=1).status_code == 200
        first, second = two_slow_jobs(server, room)

        saved = send(server, form_of(server), max_concurrent_runs="2", resume_interrupted="on")

        assert (saved.status_code, saved.headers["location"]) == (303, "/settings?saved=1")
        assert "Saved." in server.http.get(saved.headers["location"]).text
        wait_for_status(server, second, "running", seconds=5)
        assert stat.S_IMODE(file_of(server).stat().st_mode) == 0o600

        server.kill()
        server.start()
        values = document(server)["values"]
        assert (values["max_concurrent_runs"], values["resume_interrupted"]) == (2, True)
        form = form_of(server)
        assert (form.values["max_concurrent_runs"], form.values["resume_interrupted"]) == (
            "2",
            "on",
        )
        assert send(server, form, resume_interrupted=None).status_code == 303
        assert document(server)["values"]["resume_interrupted"] is False
        assert {server.state(job)["status"] for job in (first, second)} == {"running"}


def test_an_edit_by_hand_is_in_effect_within_two_seconds(server: RunningServer, room: Path) -> None:
    file_of(server).write_text("max_concurrent_runs: 1\n")
    wait_until(lambda: document(server)["values"]["max_concurrent_runs"] == 1, seconds=4)
    _, second = two_slow_jobs(server, room)
    file_of(server).write_text("max_concurrent_runs: lots\n")
    wait_until(lambda: document(server)["damage"], seconds=4)
    assert document(server)["values"]["max_concurrent_runs"] == 1
    wait_until(lambda: "settings.yaml was changed by hand" in server.http.get("/").text)
    assert "cannot be used: line 1" in server.http.get("/settings").text

    replacement = server.data_dir / "editor.tmp"
    replacement.write_text("max_concurrent_runs: 2\n")
    replacement.rename(file_of(server))
    wait_for_status(server, second, "running", seconds=5)
    assert document(server)["damage"] is None
    # The bell goes on telling that it happened.
    message = "settings.yaml was changed by hand"
    wait_until(lambda: message not in server.http.get("/").text.partition("<main")[2])
    file_of(server).unlink()
    wait_until(lambda: document(server)["values"]["max_concurrent_runs"] == 4, seconds=4)


def test_what_a_run_begins_with_is_what_is_set_then(
    make_server: MakeServer, room: Path, tmp_path: Path
) -> None:
    server = make_server()
    config = tmp_path / "rclone.conf"
    config.write_text(f"[box]\ntype = alias\nremote = {room}\n")
    assert (
        put(
            server, stop_grace_seconds=3, max_log_megabytes=0.5, rclone_config=str(config)
        ).status_code
        == 200
    )
    assert server.http.get("/api/v1/remotes").json()["items"] == [{"name": "box", "type": "alias"}]
    source = make_tree(room / "from", files=3)
    run_id = server.start_job(server.create_job(source, room / "to"))
    spec = json.loads((server.data_dir / "runs" / run_id / "spec.json").read_text())
    assert (spec["stop_grace_seconds"], spec["max_log_bytes"]) == (3, 500_000)
    assert spec["rclone_config"] == str(config)
    server.wait_for_end(run_id)


def test_fewer_runs_are_kept_after_the_next_end(server: RunningServer, room: Path) -> None:
    job_id = server.create_job(make_tree(room / "from", files=1), room / "to")
    for _ in range(3):
        server.wait_for_end(server.start_job(job_id))
        wait_for_status(server, job_id, "completed")
    assert put(server, kept_runs_per_job=2).status_code == 200
    server.wait_for_end(server.start_job(job_id))
    address = f"/api/v1/jobs/{job_id}/runs"
    wait_until(lambda: server.http.get(address).json()["total"] == 2, what="two runs")


def test_of_ten_who_change_the_same_version_one_does(server: RunningServer) -> None:
    version = document(server)["version"]
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda n: put(server, version, max_concurrent_runs=n), range(5, 15))
        )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 9]
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert document(server) == won


def test_a_job_that_is_cut_off_goes_on_by_itself_once_that_is_set(
    server: RunningServer, room: Path
) -> None:
    source = make_large_file(room / "from" / "large.bin", megabytes=20).parent
    job_id = server.create_job(source, room / "to", options=SLOW)
    first = server.start_job(job_id)
    wait_for_bytes(server, job_id, 1)
    assert put(server, resume_interrupted=True, stop_grace_seconds=1).status_code == 200
    os.kill(event_of(server, first, "run_started")["runner"]["pid"], signal.SIGKILL)
    wait_until(lambda: server.state(job_id)["run_id"] != first, what="a second run")
    assert server.run(first)["outcome"] == "interrupted"
    wait_for_status(server, job_id, "running")
    assert server.http.post(f"/api/v1/jobs/{job_id}/stop").is_success
    wait_for_status(server, job_id, "paused")


def test_a_host_name_is_let_in_at_once_and_nobody_shuts_themselves_out(
    server: RunningServer,
) -> None:
    named = {"Host": f"nas.example:{server.port}"}
    assert server.http.get("/settings", headers=named).status_code == 400
    assert put(server, allowed_hosts="NAS.example, other.example").status_code == 200
    assert server.http.get("/settings", headers=named).status_code == 200

    form = form_of(server)
    refused = server.http.post(
        "/settings",
        data=form.values | {"allowed_hosts": "other.example"},
        headers=named | {"Origin": f"http://nas.example:{server.port}"},
    )
    assert refused.status_code == 422
    assert "You are here under the name nas.example" in refused.text
    assert put(server, allowed_hosts="other.example").status_code == 200
    assert server.http.get("/settings", headers=named).status_code == 400


def test_every_fault_is_at_its_field_and_what_was_typed_stays(shared_server: RunningServer) -> None:
    before = document(shared_server)
    typed = {
        "max_concurrent_runs": "lots <b>",
        "stop_grace_seconds": "0",
        "kept_runs_per_job": "",
        "kept_run_days": "1e9",
        "max_log_megabytes": "NaN",
        "rclone_config": "~/rclone.conf",
        "allowed_hosts": "https://a.example/",
    }
    for htmx in (False, True):
        refused = send(shared_server, form_of(shared_server), htmx=htmx, **typed)
        assert refused.status_code == 422
        page = Page(refused.text)
        assert page.is_whole is not htmx
        assert page.forbidden == []
        (form,) = [form for form in page.forms if "max_log_megabytes" in form.values]
        assert form.values.items() >= typed.items()
        for name in typed:
            assert f'id="{name}-error"' in refused.text
            assert f'href="#field-{name}"' in refused.text
        assert "lots <b>" not in refused.text
        assert ("Saved" in refused.text) is False
    assert document(shared_server) == before


def test_a_page_that_is_old_overwrites_nothing(server: RunningServer) -> None:
    form = form_of(server)
    file_of(server).write_text("kept_runs_per_job: 7\n")
    for htmx in (False, True):
        refused = send(server, form, htmx=htmx, max_concurrent_runs="9")
        assert refused.status_code == 412
        assert "changed meanwhile" in refused.text
        assert file_of(server).read_text() == "kept_runs_per_job: 7\n"
    page = Page(refused.text)
    assert page.forms[-1].values["max_concurrent_runs"] == "9"
    assert send(server, page.forms[-1]).status_code == 303
    values = document(server)["values"]
    assert (values["max_concurrent_runs"], values["kept_runs_per_job"]) == (9, 50)


def test_one_setting_is_reset_and_what_is_typed_beside_it_stays_unsaved(
    server: RunningServer,
) -> None:
    assert put(server, max_concurrent_runs=9, resume_interrupted=True).status_code == 200
    for htmx in (False, True):
        form = form_of(server)
        typed = {"kept_run_days": "soon", "allowed_hosts": "half a na"}
        address = "/settings/reset"
        answer = send(server, form, htmx=htmx, to=address, reset="resume_interrupted", **typed)
        assert answer.status_code == 200
        again = Page(answer.text).forms
        (form,) = [form for form in again if "max_log_megabytes" in form.values]
        assert form.values.items() >= typed.items()
        assert "resume_interrupted" not in form.values
        assert "Resume interrupted jobs: off" in answer.text
        values = document(server)["values"]
        assert (values["resume_interrupted"], values["max_concurrent_runs"]) == (False, 9)
        assert (values["kept_run_days"], values["allowed_hosts"]) == (90, "")
        assert put(server, max_concurrent_runs=9, resume_interrupted=True).status_code == 200
    for name in ("", "data_dir", "<b>", "version", "x" * 10_000):
        assert send(server, form_of(server), to=address, reset=name).status_code == 200
    assert document(server)["values"]["max_concurrent_runs"] == 9


def test_what_the_environment_decides_is_shown_and_not_changed(make_server: MakeServer) -> None:
    server = make_server(LONGSHORE_MAX_CONCURRENT_RUNS="3")
    text = server.http.get("/settings").text
    assert "LONGSHORE_MAX_CONCURRENT_RUNS" in text
    assert 'name="max_concurrent_runs"' not in text
    assert str(server.data_dir) in text
    form = form_of(server)
    assert send(server, form, max_concurrent_runs="9", kept_runs_per_job="8").status_code == 303
    found = document(server)
    values = found["values"]
    assert (values["max_concurrent_runs"], values["kept_runs_per_job"]) == (3, 8)
    assert "max_concurrent_runs" not in file_of(server).read_text()
    (one,) = [one for one in found["settings"] if one["name"] == "max_concurrent_runs"]
    assert (one["source"], one["can_be_saved"]) == ("environment", False)
    refused = put(server, **values | {"max_concurrent_runs": 4})
    assert refused.status_code == 422
    (fault,) = refused.json()["errors"]
    assert "LONGSHORE_MAX_CONCURRENT_RUNS" in fault["message"]
    assert put(server, **values).status_code == 200
    said = server.cli("settings", "unset", "max_concurrent_runs")
    assert (said.returncode, "decides this" in said.stderr) == (1, True)


def test_the_api_wants_the_version_and_tells_every_fault(shared_server: RunningServer) -> None:
    server = shared_server
    version = document(server)["version"]
    http = server.http
    problem = "application/problem+json"
    assert http.put(API, json={"values": {}}).status_code == 428
    old = http.put(API, json={"values": {}}, headers={"If-Match": '"0123456789abcdef"'})
    assert (old.status_code, old.headers["content-type"]) == (412, problem)
    assert old.json()["current"]["version"] == version
    for bad in ("*", 'W/"x"', "", "A", "1" * 65):
        answer = http.put(API, json={"values": {}}, headers={"If-Match": bad})
        assert answer.status_code == 422, bad
    many: dict[str, Any] = {
        "max_concurrent_runs": 0,
        "kept_run_days": [],
        "port": 1,
        "no <such>": 1,
    }
    wrong = put(server, **many)
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, problem)
    told = {fault["field"]: fault["message"] for fault in wrong.json()["errors"]}
    assert told.keys() == many.keys()
    assert told["max_concurrent_runs"] == "Write a whole number from 1 to 1,000."
    headers = {"If-Match": f'"{version}"'}
    for body in ("[]", "null", "1", '{"values": []}', '{"values": {}, "a": 1}', "{", '{"a": NaN}'):
        answer = http.put(API, content=body, headers=headers | {"Content-Type": "application/json"})
        assert answer.status_code == 422, body
        assert answer.json()["errors"], body
    assert document(server)["version"] == version


HOSTILE = (
    "", " ", "\0", "\x1b[31m", "-1", "--help", "$(id)", "`id`", "'; DROP TABLE runs; --", "../../x",
    "<script>ran()</script>", "{{ 7*7 }}", "\u202e", "é" * 3000, "9" * 5000, "1e309",
    "0x10", "yes", "null", "!!python/object:os.system", "a: b", "*a", "|", "%0a", "\r\nX: y",
)  # fmt: skip


@pytest.mark.parametrize("name", ["max_concurrent_runs", "kept_run_days", "rclone_config"])
def test_hostile_values_are_refused_in_words_or_kept_as_they_are(
    server: RunningServer, name: str
) -> None:
    for number, value in enumerate(HOSTILE):
        for typed in (value, f"/{value}"):
            answer = send(server, form_of(server), htmx=bool(number % 2), **{name: typed})
            assert answer.status_code in {200, 303, 422}, (name, typed, answer.text)
            assert "<script>ran" not in answer.text
            if any(escape in typed.strip() for escape in "\0\x1b\r"):
                assert answer.status_code == 422, typed
            lines = file_of(server).read_text().splitlines() if file_of(server).exists() else []
            known = {line.partition(":")[0] for line in lines}
            assert known <= {"format", name, "updated_at"}, lines
            if answer.status_code != 422 and name == "rclone_config":
                assert document(server)["values"][name] == (typed.strip() or None)
    assert server.cli("check").returncode == 0


def test_the_command_line_shows_sets_and_unsets(server: RunningServer) -> None:
    def words(*arguments: str, code: int = 0) -> str:
        result = server.cli("settings", *arguments)
        assert result.returncode == code, result
        assert "Traceback" not in result.stderr
        return result.stdout + result.stderr

    said = words("set", "max_concurrent_runs=8", "resume_interrupted=true", "kept_run_days=2.5")
    assert "max_concurrent_runs: 8 (in effect at once)" in said
    assert json.loads(words("show", "--json")) == document(server)
    shown = words("show")
    for part in ("max_concurrent_runs", "8 runs", "2.5 days", "file", "LONGSHORE_DATA_DIR"):
        assert part in shown, shown
    words("unset", "max_concurrent_runs", "resume_interrupted")
    values = document(server)["values"]
    assert (values["max_concurrent_runs"], values["resume_interrupted"]) == (4, False)
    assert values["kept_run_days"] == 2.5

    said = words("set", "max_concurrent_runs=0", "no_such=1", "kept_run_days=soon", code=1)
    for part in ("max_concurrent_runs: Write", "no_such: There is no", "kept_run_days: Write"):
        assert part in said
    assert "NAME=VALUE" in words("set", "max_concurrent_runs", code=1)
    assert "'port'" in words("unset", "port", code=1)
    assert document(server)["values"]["kept_run_days"] == 2.5


def test_a_damaged_file_is_told_on_every_page_and_gives_way(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    with ended_server(server):
        assert put(server, max_concurrent_runs=8).status_code == 200
        assert put(server, max_concurrent_runs=9).status_code == 200
        server.terminate()
        file_of(server).write_bytes(b"\0" * 90)
        server.start()
        assert document(server)["values"]["max_concurrent_runs"] == 8
        assert "settings.yaml was damaged" in server.http.get("/").text
        errors = server.http.get("/api/v1/errors?resolved=false").json()["items"]
        assert "SettingsRecovered" in {error["error_type"] for error in errors}


def test_a_file_that_cannot_be_used_is_kept_aside_by_a_save(tmp_path: Path, room: Path) -> None:
    server = RunningServer(tmp_path / "data", LONGSHORE_KEPT_RUN_DAYS="400")
    server.data_dir.mkdir(mode=0o700)
    file_of(server).write_text("kept_runs_per_job: all\n")
    with ended_server(server):
        assert "no old run is removed" in server.http.get("/settings").text
        storage = server.http.get("/health").json()["components"]["storage"]
        assert (storage["status"], storage["settings"]) == ("degraded", "damaged")
        job_id = server.create_job(make_tree(room / "from", files=1), room / "to")
        assert document(server)["values"]["kept_runs_per_job"] == 50
        for _ in range(3):
            server.wait_for_end(server.start_job(job_id))
            wait_for_status(server, job_id, "completed")
        assert send(server, form_of(server), kept_runs_per_job="1").status_code == 303
        (aside,) = server.data_dir.glob("settings.yaml.damaged-*")
        assert aside.read_text() == "kept_runs_per_job: all\n"
        server.wait_for_end(server.start_job(job_id))
        address = f"/api/v1/jobs/{job_id}/runs"
        wait_until(lambda: server.http.get(address).json()["total"] == 1, what="one run")


def test_it_works_under_a_sub_path(tmp_path: Path) -> None:
    with ended_server(RunningServer(tmp_path / "data", LONGSHORE_ROOT_PATH="/backup")) as server:
        page = Page(server.http.get("/settings").text)
        assert all(link.startswith(("/backup/", "#")) for link in page.links), page.links
        (form,) = [form for form in page.forms if "max_log_megabytes" in form.values]
        saved = send(server, form, to="/settings", max_concurrent_runs="7")
        assert saved.headers["location"] == "/backup/settings?saved=1"
        assert server.cli("settings", "set", "max_concurrent_runs=6").returncode == 0

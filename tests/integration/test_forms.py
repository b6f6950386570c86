"""Proves that every action of the pages works as a plain form, and as a request of HTMX.

What was refused comes back with its messages at the fields and with everything that was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.pages import Form, Page
from tests.integration.running import ended_server, run_to_end, wait_for_bytes, wait_for_status
from tests.support import RunningServer, make_large_file, make_tree, rsync_differences

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
MakeServer = Callable[..., RunningServer]
HTMX = {"HX-Request": "true"}
SLOW = {"bandwidth_limit": "1M"}


def page_of(server: RunningServer, address: str) -> Page:
    """Return a page that is there."""
    answer = server.http.get(address)
    assert answer.status_code == 200, f"{address}: {answer.text[:500]}"
    return Page(answer.text)


def send(
    server: RunningServer, form: Form, *, htmx: bool = False, **changes: str
) -> httpx.Response:
    """Send a form as a browser does, with some fields filled in."""
    assert form.method.lower() == "post"
    headers = {"Origin": server.url} | (HTMX if htmx else {})
    return server.http.post(form.action, data=form.values | changes, headers=headers)


def new_job_form(server: RunningServer) -> Form:
    """Return the empty form."""
    (form,) = [form for form in page_of(server, "/jobs/new").forms if "name" in form.values]
    return form


def test_a_job_is_made_run_edited_and_deleted_without_javascript(
    shared_server: RunningServer, room: Path
) -> None:
    source, destination = make_tree(room / "from", files=20), room / "to"
    (source / "not wanted.tmp").write_bytes(b"x")
    form = new_job_form(shared_server)
    assert (form.values["engine"], form.values["verification"]) == ("rsync", "fast")

    created = send(
        shared_server,
        form,
        name="By <form> & “hand”",
        source=str(source),
        destination=str(destination),
        exclude="*.tmp\r\n\r\n  /cache/  ",
        bandwidth_limit="100m",
        verification="checksum",
    )

    assert created.status_code == 303
    address = created.headers["location"]
    job_id = address.rpartition("/")[2]
    job = shared_server.http.get(f"/api/v1/jobs/{job_id}").json()
    assert job["options"]["exclude"] == ["*.tmp", "/cache/"]
    assert job["options"]["bandwidth_limit"] == "100M"
    assert (job["name"], job["verification"]) == ("By <form> & “hand”", "checksum")

    started = send(shared_server, page_of(shared_server, address).form_to("/start"))
    assert (started.status_code, started.headers["location"]) == (303, address)
    run_id = shared_server.state(job_id)["run_id"]
    assert shared_server.wait_for_end(run_id)["outcome"] == "completed"
    wait_for_status(shared_server, job_id, "completed")
    assert not (destination / "not wanted.tmp").exists()
    assert len(list(destination.rglob("*.dat"))) == 20
    assert "Completed" in page_of(shared_server, address).text
    assert "file-00003.dat" in page_of(shared_server, f"/runs/{run_id}").text

    edit = page_of(shared_server, f"{address}/edit").form_to(address)
    assert edit.values["exclude"] == "*.tmp\n/cache/"
    saved = send(shared_server, edit, name="Renamed", delete_extraneous="on", max_delete="7")
    assert (saved.status_code, saved.headers["location"]) == (303, address)
    job = shared_server.http.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["name"], job["version"], job["options"]["max_delete"]) == ("Renamed", 2, 7)
    assert job["options"]["exclude"] == ["*.tmp", "/cache/"]

    delete = page_of(shared_server, f"{address}/delete").form_to("/delete")
    refused = send(shared_server, delete)
    assert (refused.status_code, "not the name" in refused.text) == (422, True)
    assert send(shared_server, delete, name="Renamed").headers["location"] == "/jobs"
    assert shared_server.http.get(address).status_code == 404
    assert destination.exists()


def test_stop_resume_and_discard_work_without_javascript(
    shared_server: RunningServer, room: Path
) -> None:
    large = make_large_file(room / "from" / "large.bin", megabytes=8).parent
    job_id = shared_server.create_job(large, room / "to", options=SLOW)
    address = f"/jobs/{job_id}"
    for _ in range(2):
        send(shared_server, page_of(shared_server, address).form_to("/start"))
        wait_for_bytes(shared_server, job_id, 1)
        run_id = shared_server.state(job_id)["run_id"]
        stopped = send(shared_server, page_of(shared_server, f"/runs/{run_id}").form_to("/stop"))
        assert stopped.status_code == 303
        wait_for_status(shared_server, job_id, "paused")
        assert "Resume" in page_of(shared_server, address).text

    discarded = send(shared_server, page_of(shared_server, address).form_to("/discard"))

    assert (discarded.status_code, discarded.headers["location"]) == (303, address)
    assert shared_server.state(job_id)["status"] == "pending"


def test_htmx_gets_fragments_and_is_told_where_to_go(
    shared_server: RunningServer, room: Path
) -> None:
    large = make_large_file(room / "from" / "large.bin", megabytes=8).parent
    form = new_job_form(shared_server)
    values = {"source": str(large), "destination": str(room / "to"), "bandwidth_limit": "1M"}

    refused = send(shared_server, form, htmx=True, **values)
    assert refused.status_code == 422
    assert refused.text.lstrip().startswith("<form")
    assert "<html" not in refused.text
    created = send(shared_server, form, htmx=True, name="By HTMX", **values)
    assert (created.status_code, created.text) == (200, "")
    address = created.headers["hx-redirect"]
    job_id = address.rpartition("/")[2]

    started = send(shared_server, page_of(shared_server, address).form_to("/start"), htmx=True)
    assert started.status_code == 200
    assert f'id="job-{job_id}"' in started.text
    assert "<html" not in started.text
    assert Page(started.text).form_to("/stop").action == f"{address}/stop"
    again = shared_server.http.post(f"{address}/start", headers=HTMX)
    assert again.status_code == 409
    assert again.headers["hx-retarget"] == "#toasts"
    assert "stop it first" in Page(again.text).text
    plain = shared_server.http.post(f"{address}/start")
    assert plain.status_code == 409
    assert "stop it first" in Page(plain.text).text
    assert "<html" in plain.text

    wait_for_bytes(shared_server, job_id, 1)
    stopped = shared_server.http.post(f"{address}/stop", headers=HTMX)
    assert stopped.status_code == 200
    wait_for_status(shared_server, job_id, "paused")
    discarded = shared_server.http.post(f"{address}/discard", headers=HTMX)
    assert 'data-status="pending"' in discarded.text
    named = {"name": "By HTMX"}
    deleted = shared_server.http.post(f"{address}/delete", headers=HTMX, data=named)
    assert (deleted.status_code, deleted.headers["hx-redirect"]) == (200, "/jobs")


@pytest.mark.parametrize("htmx", [False, True])
def test_what_was_refused_comes_back_with_all_messages_and_all_that_was_typed(
    shared_server: RunningServer, htmx: bool
) -> None:
    typed = {
        "name": "",
        "source": '/no/such/<folder> & "quotes"',
        "destination": "host:path'><script>alert(1)</script>",
        "exclude": "\r\n <b>first</b>\r\nsecond",
        "include": "- rule",
        "bandwidth_limit": "<fast>",
        "max_delete": "many",
        "engine": "rclone",
        "verification": "checksum",
        "delete_extraneous": "on",
    }
    before = len(shared_server.jobs())

    refused = send(shared_server, new_job_form(shared_server), htmx=htmx, **typed)

    assert refused.status_code == 422
    page = Page(refused.text)
    assert page.forbidden == []
    assert "<script>alert" not in refused.text
    (form,) = [form for form in page.forms if "source" in form.values]
    for name, value in typed.items():
        shown = form.values[name].replace("\r\n", "\n")
        assert shown == value.replace("\r\n", "\n"), f"{name} was not kept"
    faulty = ("name", "source", "destination", "include", "bandwidth_limit", "max_delete")
    for name in faulty:
        assert f'id="{name}-error"' in refused.text, f"no message at {name}"
    assert 'id="exclude-error"' not in refused.text
    assert "There is no such file or folder" in page.text
    assert len(shared_server.jobs()) == before


def test_a_form_with_few_fields_changes_those_alone(
    shared_server: RunningServer, room: Path
) -> None:
    options = {"delete_extraneous": True, "hard_links": True, "exclude": ["*.tmp"]}
    source = make_tree(room / "from", files=1)
    job_id = shared_server.create_job(source, room / "to", options=options)
    address, headers = f"/jobs/{job_id}", {"Origin": shared_server.url}
    few = {"version": "1", "name": "Renamed", "exclude": "- rule"}

    refused = shared_server.http.post(address, data=few, headers=headers)
    again = Page(refused.text).form_to(address)
    assert (refused.status_code, again.values["source"]) == (422, str(source))
    saved = shared_server.http.post(address, data=few | {"exclude": "*.bak"}, headers=headers)
    assert saved.status_code == 303
    job = shared_server.http.get(f"/api/v1{address}").json()
    assert (job["name"], job["source"]) == ("Renamed", str(source))
    assert job["options"].items() >= (options | {"exclude": ["*.bak"]}).items()

    edit = page_of(shared_server, f"{address}/edit").form_to(address)
    without = {name: text for name, text in edit.values.items() if name != "delete_extraneous"}
    assert shared_server.http.post(address, data=without, headers=headers).status_code == 303
    after = shared_server.http.get(f"/api/v1{address}").json()["options"]
    assert (after["delete_extraneous"], after["hard_links"]) == (False, True)


def test_a_remote_that_is_refused_and_an_unknown_credential_say_so_at_their_fields(
    shared_server: RunningServer, room: Path
) -> None:
    refused = send(
        shared_server,
        new_job_form(shared_server),
        name="Remote",
        source=str(make_tree(room / "from", files=1)),
        destination_kind="ssh",
        destination_host="-oProxyCommand=x",
        destination_path="/srv",
        credential="not-there",
    )

    assert refused.status_code == 422
    kind = refused.text.partition('id="field-destination_kind"')[2].partition(">")[0]
    assert "destination-error" in kind
    assert 'aria-invalid="true"' in kind
    assert 'href="#field-destination_kind"' in refused.text
    assert "No entry has this name now" in Page(refused.text).text
    assert "No entry has this name now" not in page_of(shared_server, "/jobs/new").text


@pytest.mark.parametrize("htmx", [False, True])
def test_of_two_people_the_second_sees_both_versions_and_loses_nothing(
    shared_server: RunningServer, tmp_path: Path, htmx: bool
) -> None:
    job_id = shared_server.create_job(make_tree(tmp_path / "from", files=1), tmp_path / "to")
    address = f"/jobs/{job_id}"
    first, second = (page_of(shared_server, f"{address}/edit").form_to(address) for _ in "12")
    assert send(shared_server, first, name="The first <b>").status_code == 303

    refused = send(shared_server, second, htmx=htmx, name="The second <i>", exclude="*.tmp")

    assert refused.status_code == 412
    page = Page(refused.text)
    assert "The first <b>" in page.text
    assert "The second <i>" in page.text
    form = page.form_to(address)
    assert (form.values["name"], form.values["exclude"]) == ("The second <i>", "*.tmp")
    assert shared_server.http.get(f"/api/v1/jobs/{job_id}").json()["name"] == "The first <b>"

    # The form now stands on the newer version: saving it is a decision, not an accident.
    assert send(shared_server, form).status_code == 303
    job = shared_server.http.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["name"], job["version"]) == ("The second <i>", 3)


@pytest.mark.parametrize(
    "body", [b"", b"a=%ff", b"\xff\xfe", b"name=" + b"x" * 200_000, b"&".join([b"a=1"] * 2000)]
)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_a_broken_form_is_never_the_servers_fault(
    shared_server: RunningServer, body: bytes, kind: str
) -> None:
    answer = shared_server.http.post("/jobs", content=body, headers={"Content-Type": kind})

    assert answer.status_code in {400, 413, 415, 422}


def test_the_sample_job_runs_to_its_end(make_server: MakeServer) -> None:
    server = make_server()

    answer = send(server, page_of(server, "/").form_to("/jobs/sample"))

    job_id = answer.headers["location"].rpartition("/")[2]
    wait_for_status(server, job_id, "completed")
    job = server.http.get(f"/api/v1/jobs/{job_id}").json()
    source, destination = Path(job["source"]), Path(job["destination"])
    assert destination.is_relative_to(server.data_dir)
    assert job["state"]["progress"]["files_done"] > 20
    # The job leaves out what Python writes beside its modules.
    changes = rsync_differences(source, destination).splitlines()
    assert [line for line in changes if "__pycache__" not in line] == []


def test_no_sample_is_offered_that_allowed_folders_would_refuse(
    make_server: MakeServer, room: Path
) -> None:
    server = make_server(LONGSHORE_ALLOWED_ROOTS=str(room))

    for path in ("/", "/jobs"):
        text = server.http.get(path).text
        assert "No jobs yet" in text
        assert "sample" not in text


def test_everything_works_under_a_sub_path(tmp_path: Path, room: Path) -> None:
    server = RunningServer(tmp_path / "data", LONGSHORE_ROOT_PATH="/backup")
    with ended_server(server):
        job_id = server.create_job(make_tree(room / "from", files=3), room / "to")
        run_id = run_to_end(server, job_id)["id"]
        location = server.http.post("/api/v1/jobs", json=_copied(server, job_id)).headers[
            "location"
        ]
        assert location.startswith("/backup/api/v1/jobs/")
        pages = ["/", "/jobs", "/jobs/new", "/runs", f"/runs/{run_id}", f"/jobs/{job_id}", "/no"]
        pages += ["/settings"]
        pages += [f"/jobs/{job_id}/{end}" for end in ("edit", "delete", "card")]
        pages += ["/folders?field=source&path=/"]
        followed = set()
        for address in pages:
            for link in Page(server.http.get(address).text).links:
                plain = link.partition("#")[0]
                if plain and plain not in followed:
                    followed.add(plain)
                    assert plain.startswith("/backup/"), f"{link} on {address}"
                    assert _works(server, plain), f"{link} on {address} leads nowhere"
        assert len(followed) > 25
        started = server.http.post(f"/backup/jobs/{job_id}/start")
        assert started.headers["location"] == f"/backup/jobs/{job_id}"
        wait_for_status(server, job_id, "completed")


def _copied(server: RunningServer, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = server.http.get(f"/api/v1/jobs/{job_id}").json()
    return job


def _works(server: RunningServer, link: str) -> bool:
    # An action answers a GET with "method not allowed", the WebSocket is none of HTTP.
    allowed = {200, 405} if not link.endswith("/ws") else {200, 404, 405, 426}
    return server.http.get(link).status_code in allowed

"""Proves that whatever changes something writes down who did it, from where and to which job.

The routes are asked of the application itself: a new one stands either among the acts that are done
here, or among those that need no entry, with the reason.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pwd
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from fastapi_app.application import create_app
from fastapi_app.services import Services
from models.audit import Action, AuditEntry, AuditFilter
from models.errors import StorageFailed
from models.settings import Settings
from storage.layout import DATABASE_NAME
from tests.fakes.builders import a_fault
from tests.integration.command_line import document, words
from tests.integration.pages import Page
from tests.integration.running import ended_server, run_to_end, wait_for_status
from tests.served_app import ServedApp
from tests.support import RunningServer, make_large_file, make_tree, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
_SAFE = {"GET", "HEAD", "OPTIONS"}
_SLOW = {"bandwidth_limit": "100K"}
_SECRET = "hunter2-of-the-target"
_CODE = "code-of-the-terminal"
_PASSWORD = "the owner walks along the quay"
_ADDRESS = f"json://user:{_SECRET}@127.0.0.1:1/hook"
_WITHOUT_ENTRY = {
    "POST /deletion-words": "puts a form into words and changes nothing",
    "POST /jobs-look": "is a cookie of the browser that asks",
    "POST /notices/dismiss": "is a cookie of the browser that asks",
    "POST /api/v1/remotes/{name}/test": "looks whether a remote answers and changes nothing",
    "POST /remotes/test/{field}": "looks whether a remote answers and changes nothing",
}
"""Routes that may be posted to and need no entry, each with the reason."""


def unsafe_routes(routes: Sequence[Any]) -> Iterator[str]:
    """Yield the method and the path of each route that may change something."""
    for route in routes:
        if isinstance(route, APIRoute):
            for method in sorted((route.methods or set()) - _SAFE):
                yield f"{method} {route.path}"
        elif hasattr(route, "original_router"):
            yield from unsafe_routes(route.original_router.routes)


@dataclass
class Scene:
    """A server with a job of each kind."""

    server: ServedApp
    room: Path
    ids: dict[str, str] = field(default_factory=dict)

    def entries(self) -> tuple[AuditEntry, ...]:
        """Return what is in the log, newest first."""

        async def work(services: Services) -> tuple[AuditEntry, ...]:
            await services.audit.log.flush()
            return (await services.audit.log.find(AuditFilter(), limit=500)).items

        return self.server.call(work)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Post a form, or JSON."""
        return self.server.http.post(path.format(**self.ids), **options)

    def end_other_sessions(self) -> httpx.Response:
        """Sign in elsewhere, and end that."""
        self.server.call(lambda services: services.access.sign_in("ada", _PASSWORD, "192.0.2.7"))
        return self.post("/account/sessions/end")

    def a_job(self, name: str, *, source: Path | None = None, **fields: Any) -> str:
        """Create a job."""
        where = self.room / f"to {name}"
        return self.server.create_job(source or self.room / "from", where, name=name, **fields)

    def error_id(self) -> str:
        """Return the id of an error of its own, about the job at rest."""
        self.server.record(
            a_fault(message=f"a fault {len(self.entries())}", job_id=self.ids["job"])
        )
        found = self.server.http.get("/api/v1/errors?limit=1&resolved=false").json()["items"]
        return str(found[0]["id"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server of this process, with a job that is quick and one that is slow."""
    room = tmp_path_factory.mktemp("audit")
    make_tree(room / "from", files=3)
    make_large_file(room / "large" / "file", megabytes=2)
    with ended_server(ServedApp(room / "data")) as server:
        assert isinstance(server, ServedApp)
        scene = Scene(server, room)
        scene.ids["job"] = scene.a_job("Quick")
        scene.ids["slow"] = scene.a_job("Slow", source=room / "large", options=_SLOW)
        yield scene


def _definition(scene: Scene, name: str) -> dict[str, Any]:
    place = scene.room / f"to {name}"
    return {
        "name": name,
        "engine": "rsync",
        "source": f"{scene.room}/from",
        "destination": f"{place}",
    }


def _put_job(scene: Scene) -> httpx.Response:
    path = f"/api/v1/jobs/{scene.ids['job']}"
    job = scene.server.http.get(path)
    changed = {**job.json(), "tags": ["x"]}
    return scene.server.http.put(path, json=changed, headers={"If-Match": job.headers["ETag"]})


def _form(scene: Scene, page: str, **changes: str) -> httpx.Response:
    """Send the form of a page with some of its fields filled in."""
    found = scene.server.http.get(page.format(**scene.ids))
    (form,) = [form for form in Page(found.text).forms if "name" in form.values]
    return scene.post(form.action, data=form.values | changes)


def _put_settings(scene: Scene) -> httpx.Response:
    found = scene.server.http.get("/api/v1/settings")
    values = {"values": {**found.json()["values"], "kept_runs_per_job": 40}}
    headers = {"If-Match": found.headers["ETag"]}
    return scene.server.http.put("/api/v1/settings", json=values, headers=headers)


def _settings_form(scene: Scene, path: str, **values: str) -> httpx.Response:
    version = scene.server.http.get("/api/v1/settings").json()["version"]
    return scene.post(path, data={"version": version, **values})


def _discard(scene: Scene, path: str) -> httpx.Response:
    wait_for_status(scene.server, scene.ids["slow"], "paused")
    return scene.post(path)


def _stop(scene: Scene, path: str) -> httpx.Response:
    wait_for_status(scene.server, scene.ids["slow"], "running")
    return scene.post(path)


def _dry_run(scene: Scene, path: str) -> httpx.Response:
    wait_for_status(scene.server, scene.ids["job"], "pending")
    return scene.post(path)


def _retry(scene: Scene, path: str) -> httpx.Response:
    # What is really retried is proven in test_retry_failed.py.
    async def started(_run_id: str) -> str:
        return "run-again"

    manager = scene.server.app.state.services.manager
    manager.retry_failed = started
    try:
        return scene.post(path, headers={"HX-Request": "true"})
    finally:
        del manager.retry_failed


def _put_back(scene: Scene, path: str) -> httpx.Response:
    # What really comes back is proven in test_deleted_sources.py.
    class Done:
        def _asdict(self) -> dict[str, int]:
            return {"restored": 3, "stayed": 0}

    async def done(_run_id: str) -> Done:
        return Done()

    deleted = scene.server.app.state.services.deleted_sources
    deleted.put_back = done
    try:
        return scene.post(path, headers={"HX-Request": "true"})
    finally:
        del deleted.put_back


def _rule(name: str) -> dict[str, Any]:
    return {"name": name, "target": name, "address": _ADDRESS}


_RULE_FORM = {"name": "form", "target": "form", "address": _ADDRESS, "events": "run_failed"}
_Act = tuple[str, Action, Callable[[Scene], httpx.Response]]
_ACTS: tuple[_Act, ...] = (
    (
        "POST /api/v1/jobs",
        Action.JOB_CREATED,
        lambda scene: scene.post("/api/v1/jobs", json=_definition(scene, "By API")),
    ),
    (
        "POST /jobs",
        Action.JOB_CREATED,
        lambda scene: _form(scene, "/jobs/new", **_definition(scene, "By form")),
    ),
    (
        "POST /jobs",
        Action.JOB_DUPLICATED,
        lambda scene: _form(scene, "/jobs/{job}/duplicate"),
    ),
    ("POST /jobs/sample", Action.JOB_STARTED, lambda scene: scene.post("/jobs/sample")),
    ("PUT /api/v1/jobs/{job_id}", Action.JOB_EDITED, _put_job),
    (
        "POST /jobs/{job_id}",
        Action.JOB_EDITED,
        lambda scene: _form(scene, "/jobs/{job}/edit", tags="y"),
    ),
    (
        "POST /api/v1/jobs/{job_id}/dry-run",
        Action.DRY_RUN_STARTED,
        lambda scene: _dry_run(scene, "/api/v1/jobs/{job}/dry-run"),
    ),
    (
        "POST /jobs/{job_id}/dry-run",
        Action.DRY_RUN_STARTED,
        lambda scene: _dry_run(scene, "/jobs/{job}/dry-run"),
    ),
    (
        "POST /api/v1/jobs/{job_id}/start",
        Action.JOB_STARTED,
        lambda scene: scene.post("/api/v1/jobs/{slow}/start"),
    ),
    (
        "POST /api/v1/jobs/{job_id}/stop",
        Action.JOB_STOPPED,
        lambda scene: _stop(scene, "/api/v1/jobs/{slow}/stop"),
    ),
    (
        "POST /api/v1/jobs/{job_id}/discard",
        Action.JOB_DISCARDED,
        lambda scene: _discard(scene, "/api/v1/jobs/{slow}/discard"),
    ),
    (
        "POST /jobs/{job_id}/start",
        Action.JOB_STARTED,
        lambda scene: scene.post("/jobs/{slow}/start"),
    ),
    (
        "POST /jobs/{job_id}/stop",
        Action.JOB_STOPPED,
        lambda scene: _stop(scene, "/jobs/{slow}/stop"),
    ),
    (
        "POST /jobs/{job_id}/discard",
        Action.JOB_DISCARDED,
        lambda scene: _discard(scene, "/jobs/{slow}/discard"),
    ),
    (
        "POST /many-jobs",
        Action.JOBS_TAGGED,
        lambda scene: scene.post(
            "/many-jobs", data={"job": scene.ids["job"], "action": "tag", "tag": "many"}
        ),
    ),
    (
        "POST /many-jobs",
        Action.JOB_STARTED,
        lambda scene: scene.post("/many-jobs", data={"job": scene.ids["slow"], "action": "start"}),
    ),
    (
        "POST /many-jobs",
        Action.JOB_STOPPED,
        lambda scene: scene.post("/many-jobs", data={"job": scene.ids["slow"], "action": "stop"}),
    ),
    (
        "POST /many-jobs",
        Action.JOB_DELETED,
        lambda scene: scene.post(
            "/many-jobs",
            data={"job": scene.a_job("Many"), "action": "delete", "sure": "delete 1 job"},
        ),
    ),
    (
        "POST /api/v1/runs/{run_id}/retry-failed",
        Action.FAILED_RETRIED,
        lambda scene: _retry(scene, "/api/v1/runs/{run}/retry-failed"),
    ),
    (
        "POST /runs/{run_id}/retry-failed",
        Action.FAILED_RETRIED,
        lambda scene: _retry(scene, "/runs/{run}/retry-failed"),
    ),
    (
        "POST /api/v1/runs/{run_id}/put-back",
        Action.SOURCES_PUT_BACK,
        lambda scene: _put_back(scene, "/api/v1/runs/{run}/put-back"),
    ),
    (
        "POST /runs/{run_id}/put-back",
        Action.SOURCES_PUT_BACK,
        lambda scene: _put_back(scene, "/runs/{run}/put-back"),
    ),
    (
        "POST /api/v1/errors/{event_id}/resolve",
        Action.ERROR_RESOLVED,
        lambda scene: scene.post(f"/api/v1/errors/{scene.error_id()}/resolve"),
    ),
    (
        "POST /errors/{event_id}/resolve",
        Action.ERROR_RESOLVED,
        lambda scene: scene.post(f"/errors/{scene.error_id()}/resolve"),
    ),
    (
        "POST /api/v1/errors/resolve",
        Action.ERROR_RESOLVED,
        lambda scene: scene.post("/api/v1/errors/resolve", json={"ids": [scene.error_id()]}),
    ),
    (
        "POST /errors/resolve",
        Action.ERROR_RESOLVED,
        lambda scene: scene.post("/errors/resolve", data={"event": scene.error_id()}),
    ),
    ("PUT /api/v1/settings", Action.SETTINGS_CHANGED, _put_settings),
    (
        "POST /settings",
        Action.SETTINGS_CHANGED,
        lambda scene: _settings_form(scene, "/settings", kept_runs_per_job="41"),
    ),
    (
        "POST /settings/reset",
        Action.SETTINGS_CHANGED,
        lambda scene: _settings_form(scene, "/settings/reset", reset="kept_runs_per_job"),
    ),
    (
        "POST /api/v1/notifications/rules",
        Action.NOTIFICATION_RULE_CHANGED,
        lambda scene: scene.post("/api/v1/notifications/rules", json=_rule("api")),
    ),
    (
        "PUT /api/v1/notifications/rules/{rule_name}",
        Action.NOTIFICATION_RULE_CHANGED,
        lambda scene: scene.server.http.put(
            "/api/v1/notifications/rules/api", json={"target": "api", "digest_seconds": 7}
        ),
    ),
    (
        "POST /api/v1/notifications/rules/{rule_name}/test",
        Action.NOTIFICATION_TESTED,
        lambda scene: scene.post("/api/v1/notifications/rules/api/test"),
    ),
    (
        "DELETE /api/v1/notifications/rules/{rule_name}",
        Action.NOTIFICATION_RULE_DELETED,
        lambda scene: scene.server.http.delete("/api/v1/notifications/rules/api"),
    ),
    (
        "POST /settings/notifications",
        Action.NOTIFICATION_RULE_CHANGED,
        lambda scene: _form(scene, "/settings/notifications/new", **_RULE_FORM),
    ),
    (
        "POST /settings/notifications/{rule_name}",
        Action.NOTIFICATION_RULE_CHANGED,
        lambda scene: _form(scene, "/settings/notifications/form/edit", digest_seconds="7"),
    ),
    (
        "POST /settings/notifications/{rule_name}/test",
        Action.NOTIFICATION_TESTED,
        lambda scene: scene.post("/settings/notifications/form/test"),
    ),
    (
        "POST /settings/notifications/{rule_name}/delete",
        Action.NOTIFICATION_RULE_DELETED,
        lambda scene: scene.post("/settings/notifications/form/delete"),
    ),
    (
        "DELETE /api/v1/jobs/{job_id}",
        Action.JOB_DELETED,
        lambda scene: scene.server.http.delete(f"/api/v1/jobs/{scene.a_job('Gone by API')}"),
    ),
    (
        "POST /jobs/{job_id}/delete",
        Action.JOB_DELETED,
        lambda scene: scene.post(f"/jobs/{scene.a_job('Gone by form')}/delete"),
    ),
)


_ACTS_OF_ACCESS: tuple[_Act, ...] = (
    (
        "POST /account/first",
        Action.ACCOUNT_CHANGED,
        lambda scene: scene.post(
            "/account/first",
            data={"name": "ada", "password": _PASSWORD, "again": _PASSWORD, "code": _CODE},
        ),
    ),
    (
        "POST /settings/access/accounts",
        Action.ACCOUNT_CHANGED,
        lambda scene: scene.post(
            "/settings/access/accounts",
            data={"name": "bob", "role": "viewer", "password": _PASSWORD},
        ),
    ),
    (
        "POST /settings/access/accounts/{account}/delete",
        Action.ACCOUNT_DELETED,
        lambda scene: scene.post("/settings/access/accounts/bob/delete"),
    ),
    (
        "POST /settings/access/tokens",
        Action.TOKEN_MADE,
        lambda scene: scene.post(
            "/settings/access/tokens", data={"token_name": "cron", "role": "viewer", "days": "7"}
        ),
    ),
    (
        "POST /settings/access/tokens/{token}/revoke",
        Action.TOKEN_REVOKED,
        lambda scene: scene.post("/settings/access/tokens/cron/revoke"),
    ),
    (
        "POST /account/sessions/end",
        Action.SESSIONS_ENDED,
        lambda scene: scene.end_other_sessions(),
    ),
    (
        "POST /account/password",
        Action.PASSWORD_CHANGED,
        lambda scene: scene.post(
            "/account/password",
            data={"old": _PASSWORD, "password": _PASSWORD + "2", "again": _PASSWORD + "2"},
        ),
    ),
    ("POST /sign-out", Action.SIGNED_OUT, lambda scene: scene.post("/sign-out")),
    (
        "POST /sign-in",
        Action.SIGNED_IN,
        lambda scene: scene.post("/sign-in", data={"name": "ada", "password": _PASSWORD + "2"}),
    ),
)
"""Of these the first is done by the owner, and the others by whoever that made."""


def test_every_route_that_may_change_something_is_known_here(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    routes = set(unsafe_routes(app.routes))
    done = {name for name, _, _ in (*_ACTS, *_ACTS_OF_ACCESS)}
    assert done.isdisjoint(_WITHOUT_ENTRY)
    assert routes - done - _WITHOUT_ENTRY.keys() == set(), "writes no entry that is proven"
    assert (done | _WITHOUT_ENTRY.keys()) - routes == set(), "is no route any more"


def test_every_act_is_written_down(scene: Scene) -> None:
    scene.ids["run"] = run_to_end(scene.server, scene.a_job("Ran"))["id"]
    seen = len(scene.entries())
    for name, action, act in _ACTS:
        answer = act(scene)
        assert answer.status_code < 400, f"{name}: {answer.status_code} {answer.text[:500]}"
        entries = scene.entries()
        # What makes a job of its own first, or keeps an address, wrote of that as well.
        written = [entry for entry in entries[: len(entries) - seen] if entry.action == action]
        assert written, f"{name} wrote nothing"
        seen, newest = len(entries), written[0]
        whose = (newest.account, newest.role, newest.way, newest.address)
        assert whose == ("owner", "admin", "open", "127.0.0.1"), name
        if action.startswith("job"):
            assert newest.job_id, name
            assert newest.job_name, name
    told = {entry.action for entry in scene.entries()}
    assert Action.SECRET_CHANGED in told
    _check_details(scene.entries())


def _check_details(entries: Sequence[AuditEntry]) -> None:
    """Fields and settings have their values before and after, and no secret is anywhere."""
    newest: dict[Action, AuditEntry] = {}
    for entry in entries:
        newest.setdefault(entry.action, entry)
    assert newest[Action.SETTINGS_CHANGED].details["kept_runs_per_job"] == {
        "before": 41,
        "after": 50,
    }
    assert newest[Action.JOB_EDITED].details["tags"] == {"before": "x", "after": "y"}
    assert newest[Action.JOBS_TAGGED].details == {"tag": "many", "given": True}
    assert set(newest[Action.JOB_DUPLICATED].details) == {"of"}
    assert newest[Action.JOB_DELETED].job_name == "Gone by form"
    assert newest[Action.SOURCES_PUT_BACK].details == {"restored": 3, "stayed": 0}
    assert newest[Action.JOB_STARTED].run_id
    assert newest[Action.JOB_STOPPED].run_id
    assert newest[Action.ERROR_RESOLVED].details == {"errors": 1}
    assert _SECRET not in repr(entries)


def test_who_gets_in_is_written_down(tmp_path: Path) -> None:
    with ended_server(ServedApp(tmp_path / "data", first_code=_CODE)) as server:
        assert isinstance(server, ServedApp)
        scene = Scene(server, tmp_path)
        server.http.headers["Origin"] = server.url
        for number, (name, action, act) in enumerate(_ACTS_OF_ACCESS):
            answer = act(scene)
            assert answer.status_code < 400, f"{name}: {answer.status_code} {answer.text[:500]}"
            entries = scene.entries()
            assert len(entries) == number + 1, name
            assert entries[0].action == action, name
            whose = (entries[0].account, entries[0].role, entries[0].way, entries[0].address)
            by = ("ada", "admin", "session") if number else ("owner", "admin", "open")
            assert whose == (*by, "127.0.0.1"), name
        # A password that was typed as a name is kept nowhere.
        for given in ("ada", _PASSWORD):
            data = {"name": given, "password": "wrong and long"}
            assert server.http.post("/sign-in", data=data).status_code == 401
        failed, *others = scene.entries()
        assert (failed.action, failed.account) == (Action.SIGN_IN_FAILED, "ada")
        assert len(others) == len(_ACTS_OF_ACCESS)
        assert _PASSWORD not in repr(scene.entries())
        told = others[len(_ACTS_OF_ACCESS) - 4].details
        assert told == {"name": "cron", "role": "viewer", "days": 7}


def test_what_is_refused_is_not_written_down(scene: Scene) -> None:
    before = scene.entries()
    for path, options in (
        ("/api/v1/jobs", {"json": {"name": ""}}),
        ("/api/v1/jobs/nobody/start", {}),
        ("/jobs/{job}/stop", {}),
        ("/errors/999999/resolve", {}),
        ("/jobs/{job}", {"data": {"name": "", "version": "1"}}),
        ("/settings", {"data": {"kept_runs_per_job": "0", "version": "x"}}),
        ("/jobs/{slow}/start", {"headers": {"Origin": "http://evil.example"}}),
    ):
        assert scene.post(path, **options).status_code >= 400, path
    assert scene.entries() == before


def listed(scene: Scene, **query: Any) -> list[dict[str, Any]]:
    """Return the entries that the API lists."""
    answer = scene.server.http.get("/api/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_entries_are_listed_exported_and_shown(scene: Scene) -> None:
    name = "=cmd()<img src=x onerror=window.ran=1>"
    job_id = scene.a_job(name)
    scene.server.http.delete(f"/api/v1/jobs/{job_id}")
    before_that = scene.entries()[0].time

    deleted, created = listed(scene, job_id=job_id)
    assert (deleted["action"], created["action"]) == ("job_deleted", "job_created")
    assert deleted | {"id": "", "time": ""} == {
        "id": "",
        "time": "",
        "account": "owner",
        "role": "admin",
        "way": "open",
        "address": "127.0.0.1",
        "action": "job_deleted",
        "job_id": job_id,
        "job_name": name,
        "run_id": None,
        "details": {},
    }
    assert listed(scene, job_id=job_id, action="job_created") == [created]
    assert listed(scene, q="=CMD()", until=deleted["time"]) == [created]
    assert listed(scene, job_id=job_id, since=before_that) == [deleted]
    assert listed(scene, account="nobody") == []
    page = scene.server.http.get("/api/v1/audit?limit=1").json()
    assert (page["items"], page["next_cursor"]) == ([deleted], deleted["id"])
    assert listed(scene, limit=1, cursor=page["next_cursor"]) == [created]
    for wrong in ("action=fly", "since=when", "limit=0", "cursor=x"):
        assert scene.server.http.get(f"/api/v1/audit?{wrong}").status_code == 422, wrong

    as_json = scene.server.http.get("/api/v1/audit/export", params={"format": "json"}).json()
    assert as_json == listed(scene, limit=500)
    table = scene.server.http.get("/api/v1/audit/export", params={"job_id": job_id}).text
    first, second = csv.DictReader(io.StringIO(table))
    assert (first["action"], second["action"]) == ("job_deleted", "job_created")
    assert first["job_name"] == f"'{name}"

    shown = scene.server.http.get("/audit", params={"job": job_id}).text
    assert "2 entries" in Page(shown).text
    assert f"Job deleted {name}" in Page(shown).text
    assert "<img" not in shown.partition('id="audit-list"')[2]
    nothing = scene.server.http.get("/audit?q=nothing-is-called-so").text
    assert "No entry matches" in nothing
    job_page = scene.server.http.get(f"/jobs/{scene.ids['job']}").text
    assert f'href="/audit?job={scene.ids["job"]}"' in job_page


def test_the_page_says_when_the_log_cannot_be_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_given: Any, **_more: Any) -> None:
        raise StorageFailed("The database", "disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(scene.server.app.state.services.audit.log, "find", refuse)
        answer = scene.server.http.get("/audit")
        assert (answer.status_code, "cannot be read now" in answer.text) == (200, True)
        assert scene.server.http.get("/api/v1/audit").status_code == 503
        assert scene.server.http.get("/api/v1/audit/export").status_code == 503


def test_by_the_command_line(scene: Scene, tmp_path: Path) -> None:
    job_id = scene.a_job("By [bold]hand")
    scene.entries()
    found = document(scene.server, "audit", "list", "--job", job_id)
    assert found["items"] == listed(scene, job_id=job_id)
    told = words(scene.server, "audit", "list", "--job", job_id, "--since", "1h")
    assert "job_created" in told
    assert "By [bold]hand" in told
    assert "are shown" in words(scene.server, "audit", "list", "--limit", "1")
    words(scene.server, "audit", "list", "--action", "fly", code=1)
    output = tmp_path / "audit.json"
    words(scene.server, "audit", "export", "--format", "json", "--output", str(output))
    assert json.loads(output.read_text()) == listed(scene, limit=500)

    # What works on files notes the machine's own user.
    jobs = tmp_path / "jobs.yaml"
    words(scene.server, "export", str(jobs))
    words(scene.server, "import", str(jobs))  # All of them are there already.
    scene.server.http.delete(f"/api/v1/jobs/{job_id}")
    words(scene.server, "import", str(jobs))
    newest: dict[str, dict[str, Any]] = {}
    for entry in listed(scene, limit=50):
        newest.setdefault(entry["action"], entry)
    user = pwd.getpwuid(os.getuid()).pw_name
    assert newest["imported"]["details"] == {"jobs": 1, "first": [job_id]}
    for action in ("exported", "imported"):
        entry = newest[action]
        assert (entry["account"], entry["way"], entry["address"]) == (user, "local", ""), action


def rows(server: RunningServer) -> list[tuple[Any, ...]]:
    """Return what is in the log as another program sees it."""
    with closing(sqlite3.connect(server.data_dir / DATABASE_NAME)) as connection:
        return connection.execute("SELECT action, account, job_name FROM audit_entries").fetchall()


def test_what_was_written_a_moment_ago_survives_a_kill(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    make_tree(tmp_path / "from", files=1)
    server = make_server()
    for number in range(5):
        server.create_job(tmp_path / "from", tmp_path / f"to {number}", name=f"Job {number}")
    wanted = [("job_created", "owner", f"Job {number}") for number in range(5)]
    wait_until(lambda: rows(server) == wanted, seconds=5, what="the entries")
    server.kill()
    server.start()
    assert rows(server) == wanted
    # What waits at an orderly end is written on the way.
    server.create_job(tmp_path / "from", tmp_path / "to", name="Last")
    server.terminate()
    assert rows(server)[-1] == ("job_created", "owner", "Last")


def test_what_a_person_does_to_files_is_written_down_as_nobodys(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    make_tree(tmp_path / "from", files=1)
    server = make_server()
    job_id = server.create_job(tmp_path / "from", tmp_path / "to", name="Before")
    path = server.data_dir / "jobs" / f"{job_id}.yaml"
    path.write_text(path.read_text().replace("Before", "After"))
    edited = ("job_edited", "system", "After")
    wait_until(lambda: edited in rows(server), what="the entry of an edit")
    (server.data_dir / "settings.yaml").write_text("kept_runs_per_job: 7\n")
    wait_until(lambda: ("settings_changed", "system", None) in rows(server), what="of settings")
    path.unlink()
    wait_until(lambda: ("job_deleted", "system", "After") in rows(server), what="of a removal")
    assert len(rows(server)) == 4


def test_a_log_whose_oldest_entries_went_early_says_so_on_its_page_and_as_an_error(
    tmp_path: Path,
) -> None:
    """In a database of its own: a hundred thousand entries are in nobody's way."""
    with ended_server(ServedApp(tmp_path / "data")) as server:
        assert isinstance(server, ServedApp)
        place = server.data_dir / DATABASE_NAME
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100010)"
                " INSERT INTO audit_entries (time, account, address, action, details)"
                " SELECT '2999-12-31T00:00:00.000Z', 'a', '', 'job_started', '{}' FROM n"
            )
        assert 'id="audit-short"' not in server.http.get("/audit").text

        async def forget(services: Services) -> None:
            await services.audit.log.forget_old()
            await services.error_log.flush()

        server.call(forget)
        page = Page(server.http.get("/audit").text)
        assert "It goes back to 2999-12-31" in page.text
        told = server.http.get("/api/v1/errors?resolved=false").json()["items"]
        assert [one["error_type"] for one in told] == ["AuditEntriesWentEarly"]

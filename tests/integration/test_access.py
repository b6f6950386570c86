"""Proves who gets in: every route, every role, sessions, tokens, guesses.

What each route needs stands here by hand. A new route that is not in the table fails the test.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fastapi_app.application import create_app
from models.access import Role
from models.engine_log import LOG_NAME
from models.settings import Settings
from tests.integration.access_server import (
    PASSWORDS,
    guarded_server,
    set_password,
    signed_in,
)
from tests.integration.pages import Page
from tests.support import RunningServer, make_tree, tree_of, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("rsync")]
OPEN = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/schema",
    "GET /sign-in",
    "POST /sign-in",
    "GET /static/{path:path}",
}
OF_OPERATORS = {
    "POST /api/v1/jobs/{job_id}/start",
    "POST /api/v1/jobs/{job_id}/stop",
    "POST /api/v1/jobs/{job_id}/discard",
    "POST /api/v1/jobs/{job_id}/dry-run",
    "POST /api/v1/runs/{run_id}/retry-failed",
    "POST /api/v1/errors/resolve",
    "POST /api/v1/errors/{event_id}/resolve",
    "POST /api/v1/remotes/{name}/test",
    "POST /errors/resolve",
    "POST /errors/{event_id}/resolve",
    "POST /jobs/{job_id}/start",
    "POST /jobs/{job_id}/stop",
    "POST /jobs/{job_id}/discard",
    "POST /jobs/{job_id}/dry-run",
    "POST /many-jobs",
    "POST /runs/{run_id}/retry-failed",
}
OF_ADMINISTRATORS = {
    "POST /api/v1/jobs",
    "PUT /api/v1/jobs/{job_id}",
    "DELETE /api/v1/jobs/{job_id}",
    "POST /api/v1/notifications/rules",
    "PUT /api/v1/notifications/rules/{rule_name}",
    "DELETE /api/v1/notifications/rules/{rule_name}",
    "POST /api/v1/notifications/rules/{rule_name}/test",
    "POST /api/v1/runs/{run_id}/put-back",
    "PUT /api/v1/settings",
    "POST /account/first",
    "POST /deletion-words",
    "GET /api/v1/audit",
    "GET /api/v1/audit/export",
    "GET /audit",
    "GET /folders",
    "POST /jobs",
    "GET /jobs/new",
    "POST /jobs/sample",
    "POST /jobs/{job_id}",
    "GET /jobs/{job_id}/delete",
    "POST /jobs/{job_id}/delete",
    "GET /jobs/{job_id}/duplicate",
    "GET /jobs/{job_id}/edit",
    "POST /remotes/test/{field}",
    "POST /runs/{run_id}/put-back",
    "POST /settings",
    "POST /settings/reset",
    "GET /settings/access",
    "POST /settings/access/accounts",
    "GET /settings/access/accounts/{account}/delete",
    "POST /settings/access/accounts/{account}/delete",
    "POST /settings/access/tokens",
    "GET /settings/access/tokens/{token}/revoke",
    "POST /settings/access/tokens/{token}/revoke",
    "POST /settings/notifications",
    "GET /settings/notifications/new",
    "GET /settings/notifications/{rule_name}/edit",
    "GET /settings/notifications/{rule_name}/delete",
    "POST /settings/notifications/{rule_name}",
    "POST /settings/notifications/{rule_name}/delete",
    "POST /settings/notifications/{rule_name}/test",
}
OF_VIEWERS = {
    "POST /account/password",
    "POST /account/sessions/end",
    "POST /jobs-look",
    "POST /notices/dismiss",
    "POST /sign-out",
}
"""What a viewer may post, beside reading all that is in no other set."""
CHANGES_THE_SESSION = {"POST /sign-out", "POST /account/password", "POST /account/sessions/end"}
THIRD = "the third word of anna"
BAD_HOSTS = (
    "evil.example",
    "localhost.evil.example",
    "evil.example:5001",
    "127.0.0.1.nip.io",
    "xn--lcalhost-54a",
    "localhost@evil.example",
    "localhost:80@evil.example",
    "localhost/evil",
    "localhost\\evil",
    "[::1",
    "::1",
    "localhost:port",
    "localhost:99999",
    "",
    "localhost evil",
    "localhost, evil.example",
    "user:pass@localhost",
    "0x7f000001",
    "017700000001",
    "localhost.",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with an account for each role."""
    with guarded_server(tmp_path_factory.mktemp("guarded") / "data") as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    """One like that for a test that signs in itself, as often as somebody may in a minute."""
    with guarded_server(tmp_path / "guarded") as running:
        yield running


@pytest.fixture(scope="module")
def clients(server: RunningServer) -> Iterator[dict[Role, httpx.Client]]:
    """A browser for each role."""
    found = {role: signed_in(server, role) for role in Role}
    yield found
    for client in found.values():
        client.close()


@pytest.fixture(scope="module")
def job(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that never ran."""
    top = tmp_path_factory.mktemp("job")
    return server.create_job(make_tree(top / "from", files=1), top / "to")


def routes_of_the_application(data_dir: Path) -> set[str]:
    """Return method and path of everything that the application answers to."""
    found: set[str] = set()
    waiting = list(create_app(Settings(data_dir=data_dir)).routes)
    while waiting:
        route = waiting.pop()
        if (router := getattr(route, "original_router", None)) is not None:
            waiting += router.routes
            continue
        methods, path = getattr(route, "methods", None), getattr(route, "path", "")
        if methods is None:
            assert path == "/ws", "a route of a kind that no test here knows"
            continue
        found |= {f"{method} {path}" for method in methods - {"HEAD"}}
    return found


def needed(route: str) -> Role | None:
    """Return what a route needs, by the table."""
    if route in OPEN:
        return None
    if route in OF_OPERATORS:
        return Role.OPERATOR
    if route in OF_ADMINISTRATORS:
        return Role.ADMIN
    assert route in OF_VIEWERS or route.startswith("GET "), f"{route} is not in the table"
    return Role.VIEWER


def address(route: str, job_id: str) -> tuple[str, str]:
    """Return method and path of a route, with something in the place of each parameter."""
    method, _, path = route.partition(" ")
    path = path.replace("{path:path}", "css/base.css").replace("{job_id}", job_id)
    return method, re.sub(r"\{[^}]*\}", "none", path)


def test_the_table_has_every_route(tmp_path: Path) -> None:
    routes = routes_of_the_application(tmp_path)
    assert len(routes) > 80
    for route in routes:
        needed(route)
    assert (OPEN | OF_OPERATORS | OF_ADMINISTRATORS | OF_VIEWERS) - routes == set()


def test_a_stranger_gets_nothing(server: RunningServer, job: str, tmp_path: Path) -> None:
    stranger = {"Origin": server.url}
    with httpx.Client(base_url=server.url, headers=stranger, trust_env=False) as client:
        for route in sorted(routes_of_the_application(tmp_path)):
            if needed(route) is None:
                continue
            method, path = address(route, job)
            answer = client.request(method, path)
            if path.startswith(("/api/", "/metrics")):
                assert answer.status_code == 401, route
                assert answer.headers["www-authenticate"].startswith("Bearer"), route
            else:
                assert answer.status_code == 303, route
                assert answer.headers["location"].startswith("/sign-in"), route
            # Not even what is wrong with a body, which is not read.
            answer = client.request(method, path, content=b"{", headers={"HX-Request": "true"})
            assert answer.status_code == 401, route
            assert job not in answer.text, route


def test_each_role_gets_what_is_its_own(
    server: RunningServer, clients: dict[Role, httpx.Client], job: str, tmp_path: Path
) -> None:
    for route in sorted(routes_of_the_application(tmp_path)):
        need = needed(route)
        if need is None or route in CHANGES_THE_SESSION:
            continue
        method, path = address(route, "none" if method_changes(route) else job)
        for role in Role:
            answer = clients[role].request(method, path, headers={"If-Match": '"1"'})
            if role.allows(need):
                assert answer.status_code not in {401, 403, 500}, (route, role)
            else:
                assert answer.status_code == 403, (route, role)
    for action in ("delete", "tag", "untag"):
        posted = {"action": action, "job": job, "tag": "x", "sure": "delete 1 job"}
        answer = clients[Role.OPERATOR].post("/many-jobs", data=posted)
        assert answer.status_code == 403, action
    assert server.http.get(f"/api/v1/jobs/{job}").json()["tags"] == []


def method_changes(route: str) -> bool:
    """Whether a route is there to change something."""
    return not route.startswith("GET ")


def test_a_foreign_origin_changes_nothing(
    server: RunningServer, clients: dict[Role, httpx.Client], job: str, tmp_path: Path
) -> None:
    foreign = ("https://evil.example", "null", server.url.replace("127.0.0.1", "localhost"))
    for route in sorted(filter(method_changes, routes_of_the_application(tmp_path))):
        method, path = address(route, job)
        for origin in foreign:
            answer = clients[Role.ADMIN].request(method, path, headers={"Origin": origin})
            assert answer.status_code == 403, (route, origin)
        with httpx.Client(base_url=server.url, cookies=clients[Role.ADMIN].cookies) as client:
            headers = {"Sec-Fetch-Site": "cross-site"}
            assert client.request(method, path, headers=headers).status_code == 403, route
            # A cookie without either header: no browser of ours.
            assert client.request(method, path).status_code == 403, route


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_foreign_host_is_refused(
    server: RunningServer, clients: dict[Role, httpx.Client], host: str
) -> None:
    answer = clients[Role.ADMIN].get("/jobs", headers={"Host": host})
    assert answer.status_code == 400, host


def test_get_changes_nothing(
    server: RunningServer, clients: dict[Role, httpx.Client], job: str, tmp_path: Path
) -> None:
    def kept() -> dict[str, object]:
        return {
            name: facts[2]
            for name, facts in tree_of(server.data_dir).items()
            if name.startswith(("jobs", "state", "settings", "secrets", "access", "notif", "runs"))
        }

    before = kept()
    assert before
    for route in sorted(routes_of_the_application(tmp_path)):
        if not method_changes(route):
            _, path = address(route, job)
            clients[Role.ADMIN].get(path)
            clients[Role.ADMIN].get(path, params={"_method": "DELETE", "action": "delete"})
    assert kept() == before
    assert server.http.get(f"/api/v1/jobs/{job}").json()["version"] == 1


def test_the_websocket_asks_too(server: RunningServer, clients: dict[Role, httpx.Client]) -> None:
    url = server.url.replace("http", "ws") + "/ws"
    cookie = f"longshore_session={clients[Role.VIEWER].cookies['longshore_session']}"
    for headers in (
        {},
        {"Cookie": cookie},
        {"Cookie": cookie, "Origin": "https://evil.example"},
        {"Cookie": "longshore_session=guessed", "Origin": server.url},
        {"Authorization": "Bearer guessed"},
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(url, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == 403, headers
    with connect(
        url, additional_headers={"Cookie": cookie, "Origin": server.url}, proxy=None
    ) as ws:
        assert '"hello"' in str(ws.recv(timeout=10))


def test_a_session_is_new_at_each_sign_in_and_over_when_it_is_ended(
    own_server: RunningServer,
) -> None:
    fixed = {"longshore_session": "chosen-by-somebody-else"}
    with httpx.Client(
        base_url=own_server.url, cookies=fixed, headers={"Origin": own_server.url}
    ) as client:
        posted = {"name": "viewer", "password": PASSWORDS[Role.VIEWER]}
        answer = client.post("/sign-in", data=posted)
        first = answer.cookies["longshore_session"]
        assert first != fixed["longshore_session"]
        assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
        assert "Secure" not in answer.headers["set-cookie"]
        tls = client.post("/sign-in", data=posted, headers={"X-Forwarded-Proto": "https"})
        assert "Secure" in tls.headers["set-cookie"].split("; ")
    # The one before was ended by the next.
    assert status_with(own_server, first) == 401
    with closing(signed_in(own_server, Role.VIEWER)) as client:
        secret = client.cookies["longshore_session"]
        url = own_server.url.replace("http", "ws") + "/ws"
        headers = {"Cookie": f"longshore_session={secret}", "Origin": own_server.url}
        with connect(url, additional_headers=headers, proxy=None) as live:
            live.recv(timeout=10)
            assert client.post("/sign-out").status_code == 303
            with pytest.raises(ConnectionClosed):
                live.recv(timeout=10)
        assert status_with(own_server, secret) == 401
    assert secret not in (own_server.data_dir / "sessions.json").read_text()


def status_with(server: RunningServer, secret: str) -> int:
    """Return how the API answers to a session."""
    cookies = {"longshore_session": secret}
    with httpx.Client(base_url=server.url, cookies=cookies) as client:
        return client.get("/api/v1/jobs").status_code


def test_a_role_and_a_password_hold_from_the_next_request_on(own_server: RunningServer) -> None:
    set_password(
        own_server, "accounts", "add", "anna", "--role", "admin", password="anna at the quay"
    )
    with httpx.Client(base_url=own_server.url, headers={"Origin": own_server.url}) as anna:

        def signs_in(password: str) -> bool:
            posted = {"name": "anna", "password": password}
            return anna.post("/sign-in", data=posted).status_code == 303

        wait_until(lambda: "anna" in own_server.cli("accounts", "list").stdout)
        wait_until(lambda: signs_in("anna at the quay"), what="the account")
        assert anna.get("/settings/access").status_code == 200
        assert own_server.cli("accounts", "role", "anna", "viewer").returncode == 0
        wait_until(lambda: anna.get("/settings/access").status_code == 403, what="the other role")
        assert anna.get("/jobs").status_code == 200
        set_password(own_server, "passwd", "anna", password="another word of anna")
        wait_until(lambda: anna.get("/jobs").status_code == 303, what="the end of the session")
        assert signs_in("another word of anna")
        changed = anna.post(
            "/account/password",
            data={
                "old": "another word of anna",
                "password": "third of them",
                "again": "third of them",
            },
        )
        assert changed.status_code == 303
        assert anna.get("/jobs").status_code == 200
        assert own_server.cli("accounts", "remove", "anna").returncode == 0
        wait_until(lambda: anna.get("/jobs").status_code == 303, what="the end of the account")


def test_tokens_have_a_role_and_an_end(server: RunningServer) -> None:
    def made(name: str, *arguments: str) -> str:
        token = server.cli("tokens", "make", name, *arguments).stdout.strip()
        assert token.startswith("longshore_")
        return token

    def status(token: str, method: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, server.url + path, headers=headers).status_code

    scraper = made("scraper", "--role", "viewer")
    wait_until(lambda: status(scraper, "GET", "/metrics") == 200, what="the token")
    assert status(scraper, "POST", "/api/v1/jobs/none/start") == 403
    for_a_day = made("for-a-day", "--role", "operator", "--days", "1")
    wait_until(lambda: status(for_a_day, "POST", "/api/v1/jobs/none/start") == 404)
    path = server.data_dir / "access.yaml"
    text = path.read_text()
    assert scraper.removeprefix("longshore_") not in text
    path.write_text(re.sub(r"expires_at: \S+T\S+", "expires_at: 2001-01-01T00:00:00.000Z", text))
    wait_until(lambda: status(for_a_day, "GET", "/api/v1/jobs") == 401, what="its expiry")
    assert status(scraper, "GET", "/api/v1/jobs") == 200
    assert server.cli("tokens", "revoke", "scraper").returncode == 0
    wait_until(lambda: status(scraper, "GET", "/api/v1/jobs") == 401, what="the end of the token")
    # The edit by hand is in the audit log, as nobody's; what commands did is not a second time.
    ours = {"scraper", "for-a-day"}

    def noted() -> list[tuple[str, str]]:
        found = server.http.get("/api/v1/audit?account=system&limit=500").json()["items"]
        named = [(one["action"], one["details"].get("name", "")) for one in found]
        return [(action, name) for action, name in named if name in ours]

    wait_until(noted, what="the entry")
    assert noted() == [("token_changed", "for-a-day")]


def test_the_first_password_is_set_with_the_code_of_the_terminal(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.start()
    assert server.process is not None
    assert server.process.stdout is not None
    told = b""
    while b"code" not in told:
        told += os.read(server.process.stdout.fileno(), 4096)
    code = told.decode().rpartition(" with the code ")[2].split()[0]
    password = "a quay with seven cranes"
    posted = {"name": "anna", "password": password, "again": password}
    headers = {"Origin": server.url}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        for wrong in ("", "0" * len(code)):
            answer = client.post("/account/first", data=posted | {"code": wrong})
            assert answer.status_code == 422
            assert "not the code" in answer.text
        answer = client.post("/account/first", data=posted | {"code": code, "again": "another"})
        assert "not the same" in answer.text
        assert client.get("/api/v1/jobs").status_code == 200, "nothing was set yet"
        assert client.post("/account/first", data=posted | {"code": code}).status_code == 303
        assert client.get("/settings/access").status_code == 200
        again = client.post("/account/first", data=posted | {"code": code, "name": "eve"})
        assert again.status_code == 422
    assert server.http.get("/api/v1/jobs").status_code == 401
    assert code not in (server.data_dir / "logs" / "longshore.log").read_text()
    server.kill()
    server.start()
    assert server.http.get("/api/v1/jobs").status_code == 401
    server.terminate()
    server.http.close()


def test_the_word_of_a_trusted_proxy_is_taken_and_nobody_elses(tmp_path: Path) -> None:
    environment = {"LONGSHORE_USER_HEADER": "Remote-User"}
    for trusted, status in (("127.0.0.0/8", 200), ("192.0.2.1", 401)):
        named = {**environment, "LONGSHORE_TRUSTED_PROXIES": trusted}
        with guarded_server(tmp_path / f"data {status}", **named) as server:

            def answer(name: str, path: str, server: RunningServer = server) -> int:
                return httpx.get(server.url + path, headers={"Remote-User": name}).status_code

            assert answer("viewer", "/api/v1/jobs") == status
            assert answer("nobody", "/api/v1/jobs") == 401
            if status == 200:
                assert answer("viewer", "/settings/access") == 403
                assert answer("admin", "/settings/access") == 200


def test_metrics_are_read_from_the_addresses_that_are_named(tmp_path: Path) -> None:
    with guarded_server(tmp_path / "data", LONGSHORE_METRICS_READERS="127.0.0.1") as server:
        assert httpx.get(f"{server.url}/metrics").status_code == 200
        assert httpx.get(f"{server.url}/api/v1/jobs").status_code == 401


def test_nobody_gets_in_by_damage(tmp_path: Path) -> None:
    with guarded_server(tmp_path / "data") as server:
        path = server.data_dir / "access.yaml"
        good = path.read_text()
        for damaged in (
            "{",
            "",
            "format: 1\naccounts: 5\n",
            "accounts: {}\n",
            "format: 1\n",
            "format: 1\naccounts:\n",
            "format: 1\naccount:\n  anna:\n    role: admin\n",
        ):
            path.write_text(damaged)
            # Nothing can be waited for: what was there before holds on.
            assert server.http.get("/api/v1/jobs").status_code == 200
            assert httpx.get(f"{server.url}/api/v1/jobs").status_code == 401
            server.kill()
            with pytest.raises(AssertionError, match="the server ended with"):
                server.start()
            server.terminate()
            path.write_text(good)
            server.start()


def test_a_list_of_accounts_that_goes_away_opens_nothing(
    server: RunningServer, clients: dict[Role, httpx.Client]
) -> None:
    path = server.data_dir / "access.yaml"
    good = path.read_bytes()
    log = server.data_dir / "logs" / "longshore.log"
    path.rename(path.with_suffix(".away"))
    try:
        wait_until(lambda: "it is gone" in log.read_text(), what="the server's notice")
        assert httpx.get(f"{server.url}/api/v1/jobs").status_code == 401
        assert clients[Role.VIEWER].get("/api/v1/jobs").status_code == 200
        # Nor is it made anew with the one who is added meanwhile.
        posted = {"name": "eve", "role": "admin", "password": PASSWORDS[Role.ADMIN]}
        answer = clients[Role.ADMIN].post("/settings/access/accounts", data=posted)
        assert (answer.status_code, path.exists()) == (422, False)
        assert "it is gone" in answer.text
    finally:
        path.write_bytes(good)
        path.chmod(0o600)


def test_a_damaged_list_of_accounts_is_told_everywhere_until_it_is_mended(
    server: RunningServer, clients: dict[Role, httpx.Client]
) -> None:
    path, admin = server.data_dir / "access.yaml", clients[Role.ADMIN]
    good = path.read_bytes()

    def told() -> list[str]:
        found = admin.get("/api/v1/errors?resolved=false").json()["items"]
        return [one["message"] for one in found if one["error_type"] == "AccessFileDamaged"]

    def storage() -> dict[str, Any]:
        found: dict[str, Any] = server.http.get("/health").json()["components"]["storage"]
        return found

    path.write_text("format: 1\naccounts:\n  admin: {role: king}\n")
    try:
        what = "the role of admin is none of viewer, operator, admin"
        wait_until(lambda: any(what in one for one in told()), what="the error")
        (message,) = told()
        assert "nobody else; after a restart nobody gets in" in message
        wait_until(lambda: "access_damaged" in storage()["reasons"], what="its health")
        assert (storage()["status"], storage()["access"]) == ("degraded", "damaged")
        assert 'longshore_health_status{component="storage"} 1.0' in admin.get("/metrics").text
        page = admin.get("/settings/access").text
        assert 'id="access-damage"' in page
        assert "access.yaml cannot be used" in admin.get("/jobs").text, "the banner"
        assert clients[Role.VIEWER].get("/jobs").status_code == 200, "what was last good holds"
    finally:
        path.write_bytes(good)
    wait_until(lambda: not told(), what="the end of the error")
    wait_until(lambda: "access_damaged" not in storage()["reasons"], what="its health")
    assert 'id="access-damage"' not in admin.get("/settings/access").text


def test_a_download_ends_with_the_session(own_server: RunningServer, tmp_path: Path) -> None:
    job_id = own_server.create_job(make_tree(tmp_path / "from", files=1), tmp_path / "to")
    run_id = own_server.start_job(job_id)
    wait_until(lambda: own_server.state(job_id)["status"] == "completed", what="the end of the run")
    log = own_server.data_dir / "runs" / run_id / LOG_NAME
    # More than is on its way to somebody who does not read.
    line = "a line of the log\n" * 1_000
    with log.open("a", encoding="utf-8") as file:
        file.writelines(line for _ in range(2_000))
    whole = log.stat().st_size
    for ends in (False, True):
        received = 0
        with (
            closing(signed_in(own_server, Role.VIEWER)) as reader,
            reader.stream("GET", f"/runs/{run_id}/log/download") as answer,
        ):
            parts = answer.iter_raw()
            received += len(next(parts))
            if ends:
                with httpx.Client(base_url=own_server.url, cookies=reader.cookies) as same:
                    posted = same.post("/sign-out", headers={"Origin": own_server.url})
                    assert posted.status_code == 303
                with pytest.raises(httpx.RemoteProtocolError):
                    received += sum(len(part) for part in parts)
            else:
                received += sum(len(part) for part in parts)
        assert (received < whole) == ends


def test_what_comes_through_a_proxy_is_a_strangers_until_there_is_an_account(
    make_server: Callable[..., RunningServer],
) -> None:
    for environment, status in (({}, 401), ({"LONGSHORE_OPEN_BEHIND_PROXY": "true"}, 200)):
        server = make_server(f"data {status}", **environment)
        assert server.http.get("/api/v1/jobs").status_code == 200
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Host"):
            answer = server.http.get("/api/v1/jobs", headers={name: "192.0.2.7"})
            assert answer.status_code == status, name
        made = server.cli("tokens", "make", "mine", "--role", "admin")
        assert (made.returncode, made.stdout) == (1, "")


def test_guesses_are_bounded_and_lock_nobody_out(own_server: RunningServer) -> None:
    assert own_server.process is not None
    process = psutil.Process(own_server.process.pid)
    before = process.memory_info().rss
    highest = [before]

    def guess(number: int) -> int:
        posted = {"name": "admin", "password": f"guess number {number}"}
        status = guesser.post("/sign-in", data=posted).status_code
        highest.append(process.memory_info().rss)
        return status

    began = time.monotonic()
    limits = httpx.Limits(max_connections=50)
    headers = {"Origin": own_server.url}
    guesser = httpx.Client(base_url=own_server.url, headers=headers, limits=limits, timeout=60)
    with closing(signed_in(own_server, Role.VIEWER)) as somebody:
        with guesser, ThreadPoolExecutor(50) as guessers:
            results = list(guessers.map(guess, range(1000)))
        assert somebody.get("/api/v1/jobs").status_code == 200
    minutes = 1 + (time.monotonic() - began) // 60
    assert results.count(401) <= 10 * minutes
    assert set(results) <= {401, 429}
    assert max(highest) - before < 200 * 1024 * 1024


def test_what_it_writes_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with guarded_server(tmp_path / "data") as server:
            signed_in(server, Role.ADMIN).close()
    finally:
        os.umask(old)
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        mode = path.lstat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_what_lets_somebody_in_is_removed_by_the_page_that_asks_and_by_no_other(
    server: RunningServer, clients: dict[Role, httpx.Client]
) -> None:
    """Without a script: links, and a form on the page that they lead to."""
    admin = clients[Role.ADMIN]
    access = "/settings/access"
    posted = {"name": "gone-soon", "role": "viewer"}
    assert admin.post(f"{access}/accounts", data=posted).status_code == 303
    posted = {"token_name": "gone-soon", "role": "viewer", "days": ""}
    assert admin.post(f"{access}/tokens", data=posted).status_code == 200
    for path in (f"{access}/accounts/gone-soon/delete", f"{access}/tokens/gone-soon/revoke"):
        listed = Page(admin.get(access).text)
        assert path in listed.links
        assert path not in [form.action for form in listed.forms]
        asked = Page(admin.get(path).text)
        assert "gone-soon" in asked.text
        assert path in [form.action for form in asked.forms if form.method == "post"]
        assert path in Page(admin.get(access).text).links, "asking removes nothing"
        assert admin.post(path).status_code == 303
        assert path not in Page(admin.get(access).text).links
        assert admin.get(path).status_code == 404
    last = admin.get(f"{access}/accounts/admin/delete").text
    assert "must stay one" in last
    assert 'id="remove-button"' not in last

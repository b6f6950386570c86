"""Proves that a person signs in and out by clicking, that each role is offered what is its own, and
that no foreign page can make the browser do anything here."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from fastapi_app.access import BACKGROUND
from fastapi_app.security import SECURITY_HEADERS
from models.access import Role
from tests.browser.looks import faults_of
from tests.browser.visitor import Visitor
from tests.integration.access_server import PASSWORDS, guarded_server
from tests.support import RunningServer, make_tree


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with an account for each role."""
    with guarded_server(tmp_path_factory.mktemp("guarded") / "data") as server:
        yield server


def sign_in(page: Page, role: Role) -> None:
    """Fill in the form."""
    page.locator("#field-name").fill(role.value)
    page.locator("#field-password").fill(PASSWORDS[role])
    page.locator("#sign-in-button").click()


def test_a_person_signs_in_comes_to_where_the_link_led_and_signs_out(
    guarded: RunningServer, visitor: Visitor, room: Path
) -> None:
    job_id = guarded.create_job(make_tree(room / "from", files=1), room / "to", name="Photos")
    page = visitor.open(f"{guarded.url}/jobs?q=Pho")
    page.wait_for_url("**/sign-in?next=*")
    assert faults_of(page) == []
    page.locator("#field-name").fill("viewer")
    page.locator("#field-password").fill("a wrong one")
    with page.expect_response(lambda answer: answer.status == 401):
        page.locator("#sign-in-button").click()
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong")
    visitor.allow("status of 401")
    sign_in(page, Role.VIEWER)
    page.wait_for_url(f"{guarded.url}/jobs?q=Pho")
    expect(page.locator(f"#job-{job_id}-name")).to_be_visible()
    expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
    expect(page.locator(f"#job-{job_id}-button")).to_be_hidden()
    expect(page.get_by_role("link", name="New job")).to_be_hidden()
    page.goto(f"{guarded.url}/account")
    assert faults_of(page) == []
    page.locator("#sign-out").click()
    page.wait_for_url("**/sign-in")
    page.goto(f"{guarded.url}/jobs")
    page.wait_for_url("**/sign-in?next=*")


def test_a_page_that_was_left_open_leads_to_the_form_when_its_session_has_ended(
    guarded: RunningServer, visitor: Visitor, room: Path
) -> None:
    job_id = guarded.create_job(make_tree(room / "from", files=1), room / "to", name="Left open")
    page = visitor.open(f"{guarded.url}/jobs")
    sign_in(page, Role.OPERATOR)
    page.wait_for_url(f"{guarded.url}/jobs")
    button = page.locator(f"#job-{job_id}-button")
    expect(button).to_be_visible()
    page.context.clear_cookies()
    visitor.allow("status of 401")
    button.click()
    page.wait_for_url("**/sign-in?next=*")
    sign_in(page, Role.OPERATOR)
    page.wait_for_url(f"{guarded.url}/jobs")


def test_what_a_page_that_was_left_open_asks_for_says_that_it_is_the_page(
    guarded: RunningServer, visitor: Visitor, room: Path
) -> None:
    job_id = guarded.create_job(
        make_tree(room / "from", files=200),
        room / "to",
        name="Alone",
        options={"bandwidth_limit": "1K"},
    )
    run_id = guarded.start_job(job_id)
    page = visitor.open(f"{guarded.url}/runs/{run_id}")
    sign_in(page, Role.ADMIN)
    page.wait_for_url(f"{guarded.url}/runs/{run_id}")
    asked: list[Request] = []

    def note(request: Request) -> None:
        asked.append(request)

    page.on("request", note)
    for path in (
        "",
        "activity",
        f"jobs/{job_id}",
        f"jobs/{job_id}/figures",
        "runs",
        f"runs/{run_id}",
        f"runs/{run_id}/figures",
        f"runs/{run_id}/log",
        "logs",
        "errors",
        "errors/trend",
        "settings/notifications",
    ):
        page.goto(f"{guarded.url}/{path}", wait_until="load")
        expect(page.locator("#live-indicator")).to_have_attribute("data-state", "live")
        asked.clear()
        with page.expect_request(lambda one: one.resource_type in {"xhr", "fetch"}):
            page.evaluate("() => document.body.dispatchEvent(new CustomEvent('longshore-changed'))")
        by_itself = [one for one in asked if one.resource_type in {"xhr", "fetch"}]
        assert by_itself
        assert {one.headers.get(BACKGROUND) for one in by_itself} == {"true"}, path
    assert guarded.http.post(f"/api/v1/jobs/{job_id}/stop").is_success


def test_an_administrator_makes_accounts_and_tokens(
    guarded: RunningServer, visitor: Visitor
) -> None:
    page = visitor.open(f"{guarded.url}/settings/access")
    sign_in(page, Role.ADMIN)
    page.wait_for_url(f"{guarded.url}/settings/access")
    assert faults_of(page) == []
    page.locator("#account-form #field-name").fill("anna")
    page.locator("#account-form #field-password").fill("short")
    page.locator("#account-save").click()
    expect(page.locator("#password-error")).to_contain_text("at least 10 characters")
    visitor.allow("status of 422")
    page.locator("#account-form #field-password").fill("anna walks along the quay")
    page.locator("#account-save").click()
    expect(page.get_by_role("link", name="Remove anna")).to_be_visible()
    page.locator("#token-form #field-token_name").fill("scraper")
    page.locator("#token-make").click()
    expect(page.locator("#token-text")).to_contain_text("longshore_")
    # Each is asked about first, and taken back by the keyboard alone as well.
    for word, name in (("Revoke", "scraper"), ("Remove", "anna")):
        link = page.get_by_role("link", name=f"{word} {name}")
        link.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"{word} this")
        assert faults_of(page) == []
        page.locator("#remove-not").click()
        expect(link).to_be_visible()
        link.click()
        page.locator("#remove-button").press("Enter")
        page.wait_for_url(f"{guarded.url}/settings/access")
        expect(link).to_have_count(0)


class _Foreign(http.server.BaseHTTPRequestHandler):
    page = b""
    policies: Mapping[str, str] = {}

    def do_GET(self) -> None:
        """Answer with the page of somebody who means harm."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        for name, value in self.policies.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def foreign_page(html: str, policies: Mapping[str, str] | None = None) -> Iterator[int]:
    """Serve a page on another port of this machine."""
    handler = type("Handler", (_Foreign,), {"page": html.encode(), "policies": policies or {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("with_password", [False, True])
def test_a_foreign_page_starts_nothing(
    request: pytest.FixtureRequest, browser: Browser, room: Path, with_password: bool
) -> None:
    server: RunningServer = request.getfixturevalue("guarded" if with_password else "server")
    job_id = server.create_job(make_tree(room / "from", files=1), room / "to")
    html = f"""<!doctype html><title>harm</title>
    <form id="form" method="post" action="{server.url}/jobs/{job_id}/start" target="frame"></form>
    <iframe name="frame"></iframe>
    <script>
      window.results = {{}};
      async function attempt(name, work) {{
        try {{ window.results[name] = String(await work()); }}
        catch (error) {{ window.results[name] = "refused"; }}
      }}
      const url = "{server.url}";
      async function all() {{
        document.getElementById("form").submit();
        await attempt("simple", () => fetch(url + "/jobs/{job_id}/start",
          {{method: "POST", mode: "no-cors", credentials: "include"}}).then((a) => a.type));
        await attempt("json", () => fetch(url + "/api/v1/jobs/{job_id}/start",
          {{method: "POST", credentials: "include",
            headers: {{"Content-Type": "application/json"}}}}).then((a) => a.status));
        await attempt("read", () => fetch(url + "/api/v1/jobs", {{credentials: "include"}})
          .then((a) => a.text()));
        await attempt("socket", () => new Promise((resolve, reject) => {{
          const socket = new WebSocket(url.replace("http", "ws") + "/ws");
          socket.onmessage = () => resolve("open");
          socket.onerror = () => reject(new Error("closed"));
        }}));
        window.done = true;
      }}
      all();
    </script>"""
    context = browser.new_context()
    page = context.new_page()
    if with_password:
        page.goto(f"{server.url}/jobs")
        sign_in(page, Role.ADMIN)
        page.wait_for_url(f"{server.url}/jobs")
    with foreign_page(html) as port:
        for host in ("127.0.0.1", "localhost"):
            page.goto(f"http://{host}:{port}/")
            page.wait_for_function("window.done === true")
            results = page.evaluate("window.results")
            assert results == dict.fromkeys(("simple", "json", "read", "socket"), "refused")
    state = server.http.get(f"/api/v1/jobs/{job_id}").json()["state"]
    assert (state["status"], state["run_id"]) == ("pending", None)
    assert server.http.get("/api/v1/jobs/" + job_id + "/runs").json()["total"] == 0
    context.close()


def test_a_name_that_was_bound_to_this_machine_is_refused(
    server: RunningServer, browser: Browser
) -> None:
    # As after DNS rebinding: another name, which leads to loopback.
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(f"http://evil.localhost:{server.port}/jobs")
    assert answer is not None
    assert answer.status == 400
    assert "Jobs" not in page.content()
    context.close()


@pytest.mark.parametrize("is_loosened", [True, False])
def test_without_a_referrer_a_form_has_no_origin(browser: Browser, is_loosened: bool) -> None:
    """Why pages loosen the policy of their answer: the check of Origin could not tell our form from
    others'."""
    loosened = '<meta name="referrer" content="same-origin">' if is_loosened else ""
    html = f"""<!doctype html>{loosened}<title>a form</title>
    <form method="post" action="/posted"><button>Post</button></form>"""
    with foreign_page(html, SECURITY_HEADERS) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        with page.expect_request("**/posted") as posted:
            page.get_by_role("button").click()
        origin = posted.value.all_headers()["origin"]
        page.close()
    assert origin == (f"http://127.0.0.1:{port}" if is_loosened else "null")

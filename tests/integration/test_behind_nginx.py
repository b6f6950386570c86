"""Proves with a real nginx, set up by deploy/nginx.conf, what it keeps from Longshore: slow and
greedy clients, and headers in which a client says who or where it is."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from models.access import Role
from tests.browser.nginx import SITE, Nginx, make_certificate, nginx_path, nginx_to
from tests.conftest import need
from tests.integration.access_server import PASSWORDS, guarded_server
from tests.support import RunningServer, wait_until

pytestmark = pytest.mark.integration
# Ten seconds are for clients, one is enough for a test.
SHORTER = {"client_header_timeout 10s": "client_header_timeout 1s"}
SHORTER |= {"client_body_timeout   10s": "client_body_timeout 1s"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that takes the word of nginx for where and who somebody is."""
    with guarded_server(
        tmp_path_factory.mktemp("guarded") / "data",
        LONGSHORE_TRUSTED_PROXIES="127.0.0.1",
        LONGSHORE_USER_HEADER="Remote-User",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def nginx(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A whole nginx with TLS in front of it."""
    place = tmp_path_factory.mktemp("nginx") / "place"
    with nginx_to(server.port, place, tls=True, password=False, changes=SHORTER) as found:
        yield found


@pytest.fixture
def http(nginx: Nginx) -> Iterator[httpx.Client]:
    """A client whose certificate of nginx nobody vouches for."""
    client = httpx.Client(base_url=nginx.url, verify=False, trust_env=False, timeout=30)
    with client:
        yield client


def told(nginx: Nginx, head: bytes) -> bytes:
    """Send a beginning over TLS and nothing after it; return what is said first, if anything."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", nginx.port), timeout=20) as plain,
        context.wrap_socket(plain, suppress_ragged_eofs=True) as client,
    ):
        client.sendall(head)
        return client.recv(65536)


def test_what_a_bare_proxy_hands_over_is_a_strangers_while_there_is_no_account(
    make_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = make_server()
    assert server.http.get("/api/v1/jobs").status_code == 200
    with nginx_to(server.port, tmp_path / "place", bare=True) as nginx:
        asker = httpx.Client(base_url=nginx.url, trust_env=False, timeout=30)
        with asker:
            assert asker.get("/api/v1/jobs").status_code == 401
            asked = asker.get("/folders?field=source&path=/etc")
            assert (asked.status_code, "sign-in" in asked.headers["location"]) == (303, True)
            job = {"name": "A", "engine": "rsync", "source": "/etc", "destination": "/tmp/to"}
            assert asker.post("/api/v1/jobs", json=job).status_code == 401
    assert server.jobs() == []


def test_nginx_understands_the_file_as_it_is(tmp_path: Path) -> None:
    path = nginx_path()
    need("nginx", path)
    assert path is not None
    make_certificate(tmp_path)
    shutil.copy(SITE, tmp_path / "site.conf")
    site = SITE.read_text(encoding="utf-8").replace("/etc/ssl/", f"{tmp_path}/")
    whole = f'pid "{tmp_path}/pid";\nevents {{}}\nhttp {{\n{site}\n}}\n'
    (tmp_path / "nginx.conf").write_text(whole, encoding="utf-8")
    command = [path, "-t", "-p", str(tmp_path), "-e", f"{tmp_path}/error.log", "-c", "nginx.conf"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "[warn]" not in result.stderr


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\nname=",
    ],
    ids=["head", "body"],
)
def test_a_slow_client_is_cut_off_before_longshore_hears_of_it(nginx: Nginx, head: bytes) -> None:
    began = time.monotonic()
    # Longshore would say 408; nginx says nothing.
    assert told(nginx, head) == b""
    assert time.monotonic() - began < 8


def test_a_body_that_is_too_large_is_refused_by_its_length_alone(nginx: Nginx) -> None:
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    answer = told(nginx, head + b"Content-Length: 1048577\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Server: nginx\r\n" in answer, "it was Longshore that refused it"


def test_a_compressed_body_is_not_unfolded(server: RunningServer, http: httpx.Client) -> None:
    bomb = gzip.compress(b'{"name": "' + b" " * 50_000_000)
    assert len(bomb) < 1_000_000
    for content, headers in ((bomb, {"Content-Encoding": "gzip"}), (bomb, {})):
        posted = {"Content-Type": "application/json", **headers}
        answer = server.http.post("/api/v1/jobs", content=content, headers=posted)
        assert answer.status_code == 400, answer.text
    assert http.get("/sign-in").status_code == 200


def test_nobody_gets_in_by_the_header_that_names_an_account(
    server: RunningServer, http: httpx.Client
) -> None:
    claim = {"Remote-User": "admin"}
    believed = httpx.get(f"{server.url}/api/v1/jobs", headers=claim, trust_env=False)
    assert believed.status_code == 200, "this proves nothing where the header means nothing"
    for name in ("Remote-User", "remote-user", "Remote_User", "REMOTE-USER"):
        assert http.get("/api/v1/jobs", headers={name: "admin"}).status_code == 401, name
    twice = [("Remote-User", "admin"), ("Remote-User", "admin")]
    assert http.get("/api/v1/jobs", headers=twice).status_code == 401


def test_where_a_client_says_it_is_counts_for_nothing(
    server: RunningServer, http: httpx.Client
) -> None:
    forged = {
        "X-Forwarded-For": "192.0.2.77",
        "Forwarded": "for=192.0.2.77",
        "Origin": http_url(http),
    }
    posted = {"name": "viewer", "password": PASSWORDS[Role.VIEWER]}
    answer = http.post("/sign-in", data=posted, headers=forged)
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]

    def addresses() -> list[str]:
        entries = server.http.get("/api/v1/audit").json()["items"]
        return [entry["address"] for entry in entries if entry["action"] == "signed_in"]

    assert wait_until(addresses, what="the entry of who signed in") == ["127.0.0.1"]


def test_passwords_are_sent_at_a_bounded_pace_and_pages_are_not(http: httpx.Client) -> None:
    posted = {"name": "nobody", "password": "a guess of somebody"}
    origin = {"Origin": http_url(http)}
    statuses = [http.post("/sign-in", data=posted, headers=origin) for _ in range(25)]
    refused = [answer for answer in statuses if answer.headers.get("server") == "nginx"]
    assert {answer.status_code for answer in statuses} <= {401, 429}
    assert refused[-1].status_code == 429
    assert "content-security-policy" not in refused[-1].headers, "Longshore was asked all the same"
    assert all(http.get("/sign-in").status_code == 200 for _ in range(25))


def http_url(http: httpx.Client) -> str:
    """Where a client asks, as a browser says it."""
    return str(http.base_url).rstrip("/")

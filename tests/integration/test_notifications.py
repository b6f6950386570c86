"""Proves with real receivers that each gets what it should, once, also when the dashboard is killed
meanwhile, and that no address is found anywhere but in secrets.yaml."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from storage.secrets import SecretsFile
from tests.fakes.receivers import WebReceiver, a_mailbox, a_web_receiver
from tests.support import RunningServer, make_large_file, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CANARY = "Canary7Secret9"
RULES = "/api/v1/notifications/rules"


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with a_web_receiver() as receiver:
        yield receiver


def add_rule(server: RunningServer, name: str, address: str, **fields: Any) -> None:
    """Create a rule of which one message at a time is sent at once."""
    rule = {"name": name, "target": name, "address": address, "digest_seconds": 0, **fields}
    answer = server.http.post(RULES, json=rule)
    assert answer.status_code == 201, answer.text
    assert CANARY not in answer.text


def failing_job(server: RunningServer, room: Path, **fields: Any) -> str:
    """Create a job whose source is not there any more."""
    source = room / "nothing"
    source.mkdir()
    job_id = server.create_job(source, room / "copy", name="Photos", **fields)
    source.rmdir()
    return job_id


def run_job(server: RunningServer, job_id: str) -> dict[str, Any]:
    return server.wait_for_end(server.start_job(job_id))


def deliveries(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.http.get("/api/v1/notifications/deliveries").json()[
        "items"
    ]
    return found


def all_sent(server: RunningServer, count: int) -> bool:
    states = [one["state"] for one in deliveries(server)]
    return states == ["sent"] * count


def text_of(mail: Message) -> str:
    parts = [one for one in mail.walk() if not one.is_multipart()]
    return "".join(one.get_payload(decode=True).decode() for one in parts)  # type: ignore[union-attr]


def test_webhook_mail_and_ping_get_what_they_should_once(
    server: RunningServer, web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    with a_mailbox() as mailbox:
        add_rule(server, "hook", f"json://127.0.0.1:{web.port}/hook", title="{event}: {job_name}")
        mail = f"mailto://127.0.0.1:{mailbox.port}?from=longshore@example.org&to=me@example.org"
        add_rule(server, "mail", mail, events=["run_failed", "job_recovered"])
        SecretsFile(server.data_dir).put(
            "check", user=None, password=f"http://127.0.0.1:{web.port}/ping/uuid"
        )
        job_id = failing_job(server, tmp_path, monitoring={"ping": "check"})
        failed = run_job(server, job_id)
        assert failed["outcome"] == "failed"
        wait_until(lambda: all_sent(server, 4), what="all of the failure")
        (tmp_path / "nothing").mkdir()
        assert run_job(server, job_id)["outcome"] == "completed"
        wait_until(lambda: all_sent(server, 7), what="all of the success")
        server.kill()
        server.start()
        # Once all of another failure is sent, whatever would come twice has come.
        (tmp_path / "nothing").rmdir()
        run_job(server, job_id)
        wait_until(lambda: all_sent(server, 11), what="all of what came after the restart")
        hooks = [json.loads(one.body) for one in web.of("/hook")]
        assert [(told["title"], told["type"]) for told in hooks] == [
            ("Run failed: Photos", "failure")
        ] * 2
        assert failed["message"] in hooks[0]["message"]
        assert [mail["subject"] for mail in mailbox.mails] == [
            "Run failed: Photos",
            "Job recovered: Photos",
            "Run failed: Photos",
        ]
        assert failed["message"] in text_of(mailbox.mails[0])
        pings = web.of("/ping")
        ends = ("/fail", "", "/fail")
        paths = [path for end in ends for path in ("/ping/uuid/start", f"/ping/uuid{end}")]
        assert [one.path for one in pings] == paths
        assert failed["message"] in pings[1].body.decode()


def test_what_is_under_way_when_the_dashboard_is_killed_arrives_once(
    server: RunningServer, web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    add_rule(server, "hook", f"json://127.0.0.1:{web.port}/hook", body="{run_id}")
    web.may_answer.clear()
    run = run_job(server, failing_job(server, tmp_path))
    wait_until(lambda: web.requests, what="the request")
    server.kill()
    web.may_answer.set()
    server.start()
    wait_until(lambda: all_sent(server, 1), what="the receipt")
    assert [json.loads(one.body)["message"] for one in web.requests] == [run["id"]]
    assert list((server.data_dir / "notifications").iterdir()) == []


def test_a_server_that_is_told_to_end_while_a_target_hangs_closes_everything(
    server: RunningServer, web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    address = f"http://127.0.0.1:{web.port}/ping"
    SecretsFile(server.data_dir).put("check", user=None, password=address)
    web.may_answer.clear()
    run_job(server, failing_job(server, tmp_path, monitoring={"ping": "check"}))
    wait_until(lambda: web.requests, what="the ping")
    process = server.process
    assert process is not None
    assert process.stdout is not None
    journal = server.data_dir / "longshore.db-wal"
    assert journal.exists()
    process.send_signal(signal.SIGTERM)
    assert b"cut off" not in process.stdout.read()
    process.wait(timeout=20)
    # The last connection takes it along when it is closed.
    assert not journal.exists()
    server.terminate()
    web.may_answer.set()
    server.start()
    wait_until(lambda: all_sent(server, 2), what="the receipt and the other ping")
    assert [one.path for one in web.requests] == ["/ping/start", "/ping/fail"]


def test_a_run_that_ends_while_the_dashboard_is_away_is_told_when_it_is_back(
    server: RunningServer, web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    hook = f"json://127.0.0.1:{web.port}/hook"
    add_rule(server, "hook", hook, events=["run_completed"], body="{run_id}")
    make_large_file(tmp_path / "source" / "large", megabytes=3)
    options = {"bandwidth_limit": "1M"}
    job_id = server.create_job(tmp_path / "source", tmp_path / "copy", options=options)
    run_id = server.start_job(job_id)
    wait_until(lambda: server.state(job_id)["progress"])
    server.kill()
    wait_until((server.data_dir / "runs" / run_id / "result.json").exists, what="the end")
    server.start()
    wait_until(lambda: all_sent(server, 1), what="the notification")
    server.kill()
    server.start()
    another = run_job(server, job_id)
    wait_until(lambda: all_sent(server, 2), what="that of another run")
    assert [json.loads(one.body)["message"] for one in web.requests] == [run_id, another["id"]]


def test_an_overdue_job_is_told_once(
    make_server: Callable[..., RunningServer], web: WebReceiver, tmp_path: Path
) -> None:
    server = make_server()
    add_rule(server, "hook", f"json://127.0.0.1:{web.port}/hook", events=["job_overdue", "error"])
    job: dict[str, Any] = {
        "name": "Late",
        "engine": "rsync",
        "source": "/srv",
        "destination": str(tmp_path),
    }
    job |= {"monitoring": {"success_within_seconds": 60}, "created_at": "2026-01-01T00:00:00Z"}
    (server.data_dir / "jobs" / "late-0001.yaml").write_text(json.dumps(job))
    wait_until(lambda: all_sent(server, 1), what="the notification")
    server.kill()
    server.start()
    later = job | {"name": "Later", "destination": str(tmp_path / "later")}
    (server.data_dir / "jobs" / "late-0002.yaml").write_text(json.dumps(later))
    wait_until(lambda: all_sent(server, 2), what="that of another job")
    told = [json.loads(one.body)["title"] for one in web.requests]
    assert told == ["Job overdue: Late", "Job overdue: Later"]


def test_a_target_that_is_away_is_told_of_and_gets_it_when_it_is_back(
    server: RunningServer, web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    web.status = 503
    add_rule(server, "hook", f"json://127.0.0.1:{web.port}/{CANARY}")
    run_job(server, failing_job(server, tmp_path))

    def told() -> list[dict[str, Any]]:
        path = "/api/v1/errors?component=notifications&resolved=false"
        found: list[dict[str, Any]] = server.http.get(path).json()["items"]
        return found

    event = wait_until(told, what="the error event")[0]
    assert (event["severity"], event["count"]) == ("medium", 1)
    assert "503" in event["message"]
    test = server.http.post(f"{RULES}/hook/test").json()
    assert test == {"ok": False, "message": "It answered with the status 503."}
    web.status = 200
    # A test that arrives sends at once what waits.
    assert server.http.post(f"{RULES}/hook/test").json()["ok"]
    wait_until(lambda: all_sent(server, 1), what="the notification")
    wait_until(lambda: not told(), what="the end of the error")


@pytest.mark.usefixtures("real_starts")
def test_no_address_is_found_anywhere_but_in_its_own_file(
    make_server: Callable[..., RunningServer], web: WebReceiver, tmp_path: Path, rsync: str
) -> None:
    place = f"127.0.0.1:{web.port}/{CANARY}"
    server = make_server(LONGSHORE_SECRET_FROM_OUTSIDE=f"json://u:{CANARY}@{place}?+x={CANARY}")
    with frames_of(server) as frames:
        add_rule(server, "hook", f"json://user:{CANARY}@{place}?+Key={CANARY}")
        add_rule(server, "away", f"mailto://u:{CANARY}@127.0.0.1:1/{CANARY}")
        add_rule(server, "from-outside", "", title="{job_name}")
        SecretsFile(server.data_dir).put("check", user=None, password=f"http://{place}")
        job_id = failing_job(server, tmp_path, monitoring={"ping": "check"})
        web.may_answer.clear()
        run = run_job(server, job_id)
        wait_until(lambda: len(web.requests) >= 2, what="two that are being sent")
        seen = list(_processes())
        assert any(b"core.notifying" in line for line, _ in seen)
        assert not [line for line, _ in seen if CANARY.encode() in line]
        senders = [environment for line, environment in seen if b"core.notifying" in line]
        assert not [one for one in senders if CANARY.encode() in one]
        web.may_answer.set()
        server.http.post(f"{RULES}/away/test")
        wait_until(lambda: len([one for one in deliveries(server) if one["attempts"]]) == 1)
        wait_until(lambda: len(web.of(f"/{CANARY}")) >= 4, what="all that can arrive")
        wait_until(lambda: any("bell-list" in frame or "banner" in frame for frame in frames))
    texts = [*frames]
    pages = ["/settings/notifications", "/settings/notifications/hook/edit", "/errors", "/metrics"]
    pages += [
        "/",
        "/jobs",
        "/logs",
        "/settings",
        "/health",
        "/api/v1/errors/export?format=csv",
        f"/jobs/{job_id}",
        f"/jobs/{job_id}/edit",
    ]
    api = [RULES, "/api/v1/notifications/deliveries", "/api/v1/errors", "/api/v1/settings"]
    api += [f"/api/v1/jobs/{job_id}", f"/api/v1/runs/{run['id']}", "/api/v1/jobs"]
    api += ["/health", "/api/v1/errors/export?format=csv", "/api/v1/errors/export?format=json"]
    for path in [*pages, f"/runs/{run['id']}", *api, f"{RULES}/hook"]:
        answer = server.http.get(path)
        assert answer.status_code == 200, path
        texts.append(answer.text)
    commands = (["export"], ["errors", "list", "--json"], ["secrets", "list"])
    texts += [server.cli(*command).stdout for command in commands]
    assert not [text for text in texts if CANARY in text]
    server.terminate()
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files if CANARY.encode() in path.read_bytes()} == {"secrets.yaml"}


@contextmanager
def frames_of(server: RunningServer) -> Iterator[list[str]]:
    """Collect what a page is told by WebSocket."""
    frames: list[str] = []

    def read() -> None:
        try:
            for frame in connection:
                frames.append(str(frame))
                told = json.loads(frame)
                if told["t"] == "update":
                    connection.send(json.dumps({"ack": told["seq"]}))
        except ConnectionClosed:
            return

    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as connection:
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield frames


def _processes() -> Iterator[tuple[bytes, bytes]]:
    """Yield the command line and the environment of every process."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes()
            yield line, (directory / "environ").read_bytes()
        except OSError:
            continue

"""Proves that no command prints a byte that a terminal takes for more than text, whatever the
server, a file or a tool says."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from fastapi_app.cli import app
from fastapi_app.commands import client, console, log
from fastapi_app.commands.console import print_json, write_file
from fastapi_app.log_lines import safe
from utils.shown_names import safe_text

EVIL = (
    "a\x1b[2J\x1b]0;owned\x07\x1bP$q\x1b\\\x9b31m\x9d0;t\x9c\x90q\x9c\x7f\x08\x00\r\x0b\x0c"
    "\u202ecod.exe\u2066\u200f\u061c\x85\ud800z"
)
TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
FORBIDDEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{TURNING}]")
WHEN = "2026-01-02T03:04:05.000Z"

JOB: dict[str, Any] = {
    "id": EVIL, "name": EVIL, "engine": EVIL, "source": EVIL, "destination": EVIL, "version": 1,
    "verification": EVIL, "tags": [EVIL], "overdue": True, "last_success_at": WHEN,
    "state": {"status": EVIL, "message": EVIL, "run_id": EVIL, "run_kind": EVIL, "progress": None},
}  # fmt: skip
RUN: dict[str, Any] = {
    "id": "r", "job_id": EVIL, "status": EVIL, "outcome": EVIL, "message": EVIL,
    "started_at": WHEN, "duration_seconds": 1.0, "bytes_done": 1, "bytes_sent": 1, "files_done": 1,
    "phases": [{"name": EVIL, "outcome": EVIL, "duration_seconds": 1.0}], "progress": None,
}  # fmt: skip
ERROR: dict[str, Any] = {
    "id": EVIL, "severity": EVIL, "component": EVIL, "job_id": EVIL, "message": EVIL, "count": 1,
    "last_seen": WHEN, "resolved": False, "details": {EVIL: EVIL}, "stack_trace": f"{EVIL}\n{EVIL}",
}  # fmt: skip
RULE: dict[str, Any] = {
    "name": EVIL, "target": EVIL, "target_scheme": EVIL, "target_fault": EVIL, "version": 1,
    "events": [EVIL], "jobs": [EVIL], "tags": [EVIL], "title": EVIL, "body": EVIL, "enabled": True,
}  # fmt: skip
COUNTS = {
    f"{figure}{part}": 1
    for figure in ("created", "updated", "deleted", "attributes")
    for part in ("", "_folders", "_bytes")
} | {"looked_at": 1}
SETTING = {
    "name": EVIL, "value": EVIL, "default": EVIL, "unit": EVIL, "source": EVIL, "variable": EVIL,
    "description": EVIL,
}  # fmt: skip
PART = {"status": "degraded", "reasons": [EVIL], "detail": EVIL, "hung_seconds": 1.5, EVIL: [EVIL]}
DELIVERY = {
    "state": EVIL, "ended_at": WHEN, "created_at": WHEN, "rule": EVIL, "target": EVIL,
    "title": EVIL, "reason": EVIL,
}  # fmt: skip


def page(*items: Any, **more: Any) -> dict[str, Any]:
    """Return a list of the API."""
    return {"items": items, "total": 9, "named": 8, "next_cursor": None, **more}


ANSWERS: list[tuple[str, Any]] = [
    (r"/jobs$", page(JOB, damaged=[{"id": EVIL, "reason": EVIL}])),
    (r"/jobs/[^/]+/runs$", page(RUN)),
    (r"/jobs/[^/]+$", JOB),
    (r"/runs$", page(RUN)),
    (r"/runs/[^/]+$", RUN),
    (r"/failures$", page({"path": EVIL, "reason": EVIL})),
    (r"/deletions$", page({"path": EVIL, "outcome": EVIL, "reason": EVIL})),
    (r"/preview$", page({"change": EVIL, "size": 1, "path": EVIL}, counts=COUNTS)),
    (r"/errors$", page(ERROR)),
    (r"/errors/statistics$", {
        "unresolved": 1, "total": 1, "last_day": 1, "by_component": {EVIL: 1},
        "by_severity": dict.fromkeys(("critical", "high", "medium", "low"), 1),
        "unresolved_by_severity": dict.fromkeys(("critical", "high", "medium", "low"), 1),
    }),
    (r"/errors/[^/]+$", ERROR),
    (r"/notifications/rules$", page(RULE, damage=EVIL)),
    (r"/notifications/rules/[^/]+/test$", {"ok": True, "message": EVIL}),
    (r"/notifications/rules/[^/]+$", RULE),
    (r"/notifications/deliveries$", page(DELIVERY)),
    (r"/remotes$", page({"name": EVIL, "type": EVIL})),
    (r"/remotes/[^/]+/test$", {
        "ok": True, "message": EVIL, "free_bytes": 1, "total_bytes": 2,
    }),
    (r"/settings$", {
        "settings": [SETTING], "damage": EVIL, "unknown_keys": [EVIL], "version": 1,
        "values": {EVIL: EVIL},
    }),
    (r"/audit$", page({
        "id": EVIL, "time": WHEN, "account": EVIL, "way": EVIL, "address": EVIL, "action": EVIL,
        "job_id": EVIL, "job_name": EVIL, "run_id": EVIL, "details": {EVIL: EVIL},
    })),
    (r"/health$", {
        "status": "degraded", "components": {EVIL: PART},
        "conditions": [{"name": EVIL, "status": "degraded", "count": 1}],
    }),
]  # fmt: skip
SHOWING = [
    "jobs list", "jobs show x", "jobs log x", "runs list", "runs show x", "runs log x",
    "runs failures x", "runs deletions x", "runs preview x", "errors list", "errors show x",
    "errors statistics", "notifications list", "notifications show x", "notifications deliveries",
    "notifications test x", "remotes list", "remotes test x", "settings show", "health",
    "secrets list", "accounts list", "tokens list", "doctor", "check", "audit list",
]  # fmt: skip
FILES = ["errors export", "export", "audit export"]
"""What writes a file: as it is, but at a terminal."""
CHANGING = {
    "serve", "import", "jobs create", "jobs edit", "jobs duplicate", "jobs tag", "jobs discard",
    "jobs delete", "jobs start", "jobs stop", "jobs dry-run", "runs put-back", "runs retry-failed",
    "errors resolve", "notifications set", "notifications delete", "settings set",
    "settings unset", "secrets set", "secrets remove", "passwd", "accounts add", "accounts role",
    "accounts remove", "tokens make", "tokens revoke",
}  # fmt: skip
"""What prints ids and, by `complain`, what was refused."""


def answer(request: httpx.Request) -> httpx.Response:
    """Answer as a server whose every text is hostile."""
    raw = json.dumps(EVIL).encode() + EVIL.encode("utf-8", "replace") + b"\xff\x9b\n"
    path = request.url.path
    if path.endswith(("/log", "/export")):
        headers = {"Longshore-Log-Skipped": "7", "Longshore-Log-Next": "9"}
        return httpx.Response(200, content=raw, headers=headers)
    for pattern, document in ANSWERS:
        if re.search(pattern, path):
            return httpx.Response(200, content=json.dumps(document))
    problem = {"detail": EVIL, "errors": [{"field": EVIL, "message": EVIL}]}
    return httpx.Response(404, content=json.dumps(problem))


def _of_a_request(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is said of a client."""
    return {name: value for name, value in options.items() if name not in {"trust_env", "verify"}}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., bytes]:
    """Run a command against that server, and over hostile files; returns all that it printed."""
    http = httpx.Client(transport=httpx.MockTransport(answer))

    def request(method: str, url: str, **options: Any) -> httpx.Response:
        return http.request(method, url, **_of_a_request(options))

    @contextmanager
    def stream(method: str, url: str, **options: Any) -> Iterator[httpx.Response]:
        with http.stream(method, url, **_of_a_request(options)) as response:
            yield response

    monkeypatch.setattr(httpx, "request", request)
    monkeypatch.setattr(httpx, "stream", stream)
    monkeypatch.setattr(client, "url_of_running_server", lambda _: "http://server")
    data_dir = tmp_path / "da\x1b[2Jta\u202e"
    (data_dir / "jobs").mkdir(parents=True)
    (data_dir / "jobs" / "bad.yaml").write_text('name: "\\e[2J\\u202e"\n\x85: [', encoding="utf-8")
    secrets = data_dir / "secrets.yaml"
    secrets.write_text('a:\n  user: "u\\u202ex"\n  password: p\n', encoding="utf-8")
    secrets.chmod(0o600)
    monkeypatch.setenv("LONGSHORE_DATA_DIR", str(data_dir))

    def run(line: str) -> bytes:
        result = CliRunner().invoke(app, line.split())
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result.stdout_bytes + result.stderr_bytes

    return run


def leaves(command: Any, path: str = "") -> Iterator[str]:
    """Yield every command by its name."""
    groups = getattr(command, "commands", None)
    if groups is not None:
        for name, inner in groups.items():
            yield from leaves(inner, f"{path} {name}".strip())
    else:
        yield path


def test_every_command_is_in_a_table() -> None:
    named = {line.removesuffix(" x") for line in (*SHOWING, *FILES)} | CHANGING
    assert set(leaves(typer.main.get_command(app))) == named


@pytest.mark.parametrize("form", ["", " --json"])
@pytest.mark.parametrize("line", SHOWING)
def test_no_command_prints_a_control_byte(run: Callable[..., bytes], line: str, form: str) -> None:
    printed = run(line + form).decode()
    assert FORBIDDEN.findall(printed) == [], printed
    if line not in {"secrets list", "accounts list", "tokens list", "doctor", "check"}:
        assert "[2J" in printed, "what is hostile was not printed at all"


def test_a_refusal_is_printed_as_text(run: Callable[..., bytes]) -> None:
    printed = run("jobs start x").decode()
    assert "\\x1b[2J" in printed
    assert FORBIDDEN.findall(printed) == [], printed


@pytest.mark.parametrize("line", FILES)
def test_a_file_is_made_safe_at_a_terminal_alone(
    run: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    if line == "errors export":
        assert b"\x1b[2J" in run(line)
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    assert FORBIDDEN.findall(run(line).decode()) == []


def test_a_log_is_not_written_raw_to_a_terminal(
    run: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b"\x1b[2J" in run("jobs log x --raw")
    monkeypatch.setattr(log, "is_terminal", lambda: True)
    printed = run("jobs log x --raw").decode()
    assert "--raw is for a file or a pipe" in printed
    assert FORBIDDEN.findall(printed) == []


def test_json_stays_the_same_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({EVIL: [EVIL, "café", "日本"]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {EVIL: [EVIL, "café", "日本"]}
    assert "café" in printed
    assert FORBIDDEN.findall(printed) == []


def test_lines_and_characters_may_be_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,é\r\nb\rc\x9b\r\n"
    for size in range(1, 6):
        written = io.StringIO()
        monkeypatch.setattr(console, "is_terminal", lambda: True)
        monkeypatch.setattr(sys, "stdout", written)
        raw = text.encode()
        write_file(raw[place : place + size] for place in range(0, len(raw), size))
        assert written.getvalue() == "a,é\nb\\rc\\x9b\n"


@pytest.mark.parametrize("make", [safe_text, safe])
def test_what_is_escaped(make: Callable[[str], str]) -> None:
    assert FORBIDDEN.findall(make(EVIL)) == []
    assert make("café 日本 “” \U0001f5c4") == "café 日本 “” \U0001f5c4"

"""Proves how the log looks, what it masks, that no record forges a line, and that nobody who logs
waits for a disk or a pipe."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastapi_app import logs
from fastapi_app.log_lines import ContextFilter, HumanLine, JsonLine, masked, safe
from fastapi_app.logs import BackgroundHandler, keep_log
from models.settings import Settings
from tests.support import wait_until
from utils import log_context
from utils.log_context import about, begin, ids, note

RECORD = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} [A-Z]+ [\w.]+: ")
LOGGER = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    """Begin with nothing known, and leave it so."""
    token = log_context._IDS.set({})
    yield
    log_context._IDS.reset(token)


def a_record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:
    """Return a record as a logger makes it, with the ids that are known here."""
    record = logging.makeLogRecord(
        {"name": "a.room", "levelno": 40, "levelname": "ERROR", "msg": message, "args": arguments}
        | more
    )
    assert ContextFilter().filter(record)
    return record


def raised() -> Any:
    """Return an exception that was raised, with a message that wants to be lines of the log."""
    try:
        raise ValueError("bad\n2026-11-27T10:00:00+0000 INFO a.room: forged\x1b[2J")
    except ValueError as error:
        return (type(error), error, error.__traceback__)


@contextmanager
def kept(directory: Path, **settings: Any) -> Iterator[Path]:
    """Keep the log in a directory; yields its file."""
    with keep_log(directory, Settings(data_dir=directory, **settings)):
        yield directory / "logs" / "longshore.log"


def test_a_line_for_people_has_the_ids_that_the_message_does_not_have() -> None:
    begin(request_id="r1")
    with about(job_id="photos-1", run_id="run-2"):
        line = HumanLine().format(a_record("run-2 failed: %s", "disk full"))
    assert RECORD.match(line)
    assert line.endswith("ERROR a.room: run-2 failed: disk full [job photos-1, request r1]")


def test_a_line_in_json_has_every_id_as_a_field() -> None:
    begin(request_id="r1")
    with about(job_id="photos-1", run_id="run-2"):
        record = a_record("failed: %s", "\n\x00\udcff ü", fields={"status": 500})
        line = JsonLine().format(record)
    document = json.loads(line)
    assert re.fullmatch(r"[0-9-]{10}T[0-9:.]{12}Z", document.pop("time"))
    assert document == {
        "level": "error",
        "logger": "a.room",
        "message": "failed: \n\x00\udcff ü",
        "job_id": "photos-1",
        "run_id": "run-2",
        "request_id": "r1",
        "status": 500,
    }
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize(
    "name",
    ["a\n2026-11-27T10:00:00+0000 INFO a.room: forged", "\r\x1b[2J", "\u2028x", "\x85x", "\udcff"],
)
def test_no_name_of_a_file_forges_a_line_or_commands_a_terminal(name: str) -> None:
    record = a_record("%s is odd", name, job_id=name)
    human, as_json = HumanLine().format(record), JsonLine().format(record)
    for line in (human, as_json):
        assert len(line.splitlines()) == 1
        assert line.isprintable()
    assert json.loads(as_json)["message"] == f"{name} is odd"


def test_a_traceback_is_set_in_and_cannot_be_taken_for_records() -> None:
    record = a_record("it failed", exc_info=raised())
    first, *others = HumanLine().format(record).splitlines()
    assert RECORD.match(first)
    assert "Traceback" in others[0]
    assert any("forged" in line for line in others)
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    line = JsonLine().format(record)
    assert "forged" in json.loads(line)["exception"]
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:canary@host/a", "https://***@host/a"),
        ("mailto://me:p@canary@host?x=a@b", "mailto://***@host?x=a@b"),
        ("rsync://canary@nas:873/m, ssh://h/a@b", "rsync://***@nas:873/m, ssh://h/a@b"),
        ("nobody@host and https://host/a", "nobody@host and https://host/a"),
    ],
)
def test_addresses_tell_no_user_and_no_password(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert safe(text) == shown
    trace = (ValueError, ValueError(text), None)
    for line in (HumanLine(), JsonLine()):
        told = line.format(a_record("%s", text, exc_info=trace))
        assert ("canary" in told) == ("canary" in shown)


async def test_ids_go_along_with_tasks_and_threads_and_end_with_their_scope() -> None:
    begin(request_id="r")
    with about(run_id="run"):
        note(job_id="job")
        expected = {"request_id": "r", "run_id": "run", "job_id": "job"}
        assert await asyncio.create_task(_ids_there()) == expected
        assert await asyncio.to_thread(ids) == expected
    assert ids() == {"request_id": "r"}
    begin(request_id="next")
    assert ids() == {"request_id": "next"}


async def _ids_there() -> dict[str, str]:
    return dict(ids())


def test_the_file_and_standard_error_have_the_same_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with kept(tmp_path, log_format="json", log_level="warning") as file:
        LOGGER.info("not wanted")
        LOGGER.warning("wanted")
        logging.getLogger("httpx").info("GET https://host/secret")
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["message"] == "wanted"
    assert capfd.readouterr().err == f"{line}\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_others_log_of_addresses_stays_out_even_when_everything_is_wanted(
    tmp_path: Path,
) -> None:
    with kept(tmp_path, log_level="debug") as file:
        logging.getLogger("httpcore").debug("GET https://host/secret")
        logging.getLogger("apprise").info("tgram://secret/1")
        LOGGER.debug("wanted")
    text = file.read_text()
    assert "secret" not in text
    assert "wanted" in text
    assert logging.getLogger("httpcore").level == logging.NOTSET


def test_it_is_rotated_by_size_and_five_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 2_000)
    with kept(tmp_path) as file:
        for number in range(200):
            LOGGER.info("line %d %s", number, "x" * 50)
    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["longshore.log", *(f"longshore.log.{number}" for number in range(1, 5))]
    assert all(path.stat().st_size <= 2_000 for path in file.parent.iterdir())
    assert "line 199 " in file.read_text()


class HangingHandler(logging.Handler):
    """A disk that does not answer until a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Hang, then keep the line."""
        assert self.answers.wait(30)
        self.lines.append(str(record.msg))


def test_who_logs_waits_for_no_disk_and_what_is_left_out_is_counted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    disk = HangingHandler()
    handler = BackgroundHandler(disk, most=10)
    handler.setFormatter(logging.Formatter("%(message)s"))
    slowest = 0.0
    for number in range(100):
        began = time.perf_counter()
        handler.handle(a_record("line %d", number))
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.5
    disk.answers.set()
    wait_until(lambda: any("left out" in line for line in disk.lines), what="the count")
    handler.close()
    handler.close()
    told = [line for line in disk.lines if "left out" in line]
    lines = [line for line in disk.lines if line.startswith("line ")]
    assert [int(line.split()[0]) for line in told] == [100 - len(lines)]
    assert len(lines) in {10, 11}, "those that waited, and the one under way"
    capfd.readouterr()


def test_the_end_waits_for_a_disk_that_hangs_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_END_SECONDS", 0.05)
    disk = HangingHandler()
    handler = BackgroundHandler(disk, most=1)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(3):
        handler.handle(a_record("line %d", number))
    began = time.perf_counter()
    handler.close()
    assert time.perf_counter() - began < 5
    disk.answers.set()


def test_a_pipe_that_nobody_reads_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as full, os.fdopen(reader, "rb") as unread:
        monkeypatch.setattr("sys.stderr", full)
        with kept(tmp_path) as file:
            for number in range(3_000):
                LOGGER.info("line %d %s", number, "x" * 100)
            wait_until(lambda: "line 2999 " in file.read_text(), what="the last line in the file")
        os.set_blocking(unread.fileno(), False)
        assert b"line 0 " in unread.read(200)


def test_a_call_whose_arguments_do_not_fit_costs_its_line_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with kept(tmp_path) as file:
        logging.getLogger().handlers[-1].handle(a_record("%d", "no number"))
        LOGGER.info("goes on")
    assert "goes on" in file.read_text()
    assert "not all arguments" in (told := capfd.readouterr().err) or "%d format" in told

"""Proves how the log looks, what it masks, that no record forges a line, and that nobody who logs
waits for a disk or a pipe; a line that nobody reads comes whole or not at all."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
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
_PAGE = 4096


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
        self.written = threading.Semaphore(0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Hang, then keep the line."""
        assert self.answers.wait(30)
        self.lines.append(str(record.msg))
        self.written.release()


def a_handler(disk: logging.Handler, *, most: int) -> BackgroundHandler:
    """Return a handler whose lines are the messages alone."""
    handler = BackgroundHandler(disk, most=most)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def log_lines(handler: logging.Handler, count: int) -> None:
    """Log so many lines, one after the other."""
    for number in range(count):
        handler.handle(a_record("line %d", number))


def done_elsewhere(work: Callable[[], None], *, what: str) -> None:
    """Have a thread do some work, and fail if it is held up."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), f"{what} is held up"


def test_who_logs_waits_for_no_disk_and_what_is_left_out_is_counted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    disk = HangingHandler()
    handler = a_handler(disk, most=10)
    done_elsewhere(lambda: log_lines(handler, 100), what="who logs")
    assert disk.lines == [], "it hung meanwhile"
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
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "_END_SECONDS", 0.05)
    disk = HangingHandler()
    handler = a_handler(disk, most=1)
    log_lines(handler, 3)
    done_elsewhere(handler.close, what="the end")
    assert disk.lines == [], "it hung meanwhile"
    disk.answers.set()
    capfd.readouterr()


class UnreadPipe:
    """Standard error that has room for one page, and that nobody reads until a test says so."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._reader, self.descriptor = os.pipe()
        fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, _PAGE)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.read = self._thread.start

    def fileno(self) -> int:
        """Return what is written to."""
        return self.descriptor

    def end(self) -> None:
        """Close it, and see all that was written."""
        os.close(self.descriptor)
        if not self._thread.ident:
            self.read()
        self._thread.join(30)

    def _read(self) -> None:
        with os.fdopen(self._reader, "rb") as file:
            for line in file:
                self.lines.append(line.decode())


@contextmanager
def unread_pipe() -> Iterator[UnreadPipe]:
    """Make one standard error; pytest puts its own there between a fixture and a test."""
    pipe = UnreadPipe()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", pipe)
        yield pipe
    pipe.end()


def test_lines_that_nobody_reads_on_standard_error_wait_and_come_whole(
    tmp_path: Path,
) -> None:
    with unread_pipe() as pipe, kept(tmp_path, log_format="json") as file:
        for number in range(200):
            LOGGER.info("line %d %s", number, "x" * (100 if number % 50 else 3 * _PAGE))
        wait_until(lambda: "line 199 " in file.read_text(), what="the last line in the file")
        pipe.read()
    messages = [json.loads(line)["message"] for line in pipe.lines]
    assert [int(message.split()[1]) for message in messages] == list(range(200))
    assert pipe.lines == file.read_text().splitlines(keepends=True)


def test_lines_beyond_the_bound_are_left_out_whole_and_standard_error_says_how_many() -> None:
    disk = HangingHandler()
    disk.answers.set()
    handler = a_handler(disk, most=10)

    def shown() -> list[str]:
        return [line for line in pipe.lines if "left out" not in line]

    def left_out() -> int:
        # Told of more than once where its thread was slow to begin.
        return sum(int(line.split()[0]) for line in pipe.lines if "left out" in line)

    with unread_pipe() as pipe:
        for number in range(40):
            handler.handle(a_record("line %d %s", number, "x" * 1_000))
            assert disk.written.acquire(timeout=30), "the file waits for standard error"
        pipe.read()
        wait_until(lambda: len(shown()) + left_out() == 40, what="every line, or its count")
        handler.handle(a_record("the last"))
        wait_until(lambda: pipe.lines[-1] == "the last\n", what="the last line")
        handler.close()
    assert len(disk.lines) == 41, "the file has them all"
    assert left_out() > 0
    lines = shown()[:-1]
    assert len(lines) == 40 - left_out() >= 10, "those that waited"
    assert all(re.fullmatch(r"line \d+ x{1000}\n", line) for line in lines)


def test_a_pipe_that_nobody_reads_holds_up_neither_the_file_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_END_SECONDS", 0.05)
    file = tmp_path / "logs" / "longshore.log"

    def log_all() -> None:
        with kept(tmp_path):
            for number in range(300):
                LOGGER.info("line %d %s", number, "x" * 1_000)
            wait_until(lambda: "line 299 " in file.read_text(), what="the last line in the file")

    with unread_pipe() as pipe:
        done_elsewhere(log_all, what="the log")
    assert 0 < len(pipe.lines) < 300
    assert all(RECORD.match(line) and line.endswith("x\n") for line in pipe.lines)


def test_a_call_whose_arguments_do_not_fit_costs_its_words_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with kept(tmp_path) as file:
        logging.getLogger().handlers[-1].handle(a_record("%d", "no number", pathname="a/room.py"))
        logging.getLogger().handlers[-1].handle(a_record("%(size)s", args={"a": 1}))
        LOGGER.info("goes on")
    first, second, last = file.read_text().splitlines()
    assert "What a/room.py:" in first
    assert "'%d'" in first
    assert "'size'" in second
    assert "goes on" in last
    assert capfd.readouterr().err == file.read_text()

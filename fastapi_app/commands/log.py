"""`longshore jobs log` and `longshore runs log`: what the tool wrote, safe for a terminal.

A tool's output quotes file names, and a file name may hold what a terminal takes for a command.
"""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer

from fastapi_app.commands.client import Refusal, answer_of, as_part, call
from fastapi_app.commands.console import EXIT_FAILED, complain, fail, is_terminal, print_json
from fastapi_app.commands.jobs import JobId, JsonFlag, exit_code_of
from utils.shown_names import safe_text

_WINDOW = 1024 * 1024
_POLL_SECONDS = 0.3
_SHOWN_AS_THEY_ARE = "\t\n"
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on until the run ends; exit with its outcome.")
]
Lines = Annotated[int | None, typer.Option(min=0, help="Only so many last lines.")]
Bytes = Annotated[int | None, typer.Option("--bytes", min=0, help="Only so many last bytes.")]
Raw = Annotated[bool, typer.Option("--raw", help="Byte by byte as the tool wrote it.")]


class _Part(NamedTuple):
    content: bytes
    next_place: int
    skipped: int


def job_log(
    job_id: JobId,
    run: Annotated[str | None, typer.Option(help="The run's id; without it the last one.")] = None,
    follow: Follow = False,
    lines: Lines = None,
    size: Bytes = None,
    raw: Raw = False,
    as_json: JsonFlag = False,
) -> None:
    """Print what the tool wrote in a job's last run, or in one of its runs.

    Control characters are shown as escapes. With --follow: 0 completed, 1 failed, 3 paused or
    interrupted.
    """
    if run is None:
        newest = call("GET", f"/jobs/{as_part(job_id)}/runs", params={"limit": 1})["items"]
        if not newest:
            fail("The job has not run yet.")
        run = newest[0]["id"]
    elif call("GET", f"/runs/{as_part(run)}")["job_id"] != job_id:
        fail(f"{run} is no run of the job {job_id}.")
    run_log(str(run), follow, lines, size, raw, as_json)


def run_log(
    run_id: Annotated[str, typer.Argument(help="The run's id.")],
    follow: Follow = False,
    lines: Lines = None,
    size: Bytes = None,
    raw: Raw = False,
    as_json: JsonFlag = False,
) -> None:
    """Print what the tool wrote in a run; control characters are shown as escapes.

    With --follow: 0 completed, 1 failed, 3 paused or interrupted.
    """
    if as_json and (follow or raw):
        fail("--json goes neither with --follow nor with --raw.")
    if raw and is_terminal():
        fail("--raw is for a file or a pipe: at a terminal these bytes could be commands.")
    if lines is not None and size is not None:
        fail("Choose one of --lines and --bytes.")
    parts = _last(run_id, lines, size) if lines is not None or size is not None else _all(run_id)
    if as_json:
        _print_document(run_id, parts)
        return
    writer = _Writer(raw=raw)
    place = 0
    for part in parts:
        writer.write(part)
        place = part.next_place
    code = _follow(run_id, place, writer) if follow else 0
    writer.end()
    raise typer.Exit(code)


def add_to(jobs: typer.Typer, runs: typer.Typer) -> None:
    """Put these commands among those of `longshore jobs` and `longshore runs`."""
    jobs.command("log")(job_log)
    runs.command("log")(run_log)


class _Writer:
    """Writes to standard output, without what a terminal would take for more than text."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")

    def write(self, part: _Part) -> None:
        """Write a part; one character may be in two of them."""
        if part.skipped:
            complain(f"… {part.skipped:,} bytes are left out here …")
        self._put(part.content)

    def end(self) -> None:
        """Write what is left of a character that never became whole."""
        self._put(b"", is_last=True)

    def _put(self, content: bytes, *, is_last: bool = False) -> None:
        if not self._raw:
            content = safe(self._decoder.decode(content, is_last)).encode("utf-8")
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def safe(text: str) -> str:
    """Return a text in which every control character but tab and newline is an escape."""
    return safe_text(text, keep=_SHOWN_AS_THEY_ARE)


def _all(run_id: str) -> Iterator[_Part]:
    offset = 0
    while True:
        part = _part(run_id, offset=offset)
        yield part
        if len(part.content) < _WINDOW:
            return
        offset += len(part.content)


def _last(run_id: str, lines: int | None, size: int | None) -> Iterator[_Part]:
    """Yield the end of a log: out of its last window, or where that is too little out of all."""
    part = _part(run_id, offset=-_WINDOW)
    content, place = part.content, part.next_place
    cut = _cut(content, lines, size)
    if cut is None and len(content) == _WINDOW:
        parts = list(_all(run_id))
        content, place = b"".join(one.content for one in parts), parts[-1].next_place
        cut = _cut(content, lines, size)
    yield _Part(content[cut or 0 :], place, 0)


def _cut(content: bytes, lines: int | None, size: int | None) -> int | None:
    """Return where so many last bytes or lines begin, or None when there are fewer."""
    if size is not None:
        return len(content) - size if size <= len(content) else None
    return _begin_of_last(content, lines or 0)


def _begin_of_last(content: bytes, lines: int) -> int | None:
    if lines == 0:
        return len(content)
    end = len(content)
    if content.endswith(b"\n"):
        end -= 1
    for _ in range(lines):
        end = content.rfind(b"\n", 0, end)
        if end < 0:
            return None
    return end + 1


def _follow(run_id: str, place: int, writer: _Writer) -> int:
    while True:
        # Asked before it is read, so that the last words are.
        run: dict[str, Any] = call("GET", f"/runs/{as_part(run_id)}")
        part = _part(run_id, since=place)
        writer.write(part)
        place = part.next_place
        if run["outcome"] is not None and not part.content:
            return exit_code_of(run)
        if not part.content:
            time.sleep(_POLL_SECONDS)


def _part(run_id: str, **where: int) -> _Part:
    parameters = {**where, "limit": _WINDOW}
    try:
        answer = answer_of("GET", f"/runs/{as_part(run_id)}/log", params=parameters)
    except Refusal as refusal:
        refusal.tell()
        raise typer.Exit(EXIT_FAILED) from None
    skipped = int(answer.headers["Longshore-Log-Skipped"])
    return _Part(answer.content, int(answer.headers["Longshore-Log-Next"]), skipped)


def _print_document(run_id: str, parts: Iterator[_Part]) -> None:
    found = list(parts)
    text = b"".join(part.content for part in found).decode("utf-8", errors="backslashreplace")
    print_json({"run_id": run_id, "text": text, "next_place": found[-1].next_place})

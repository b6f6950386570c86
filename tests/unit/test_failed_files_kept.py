"""Proves what is read of single files out of a journal, how a page of them is found, and that the
names of a retry are kept as they are on disk."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from fastapi_app.failure_views import FilesQuery, file_slice, run_files_view
from fastapi_app.run_views import run_detail
from fastapi_app.view_models import CARD_NOTICES, job_card
from models import events
from models.events import EngineStarted, FileFailed, FileSkipped, PhaseStarted
from models.job_state import JobRecord, JobState
from models.job_status import JobStatus
from models.progress import Progress, RunOutcome
from models.run import FailedFile, RunFiles, SkippedFile, outline_of
from models.run_spec import ONLY_FILES, RunSpec
from storage.failures import MAX_KEPT, read_files
from storage.run_directories import RunDirectoryStorage
from tests.fakes.builders import a_job, a_run, a_spec
from utils.process_identity import ProcessIdentity

ENGINE = ProcessIdentity(2, 20, "boot")


def journal(directory: Path, *content: events.Event | bytes) -> Path:
    """Write a journal with these lines and return its directory."""
    lines = [
        part
        if isinstance(part, bytes)
        else json.dumps(
            events.to_document(part, "2026-11-23T12:00:00.000Z"), separators=(",", ":")
        ).encode()
        + b"\n"
        for part in content
    ]
    (directory / "journal.jsonl").write_bytes(b"".join(lines))
    return directory


def test_a_run_without_a_journal_has_no_such_files(tmp_path: Path) -> None:
    assert read_files(tmp_path) == RunFiles()


def test_only_the_last_attempt_counts_even_when_nothing_failed_in_it(tmp_path: Path) -> None:
    first = (EngineStarted(ENGINE, 1), FileFailed("a", "no", 1, "a"))
    assert len(read_files(journal(tmp_path, *first)).failed) == 1
    assert read_files(journal(tmp_path, *first, EngineStarted(ENGINE, 2))) == RunFiles()


def test_what_a_verification_found_in_a_later_try_is_of_the_same_attempt(tmp_path: Path) -> None:
    found = read_files(
        journal(
            tmp_path,
            EngineStarted(ENGINE, 1),
            FileFailed("/src/a", "Permission denied", 1, "a"),
            events.HelperStarted(ENGINE, events.VERIFICATION),
            FileFailed("a", "It is missing at the destination.", 2, "a"),
            FileFailed("b", "It differs.", 2, "b"),
        )
    )
    assert [(file.name, file.reason) for file in found.failed] == [
        ("a", "Permission denied"),
        ("b", "It differs."),
    ]
    assert found.repeated == 1
    assert found.failed_in_all(3) == 2
    assert found.failed_in_all(1501) == 1500


def test_special_files_are_listed_once_over_all_attempts(tmp_path: Path) -> None:
    found = read_files(
        journal(
            tmp_path,
            FileSkipped("pipe", "fifo"),
            EngineStarted(ENGINE, 1),
            EngineStarted(ENGINE, 2),
            FileSkipped("pipe", "fifo"),
            FileSkipped("null", "device"),
        )
    )
    assert found.skipped == (SkippedFile("pipe", "fifo"), SkippedFile("null", "device"))


def test_a_name_comes_back_as_it_is_on_disk(tmp_path: Path) -> None:
    name = "a\nb \udcff\x1b"
    journal(tmp_path, FileFailed("shown", "no", 1, name), PhaseStarted("verify"))
    assert read_files(tmp_path).failed == (FailedFile("shown", "no", name),)


@pytest.mark.parametrize(
    "rubbish",
    [
        b'{"event":"file_failed"}\n',
        b'{"event":"file_failed","path":\n',
        b'\xff"file_failed"\n',
        b'"file_failed"' + b"[" * 100_000 + b"\n",
        b"x" * 3_000_000 + b"\n",
        b"\n",
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_damaged_line_is_passed_over(tmp_path: Path, rubbish: bytes) -> None:
    kept = FileFailed("kept", "no")
    cut = b'{"t":"","event":"file_failed","path":"cut'
    assert read_files(journal(tmp_path, rubbish, kept, cut)).failed == (FailedFile("kept", "no"),)


def test_no_journal_fills_the_memory(tmp_path: Path) -> None:
    lines = [FileFailed(f"{number}", "no") for number in range(MAX_KEPT + 5)]
    assert len(read_files(journal(tmp_path, *lines)).failed) == MAX_KEPT


async def test_the_names_of_a_retry_are_beside_its_spec_as_they_are_on_disk(
    tmp_path: Path,
) -> None:
    names = ("-rf", "a\nb", "bytes \udcff", "[glob]*/ünder")
    directories = RunDirectoryStorage(tmp_path)

    await directories.prepare(a_spec(only_failed_of="run-0"), only_files=names)

    directory = tmp_path / "runs" / "run-1"
    kept = directory / ONLY_FILES
    assert kept.read_bytes() == b"-rf\0a\nb\0bytes \xff\0[glob]*/\xc3\xbcnder\0"
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    document = json.loads((directory / "spec.json").read_text())
    assert (document["only_failed_of"], document["only_files_path"]) == ("run-0", None)
    spec = RunSpec.from_document(document).in_directory(str(directory))
    assert spec.only_files_path == str(kept)


async def test_a_run_over_everything_has_no_such_file(tmp_path: Path) -> None:
    await RunDirectoryStorage(tmp_path).prepare(a_spec())
    assert [path.name for path in (tmp_path / "runs" / "run-1").iterdir()] == ["spec.json"]
    assert a_spec(only_files_path="/etc/passwd").in_directory("/x").only_files_path is None


def test_pages_leave_nothing_out_and_name_nothing_twice() -> None:
    files = tuple(FailedFile(f"file-{number}", "no") for number in range(25))
    seen: list[FailedFile] = []
    cursor: str | None = None
    while True:
        page = file_slice(files, q="", limit=10, cursor=cursor)
        seen += page.items
        assert page.matching == 25
        cursor = page.next_cursor
        if cursor is None:
            break
    assert tuple(seen) == files


def test_words_are_found_in_path_and_reason_in_any_case() -> None:
    files = (
        FailedFile("a/Photo.JPG", "Permission denied"),
        FailedFile("b", "No space left"),
        FailedFile("STRASSE", "no"),
    )
    assert file_slice(files, q="photo", limit=9, cursor=None).items == files[:1]
    assert file_slice(files, q="SPACE", limit=9, cursor=None).items == files[1:2]
    assert file_slice(files, q="straße", limit=9, cursor=None).items == files[2:]
    assert file_slice(files, q="none", limit=9, cursor="7").items == ()


def url(route: str, **parts: str) -> str:
    """Return an address as the application would."""
    return f"/{route}/{parts['run_id']}"


def test_a_page_says_how_many_there_are_and_how_many_of_them_are_named() -> None:
    files = RunFiles(tuple(FailedFile(f"{number}", "no", f"{number}") for number in range(1000)))
    run = a_run(outcome=RunOutcome.WARNING, files_failed=1500, progress=Progress())

    view = run_files_view(run, files, FilesQuery(failed_from="100"), no_retry="Not so.", url=url)

    assert view.failed is not None
    assert view.failed.total == "1,500"
    assert view.failed.note is not None
    assert "101 to 200 of 1,000" in view.failed.note
    assert "1,000 of 1,500 are named" in view.failed.note
    assert view.failed.next_url == "/run_page/run-1?failed_from=200#failures"
    assert [row.path for row in view.failed.rows] == [str(n) for n in range(100, 200)]
    assert (view.special, view.retry_label, view.no_retry) == (None, None, "Not so.")


def test_a_card_shows_the_first_notices_of_its_last_run() -> None:
    notices = ("one", "two", "three")
    runs = (a_run("old", notices=("old",)), a_run("run-1", notices=notices))
    state = JobState("photos-0001", JobStatus.COMPLETED, run_id="run-1")
    outlines = [outline_of(run) for run in runs]
    assert job_card(JobRecord(a_job(), state), outlines).notices == notices[:CARD_NOTICES]
    assert job_card(JobRecord(a_job(), JobState("photos-0001")), outlines).notices == ()
    assert run_detail(runs[1]).notices == notices


def test_a_retry_is_offered_in_words() -> None:
    one = RunFiles((FailedFile("a", "no", "a"),), skipped=(SkippedFile("p", "fifo"),))
    run = a_run(outcome=RunOutcome.WARNING, files_failed=1, files_special=1)
    view = run_files_view(run, one, FilesQuery(), no_retry=None, url=url)
    assert view.retry_label == "Retry only this file"
    assert view.special is not None
    assert [(row.path, row.about) for row in view.special.rows] == [("p", "named pipe (FIFO)")]
    two = run_files_view(a_run(files_failed=2), RunFiles(), FilesQuery(), no_retry=None, url=url)
    assert two.retry_label == "Retry only these 2 files"

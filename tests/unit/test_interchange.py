"""Proves what is made of a file of many jobs: every line is taken or told, and nothing guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidDocument
from models.job import JOB_ID
from models.job_status import JobStatus
from models.progress import Totals
from storage import yaml_documents
from storage.import_report import printable
from storage.interchange import Interchange, export_content, read_jobs
from tests.fakes.builders import a_job

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
OLDER: dict[str, Any] = {
    "id": "photos",
    "name": "Photos",
    "source": "/srv/photos",
    "dest": "/mnt/nas/photos",
    "type": "rsync",
}


def read(text: str | bytes) -> Interchange:
    """Read a file."""
    return read_jobs(text if isinstance(text, bytes) else text.encode(), "jobs.yaml", now=NOW)


def older(*entries: dict[str, Any]) -> Interchange:
    """Read a file of the older layout that holds these entries."""
    return read(yaml_documents.render({"jobs": list(entries)}))


def one(**fields: Any) -> Interchange:
    """Read a file of the older layout with one job that has these fields beside the usual ones."""
    return older({**OLDER, **fields})


def told(found: Interchange) -> list[str]:
    """Return what was told, with the lines."""
    return [str(remark) for remark in found.remarks]


def faults(found: Interchange) -> list[str]:
    """Return the places and messages of what was not taken."""
    return [f"{remark.place}: {remark.message}" for remark in found.remarks if remark.is_fault]


def test_an_older_job_is_taken_over_with_all_that_is_certain() -> None:
    found = one(
        status="completed",
        progress={"percent": 100, "bytes_transferred": 2048, "total_bytes": 2048, "files_done": 3},
        settings={
            "excludes": ["*.tmp", "cache/"],
            "include": "*.jpg\n*.png",
            "bandwidth_limit": "10M",
            "delete": True,
            "max_delete": 7,
            "verify": "checksum",
            "retries": 3,
            "tags": "home, nightly",
            "delete_source": False,
            "schedule": None,
        },
    )

    assert told(found) == []
    (entry,) = found.jobs
    job = entry.job
    assert (job.id, job.name, job.engine, job.source, job.destination) == (
        "photos",
        "Photos",
        "rsync",
        "/srv/photos",
        "/mnt/nas/photos",
    )
    assert job.options.exclude == ("*.tmp", "cache/")
    assert job.options.include == ("*.jpg", "*.png")
    assert (job.options.bandwidth_limit, job.options.delete_extraneous) == ("10M", True)
    assert (job.options.max_delete, job.verification, job.tags) == (
        7,
        "checksum",
        ("home", "nightly"),
    )
    assert job.retry.max_attempts == 4, "the first attempt and three more"
    assert (job.version, job.created_at, job.updated_at) == (1, NOW, NOW)
    assert (entry.state.status, entry.line) == (JobStatus.COMPLETED, 2)
    progress = entry.state.progress
    assert progress is not None
    assert (progress.bytes_done, progress.bytes_total, progress.files_done) == (2048, 2048, 3)
    assert (progress.percent, progress.totals) == (100.0, Totals.KNOWN)


def test_settings_may_stand_beside_the_other_fields() -> None:
    (entry,) = one(exclude=["a"], bwlimit=500).jobs
    assert (entry.job.options.exclude, entry.job.options.bandwidth_limit) == (("a",), "500K")


def test_jobs_may_be_a_mapping_of_ids() -> None:
    found = read(
        "jobs:\n"
        "  photos: {name: Photos, source: /a, dest: /b, type: rsync}\n"
        "  music: {source: /c, destination: /d, engine: rclone}\n"
    )
    assert [(entry.job.id, entry.job.name, entry.line) for entry in found.jobs] == [
        ("photos", "Photos", 2),
        ("music", "music", 3),
    ]
    assert told(found) == ["line 3: jobs.music: has no name: its id stands in for it"]


def test_every_line_that_is_not_taken_is_told_and_the_other_jobs_are_imported() -> None:
    found = read(
        """\
version: 2
jobs:
  - id: first
    name: First
    source: /a
    dest: /b
    type: rsync
    owner: ada
    error: no space
    status: sleeping
    message: none
    progress:
      percent: 140
      bytes_done: many
      bytes_transferred: 5
      total_bytes: 1.5
      colour: red
      speed: 10 MB/s
    settings:
      foo: bar
      schedule: daily
      excludes: [a]
      exclude: [b]
  - id: second
    name: ""
    source: host:/srv
    type: tar
    settings:
      bandwidth: 1000
      verify: twice
      exclude: [ok, "- rule"]
      retries: many
  - name: [x]
    source: relative
    dest: /b
    type: rsync
    settings: none
  - plain text
  - id: first
    name: Again
    source: /a
    dest: /b
    type: rsync
  - {id: last, name: Last, source: /a, dest: /b, type: rclone, progress: half}
"""
    )

    assert [entry.job.id for entry in found.jobs] == ["first", "last"]
    assert found.refused == 4
    lines: dict[int, list[str]] = {number: [] for number in range(60)}
    for remark in found.remarks:
        assert remark.line is not None
        lines[remark.line].append(f"{remark.place}: {remark.message}")
    expected = {
        1: ["version: not taken: there is no such field"],
        8: ["jobs[0].owner: not taken: there is no such field"],
        10: ["jobs[0].status: not taken: there is no such status: the job is pending"],
        11: ["jobs[0].message: not taken: “error” says something else"],
        13: ["jobs[0].progress.percent: not taken: this must be a number from 0 to 100"],
        14: ["jobs[0].progress.bytes_done: not taken: this must be a whole number"],
        16: ["jobs[0].progress.total_bytes: not taken: this must be a whole number"],
        17: ["jobs[0].progress.colour: not taken: there is no such figure"],
        18: ["jobs[0].progress.speed: not taken: it was of the moment"],
        20: ["jobs[0].settings.foo: not taken: there is no such setting"],
        21: ["jobs[0].settings.schedule: not taken: this version has no schedule"],
        23: ["jobs[0].settings.exclude: not taken: “excludes” says this already"],
        24: ["jobs[1]: not imported: “second”", "jobs[1].destination: This field is required."],
        25: ["jobs[1].name: not taken: Give the job a name."],
        26: ["jobs[1].source: not taken: This looks like a remote location"],
        27: ["jobs[1].type: not taken: There is no engine “tar”"],
        29: ["jobs[1].settings.bandwidth: not taken: the unit is not certain: write 1000K or"],
        30: ["jobs[1].settings.verify: not taken: Input should be 'off', 'fast' or 'checksum'"],
        31: ["jobs[1].settings.exclude: not taken: “- rule” is a filter rule"],
        32: ["jobs[1].settings.retries: not taken: this must be a whole number"],
        33: ["jobs[2]: not imported: “['x']”", "jobs[2].name: not taken: This must be text."],
        34: ["jobs[2].source: not taken: This is a relative path."],
        37: ["jobs[2].settings: not taken: settings are a mapping of names to values"],
        38: ["jobs[3]: not imported: a job is a mapping of keys to values"],
        39: ["jobs[4]: not imported: jobs[0] has this id already"],
        44: ["jobs[5].progress: not taken: this must be a number from 0 to 100"],
    }
    for number, messages in lines.items():
        assert len(messages) == len(expected.get(number, [])), (number, messages)
        for message, begin in zip(messages, expected.get(number, []), strict=True):
            assert message.startswith(begin), number
    assert [remark.line for remark in found.remarks if not remark.is_fault] == [18]


@pytest.mark.parametrize(
    ("written", "status", "is_told"),
    [
        ("completed", JobStatus.COMPLETED, False),
        ("Done", JobStatus.COMPLETED, False),
        ("failed", JobStatus.FAILED, False),
        ("error", JobStatus.FAILED, False),
        ("paused", JobStatus.PAUSED, False),
        ("stopped", JobStatus.PAUSED, False),
        ("pending", JobStatus.PENDING, False),
        ("interrupted", JobStatus.INTERRUPTED, False),
        ("running", JobStatus.INTERRUPTED, True),
        ("queued", JobStatus.INTERRUPTED, True),
        ("stopping", JobStatus.INTERRUPTED, True),
        ("sleeping", JobStatus.PENDING, True),
        (["running"], JobStatus.PENDING, True),
        (None, JobStatus.PENDING, False),
    ],
)
def test_the_state_is_carried_over(written: Any, status: JobStatus, is_told: bool) -> None:
    found = one(status=written, progress="45 %", message="No space left")
    (entry,) = found.jobs
    state = entry.state
    assert (state.job_id, state.status, state.run_id) == ("photos", status, None)
    assert bool(told(found)) == is_told
    if status is JobStatus.INTERRUPTED and is_told:
        assert state.message == f"Was {written} elsewhere when it was imported. Start it to go on."
    else:
        assert state.message == "No space left"
    if status is JobStatus.PENDING:
        assert state.progress is None
    else:
        assert state.progress is not None
        assert (state.progress.percent, state.progress.totals) == (45.0, Totals.ESTIMATED)


def test_a_percentage_that_is_not_written_is_that_of_the_bytes() -> None:
    (entry,) = one(status="paused", progress={"bytes_done": 1, "bytes_total": 8}).jobs
    assert entry.state.progress is not None
    assert (entry.state.progress.percent, entry.state.progress.totals) == (12.5, Totals.KNOWN)


def test_progress_of_nothing_is_none() -> None:
    (entry,) = one(status="failed", progress={"percent": 0, "bytes_done": 0}).jobs
    assert entry.state.progress is None


@pytest.mark.parametrize(
    ("setting", "written", "limit"),
    [
        ("bandwidth_limit", "10M", "10M"),
        ("bandwidth", "500k/s", "500K"),
        ("bandwidth_limit", "10 MiB/s", "10M"),
        ("bandwidth_limit", "10MB/s", "10000000"),
        ("bandwidth_limit", "1048576B", "1048576"),
        ("bwlimit", "1000", "1000K"),
        ("bwlimit", "1.5m", "1.5M"),
        ("bwlimit", "0", None),
        ("bandwidth_limit", "0K", None),
        ("bandwidth_limit", None, None),
        ("bandwidth_limit", False, None),
    ],
)
def test_limits_are_read_as_they_were_meant(setting: str, written: Any, limit: str | None) -> None:
    found = one(settings={setting: written})
    assert told(found) == []
    assert found.jobs[0].job.options.bandwidth_limit == limit


@pytest.mark.parametrize("written", ["1000", "fast", "10Mbit", "-5K", ["10M"], True])
def test_a_limit_that_is_not_certain_keeps_the_job_out(written: Any) -> None:
    found = one(settings={"bandwidth_limit": written})
    assert (found.jobs, found.refused) == ((), 1)
    whole, setting = faults(found)
    assert whole == "jobs[0]: not imported: “Photos”"
    assert setting.startswith("jobs[0].settings.bandwidth_limit: not taken: ")


@pytest.mark.parametrize(
    ("settings", "verification"),
    [
        ({}, "off"),
        ({"verify": True}, "fast"),
        ({"verify": False}, "off"),
        ({"verification": "Size"}, "fast"),
        ({"verification": "none"}, "off"),
        ({"checksum": True}, "checksum"),
        ({"checksum": False}, "off"),
    ],
)
def test_verifications_by_other_names(settings: dict[str, Any], verification: str) -> None:
    found = one(settings=settings)
    assert (told(found), found.jobs[0].job.verification) == ([], verification)


@pytest.mark.parametrize("lost", [{"filters": ["P *.keep"]}, {"dry_run": True}])
def test_deletion_is_not_switched_on_when_another_setting_was_lost(lost: dict[str, Any]) -> None:
    for where in ({"settings": {"delete": True, **lost}}, {"settings": {"delete": "yes"}, **lost}):
        found = one(**where)
        assert found.jobs[0].job.options.delete_extraneous is False
        assert any("settings.delete: not taken" in text for text in told(found))


def test_what_asks_for_something_unsupported_is_told_why() -> None:
    found = one(settings={"delete_source": True, "extra_args": ["-z"]}, cron="0 3 * * *")
    assert faults(found) == [
        "jobs[0].settings.delete_source: not taken: this version does not delete sources: "
        "they stay",
        "jobs[0].settings.extra_args: not taken: this version accepts no extra arguments",
        "jobs[0].cron: not taken: this version has no schedule",
    ]
    assert len(found.jobs) == 1


def test_two_places_to_copy_to_keep_the_job_out() -> None:
    assert len(one(destination="/mnt/nas/photos").jobs) == 1
    found = one(destination="/elsewhere")
    assert found.jobs == ()
    assert faults(found)[1] == "jobs[0].destination: not taken: “dest” says something else"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200))
def test_any_id_becomes_one_of_ours_and_always_the_same(original: str) -> None:
    first, second = one(id=original), one(id=original, name="Renamed")
    job_id = first.jobs[0].job.id
    assert JOB_ID.match(job_id)
    assert second.jobs[0].job.id == job_id
    if JOB_ID.match(original):
        assert (job_id, told(first)) == (original, [])
    else:
        assert told(first) == [
            f"line 2: jobs[0].id: becomes “{job_id}”: an id has small letters, digits and hyphens"
        ]


def test_ids_that_differ_in_case_alone_stay_apart() -> None:
    found = older({**OLDER, "id": "Photos"}, {**OLDER, "id": "PHOTOS"}, {**OLDER, "id": 12})
    assert len({entry.job.id for entry in found.jobs}) == 3
    assert found.jobs[2].job.id == "12"


def test_a_job_without_an_id_gets_the_same_one_each_time() -> None:
    without = {key: value for key, value in OLDER.items() if key != "id"}
    first, second = older(without, {**without, "source": "/other"}), older(without)
    assert first.jobs[0].job.id == second.jobs[0].job.id
    assert first.jobs[0].job.id.startswith("photos-")
    assert first.jobs[1].job.id != first.jobs[0].job.id
    assert older(without, without).refused == 1


def test_an_export_is_read_back_as_it_was() -> None:
    jobs = [
        a_job("plain", version=7),
        a_job(
            "rich",
            name="22:30 – no 🗄️",
            engine="rclone",
            options={"exclude": ["*.tmp", "# x", "010"], "bandwidth_limit": "1.5M"},
            verification="checksum",
            retry={"max_attempts": 3, "first_delay_seconds": 0.5, "max_delay_seconds": 9},
            tags=["no", "2026-11-23"],
        ),
    ]
    content = export_content(jobs, exported_at="2026-11-24T00:00:00Z")

    assert "22:30 – no 🗄️".encode() in content
    found = read(content)
    assert told(found) == []
    assert [entry.job for entry in found.jobs] == jobs
    assert {entry.state.status for entry in found.jobs} == {JobStatus.PENDING}


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60))
def test_any_name_survives_an_export(name: str) -> None:
    if not name.strip():
        return
    job = a_job(name=name)
    assert [entry.job for entry in read(export_content([job], exported_at="x")).jobs] == [job]


def test_an_export_that_was_cut_off_anywhere_is_refused_as_a_whole() -> None:
    content = export_content([a_job("a"), a_job("b")], exported_at="x")
    for length in range(1, len(content) - len(b"count: 2\n") + 1):
        with pytest.raises(InvalidDocument):
            read(content[:length])


def test_an_empty_export_is_read_back() -> None:
    content = export_content([], exported_at="x")
    assert b"\njobs: []\n" in content
    found = read(content)
    assert (found.jobs, found.remarks, found.refused) == ((), (), 0)


def test_an_export_that_was_edited_is_checked_like_a_job_file() -> None:
    content = export_content([a_job("a"), a_job("b"), a_job("c")], exported_at="x").decode()
    content = content.replace("  source: /srv/photos", "  source: here", 1)
    content = content.replace("id: b\n", "id: b\n    colour: red\n")
    found = read(content)
    assert [entry.job.id for entry in found.jobs] == ["c"]
    lines = content.splitlines()
    for number, text in ((7, "source"), (lines.index("    colour: red") + 1, "colour")):
        assert any(f"line {number}: " in said and text in said for said in told(found))


def test_times_are_taken_in_utc_and_only_possible_ones() -> None:
    content = export_content([a_job("a"), a_job("b")], exported_at="x").decode()
    content = content.replace("'2026-11-23T10:00:00Z'", "2026-11-23T12:00:00+02:00", 2)
    found = read(content.replace("'2026-11-23T10:00:00Z'", "0001-11-23T10:00:00Z"))
    assert [entry.job for entry in found.jobs] == [a_job("a")]
    assert found.jobs[0].job.updated_at.tzinfo is UTC
    assert faults(found) == [
        "jobs[1]: not imported: “Photos”",
        "jobs[1].created_at: not taken: there is no such time",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("- a\n", "not a mapping"),
        ("settings: {}\n", "holds no `jobs:`"),
        ("jobs: text\n", "neither a list nor a mapping"),
        ("jobs: [\n", "is not valid YAML at line"),
        ("jobs: &a [*a]\n", "anchor"),
        ("format: 2\njobs: []\ncount: 0\n", "is not of format 1"),
        ("format: 1\njobs: []\n", "is cut off: its last line, count, is missing"),
        ("jobs:\n  a: {}\n  a: {}\n", "has the key 'a' twice at line 3"),
    ],
)
def test_a_file_of_another_kind_is_refused_as_a_whole(text: str, reason: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        read(text)
    assert reason in caught.value.reason


def test_what_a_terminal_would_obey_is_escaped_and_nothing_is_told_at_length() -> None:
    found = read(
        b'jobs:\n- "\\x1b[31m": 1\n  ' + b"k" * 900 + b": 2\n  source: " + b"h" * 3000 + b":/a\n"
    )
    for text in told(found):
        assert "\x1b" not in text
        assert len(text) < 1000
    assert "\\x1b[31m" in "".join(told(found))
    assert printable("a\tb") == "a\\tb"

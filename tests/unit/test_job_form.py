"""Proves that a form says what it shows: round trips, errors at their fields, conflicts told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tools import Tool
from fastapi_app.job_form import (
    NEW_JOB,
    ConflictRow,
    EngineChoice,
    conflict_between,
    definition_of,
    engine_choices,
    errors_by_field,
    posted_locations,
    posted_values,
    values_of,
)
from fastapi_app.location_fields import KINDS, LocationFields, fields_of, posted_location
from models.errors import FieldFault
from models.job import Job, JobDefinition
from models.location import location_fault
from tests.fakes.builders import a_job

FULL = a_job(
    name="Grüße <b>",
    engine="rclone",
    verification="checksum",
    options={
        "exclude": ["*.tmp", "/cache/***"],
        "include": ["keep me"],
        "bandwidth_limit": "10M",
        "delete_extraneous": True,
        "max_delete": 0,
    },
    retry={"max_attempts": 3},
    tags=["home"],
)

RSYNC = a_job(
    source="/mnt/data/photos",
    destination="ssh://user@nas/photos",
    options={
        "hard_links": True,
        "acls": True,
        "xattrs": True,
        "ssh_identity": "/keys/id",
        "ssh_host_keys": "accept_new",
        "timeout_seconds": 30,
        "keep_replaced": True,
        "extra_args": ["--sparse", "--fuzzy"],
        "source_marker": ".marker",
        "source_mount": "/mnt/data",
    },
    monitoring={"success_within_seconds": 90_000, "ping": "ping-photos"},
    retry={"max_attempts": 2, "first_delay_seconds": 0.5, "max_delay_seconds": 90},
    tags=["one, with a comma", "two"],
)
RCLONE = a_job(
    engine="rclone",
    verification="checksum",
    options={"transfers": 8, "checkers": 16, "credential": "own", "destination_mount": "/mnt/nas"},
    source_deletion={
        "enabled": True,
        "mode": "per_file",
        "delete_empty_directories": True,
        "trash_days": 7,
    },
)


@pytest.mark.parametrize(
    "job", [a_job(), FULL, RSYNC, RCLONE], ids=["plain", "full", "rsync", "rclone"]
)
def test_a_form_sent_back_unchanged_is_the_same_definition(job: Job) -> None:
    definition = definition_of(values_of(job), job)
    stored = JobDefinition.model_validate(
        job.model_dump(exclude={"id", "version", "created_at", "updated_at"})
    )
    assert JobDefinition.model_validate(definition) == stored
    assert conflict_between(job, values_of(job)).rows == ()


def test_every_field_of_the_form_is_a_text() -> None:
    assert set(values_of(FULL)) == set(NEW_JOB)
    assert values_of(FULL)["exclude"] == "*.tmp\n/cache/***"
    assert values_of(FULL)["delete_extraneous"] == "on"
    assert values_of(FULL)["max_delete"] == "0"
    assert values_of(a_job())["max_delete"] == ""


def test_what_the_form_does_not_show_is_kept() -> None:
    definition = definition_of(values_of(FULL) | {"name": "New"}, FULL)
    assert (definition["name"], definition["tags"]) == ("New", ["home"])
    assert definition["retry"]["max_attempts"] == 3
    assert definition_of(values_of(FULL), None)["tags"] == ["home"]


def test_a_browsers_line_ends_and_empty_lines() -> None:
    values = {**NEW_JOB, "exclude": " *.tmp \r\n\r\n/cache\r\n", "bandwidth_limit": "  "}
    options = definition_of(values, None)["options"]
    assert options["exclude"] == ["*.tmp", "/cache"]
    assert (options["bandwidth_limit"], options["max_delete"]) == (None, None)
    assert options["delete_extraneous"] is False


def test_posted_values_are_what_was_typed() -> None:
    posted = posted_values({"name": " <b> ", "surprise": "x", "version": "3"})
    assert posted["name"] == " <b> "
    assert set(posted) == set(NEW_JOB)


@given(st.dictionaries(st.sampled_from(sorted(NEW_JOB)), st.text(max_size=20)))
def test_whatever_is_typed_is_a_definition_or_has_faults(typed: dict[str, str]) -> None:
    definition = definition_of(posted_values(typed), None)
    assert definition["name"] == typed.get("name", "")
    assert all(line.strip() for line in definition["options"]["exclude"])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FieldFault("name", "Bad."), {"name": ("Bad.",)}),
        (FieldFault("options.exclude", "Bad."), {"exclude": ("Bad.",)}),
        (FieldFault("options.exclude.0", "Bad."), {"exclude": ("Bad.",)}),
        (FieldFault("options.bandwidth_limit", "Bad."), {"bandwidth_limit": ("Bad.",)}),
        (FieldFault("options.max_delete", "Bad."), {"max_delete": ("Bad.",)}),
        (FieldFault("retry.max_attempts", "Bad."), {"retry_max_attempts": ("Bad.",)}),
        (FieldFault("surprise", "Bad."), {"": ("surprise: Bad.",)}),
    ],
)
def test_an_error_stands_at_its_field(
    fault: FieldFault, expected: dict[str, tuple[str, ...]]
) -> None:
    assert errors_by_field([fault]) == expected


def test_all_errors_of_a_field_are_kept_in_order() -> None:
    faults = [FieldFault("source", "One."), FieldFault("name", "Two."), FieldFault("source", "3.")]
    assert errors_by_field(faults) == {"source": ("One.", "3."), "name": ("Two.",)}


def test_a_conflict_shows_what_differs_and_nothing_else() -> None:
    yours = values_of(FULL) | {
        "name": "Mine",
        "exclude": "*.tmp\r\n/cache/***\r\n",
        "max_delete": "",
        "source": f" {FULL.source} ",
    }
    assert conflict_between(FULL, yours).rows == (
        ConflictRow("Name", "Grüße <b>", "Mine"),
        ConflictRow("Max delete", "0", ""),
    )


def test_options_of_the_other_engine_are_left_out() -> None:
    values = {**NEW_JOB, "hard_links": "on", "transfers": "4"}
    of_rsync = definition_of(values, None)
    assert of_rsync["options"]["hard_links"] is True
    assert "transfers" not in of_rsync["options"]
    of_rclone = definition_of({**values, "engine": "rclone"}, None)
    assert of_rclone["options"]["transfers"] == "4"
    assert "hard_links" not in of_rclone["options"]


def test_what_was_not_posted_stays_and_a_box_that_was_shown_unticked_is_off() -> None:
    posted = {name: text for name, text in values_of(RCLONE).items() if name in {"name", "engine"}}
    assert posted_values(posted, values_of(RCLONE)) == values_of(RCLONE)
    shown = posted | {"source_deletion_enabled_shown": "1", "hard_links": "on"}
    assert posted_values(shown, values_of(RCLONE)) == values_of(RCLONE) | {
        "source_deletion_enabled": "",
        "hard_links": "on",
    }
    assert posted_locations(posted) == {}


def test_how_sources_are_deleted_is_kept_while_they_are_not_and_no_fault_then() -> None:
    values = values_of(RCLONE) | {
        "source_deletion_enabled": "",
        "source_deletion_mode": "never",
        "source_deletion_trash_days": "many",
    }
    definition = JobDefinition.model_validate(definition_of(values, RCLONE))
    assert definition.source_deletion == RCLONE.source_deletion.model_copy(
        update={"enabled": False}
    )


LOCATIONS = {
    "/srv/photos": LocationFields(path="/srv/photos"),
    "/a:b/ssh://c": LocationFields(path="/a:b/ssh://c"),
    "ssh://nas/srv": LocationFields("ssh", "/srv", host="nas"),
    "ssh://me@[::1]:2222/": LocationFields("ssh", "/", "me", "[::1]", "2222"),
    "rsync://nas/photos": LocationFields("rsync", host="nas", module="photos"),
    "rsync://nas:8730/photos/a b": LocationFields(
        "rsync", "a b", host="nas", port="8730", module="photos"
    ),
    "rclone://cloud/": LocationFields("rclone", remote="cloud"),
    "rclone://cloud//abs/x": LocationFields("rclone", "/abs/x", remote="cloud"),
    "rclone://my cloud/bucket/x": LocationFields("rclone", "bucket/x", remote="my cloud"),
}


@pytest.mark.parametrize(("location", "fields"), LOCATIONS.items(), ids=list(LOCATIONS))
def test_a_location_is_taken_apart_and_put_together(location: str, fields: LocationFields) -> None:
    assert location_fault(location) is None or fields.kind == "local"
    assert fields_of(location) == fields
    posted = {f"source_{part}": text for part, text in fields._asdict().items()}
    if fields.kind == "local":
        posted["source"] = fields.path
    assert posted_location(posted, "source") == (location, fields)


@given(st.text(max_size=40), st.sampled_from([kind for kind, _ in KINDS]))
def test_whatever_is_typed_as_a_location_is_shown_again(text: str, kind: str) -> None:
    posted = {"source": text, "source_kind": kind, "source_host": text, "source_path": text}
    location, fields = posted_location(posted, "source")
    assert fields.kind == kind
    assert fields.path.strip() == text.strip()
    fields_of(location)
    assert posted_location({"source": text}, "source")[0] == text


def test_an_engine_that_is_missing_says_what_to_do() -> None:
    tools = [
        Tool("rsync", "/usr/bin/rsync", "3.5.0", "Install."),
        Tool("rclone", None, None, "Do."),
    ]
    assert engine_choices(tools) == (
        EngineChoice("rsync", available=True, version="3.5.0", hint=None),
        EngineChoice("rclone", available=False, version=None, hint="Do."),
    )

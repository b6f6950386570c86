"""Proves what a job definition accepts and refuses, in which words and at which fields."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from models.errors import FieldFault
from models.job import MAX_FAULTS, Job, JobDefinition, faults_of
from models.job_options import JobOptions, parse_rate
from models.location import control_character, location_fault
from tests.fakes.builders import a_definition, a_job


def faults(**fields: Any) -> tuple[FieldFault, ...]:
    """Return what is wrong with a definition that has these fields; fails when nothing is."""
    with pytest.raises(ValidationError) as caught:
        JobDefinition.model_validate(a_definition(**fields))
    return faults_of(caught.value)


GOOD_NAMES = [
    "Photos",
    "<b>Photos</b> & \"more\" 'quotes'",
    "🚢 Grüße 日本語",
    "تصاوير العائلة",
    "a" * 120,
    "-rf",
    "22:30",
    "no",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_good_name_is_kept_as_typed(name: str) -> None:
    assert JobDefinition.model_validate(a_definition(name=name)).name == name


def test_space_around_a_name_goes() -> None:
    assert JobDefinition.model_validate(a_definition(name="  Photos ")).name == "Photos"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", "Give the job a name."),
        ("   ", "Give the job a name."),
        ("a" * 121, "at most 120 characters"),
        ("a\nb", "control character \\n"),
        ("a\x1b[31mb", "control character \\x1b"),
        ("a\x00b", "control character \\x00"),
        ("a\x85b", "control character \\x85"),
        ("a\udcffb", "control character \\udcff"),
    ],
)
def test_a_bad_name_is_refused(name: str, part: str) -> None:
    (fault,) = faults(name=name)
    assert fault.field == "name"
    assert part in fault.message


GOOD_LOCATIONS = ["/", "/a", "/a/b:c", "/host:path", "/a b", "/-x", "/~", "/ü/日本", "/a//b/..c/"]
BAD_LOCATIONS = [
    ("", "absolute path such as /srv/photos"),
    ("   ", "absolute path such as /srv/photos"),
    ("photos", "relative path"),
    ("./photos", "relative path"),
    ("../photos", "relative path"),
    ("/a//b/../c/", "“..”"),
    ("/a/..", "“..”"),
    ("a/b:c", "relative path"),
    ("~", "“~” is not expanded"),
    ("~/photos", "“~” is not expanded"),
    ("~ada/photos", "“~” is not expanded"),
    ("-x", "must not begin with “-”"),
    ("--rsh=sh -c evil", "must not begin with “-”"),
    ("host:path", "ssh://host/path"),
    ("host:/path", "ssh://host/path"),
    ("user@host:path", "ssh://user@host/path"),
    ("host::module/path", "rsync://host/module/path"),
    ("ada@host::module", "rsync://host/module"),
    ("[::1]:path", "ssh://[::1]/path"),
    ("C:\\photos", "looks like a remote location"),
    ("RSYNC://host/module", "rsync://host/module/path, in small letters"),
    ("rsync:/host/module", "rsync://host/module/path, in small letters"),
    ("SSH://host/path", "ssh://user@host/path, in small letters"),
    ("rclone:/remote/path", "rclone://remote-name/path, in small letters"),
    ("/a\nb", "control character \\n"),
    ("/a\x00b", "control character \\x00"),
    ("/a\udcff", "control character \\udcff"),
]


@pytest.mark.parametrize("location", GOOD_LOCATIONS)
def test_a_good_location(location: str) -> None:
    assert location_fault(location) is None


@pytest.mark.parametrize(("location", "part"), BAD_LOCATIONS)
def test_a_bad_location_is_refused_with_the_right_form(location: str, part: str) -> None:
    assert part in str(location_fault(location))


@pytest.mark.parametrize("field", ["source", "destination"])
def test_a_bad_location_is_a_fault_of_its_field(field: str) -> None:
    # Braces once more: the message goes through a template.
    (fault,) = faults(**{field: "host:{path}"})
    assert fault.field == field
    assert "ssh://host/{path}" in fault.message


DAEMON = "rsync://nas.lan/backup/photos"


@pytest.mark.parametrize("fields", [{"source": DAEMON}, {"destination": DAEMON}])
def test_a_daemon_is_for_the_engine_rsync(fields: dict[str, str]) -> None:
    definition = JobDefinition.model_validate(a_definition(**fields))
    assert DAEMON in {definition.source, definition.destination}
    (fault,) = faults(engine="rclone", **fields)
    assert fault.field == next(iter(fields))
    assert "Choose the engine rsync for this location" in fault.message


def test_two_daemons_are_refused_at_the_destination() -> None:
    (fault,) = faults(source=DAEMON, destination="rsync://other/backup")
    assert fault.field == "destination"
    assert "one of the two locations must be a local path" in fault.message


def test_what_is_wrong_with_a_daemons_url_is_a_fault_of_its_field() -> None:
    found = faults(engine="tar", source="rsync://host", destination="rsync://host/m/{0}*")
    assert [fault.field for fault in found] == ["engine", "source", "destination"]
    assert "rsync://host/module/path" in found[1].message


def test_control_character_names_the_first() -> None:
    assert control_character("a\tb\n") == "\\t"
    assert control_character("plain 🚢 \u202e") is None


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("500K", 512_000),
        ("500k", 512_000),
        (" 10M ", 10 * 1024**2),
        ("1.5M", 1_572_864),
        ("1G", 1024**3),
        ("1T", 1024**4),
        ("1024", 1024),
        ("1K", 1024),
    ],
)
def test_a_rate(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["1", "0", "1023", "0K", "0.5K"])
def test_a_rate_below_the_smallest_step_is_refused(text: str) -> None:
    (fault,) = faults(options={"bandwidth_limit": text})
    assert fault == FieldFault(
        "options.bandwidth_limit", "The smallest limit is 1K (1,024 bytes per second)."
    )


@pytest.mark.parametrize(
    "text", ["-5K", "fast", "10 M", "10MB", "1e6", "K", "10M;ls", "1..5M", "9" * 13, "--help"]
)
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    (fault,) = faults(options={"bandwidth_limit": text})
    assert fault.field == "options.bandwidth_limit"
    assert "such as 500K or 10M" in fault.message


@pytest.mark.parametrize("value", [True, 1.5, [], {}])
def test_a_rate_of_another_type_is_refused(value: object) -> None:
    (fault,) = faults(options={"bandwidth_limit": value})
    assert fault.field == "options.bandwidth_limit"


@pytest.mark.parametrize(("value", "kept"), [(None, None), ("", None), (" ", None), (2048, "2048")])
def test_no_rate_and_a_plain_number(value: object, kept: str | None) -> None:
    options = JobOptions.model_validate({"bandwidth_limit": value})
    assert options.bandwidth_limit == kept
    assert options.bytes_per_second == (2048 if kept else None)


@pytest.mark.parametrize("field", ["exclude", "include"])
@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("", "must not be empty"),
        (" ", "must not be empty"),
        ("a\nb", "control character \\n"),
        ("!", "is a filter rule"),
        ("+ secret", "is a filter rule"),
        ("- secret", "is a filter rule"),
    ],
)
def test_a_bad_pattern_is_refused(field: str, pattern: str, part: str) -> None:
    (fault,) = faults(options={field: ["*.tmp", pattern]})
    assert fault.field == f"options.{field}"
    assert part in fault.message


def test_good_patterns_keep_their_order() -> None:
    patterns = ["*.tmp", "/cache/***", "--delete", "-x", "+x", "a b", "[a-z]*", "ü"]
    assert JobOptions.model_validate({"exclude": patterns}).exclude == tuple(patterns)


def test_too_many_patterns_are_refused() -> None:
    assert faults(options={"exclude": ["a"] * 1001})[0].field == "options.exclude"


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"engine": "tar"}, "engine", "There is no engine “tar”. Choose one of: rsync, rclone."),
        ({"verification": "often"}, "verification", "checksum"),
        ({"options": {"max_delete": -1}}, "options.max_delete", "greater than or equal to 0"),
        ({"options": {"max_delete": "many"}}, "options.max_delete", "a whole number"),
        ({"options": {"colour": "red"}}, "options.colour", "There is no such field."),
        ({"options": {"extra_args": ["--rsh=x"]}}, "options.extra_args", "“--rsh=x” is not among"),
        ({"options": {"transfers": 4}}, "options.transfers", "rsync has no such option"),
        (
            {"source_deletion": {"enabled": True}},
            "source_deletion.enabled",
            "choose the verification",
        ),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts", "greater than or equal to 1"),
        ({"tags": ["a\tb"]}, "tags", "no control characters"),
        ({"name": 7}, "name", "This must be text."),
        ({"name": None}, "name", "This must be text."),
        ({"surprise": 1}, "surprise", "There is no such field."),
    ],
)
def test_another_bad_field(fields: dict[str, Any], field: str, part: str) -> None:
    (fault,) = faults(**fields)
    assert fault.field == field
    assert part in fault.message


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = faults(
        name="",
        engine="tar",
        source="photos",
        destination="host:path",
        options={"bandwidth_limit": "fast", "exclude": [""]},
    )
    assert [fault.field for fault in found] == [
        "name",
        "engine",
        "source",
        "destination",
        "options.exclude",
        "options.bandwidth_limit",
    ]
    assert all(fault.message.strip() for fault in found)
    assert not any("Value error" in fault.message for fault in found)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        JobDefinition.model_validate({})
    assert faults_of(caught.value) == tuple(
        FieldFault(field, "This field is required.")
        for field in ("name", "engine", "source", "destination")
    )


def test_a_definition_that_is_no_object_is_a_fault_of_the_job() -> None:
    with pytest.raises(ValidationError) as caught:
        JobDefinition.model_validate([])
    assert [fault.field for fault in faults_of(caught.value)] == ["job"]


def test_the_number_of_faults_is_bounded() -> None:
    assert len(faults(**{f"surprise{number}": 1 for number in range(500)})) == MAX_FAULTS


def test_a_job_is_frozen_and_comes_back_from_its_json() -> None:
    job = a_job(tags=["home"], options={"exclude": ["*.tmp"], "bandwidth_limit": "10m"})
    document = {"format": 1, **job.model_dump(mode="json")}
    assert document["created_at"] == "2026-11-23T10:00:00Z"
    assert document["options"]["bandwidth_limit"] == "10M"
    assert Job.model_validate(document) == job
    with pytest.raises(ValidationError):
        job.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("job_id", ["", "-a", "A", "a/b", "../a", "a" * 65, "a.yaml", "ä", "a\n"])
def test_a_job_id_that_is_no_plain_file_name_is_refused(job_id: str) -> None:
    with pytest.raises(ValidationError):
        a_job(job_id)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-11-23T12:00:00+02:00", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:00:00", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:00:00.75Z", "2026-11-23T10:00:00Z"),
    ],
)
def test_times_are_kept_in_utc(written: str, kept: str) -> None:
    document = a_job().model_dump(mode="json") | {"created_at": written}
    assert Job.model_validate(document).model_dump(mode="json")["created_at"] == kept


def test_a_time_that_does_not_exist_is_a_fault() -> None:
    document = a_job().model_dump(mode="json") | {"created_at": "0001-01-01T00:00:00+02:00"}
    with pytest.raises(ValidationError, match="There is no such time"):
        Job.model_validate(document)

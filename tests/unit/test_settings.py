"""Proves which setting counts, which values each may have, and that one table tells all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.setting_facts import AT_START, SAVED, checked
from models.settings import SavedSettings, Settings

BAD_HOSTS = ("https://a", "a:80", "a/b", "a b", "*.a", "-a", "a..b", "müller.example", "a\0", "<b>")


def test_the_environment_goes_before_what_is_saved_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LONGSHORE_MAX_CONCURRENT_RUNS", "7")
    monkeypatch.setenv("LONGSHORE_ALLOWED_HOSTS", "Nas.Example , backup.example,")
    given = Settings()

    now = given.with_saved(SavedSettings(max_concurrent_runs=9, kept_runs_per_job=3))

    assert {"max_concurrent_runs", "allowed_hosts"} <= given.model_fields_set
    assert (now.max_concurrent_runs, now.kept_runs_per_job, now.kept_run_days) == (7, 3, 90)
    assert now.extra_hosts == {"nas.example", "backup.example"}
    assert given.kept_runs_per_job == 50


def test_what_is_saved_cannot_decide_what_is_decided_at_the_start() -> None:
    _, faults = checked({"port": 80, "data_dir": "/", "user_header": "X"})
    told = {fault.field: fault.message for fault in faults}
    assert told == dict.fromkeys(("port", "data_dir", "user_header"), "There is no such setting.")
    assert AT_START.keys() == {
        *("data_dir", "host", "port", "root_path"),
        *("trusted_proxies", "open_behind_proxy", "user_header", "metrics_readers"),
        *("log_format", "log_level", "access_log"),
    }


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("max_concurrent_runs", (1, "4", " 1000 "), (0, 1001, True, 1.5, "٣", None, "9" * 5000)),
        ("stop_grace_seconds", (0.1, "3600"), (0, -1, 3601, "nan", "1e400", "2,5", True, [])),
        ("kept_runs_per_job", (1, 10_000), (0, 10_001, "many", {}, False)),
        ("kept_run_days", (0.5, 36_500), (0, 36_501, float("inf"), "")),
        ("kept_errors", (100, 100_000), (99, 100_001, "all", 100.5, True)),
        ("kept_error_days", (0.5, 36_500), (0, 36_501, "nan", None)),
        ("kept_audit_days", (30, 36_500), (29.9, 36_501, "nan", None)),
        ("max_log_megabytes", (0.1, 10_000), (0.09, 10_001, "20 MB")),
        ("metrics_max_jobs", (0, "100000"), (-1, 100_001, "all", True)),
        ("resume_interrupted", (True, "false"), ("maybe", 2, None, [])),
        (
            "rclone_config",
            (None, "", "/etc/rclone.conf", "/tmp/a b"),
            ("rclone.conf", "~/x", 5, ["/x"], "/a\0b", "/a\nb", "/\udcff", "/" + "x" * 4096),
        ),
        (
            "allowed_hosts",
            (
                "",
                None,
                "nas",
                "a.example,B.Example.",
                ["a", "b"],
                "under_score",
                "10.0.0.1",
                "::1, [fe80::1]",
            ),
            (*BAD_HOSTS, 5, {"a": 1}, ["a", 5], ",".join(f"h{n}" for n in range(101))),
        ),
    ],
)
def test_bounds(name: str, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    for value in good:
        assert checked({name: value})[1] == (), value
    for value in bad:
        valid, (fault,) = checked({name: value})
        assert valid == SavedSettings()
        assert fault.field == name, value
        assert fault.message.endswith("."), value
        fault.message.encode("utf-8")


def test_every_fault_is_told_at_once() -> None:
    values = dict.fromkeys(SAVED, object()) | {"nonsense\udcff": 1}
    _, faults = checked(values)
    assert [fault.field for fault in faults] == [*SAVED, "nonsense\\udcff"]


def test_the_table_tells_all_of_each_setting() -> None:
    for facts in (*SAVED.values(), *AT_START.values()):
        assert facts.title, facts.name
        assert facts.description.endswith("."), facts.name
        assert facts.section, facts.name
        assert bool(facts.effect) == facts.can_be_saved, facts.name
        if facts.kind in {"whole", "number"}:
            assert facts.bounds, facts.name
    assert SAVED["stop_grace_seconds"].bounds == "above 0 and up to 3,600"
    assert SAVED["max_log_megabytes"].bounds == "0.1 to 10,000"
    assert SAVED["max_concurrent_runs"].variable == "LONGSHORE_MAX_CONCURRENT_RUNS"


def test_paths_are_kept_as_they_are() -> None:
    assert SavedSettings(rclone_config=Path("/a/b")).rclone_config == Path("/a/b")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("", ""),
        (" : ", ""),
        ("/srv/photos/: /mnt//backup :/srv/photos", "/srv/photos:/mnt/backup"),
        (["/srv", "/mnt/x y"], "/srv:/mnt/x y"),
        ("//srv", "/srv"),
        ("/", "/"),
    ],
)
def test_allowed_folders_are_kept_in_one_spelling(written: object, kept: str) -> None:
    settings = SavedSettings.model_validate({"allowed_roots": written})
    assert settings.allowed_roots == kept
    assert settings.root_folders == tuple(part for part in kept.split(":") if part)


@pytest.mark.parametrize(
    "written",
    [
        "srv",
        "~/x",
        "/srv/../etc",
        "/a:b",
        "/a\0b",
        "/a\nb",
        ["/a:/b"],
        3,
        [3],
        "/" + "x" * 5000,
        ":".join(f"/{number}" for number in range(101)),
    ],
)
def test_what_is_no_list_of_absolute_folders_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        SavedSettings.model_validate({"allowed_roots": written})

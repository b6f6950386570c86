"""Proves what rclone is called with beyond what both engines have in common: remotes and their
configuration, what is kept, what is left out, some files alone, and what reaches it of passwords.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import ScannedTotals
from core.engines.rclone import RcloneEngine
from core.engines.rclone_output import RcloneOutput
from models.location import location_fault
from models.run_spec import PASSWORD_VARIABLE
from tests.fakes.builders import a_spec

ENGINE = RcloneEngine()


def calls(*, is_directory: bool = True, **fields: Any) -> dict[str, list[str]]:
    """Return the calls of a run."""
    spec = a_spec(**{"engine": "rclone", **fields})
    return {
        "transfer": ENGINE.build_argv(spec, "/bin/rclone", is_directory=is_directory),
        "scan": ENGINE.build_scan_argv(spec, "/bin/rclone", is_directory=is_directory),
        "verify": ENGINE.build_verify_argv(spec, "/bin/rclone", is_directory=is_directory),
    }


@pytest.mark.parametrize(
    ("location", "argument"),
    [
        ("rclone://nas/photos/2026", "nas:photos/2026"),
        ("rclone://nas/", "nas:"),
        ("rclone://nas", "nas:"),
        ("rclone://nas//srv/photos", "nas:/srv/photos"),
        ("rclone://a b/with:colon,and=more", "a b:with:colon,and=more"),
        ("rclone://nas/-rf", "nas:-rf"),
    ],
)
def test_a_remote_is_named_as_rclone_names_it(location: str, argument: str) -> None:
    for name, argv in calls(source=location).items():
        assert argv[argv.index("--") + 1] == argument, name
    assert calls(destination=location)["transfer"][-1] == argument


@pytest.mark.parametrize(
    "location",
    [
        "rclone://",
        "rclone://:sftp,host=evil:/x",
        "rclone://:local:/etc",
        "rclone://nas,password_command=evil/x",
        'rclone://nas,a="b"/x',
        "rclone://nas:/x",
        "rclone://-v/x",
        "rclone://nas/../x",
    ],
)
def test_what_is_more_than_a_name_is_no_location(location: str) -> None:
    assert location_fault(location) is not None


def test_the_configuration_is_read_for_remotes_alone_and_asks_nobody() -> None:
    remote: dict[str, Any] = {"destination": "rclone://nas/x"}
    for argv in calls(**remote, rclone_config="/etc/rclone.conf").values():
        assert "--config=/etc/rclone.conf" in argv
        assert {"--ask-password=false", "--password-command="} <= set(argv)
    for argv in calls(**remote).values():
        assert not any(argument.startswith("--config") for argument in argv)
    for argv in calls(rclone_config="/etc/rclone.conf").values():
        assert "--config=" in argv


def test_of_the_environment_only_the_one_password_reaches_rclone() -> None:
    inherited = {
        "PATH": "/bin",
        "RCLONE_CONFIG_PASS": "theirs",
        "RCLONE_CONFIG_NAS_TYPE": "local",
        "RCLONE_PASSWORD_COMMAND": "touch canary",
        "rclone_config_evil_type": "local",
        PASSWORD_VARIABLE: "ours",
    }
    assert ENGINE.environment(inherited) == {
        "PATH": "/bin",
        "RCLONE_CONFIG_PASS": "ours",
        "LC_ALL": "C",
    }
    assert "RCLONE_CONFIG_PASS" not in ENGINE.environment({PASSWORD_VARIABLE: ""})


@pytest.mark.parametrize(
    ("destination", "folder"),
    [
        ("/mnt/nas", "/mnt/nas/.longshore-kept/now"),
        ("/mnt/nas/", "/mnt/nas/.longshore-kept/now"),
        ("rclone://nas/x", "nas:x/.longshore-kept/now"),
        ("rclone://nas/", "nas:.longshore-kept/now"),
    ],
)
def test_what_is_replaced_is_kept_at_the_destination(destination: str, folder: str) -> None:
    found = calls(destination=destination, keep_replaced_in=".longshore-kept/now")
    assert f"--backup-dir={folder}" in found["transfer"]
    for name in ("scan", "verify"):
        assert not any(argument.startswith("--backup-dir") for argument in found[name])


def test_our_own_folders_are_left_out_whatever_is_included() -> None:
    own = [
        f"--filter=- {name}{end}"
        for name in ("/.longshore-kept", "/.longshore-trash", ".longshore-partial")
        for end in ("/**", "", ".rclonelink")
    ]
    for argv in calls(include=("**",)).values():
        filters = [argument for argument in argv if argument.startswith("--filter")]
        assert filters == [*own, "--filter=+ **"]
    for argv in calls(is_directory=False, exclude=("*.iso",)).values():
        assert not any(argument.startswith("--filter") for argument in argv)


def test_options_of_rclone_alone() -> None:
    fields: dict[str, Any] = {
        "transfers": 2,
        "checkers": 3,
        "timeout_seconds": 90,
        "source": "rclone://nas/x",
    }
    for argv in calls(**fields).values():
        assert {"--transfers=2", "--checkers=3", "--timeout=90s", "--contimeout=15s"} <= set(argv)
    for argv in calls().values():
        begun = {argument.partition("=")[0] for argument in argv}
        assert not begun & {"--transfers", "--checkers", "--timeout", "--contimeout"}


def test_extra_arguments_stand_where_they_matter() -> None:
    extra = ("--max-size=1G", "--buffer-size=1M", "--size-only")
    found = calls(extra_args=extra, verification="checksum")
    assert set(extra) <= set(found["transfer"])
    assert "--max-size=1G" in found["scan"]
    assert "--buffer-size=1M" not in found["scan"]
    assert "--max-size=1G" in found["verify"]
    assert "--size-only" not in found["verify"], "that would compare sizes instead of contents"
    for argv in calls(extra_args=("--copy-links",)).values():
        assert "--links" not in argv


def test_some_files_alone_delete_nothing_and_take_no_filters() -> None:
    only: dict[str, Any] = {"only_files_path": "/run/only-files", "exclude": ("x",)}
    only["delete_extraneous"] = True
    found = calls(**only)
    assert found["transfer"][1] == "copy"
    for argv in found.values():
        assert "--files-from-raw=/run/only-files-of-rclone" in argv
        assert not any(argument.startswith(("--filter", "--max-delete")) for argument in argv)


@pytest.mark.parametrize("reads_back", [False, True])
def test_contents_are_read_back_when_asked_for(reads_back: bool) -> None:
    spec = a_spec(engine="rclone", verification="checksum", destination="rclone://nas/x")
    argv = ENGINE.build_verify_argv(spec, "/bin/rclone", is_directory=True, reads_back=reads_back)
    assert ("--download" in argv) == reads_back


def test_a_link_as_the_source_has_the_name_that_rclone_gives_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    for name, argument in (("file", "file"), ("link", "link.rclonelink")):
        argv = calls(source=str(tmp_path / name), is_directory=False)["transfer"]
        assert argv[-2] == str(tmp_path / argument)


@pytest.mark.parametrize("is_root", [False, True])
def test_files_of_others_become_ours_where_we_cannot_give_them_away(
    is_root: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    found = calls()["transfer"]
    assert ("--metadata-set=uid=1000" in found) == (not is_root)
    assert "--metadata" in calls(destination="rclone://nas/x")["transfer"]
    assert "--metadata" not in calls(source="rclone://nas/x")["transfer"]


def a_line(**stats: int) -> bytes:
    """Return a reading of rclone's meter."""
    pairs = ",".join(f'"{name}":{value}' for name, value in stats.items())
    return b'{"level":"notice","msg":"","stats":{' + pairs.encode() + b"}}"


@pytest.mark.parametrize(
    ("stats", "done"),
    [
        # 40 of 100 files are compared, and nothing is to be copied.
        ({"checks": 40}, (400, 40)),
        # Each of the ten that are to be copied may be one of those that were compared.
        ({"checks": 50, "totalTransfers": 10, "totalBytes": 100}, (400, 40)),
        (
            {"checks": 100, "totalTransfers": 10, "totalBytes": 100, "transfers": 5, "bytes": 50},
            (950, 95),
        ),
        ({"checks": 50, "totalTransfers": 50, "totalBytes": 500}, (0, 0)),
        # What was sent twice counts once.
        ({"totalTransfers": 100, "totalBytes": 1000, "transfers": 50, "bytes": 1400}, (1000, 50)),
        # More than there is to know of is never done.
        ({"checks": 500}, (1000, 100)),
    ],
)
def test_skipped_files_count_as_done(stats: dict[str, int], done: tuple[int, int]) -> None:
    reader = RcloneOutput(a_spec(engine="rclone"))
    reader.reading.totals = ScannedTotals(files=100, bytes=1000)
    reader.feed([a_line(**stats)])
    assert (reader.reading.bytes_done, reader.reading.files_done) == done


def test_without_totals_no_skipped_bytes_are_made_up() -> None:
    reader = RcloneOutput(a_spec(engine="rclone"))
    reader.feed([a_line(checks=40)])
    assert (reader.reading.bytes_done, reader.reading.files_done) == (0, 0)

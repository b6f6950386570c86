"""Proves what the tools are called with: no value of a job can become an option, and each option
of a job becomes what the tool's manual says. Besides: exit codes, versions and environment."""

from __future__ import annotations

from typing import Any

import pytest

from core.engines.base import Engine, Verdict, too_old
from core.engines.registry import ENGINES
from models.job import ENGINES as ENGINE_NAMES
from tests.fakes.builders import a_spec
from utils.shown_names import shown_name

EVIL = "--rsh=sh -c evil"
BOTH = pytest.mark.parametrize("engine", list(ENGINES.values()), ids=list(ENGINES))


def calls(engine: Engine, *, is_directory: bool = True, **fields: Any) -> dict[str, list[str]]:
    """Return the three calls of a run."""
    spec = a_spec(engine=engine.name, **fields)
    return {
        "transfer": engine.build_argv(spec, "/bin/tool", is_directory=is_directory),
        "scan": engine.build_scan_argv(spec, "/bin/tool", is_directory=is_directory),
        "verify": engine.build_verify_argv(spec, "/bin/tool", is_directory=is_directory),
    }


def transfer(engine: str, **fields: Any) -> list[str]:
    """Return the call of the transfer of a folder."""
    return calls(ENGINES[engine], **fields)["transfer"]


def test_the_registry_has_what_a_definition_may_name() -> None:
    assert set(ENGINES) == set(ENGINE_NAMES)
    assert all(engine.name == name for name, engine in ENGINES.items())


@BOTH
@pytest.mark.parametrize("is_directory", [True, False])
def test_no_value_can_become_an_option(engine: Engine, is_directory: bool) -> None:
    evil = {
        "source": f"/{EVIL}",
        "destination": f"/{EVIL}",
        "exclude": (EVIL, "-x", "--", "+x"),
        "include": (EVIL, "--delete"),
        "bandwidth_limit": 4096,
        "delete_extraneous": True,
        "max_delete": 5,
    }
    harmless = evil | {
        "source": "/s",
        "destination": "/d",
        "exclude": ("e1", "e2", "e3", "e4"),
        "include": ("i1", "i2"),
    }
    for name, argv in calls(engine, is_directory=is_directory, **evil).items():
        plain = calls(engine, is_directory=is_directory, **harmless)[name]
        assert argv[0] == "/bin/tool"
        # The same options, however the values look, and only paths after `--`.
        assert [a.split("=")[0] for a in argv[: argv.index("--")]] == [
            a.split("=")[0] for a in plain[: plain.index("--")]
        ]
        locations = argv[argv.index("--") + 1 :]
        assert len(locations) == (1 if engine.name == "rclone" and name == "scan" else 2)
        assert all(location.startswith("/") for location in locations)
        assert EVIL not in argv
        assert "\0" not in "".join(argv)


@BOTH
@pytest.mark.parametrize(
    ("source", "is_directory", "expected"),
    [
        ("/srv/photos", True, "/srv/photos/"),
        ("/srv/photos/", True, "/srv/photos/"),
        ("/", True, "/"),
        ("/srv/a.iso", False, "/srv/a.iso"),
        ("/a/b:c", True, "/a/b:c/"),
    ],
)
def test_a_folders_contents_or_the_one_file(
    engine: Engine, source: str, is_directory: bool, expected: str
) -> None:
    for argv in calls(engine, source=source, is_directory=is_directory).values():
        assert argv[argv.index("--") + 1] == expected


def test_a_file_goes_into_the_destination() -> None:
    for argv in calls(ENGINES["rsync"], source="/a.iso", is_directory=False).values():
        assert argv[-1] == "/mnt/nas/photos/"


@BOTH
def test_includes_come_before_excludes_in_every_call(engine: Engine) -> None:
    form = {
        "rsync": ["--include=i1", "--include=i2", "--exclude=e1", "--exclude=e2"],
        "rclone": ["--filter=+ i1", "--filter=+ i2", "--filter=- e1", "--filter=- e2"],
    }[engine.name]
    for argv in calls(engine, include=("i1", "i2"), exclude=("e1", "e2")).values():
        first = argv.index(form[0])
        assert argv[first : first + 4] == form


def test_rsync_keeps_partial_files_in_one_place_that_nothing_else_sees() -> None:
    found = calls(ENGINES["rsync"], destination="/d/", delete_extraneous=True)
    assert "--partial-dir=/d/.longshore-partial" in found["transfer"]
    # rsync before 3.5.0 cannot go on from an absolute one.
    resuming = calls(ENGINES["rsync"], destination="/d/", resume=True)
    assert "--partial-dir=.longshore-partial" in resuming["transfer"]
    for argv in (*found.values(), *resuming.values()):
        assert "--exclude=.longshore-partial" in argv
    for name in ("scan", "verify"):
        assert "--dry-run" in found[name]


NETWORK = ["--timeout=20", "--contimeout=10", "--sockopts=SO_KEEPALIVE"]


@pytest.mark.parametrize("field", ["source", "destination"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_daemon_is_not_waited_for_for_ever_and_keeps_partial_files_itself(
    field: str, resume: bool
) -> None:
    remote: dict[str, Any] = {field: "rsync://nas/backup/photos/", "resume": resume}
    found = calls(ENGINES["rsync"], **remote)
    for argv in found.values():
        assert [argument for argument in argv if argument in NETWORK] == NETWORK
        assert "rsync://nas/backup/photos/" in argv[-2:]
        assert argv[-3] == "--"
    assert "--partial-dir=.longshore-partial" in found["transfer"]
    # rsync does so by itself through a network, and a daemon's folder is not ours to make.
    assert "--no-whole-file" not in found["transfer"]
    assert ("--mkpath" in found["transfer"]) == (field == "destination")
    # Nobody nods while one large file is hashed.
    deep = calls(ENGINES["rsync"], verification="checksum", **remote)["verify"]
    assert "--timeout=21600" in deep
    assert "--timeout=20" not in deep


def test_between_local_folders_there_is_nothing_to_time_out() -> None:
    for argv in calls(ENGINES["rsync"], verification="checksum", resume=True).values():
        assert not {argument.split("=")[0] for argument in argv} & {
            "--timeout",
            "--contimeout",
            "--sockopts",
            "--mkpath",
        }


@pytest.mark.parametrize(
    ("engine", "limit", "option"),
    [
        ("rsync", 1024, "--bwlimit=1"),
        ("rsync", 512_000, "--bwlimit=500"),
        ("rsync", 1025, "--bwlimit=1"),
        ("rsync", 1, "--bwlimit=1"),
        ("rsync", 10 * 1024**2, "--bwlimit=10240"),
        ("rclone", 512_000, "--bwlimit=512000B"),
        ("rclone", 1024, "--bwlimit=1024B"),
    ],
)
def test_bandwidth_limit(engine: str, limit: int, option: str) -> None:
    argv = transfer(engine, bandwidth_limit=limit)
    assert [a for a in argv if a.startswith("--bwlimit")] == [option]
    assert not any(a.startswith("--bwlimit") for a in transfer(engine))


def test_rsync_compares_with_a_partial_file_only_on_resume() -> None:
    assert "--no-whole-file" in transfer("rsync", resume=True)
    assert "--no-whole-file" not in transfer("rsync", resume=False)


@BOTH
def test_nothing_is_deleted_unless_asked_for(engine: Engine) -> None:
    for argv in calls(engine, max_delete=5).values():
        assert not any("delete" in argument for argument in argv)
        assert "sync" not in argv


def test_deletion() -> None:
    argv = transfer("rsync", delete_extraneous=True, max_delete=0)
    assert "--delete-delay" in argv
    assert "--max-delete=0" in argv
    argv = transfer("rsync", delete_extraneous=True)
    assert not any(a.startswith("--max-delete") for a in argv)
    argv = transfer("rclone", delete_extraneous=True, max_delete=7)
    assert argv[1] == "sync"
    assert "--max-delete=7" in argv
    single = calls(ENGINES["rclone"], is_directory=False, delete_extraneous=True)["transfer"]
    assert single[1] == "copy", "one file does not make the rest extraneous"


RSYNC = ENGINES["rsync"]


def test_rsync_never_copies_special_files() -> None:
    assert {"--no-devices", "--no-specials"} <= {*transfer("rsync")}
    argv = transfer("rsync")
    assert argv.index("--archive") < argv.index("--no-devices"), "the last one counts"
    assert not {"--devices", "--specials", "-D"} & {*calls(RSYNC)["verify"]}


@pytest.mark.parametrize("field", ["hard_links", "acls", "xattrs"])
def test_rsync_keeps_more_attributes_when_asked(field: str) -> None:
    option = f"--{field.replace('_', '-')}"
    assert option in transfer("rsync", **{field: True})
    assert option not in transfer("rsync")


def test_what_is_replaced_is_kept_beside_the_copy_and_never_touched_again() -> None:
    folder = ".longshore-kept/2026-11-23T12-00-00"
    argv = transfer("rsync", keep_replaced_in=folder)
    assert argv[argv.index("--backup") + 1] == f"--backup-dir={folder}"
    assert not any(one.startswith("--backup") for one in transfer("rsync"))
    for found in (calls(RSYNC), calls(RSYNC, keep_replaced_in=folder, include=("*",))):
        for argv in found.values():
            own = [argv.index(f"--exclude=/.longshore-{name}") for name in ("kept", "trash")]
            # The first rule that matches decides.
            assert all(
                at < argv.index(one) for at in own for one in argv if one.startswith("--include")
            )


def test_rsync_looks_at_the_named_files_alone_and_deletes_nothing_then() -> None:
    path = "/data/runs/run-2/only-files"
    for name, argv in calls(RSYNC, only_files_path=path, delete_extraneous=True).items():
        at = argv.index(f"--files-from={path}")
        assert argv[at + 1] == "--from0"
        assert at < argv.index("--")
        assert "--recursive" not in argv, name
        assert not any("delete" in argument for argument in argv)
    # One file is the source itself.
    for argv in calls(RSYNC, is_directory=False, only_files_path=path).values():
        assert not any(argument.startswith("--files-from") for argument in argv)


def test_extra_arguments_stand_behind_our_own_and_those_that_select_in_every_call() -> None:
    extra = ("--max-size=1G", "--numeric-ids", "--update")
    found = calls(RSYNC, extra_args=extra)
    assert found["transfer"][-6:-3] == list(extra)
    for name in ("scan", "verify"):
        assert [one for one in found[name] if one in extra] == ["--max-size=1G", "--update"]


@pytest.mark.parametrize(
    ("engine", "version", "is_usable", "is_noticed"),
    [
        ("rsync", "3.2.2", False, True),
        ("rsync", "3.1.99", False, True),
        ("rsync", "3.2.3", True, True),
        ("rsync", "3.2.7", True, True),
        ("rsync", "3.4.4", True, True),
        ("rsync", "3.5.0", True, False),
        ("rsync", "3.10.0", True, False),
        ("rsync", "4.0", True, False),
        ("rclone", "1.75.0", False, False),
        ("rclone", "1.60.1", False, False),
        ("rclone", "1.75.1", True, False),
        ("rclone", "1.100.0", True, False),
        ("rclone", "2", True, False),
    ],
)
def test_what_a_version_means(engine: str, version: str, is_usable: bool, is_noticed: bool) -> None:
    fault, notice = too_old(ENGINES[engine], version), ENGINES[engine].version_notice(version)
    assert (fault is None) == is_usable
    assert (notice is not None) == is_noticed
    if fault is not None:
        assert f"{engine} {version} is too old: at least" in fault
    if notice is not None:
        assert version in notice
        assert "CVE-2026-53800" in notice


def test_a_password_is_handed_over_by_the_tools_own_variable() -> None:
    given = {"PATH": "/bin", "LONGSHORE_PASSWORD": "a b'c", "RSYNC_PASSWORD": "other"}
    found = RSYNC.environment(given)
    assert found["RSYNC_PASSWORD"] == "a b'c"
    assert "LONGSHORE_PASSWORD" not in found


def test_verification_is_as_deep_as_asked_for() -> None:
    assert "--checksum" in calls(ENGINES["rsync"], verification="checksum")["verify"]
    assert "--checksum" not in calls(ENGINES["rsync"], verification="fast")["verify"]
    assert calls(ENGINES["rclone"], verification="checksum")["verify"][1] == "check"
    assert calls(ENGINES["rclone"], verification="fast")["verify"][1:3] == ["copy", "--dry-run"]


@BOTH
def test_the_environment_holds_nothing_that_changes_the_tool(engine: Engine) -> None:
    inherited = {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_ALL": "de_DE.UTF-8",
        f"{engine.name.upper()}_PARTIAL_DIR": "x",
        f"{engine.name.upper()}_": "x",
        "RCLONE_CONFIG_PASS" if engine.name == "rclone" else "RSYNC_PASSWORD": "of another",
        "SSH_ASKPASS" if engine.name == "rsync" else "RCLONE_PASSWORD_COMMAND": "/bin/evil",
    }
    kept = {"PATH": "/bin", "HOME": "/root", "LC_ALL": "C"}
    # A password that is missing would be asked for at a terminal.
    own = {"rsync": {"RSYNC_PASSWORD": ""}, "rclone": {}}[engine.name]
    assert engine.environment(inherited) == kept | own
    assert inherited["LC_ALL"] == "de_DE.UTF-8"


GOOD, PARTIAL, TRANSIENT, FATAL = Verdict.GOOD, Verdict.PARTIAL, Verdict.TRANSIENT, Verdict.FATAL
EXITS = {
    "rsync": {
        GOOD: [0],
        PARTIAL: [23, 24],
        TRANSIENT: [10, 12, 14, 15, 16, 19, 20, 30, 35, 125, 255, -1, -9, -15],
        FATAL: [1, 2, 3, 4, 5, 6, 11, 13, 21, 22, 25, 7, 99, 124, 126, 127],
    },
    "rclone": {
        GOOD: [0, 9],
        PARTIAL: [1, 4, 6],
        TRANSIENT: [5, -2, -9],
        FATAL: [2, 3, 7, 8, 10, 11, 127],
    },
}


@pytest.mark.parametrize(
    ("engine", "code", "verdict"),
    [(e, code, v) for e, table in EXITS.items() for v, codes in table.items() for code in codes],
)
def test_exit_codes(engine: str, code: int, verdict: Verdict) -> None:
    meaning = ENGINES[engine].classify_exit(code)
    assert meaning.verdict is verdict
    assert meaning.message.endswith((".", "?"))
    if code < 0:
        assert f"signal {-code}" in meaning.message
    if engine == "rclone" and code == 1:
        assert ENGINES[engine].classify_verify_exit(code).verdict is PARTIAL
    else:
        assert ENGINES[engine].classify_verify_exit(code) == meaning


@pytest.mark.parametrize(
    ("engine", "output", "version"),
    [
        ("rsync", "rsync  version 3.5.0  protocol version 32\nCopyright", "3.5.0"),
        ("rsync", "rsync  version v3.2.7  protocol version 31", "3.2.7"),
        ("rsync", "openrsync: protocol version 29", None),
        ("rclone", "rclone v1.75.2\n- os/version: debian", "1.75.2"),
        ("rclone", "rclone v1.76.0-beta.8000", "1.76.0"),
        ("rclone", "bash: rclone: not found", None),
        ("rclone", "", None),
    ],
)
def test_versions(engine: str, output: str, version: str | None) -> None:
    assert ENGINES[engine].parse_version(output) == version


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain.txt", "plain.txt"),
        ("grüße 🚢".encode(), "grüße 🚢"),
        (b"latin\xff", "latin\\xff"),
        (b"\x1b[31m\n\t\x00", "\\x1b[31m\\n\\t\\x00"),
        ("a\u202eb".encode(), "a\\u202eb"),
        ("\u2028".encode(), "\\u2028"),
    ],
)
def test_a_name_is_shown_without_harm(raw: bytes, shown: str) -> None:
    assert shown_name(raw) == shown

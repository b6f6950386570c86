"""Proves which options a job may have, and that no extra argument can make a tool do more than its
list says: neither run a command, nor write elsewhere, nor undo what Longshore itself decides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.engines.registry import ENGINES
from models.extra_args import ALLOWED, extra_argument_fault, selecting
from models.job_options import (
    MAX_PATTERN_CHARACTERS,
    JobOptions,
    option_faults,
    parse_rate,
)
from tests.fakes.builders import a_spec

LOCAL = {"source": "/srv/photos", "destination": "/mnt/nas/photos"}
OVER_SSH = {"source": "/srv/photos", "destination": "ssh://nas/photos"}
ON_DAEMON = {"source": "rsync://nas/photos", "destination": "/mnt/nas/photos"}
ON_REMOTE = {"source": "/srv/photos", "destination": "rclone://nas/photos"}


def faults_of(engine: str, places: dict[str, str], **fields: Any) -> dict[str, str]:
    """Return what is wrong with options, by their names."""
    options = JobOptions.model_validate(fields)
    found = option_faults(options, engine=engine, **places)
    return {fault.name: fault.message for fault in found}


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("ssh_identity", "/home/ada/.ssh/id ed25519", "/home/ada/.ssh/id ed25519"),
        ("ssh_identity", "", None),
        ("ssh_identity", "  ", None),
        ("credential", "nas.daemon-1", "nas.daemon-1"),
        ("credential", "", None),
        ("source_marker", ".this-is-the-nas", ".this-is-the-nas"),
        ("source_mount", "/mnt/usb", "/mnt/usb"),
        ("max_delete", 0, 0),
        ("max_delete", 2**31 - 1, 2**31 - 1),
        ("timeout_seconds", 86_400, 86_400),
        ("transfers", 64, 64),
        ("bandwidth_limit", "1.5m", "1.5M"),
        ("bandwidth_limit", 4096, "4096"),
        ("bandwidth_limit", " ", None),
        ("exclude", ["*.tmp", "/a b/"], ("*.tmp", "/a b/")),
    ],
)
def test_good_values(field: str, value: object, kept: object) -> None:
    assert getattr(JobOptions.model_validate({field: value}), field) == kept


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("ssh_identity", "id_ed25519", "absolute path"),
        ("ssh_identity", "~/.ssh/id", "absolute path"),
        ("ssh_identity", "-oProxyCommand=x", "absolute path"),
        ("ssh_identity", "/a/../b", "“..”"),
        ("ssh_identity", "/a\nb", "control character"),
        ("ssh_identity", "/a%d", "“%”"),
        ("ssh_identity", "/${HOME}", "“$”"),
        ("ssh_identity", '/a"b', '“"”'),
        ("ssh_identity", "/a'b", "“'”"),
        ("ssh_identity", "/a\\b", "“\\”"),
        ("ssh_identity", "/" + "a" * 5000, "absolute path"),
        ("ssh_host_keys", "no", "strict"),
        ("credential", "../x", "letters, digits"),
        ("credential", "-x", "letters, digits"),
        ("credential", "a" * 65, "letters, digits"),
        ("source_marker", "/etc/passwd", "within the source"),
        ("source_marker", "a/../../b", "within the source"),
        ("source_mount", "mnt", "absolute path"),
        ("max_delete", -1, "greater than or equal"),
        ("max_delete", 2**31, "less than or equal"),
        ("timeout_seconds", 0, "greater than or equal"),
        ("transfers", 65, "less than or equal"),
        ("bandwidth_limit", "10X", "Write a rate"),
        ("bandwidth_limit", "1", "smallest limit"),
        ("bandwidth_limit", True, "Write a rate"),
        ("exclude", ["+ *"], "filter rule"),
        ("exclude", ["!"], "filter rule"),
        ("exclude", [" "], "must not be empty"),
        ("exclude", ["a\0b"], "control character"),
        ("exclude", ["x" * (MAX_PATTERN_CHARACTERS + 1)], "at most"),
        ("rsync_path", "sh", "Extra inputs"),
    ],
)
def test_bad_values_are_refused_in_words(field: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        JobOptions.model_validate({field: value})
    assert words in str(raised.value)
    assert raised.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize(
    ("engine", "places", "fields", "faulty"),
    [
        ("rsync", LOCAL, {"hard_links": True, "acls": True, "xattrs": True}, set()),
        ("rsync", LOCAL, {"transfers": 4, "checkers": 8}, {"transfers", "checkers"}),
        ("rclone", LOCAL, {"transfers": 4, "checkers": 8}, set()),
        ("rclone", LOCAL, {"hard_links": True, "acls": True}, {"hard_links", "acls"}),
        ("rclone", ON_REMOTE, {"xattrs": True, "ssh_identity": "/k"}, {"xattrs", "ssh_identity"}),
        ("rsync", OVER_SSH, {"ssh_identity": "/k"}, set()),
        ("rsync", LOCAL, {"ssh_identity": "/k"}, {"ssh_identity"}),
        ("rsync", ON_DAEMON, {"ssh_identity": "/k"}, {"ssh_identity"}),
        ("rsync", ON_DAEMON, {"credential": "nas"}, set()),
        ("rsync", LOCAL, {"credential": "nas"}, {"credential"}),
        ("rsync", OVER_SSH, {"credential": "nas"}, {"credential"}),
        ("rclone", ON_REMOTE, {"credential": "nas"}, set()),
        ("rsync", LOCAL, {"source_mount": "/srv", "destination_mount": "/mnt/nas"}, set()),
        ("rsync", LOCAL, {"source_mount": "/srv/pho"}, {"source_mount"}),
        ("rsync", OVER_SSH, {"destination_mount": "/mnt"}, {"destination_mount"}),
        (
            "rsync",
            ON_DAEMON,
            {"source_marker": "x", "source_mount": "/m"},
            {"source_marker", "source_mount"},
        ),
        ("rsync", LOCAL, {"extra_args": ["--numeric-ids"]}, set()),
        ("rclone", LOCAL, {"extra_args": ["--numeric-ids"]}, {"extra_args"}),
    ],
)
def test_what_goes_with_what(
    engine: str, places: dict[str, str], fields: dict[str, Any], faulty: set[str]
) -> None:
    found = faults_of(engine, places, **fields)
    assert set(found) == faulty
    assert all(message.endswith(".") for message in found.values())


FORBIDDEN = {
    "rsync": [
        "--rsh=sh", "-e", "-e sh", "--rsync-path=evil", "--remote-option=--x", "-M--x",
        "--files-from=/etc/passwd", "--password-file=/etc/shadow", "--log-file=/etc/x",
        "--log-file-format=x", "--write-batch=/x", "--only-write-batch=/x", "--read-batch=/x",
        "--temp-dir=/x", "-T/x", "--partial-dir=/x", "--backup-dir=/x", "--compare-dest=/x",
        "--copy-dest=/x", "--link-dest=/x", "--filter=merge /x", "-f. /x", "--exclude-from=/x",
        "--include-from=/x", "--remove-source-files", "--delete", "--del", "--force", "--inplace",
        "--append", "--suffix=x", "--out-format=x", "--daemon", "--server", "--config=/x",
        "--address=1.2.3.4", "--port=1", "--sockopts=x", "--outbuf=N", "--iconv=x", "--usermap=*:0",
        "--chown=root", "--copy-as=root", "--devices", "-D", "--specials", "--super",
        "--write-devices", "--copy-devices", "--trust-sender", "--old-args", "--no-secluded-args",
        "--no-s", "--stop-after=1", "--dry-run", "-n", "-avz", "--archive", "--", "", " ",
        "--checksum=x", "--max-size", "--max-size=x", "--max-size=1K --rsh=sh", "--max-size 1K",
        "--chmod=u+x;touch y", "--modify-window=-1", "--numeric-ids\n", "\n--numeric-ids",
        "--numeric-ids ", "--NUMERIC-IDS", "--numeric-id", "--max-size=1\n",
    ],
    "rclone": [
        "--config=/x", "--config", "--password-command=sh", "--rc", "--rc-addr=:1", "--log-file=/x",
        "--backup-dir=/x", "--compare-dest=/x", "--copy-dest=/x", "--files-from=/x", "-vv",
        "--filter-from=/x", "--exclude-from=/x", "--sftp-ssh=sh -c x", "--sftp-ask-password",
        "--webdav-bearer-token-command=x", "--metadata-mapper=/bin/sh", "--cache-dir=/x",
        "--temp-dir=/x", "--inplace", "--delete-excluded", "--dry-run", "--local-encoding=None",
        "--s3-chunk-size", "--s3-chunk-size=x", "--max-age=x", "--http-url=http://x",
        "--header=x: y", "--bind=1.2.3.4", "--no-check-certificate", "--", "",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "argument"),
    [(engine, argument) for engine, found in FORBIDDEN.items() for argument in found],
)
def test_whatever_is_not_in_the_list_is_refused_by_its_name(engine: str, argument: str) -> None:
    fault = extra_argument_fault(engine, argument)
    assert fault is not None
    assert f"“{argument}”" in fault
    assert faults_of(engine, LOCAL, extra_args=[argument])["extra_args"] == fault


GOOD_VALUES = {
    "--max-size": "1.5G", "--min-size": "10K", "--modify-window": "2", "--checksum-choice": "xxh3",
    "--compress-choice": "zstd", "--compress-level": "-5", "--block-size": "1024",
    "--chmod": "Du+rwx,Fgo-w,644", "--max-age": "2d", "--min-age": "1h", "--max-depth": "3",
    "--buffer-size": "16M", "--multi-thread-streams": "4", "--multi-thread-cutoff": "64M",
    "--tpslimit": "2.5", "--tpslimit-burst": "3", "--low-level-retries": "5",
    "--s3-chunk-size": "16M", "--s3-upload-concurrency": "4", "--drive-chunk-size": "16M",
    "--b2-chunk-size": "16M", "--onedrive-chunk-size": "16M",
}  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "name"), [(engine, name) for engine, found in ALLOWED.items() for name in found]
)
def test_every_argument_of_the_lists(engine: str, name: str) -> None:
    allowed = ALLOWED[engine][name]
    value = GOOD_VALUES.get(name, "1s")
    argument = f"{name}={value}" if allowed.value else name
    wrong = name if allowed.value else f"{name}=x"
    assert extra_argument_fault(engine, argument) is None
    assert extra_argument_fault(engine, wrong) is not None
    other = next(one for one in ALLOWED if one != engine)
    assert (extra_argument_fault(other, argument) is None) == (name in ALLOWED[other])
    assert selecting(engine, (argument,)) == ([argument] if allowed.selects else [])


NAMES = [*ALLOWED["rsync"], *ALLOWED["rclone"], "--rsh", "--config", "-e", ""]


@example("--max-size=1K\n--rsh=sh")
@given(
    st.builds("{}{}{}".format, st.sampled_from(NAMES), st.sampled_from(["", "=", " "]), st.text())
)
def test_an_accepted_argument_is_one_option_of_the_list_and_stands_before_the_locations(
    argument: str,
) -> None:
    for name, engine in ENGINES.items():
        if extra_argument_fault(name, argument) is not None:
            continue
        assert argument.partition("=")[0] in ALLOWED[name]
        assert argument.isascii()
        assert argument.isprintable()
        assert " " not in argument
        spec = a_spec(engine=name, extra_args=(argument,))
        plain = engine.build_argv(a_spec(engine=name), "/bin/tool", is_directory=True)
        argv = engine.build_argv(spec, "/bin/tool", is_directory=True)
        assert argv.index(argument) < argv.index("--")
        assert set(argv) - set(plain) <= {argument} | {
            one for one in argv if one.startswith("--timeout")
        }


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1K", 1024), ("10m", 10 * 1024**2), ("1.5G", 1610612736), (" 2048 ", 2048), ("1T", 1024**4)],
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@given(st.text(max_size=12))
def test_any_text_is_a_rate_or_refused_in_words(text: str) -> None:
    try:
        rate = parse_rate(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\.$"):
            parse_rate(text)
        return
    assert rate >= 1024

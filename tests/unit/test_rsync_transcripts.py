"""Proves what is made of real output of rsync 3.2.7 and 3.5.0, for every way an attempt can end.

Each transcript is what one of the two printed when it was called with the arguments of ours for a
job from /backup/source to /backup/destination, or to or from a daemon or a host over ssh.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engines.base import Batch, ExitMeaning, OutputReader, Reading, Verdict
from core.engines.rsync import RsyncEngine
from core.engines.rsync_messages import BEGINNINGS, FORMS
from core.engines.rsync_refusals import HINTS, SAYINGS
from tests.fakes.builders import a_spec

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ENGINE = RsyncEngine()
GOOD, PARTIAL, TRANSIENT, FATAL = Verdict.GOOD, Verdict.PARTIAL, Verdict.TRANSIENT, Verdict.FATAL
HOST = "ssh://root@127.0.0.1:22022/backup/ssh/other host"
DAEMON = "rsync://127.0.0.1/backup"
TO_HOST = {"destination": f"{HOST}/to"}
TO_DAEMON = {"destination": f"{DAEMON}/a"}


class Case(NamedTuple):
    """One way to end: the codes that rsync ended with, what is made of it, the names of the files
    that failed (None where rsync names no file of the source), and the job's own locations."""

    codes: set[int]
    verdict: Verdict
    words: str
    failed: tuple[str | None, ...] = ()
    spec: Mapping[str, Any] = MappingProxyType({})
    skipped: tuple[str, ...] = ()


# Which of ssh's end and its silence rsync hears of first is a matter of chance (255 or 12).
CASES = {
    "good": Case({0}, GOOD, "Everything was copied."),
    "specials": Case(
        {0}, GOOD, "Everything was copied.", skipped=('pi"pe\n', "sock", "sub/device")
    ),
    "bad-option": Case({1}, FATAL, "did not accept an option of the job: --no-such-option:"),
    "unsupported": Case({1}, FATAL, "This rsync does not support --crtimes"),
    "no-source": Case({23}, PARTIAL, "Some files", (None,), {"source": "/backup/source/none"}),
    "destination-is-file": Case({3}, FATAL, "Destination: cannot stat destination", (None,)),
    "destination-below-file": Case({3}, FATAL, "Destination: cannot stat destination", (None,)),
    "unreadable": Case(
        {23}, PARTIAL, "Some files", ("shut", None, "secret", 'un\udcffread\nable "q"')
    ),
    "unwritable": Case({23}, PARTIAL, "Some files", (None, "sub/in ner.txt")),
    "attributes": Case({23}, PARTIAL, "Some files", (None, "plain.txt")),
    "no-way": Case({23}, PARTIAL, "Some files", ("plain.txt",)),
    "max-delete": Case({25}, FATAL, "The limit of deletions was reached"),
    "undeletable": Case({23}, PARTIAL, "Some files", (None, None, None)),
    "vanished": Case({24}, PARTIAL, "Some files vanished", ("gone 1",)),
    "vanished-folder": Case({24}, PARTIAL, "Some files vanished", ("sub",)),
    "read-error": Case({23}, PARTIAL, "Some files", ("plain.txt",)),
    "full": Case({11}, FATAL, "is the disk full?", ("large",), {"destination": "/backup/small"}),
    "too-long": Case({23}, PARTIAL, "Some files", ("/".join(["n" * 240] * 17),)),
    "no-referent": Case({23}, PARTIAL, "Some files", ("link",)),
    "xattrs": Case(
        {23}, PARTIAL, "Some files", ("plain.txt",), {"destination": "/backup/plainfs/to"}
    ),
    "acls": Case(
        {23}, PARTIAL, "Some files", ("plain.txt",), {"destination": "/backup/plainfs/to"}
    ),
    "diagnostics": Case({13}, FATAL, "own diagnostics failed"),
    "no-child": Case({21}, FATAL, "could not wait for one of its processes"),
    "no-memory": Case({22}, FATAL, "ran out of memory"),
    "receiver-killed": Case({10}, TRANSIENT, "The connection failed."),
    "terminated": Case({20}, TRANSIENT, "told to stop by a signal"),
    "daemon-good": Case({0}, GOOD, "Everything was copied.", (), TO_DAEMON),
    "daemon-unknown-module": Case({5}, FATAL, "refused: Unknown module 'none'.", (), TO_DAEMON),
    "daemon-read-only": Case({1}, FATAL, "refused: module is read only.", (), TO_DAEMON),
    "daemon-gone": Case({5}, FATAL, "refused: chdir failed.", (), {"source": f"{DAEMON}/"}),
    "daemon-full": Case({5}, TRANSIENT, "refused: max connections (-1)", (), TO_DAEMON),
    "daemon-auth": Case({5}, FATAL, "auth failed on module secured. Put the right", (), TO_DAEMON),
    "daemon-refuses": Case({4}, FATAL, "is configured to refuse --delete.", (), TO_DAEMON),
    "daemon-no-source": Case(
        {23}, FATAL, "Source: there is no such folder on", (None,), {"source": f"{DAEMON}/none"}
    ),
    "daemon-unreadable": Case({23}, PARTIAL, "Some files", ("secret",), {"source": f"{DAEMON}/a"}),
    "daemon-unwritable": Case({23}, PARTIAL, "Some files", (None,), TO_DAEMON),
    "daemon-no-mkdir": Case(
        {11}, FATAL, "Destination: the folder cannot be made", (None,), TO_DAEMON
    ),
    "daemon-unreachable": Case({10}, TRANSIENT, "The connection failed.", (), TO_DAEMON),
    "daemon-silent": Case({30}, TRANSIENT, "No data came for too long.", (), TO_DAEMON),
    "connect-timeout": Case({35}, TRANSIENT, "timed out", (), TO_DAEMON),
    "ssh-good": Case({0}, GOOD, "Everything was copied.", (), {"source": f"{HOST}/src"}),
    "ssh-no-source": Case(
        {23}, FATAL, "no such folder on the other host", (None,), {"source": f"{HOST}/none"}
    ),
    "ssh-source-is-file": Case(
        {23}, FATAL, "no such folder on the other host", (None,), {"source": f"{HOST}/file"}
    ),
    "ssh-no-destination": Case(
        {11}, FATAL, "Destination: the folder cannot be made", (None,), TO_HOST
    ),
    "ssh-no-key": Case({255, 12}, FATAL, "ssh key cannot be read: /backup/none", (), TO_HOST),
    "ssh-wrong-key": Case({255, 12}, FATAL, "refused the login (Permission", (), TO_HOST),
    "ssh-open-key": Case({255, 12}, FATAL, "ssh key cannot be used: Load key", (), TO_HOST),
    "ssh-unknown-host": Case({255, 12}, FATAL, "key is not known here. Log in", (), TO_HOST),
    "ssh-changed-host": Case({255, 12}, FATAL, "not the one that is known here", (), TO_HOST),
    "ssh-no-rsync": Case({127, 12}, FATAL, "There is no rsync on the other host", (), TO_HOST),
    "ssh-not-runnable": Case({126, 12}, FATAL, "may not be run: /backup/wrap/rsync:", (), TO_HOST),
    # A shell's words for these two are anybody's; by its silence alone nothing can be told.
    "ssh-command-failed": Case({124}, FATAL, "The command on the other host failed", (), TO_HOST),
    "ssh-command-killed": Case({125}, TRANSIENT, "other host was killed.", (), TO_HOST),
    "ssh-command-not-allowed": Case({12}, FATAL, "rrsync allows it: sending to read", (), TO_HOST),
    "ssh-too-many-keys": Case({255, 12}, FATAL, "Too many authentication failures", (), TO_HOST),
    "ssh-nothing-in-common": Case({255, 12}, FATAL, "no way to talk in common", (), TO_HOST),
    "ssh-bad-configuration": Case({255, 12}, FATAL, "own configuration on this", (), TO_HOST),
    "ssh-open-configuration": Case({255, 12}, FATAL, "Bad owner or permissions", (), TO_HOST),
    "ssh-silent": Case({255, 12}, TRANSIENT, "Timeout, server 127.0.0.1", (), TO_HOST),
    "ssh-hung-up": Case({255, 12}, TRANSIENT, "broke off", (), TO_HOST),
    "ssh-noisy-shell": Case({2}, FATAL, "gets in rsync’s way", (), TO_HOST),
    "ssh-unresolved": Case({255, 12}, TRANSIENT, "cannot be reached: Could not", (), TO_HOST),
    "ssh-refused": Case({255, 12}, TRANSIENT, "Connection refused", (), TO_HOST),
    "ssh-killed": Case({10, 12}, TRANSIENT, "onnection", (), TO_HOST),
    "ssh-closed": Case({255, 12}, TRANSIENT, "onnection", (), {"source": f"{HOST}/src"}),
    "no-ssh": Case({14, 12}, FATAL, "There is no ssh on this machine", (), TO_HOST),
}
CODE = rb"\(code (\d+)\) at"


def read(case: Case, lines: list[bytes]) -> tuple[Reading, Batch]:
    """Return what these lines come to in a job of this case's."""
    reader = output_reader(case)
    return reader.reading, reader.feed(lines)


def output_reader(case: Case) -> OutputReader:
    """Return a fresh reader for a job of this case's."""
    places = {"source": "/backup/source", "destination": "/backup/destination"}
    return ENGINE.output_reader(a_spec(**(places | dict(case.spec))))


def lines_of(version: str, name: str) -> list[bytes]:
    """Return a transcript as the runner splits it."""
    content = (TRANSCRIPTS / f"rsync-{version}-{name}.txt").read_bytes()
    return [line for line in re.split(rb"[\r\n]", content) if line]


def meaning(reading: Reading, code: int) -> ExitMeaning:
    """Return what is said of an attempt, as the runner puts it together."""
    plain = ENGINE.classify_exit(code)
    return plain if plain.verdict is GOOD or reading.refusal is None else reading.refusal


@pytest.mark.parametrize("version", ["3.2", "3.5"])
@pytest.mark.parametrize("name", CASES)
def test_every_way_to_end(version: str, name: str) -> None:
    case = CASES[name]
    lines = lines_of(version, name)
    _, batch = read(case, lines)
    for code in case.codes:
        # Chance alone decides which of these rsync ends with, and names.
        reading, _ = read(case, [re.sub(CODE, b"(code %d) at" % code, line) for line in lines])
        found = meaning(reading, code)
        assert found.verdict is case.verdict
        if not name.startswith("ssh-closed"):
            assert case.words in found.message
        assert found.message.endswith((".", "?"))
    assert sorted(str(failure.name) for failure in batch.failures) == sorted(map(str, case.failed))
    assert tuple(special.name for special in batch.skipped) == case.skipped
    # The code that rsync itself names last is one that the case is told to have.
    told = {int(code) for code in re.findall(CODE, b"\n".join(lines))}
    assert not told or told & case.codes


@pytest.mark.parametrize("version", ["3.2", "3.5"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_looked_at_closely_is_enough(version: str, name: str) -> None:
    case = CASES[name]
    whole, batch = read(case, lines_of(version, name))
    reader = output_reader(case)
    failed, skipped = [], []
    for line in lines_of(version, name):
        content = bytearray(line + b"\n")
        if reader.concerns(content, 0, len(content)):
            found = reader.feed([line])
            failed += found.failures
            skipped += found.skipped
    assert (reader.reading.refusal, failed, skipped) == (
        whole.refusal,
        batch.failures,
        batch.skipped,
    )


def test_every_transcript_is_read_and_every_code_that_rsync_has_is_there() -> None:
    files = {path.stem for path in TRANSCRIPTS.glob("rsync-3.*.txt")}
    assert files == {f"rsync-{version}-{name}" for version in ("3.2", "3.5") for name in CASES}
    codes = set().union(*(case.codes for case in CASES.values()))
    # Code 6 stands in rsync(1), and in no source of rsync since 3.2.3.
    in_manual = {*range(6), *range(10, 15), *range(20, 26), 30, 35}
    assert codes == in_manual | {124, 125, 126, 127, 255}


def test_every_class_of_messages_is_in_a_transcript() -> None:
    """Each saying and each form is there because a real tool writes it."""
    lines = {
        line for name in CASES for version in ("3.2", "3.5") for line in lines_of(version, name)
    }
    sayings = [saying.pattern for saying in SAYINGS] + [pattern for pattern, _ in HINTS]
    assert [form for form in sayings if not any(re.match(form, line) for line in lines)] == []
    told = [line for line in lines if line.startswith(BEGINNINGS)]
    assert [form for form in FORMS if not any(re.match(form, line) for line in told)] == []
    assert [one for one in BEGINNINGS if not any(line.startswith(one) for line in told)] == []


def test_words_of_a_banner_end_no_attempt() -> None:
    case = CASES["ssh-closed"]
    banner = [b"Host key verification failed.", b"ada@host: Permission denied (publickey)."]
    reading, _ = read(case, [*banner, b"\t>f+++++++++ 5 44 plain.txt"])
    assert reading.refusal is None
    closing = b"rsync error: error in rsync protocol data stream (code 12) at io.c(232) [x=3.2.7]"
    silence = b"rsync: connection unexpectedly closed (%d bytes received so far) [Receiver]"
    reading, _ = read(case, [*banner, silence % 4711, closing])
    assert reading.refusal is None, "the login was good"
    reading, _ = read(case, [*banner, silence % 0, closing])
    assert reading.refusal is not None
    assert reading.refusal.verdict is FATAL
    partial = b"rsync error: some files could not be transferred (code 23) at main.c(1) [x=3.2.7]"
    reading, _ = read(case, [*banner, partial])
    assert reading.refusal is None, "another code has another cause"


MESSAGES = [
    (b'directory has vanished: "/backup/source/a/b"', "a/b"),
    (b'rsync: [sender] link_stat "/backup/source/./x" failed: No such file (2)', None),
    (b'rsync: [sender] readlink_stat("/backup/source/a") failed: No such file (2)', "a"),
    (b'rsync: [receiver] rename "/backup/destination/.a.x7Yz09" -> "a": Denied (13)', "a"),
    (b'rsync: [receiver] failed to set times on "/backup/destination/s/.a.x7Yz09": No (1)', "s/a"),
    (
        b'rsync: [generator] failed to set times on "/backup/destination/.config.backup": No (1)',
        ".config.backup",
    ),
    (b'rsync: [receiver] write failed on "/backup/destination/b/c": No space left (28)', "b/c"),
    (
        b'rsync: [receiver] open "/backup/destination/a/.longshore-partial/f" failed: Denied (13)',
        "a/f",
    ),
    (
        b'rsync: [generator] recv_generator: mkdir "/backup/destination/x" failed: No space (28)',
        "x",
    ),
    (b'rsync: [generator] symlink "/backup/destination/l" -> "to \\"x" failed: Denied (13)', "l"),
    (b'rsync: [generator] link "/backup/destination/h" => one failed: Too many links (31)', "h"),
    (b'rsync: [receiver] chown "/backup/destination/o" failed: Operation not permitted (1)', "o"),
    (
        b'rsync: [receiver] rsync_xal_set: lsetxattr("/backup/destination/x","user.a") failed: 95',
        "x",
    ),
    (b'rsync: [sender] get_xattr_names: llistxattr("/backup/source/x",1024) failed: No (5)', "x"),
    (
        b"rsync: [generator] set_acl: sys_acl_set_file(sub/a, ACL_TYPE_ACCESS): Not supported (95)",
        "sub/a",
    ),
    (b"rsync: [sender] get_acl: sys_acl_get_file(a, b, ACL_TYPE_DEFAULT): Denied (13)", "a, b"),
    (b"rsync: [generator] delete_file: unlink(old (1)) failed: Denied (13)", None),
    (b"rsync: [generator] delete_file: rmdir(old) failed: Directory not empty (39)", None),
    (b"could not make way for new symlink: a: b", "a: b"),
    (b"skipping overly long name: a/b", "a/b"),
    (b"ERROR: a b failed verification -- update discarded.", "a b"),
    (b'ERROR: daemon refused to receive regular file "x/y"', "x/y"),
    (b'rsync: [sender] send_files failed to open "/elsewhere/x": Permission denied (13)', None),
    (
        b'rsync: [sender] send_files failed to open "/backup/source2/x": Permission denied (13)',
        None,
    ),
    (b'rsync: [sender] send_files failed to open "/backup/source2x": Permission denied (13)', None),
    (b'rsync: [sender] opendir "/backup/source" failed: Permission denied (13)', None),
    (b'rsync: [sender] opendir "../x" failed: Permission denied (13)', None),
]


@pytest.mark.parametrize(("line", "name"), MESSAGES, ids=[str(line[:60]) for line, _ in MESSAGES])
def test_every_message_about_a_file_and_its_name(line: bytes, name: str | None) -> None:
    _, batch = read(CASES["good"], [line])
    (failure,) = batch.failures
    assert failure.name == name
    assert failure.reason
    assert failure.path


@pytest.mark.parametrize(
    "line",
    [
        b"cannot delete non-empty directory: a",
        b'cannot delete non-empty directory: a"b"',
        b"IO error encountered -- skipping file deletion",
        b"Deletions stopped due to --max-delete limit (3 skipped)",
        b"WARNING: a failed verification -- update discarded (will try again).",
        b"skipping directory a",
        b'make_bak: skipping non-regular file "a"',
        b"rsync: connection unexpectedly closed (0 bytes received so far) [sender]",
        b"rsync: [sender] write error: Broken pipe (32)",
        b"rsync error: error in socket IO (code 10) at clientserver.c(141) [sender=3.2.7]",
    ],
)
def test_what_names_no_failed_file(line: bytes) -> None:
    _, batch = read(CASES["good"], [line])
    assert (batch.failures, batch.skipped) == ([], [])
    assert batch.log == [line]


def test_a_file_of_which_rsync_tells_twice_has_failed_once() -> None:
    lines = [
        b'rsync: [sender] read errors mapping "/backup/source/a": Input/output error (5)',
        b"ERROR: a failed verification -- update discarded.",
    ]
    _, batch = read(CASES["good"], [*lines, *lines])
    assert [failure.reason for failure in batch.failures] == [
        "read errors mapping: Input/output error (5)"
    ]


def test_a_name_that_rsync_cut_short_is_none() -> None:
    long = b"n" * 250
    line = b'rsync: [receiver] mkstemp "/backup/destination/.%s.x7Yz09" failed: Denied (13)' % long
    _, batch = read(CASES["good"], [line])
    assert [failure.name for failure in batch.failures] == [None]


PIECES = st.sampled_from(
    [
        *BEGINNINGS,
        b"[sender] ",
        b"[receiver] ",
        b'rename "',
        b'" -> "',
        b'xattr("',
        b'","user.a") failed: x',
        b"delete_file: unlink(",
        b") failed: x",
        b"set_acl: x(",
        b", ACL_TYPE_ACCESS): x",
        b"/backup/source/",
        b"/backup/destination/",
        b" (in backup)",
        b"/.longshore-partial/",
        b".a.x7Yz09",
        b"\\#012",
        b"\\#377",
        b'skipping non-regular file "',
        b"@ERROR: ",
        b"Permission denied (",
        b"rsync error: x (code 255) at ",
        b"(%d bytes received so far)" % 10**30,
        b'"',
        b"..",
    ]
)
LINES = st.lists(PIECES | st.binary(max_size=20), max_size=8).map(b"".join)


@given(st.lists(LINES, max_size=6), st.sampled_from(sorted(CASES)))
def test_any_bytes_are_taken_and_no_name_leads_out_of_the_tree(
    lines: list[bytes], name: str
) -> None:
    reading, batch = read(CASES[name], lines)
    differences = ENGINE.difference_reader(a_spec(**CASES[name].spec))
    told = [*batch.failures, *(found for line in lines if (found := differences.feed(line)))]
    for failure in told:
        assert (failure.path + failure.reason).isprintable()
    names = [failure.name for failure in batch.failures] + [one.name for one in batch.skipped]
    for name_on_disk in names:
        assert name_on_disk is None or not {"..", ""} & {*name_on_disk.split("/")}
    assert all(special.path.isprintable() for special in batch.skipped)
    assert reading.refusal is None or reading.refusal.message.isprintable()


def test_a_flood_of_failures_is_taken_in_bounded_memory() -> None:
    reader = ENGINE.output_reader(a_spec(source="/backup/source"))
    line = b'rsync: [sender] send_files failed to open "/backup/source/%s/%d": Denied (13)'
    tracemalloc.start()
    for start in range(0, 20_000, 1000):
        reader.feed([line % (b"n" * 100, number) for number in range(start, start + 1000)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * 1024 * 1024

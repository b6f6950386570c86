"""Proves which ssh:// URLs are accepted, and that none that is can become an option, a command or
another place: neither to rsync, nor to ssh, nor to the shell of the other host."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.engines.registry import ENGINES
from core.engines.rsync_remote import is_daemon_user, is_plain_to_ssh, remote_shell
from models.location import location_fault
from models.remote import RcloneLocation, SshLocation, is_remote, rclone_location, ssh_location
from tests.fakes.builders import a_spec

GOOD = [
    ("ssh://nas/", SshLocation(None, "nas", None, "/")),
    ("ssh://ada@nas.lan:2222/srv/a b", SshLocation("ada", "nas.lan", 2222, "/srv/a b")),
    ("ssh://a.d-a_1+x@192.0.2.7/x", SshLocation("a.d-a_1+x", "192.0.2.7", None, "/x")),
    ("ssh://[2001:db8::1]/x", SshLocation(None, "[2001:db8::1]", None, "/x")),
    ("ssh://ada@[::1]:65535//x", SshLocation("ada", "[::1]", 65535, "//x")),
    ("ssh://nas/~/x", SshLocation(None, "nas", None, "/~/x")),
    (
        "ssh://nas/$(reboot);`x`'\"&|a@b:c",
        SshLocation(None, "nas", None, "/$(reboot);`x`'\"&|a@b:c"),
    ),
    ("ssh://nas/-x/--rsh=sh", SshLocation(None, "nas", None, "/-x/--rsh=sh")),
]
BAD = [
    ("ssh://", "the host is a name"),
    ("ssh:///path", "the host is a name"),
    ("ssh://-oProxyCommand=evil/x", "the host is a name"),
    ("ssh://ada@-host/x", "the host is a name"),
    ("ssh://host name/x", "the host is a name"),
    ("ssh://ho$t/x", "the host is a name"),
    ("ssh://[fe80::1%eth0]/x", "the host is a name"),
    ("ssh://-l@host/x", "A user’s name"),
    ("ssh://@host/x", "A user’s name"),
    ("ssh://a b@host/x", "A user’s name"),
    ("ssh://a@b@host/x", "A user’s name"),
    (f"ssh://{'a' * 65}@host/x", "A user’s name"),
    ("ssh://ada:secret@host/x", "A password must not stand in a location"),
    ("ssh://ada:sec@ret@host/x", "A password must not stand in a location"),
    ("ssh://host:0/x", "from 1 to 65535"),
    ("ssh://host:65536/x", "from 1 to 65535"),
    ("ssh://host:22 -oX/x", "from 1 to 65535"),
    ("ssh://host", "from its root"),
    ("ssh://host/a/../b", "must not contain “..”"),
    ("ssh://host/a*", "must not contain “*”"),
    ("ssh://host/a?", "must not contain “?”"),
    ("ssh://host/[a]", "must not contain “[”"),
    ("ssh://host/a\\b", "must not contain “\\”"),
    ("ssh://host/a\nb", "control character \\n"),
    ("SSH://host/a", "in small letters"),
    ("host:/path", "ssh://host/path"),
    ("ada@host:path", "ssh://ada@host/path"),
    ("host::module", "rsync://host/module"),
]


@pytest.mark.parametrize(("url", "parts"), GOOD)
def test_a_good_url_and_its_parts(url: str, parts: SshLocation) -> None:
    assert location_fault(url) is None
    assert is_remote(url)
    assert ssh_location(url) == parts


@pytest.mark.parametrize(("url", "part"), BAD)
def test_a_bad_url_is_refused_in_words(url: str, part: str) -> None:
    fault = location_fault(url)
    assert fault is not None
    assert part in fault
    assert "sec" not in fault, "a password is told to whoever reads the message"


PIECES = [
    "-",
    "..",
    "/",
    "a",
    " ",
    "@",
    ":",
    "*",
    "[",
    "]",
    "\\",
    "'",
    '"',
    "$",
    "`",
    ";",
    "%",
    "\n",
    "::1",
    "22",
    "-oProxyCommand=x",
    "é",
    "~",
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=20)
AUTHORITIES = st.sampled_from(["ada@host:22", "host", "[::1]:22"]) | HOSTILE
URLS = st.builds("ssh://{}/{}".format, AUTHORITIES, HOSTILE)


@settings(max_examples=1000)
@example("ssh://ada@[::1]:22/-e sh")
@given(URLS)
def test_whatever_is_accepted_names_one_place_and_nothing_else(url: str) -> None:
    if location_fault(url) is not None:
        return
    place = ssh_location(url)
    assert re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*", place.host)
    assert place.user is None or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", place.user)
    assert place.path.startswith("/")
    assert not set("*?[\\\0\n") & {*place.path}
    for field in ("source", "destination"):
        for argv in calls(**{field: url}):
            plain = next(iter(calls(**{field: "ssh://host/path"})))
            assert argv[-3] == "--"
            location = argv[-2 if field == "source" else -1]
            user = f"{place.user}@" if place.user else ""
            # What rsync takes for the host ends at the first colon outside of brackets.
            assert location.startswith(f"{user}{place.host}:/")
            assert not location.startswith("-")
            assert len([one for one in argv if one.startswith("--rsh=")]) == 1
            assert "-s" in argv, "the other host's shell would take the path apart"
            assert url not in argv[:-3]
            assert plain[-3] == "--"


def calls(**fields: Any) -> list[list[str]]:
    """Return the calls of a run."""
    engine, spec = ENGINES["rsync"], a_spec(**fields)
    return [
        engine.build_argv(spec, "/bin/rsync", is_directory=True),
        engine.build_scan_argv(spec, "/bin/rsync", is_directory=True),
        engine.build_verify_argv(spec, "/bin/rsync", is_directory=True),
    ]


def split_as_rsync_does(command: str) -> list[str]:
    """Split a remote shell command by the rules of rsync(1), --rsh, written down once more."""
    words: list[str] = []
    word, quote, begun, at = "", "", False, 0
    while at < len(command):
        character = command[at]
        if quote and character == quote:
            if command[at + 1 : at + 2] == quote:
                word, at = word + quote, at + 1
            else:
                quote = ""
        elif not quote and character in "'\"":
            quote, begun = character, True
        elif not quote and character == " ":
            words += [word] if begun else []
            word, begun = "", False
        else:
            word, begun = word + character, True
        at += 1
    assert not quote
    return [*words, word] if begun else words


NEVER_ASKS = {
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=yes",
    "-oConnectTimeout=10",
    "-oServerAliveInterval=10",
    "-oRequestTTY=no",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oPermitLocalCommand=no",
}


def test_ssh_is_called_so_that_it_asks_nobody() -> None:
    words = split_as_rsync_does(remote_shell(a_spec(source="ssh://ada@nas:2222/x")))
    assert words[0] == "ssh"
    assert {*words} >= NEVER_ASKS
    assert words[-1] == "-p2222"
    assert all(word.startswith("-") for word in words[1:])
    accepting = a_spec(source="ssh://nas/x", ssh_host_keys="accept_new")
    assert "-oStrictHostKeyChecking=accept-new" in remote_shell(accepting).split()
    assert not any(word.startswith("-p") for word in remote_shell(accepting).split())


@given(st.text(alphabet="/ab c'\"\\%$-=,;é\n", max_size=20).map("/".__add__))
def test_the_path_of_a_key_is_one_option_of_ssh_or_none_at_all(path: str) -> None:
    spec = a_spec(destination="ssh://nas/x", ssh_identity=path, known_hosts_path=path)
    if not is_plain_to_ssh(path):
        with pytest.raises(ValueError, match="expand"):
            remote_shell(spec)
        unnamed = spec._replace(ssh_identity=None)
        assert "UserKnownHostsFile" not in remote_shell(unnamed)
        return
    words = split_as_rsync_does(remote_shell(spec))
    keys = [word for word in words if "IdentityFile" in word]
    assert keys == [f'-oIdentityFile="{path}"']
    assert "-oIdentitiesOnly=yes" in words
    (hosts,) = [word for word in words if "UserKnownHostsFile" in word]
    # ssh splits the value at blanks, and heeds quotation marks.
    assert shlex.split(hosts.partition("=")[2])[0] == path


@pytest.mark.parametrize("character", [*"%$\\'\"\n\0"])
def test_what_ssh_would_take_for_more_is_no_part_of_a_path(character: str) -> None:
    assert is_plain_to_ssh("/a b,c;d/é-=1")
    assert not is_plain_to_ssh(f"/a{character}b")
    assert not is_plain_to_ssh("~/key")


def test_how_long_is_waited_and_what_is_for_daemons_only() -> None:
    for argv in calls(source="ssh://nas/x", verification="checksum"):
        assert not any(one.startswith(("--contimeout", "--sockopts")) for one in argv)
        seconds = "--timeout=21600" if "--checksum" in argv else "--timeout=20"
        assert seconds in argv
    waits = calls(source="ssh://nas/x", timeout_seconds=77)
    assert all("--timeout=77" in argv for argv in waits)
    # A file that is compared by its checksum may take longer than anyone nods.
    hashing = calls(source="ssh://nas/x", timeout_seconds=77, extra_args=("--checksum",))
    assert "--timeout=21600" in hashing[0]
    assert "--timeout=77" in calls(timeout_seconds=77)[0], "a local job may ask for one"


@pytest.mark.parametrize(
    ("user", "is_good"),
    [
        ("ada", True),
        ("a.b+c-d_1", True),
        ("", False),
        ("-x", False),
        ("a@b", False),
        ("a:b", False),
        ("a/b", False),
        ("a b", False),
        ("a\n", False),
        ("é", False),
        ("a" * 65, False),
    ],
)
def test_the_user_of_a_daemon_stands_in_the_url_or_nowhere(user: str, is_good: bool) -> None:
    assert is_daemon_user(user) == is_good
    if is_good:
        for argv in calls(source="rsync://nas/m/x", daemon_user=user):
            assert argv[-2] == f"rsync://{user}@nas/m/x/"
    else:
        with pytest.raises(ValueError, match="user’s name"):
            calls(source="rsync://nas/m/x", daemon_user=user)
    assert calls(source="/local", daemon_user="ada")[0][-2] == "/local/"


RCLONE_PIECES = ["-", ":", ",", "=", "/", "a", " ", '"', "'", "..", "\n", "sftp", "{", "é", "."]
RCLONE_HOSTILE = st.lists(st.sampled_from(RCLONE_PIECES), max_size=6).map("".join)


@settings(max_examples=1000)
@example("rclone://:sftp,ssh='touch x':/x")
@given(st.builds("rclone://{}/{}".format, st.just("nas") | RCLONE_HOSTILE, RCLONE_HOSTILE))
def test_an_rclone_url_that_is_accepted_names_a_remote_and_sets_nothing(url: str) -> None:
    if location_fault(url) is not None:
        return
    place = rclone_location(url)
    assert not set(":,='\"/\n") & {*place.remote}
    assert not place.remote.startswith(("-", " "))
    assert not place.remote.endswith(" ")
    assert ".." not in place.path.split("/")
    spec = a_spec(engine="rclone", destination=url)
    argv = ENGINES["rclone"].build_argv(spec, "/bin/rclone", is_directory=True)
    assert argv[-3] == "--"
    assert argv[-1].startswith(f"{place.remote}:")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("rclone://nas", RcloneLocation("nas", "")),
        ("rclone://my nas.2@home/a/b c", RcloneLocation("my nas.2@home", "a/b c")),
        ("rclone://nas//srv", RcloneLocation("nas", "/srv")),
        ("rclone://nas/a:b,c=d", RcloneLocation("nas", "a:b,c=d")),
    ],
)
def test_a_good_rclone_url_and_its_parts(url: str, parts: RcloneLocation) -> None:
    assert location_fault(url) is None
    assert rclone_location(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "rclone://",
        "rclone:///x",
        "rclone://:sftp:/x",
        "rclone://:sftp,host=x:/y",
        "rclone://nas,config=/etc:/x",
        "rclone://nas:x/y",
        "rclone://-nas/x",
        "rclone:// nas/x",
        "rclone://nas /x",
        "rclone://nas/../x",
        'rclone://"nas"/x',
        f"rclone://{'a' * 200}/x",
    ],
)
def test_a_bad_rclone_url_is_refused(url: str) -> None:
    assert location_fault(url) is not None

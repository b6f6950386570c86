"""Proves which rsync:// URLs are accepted, and that no text that is can mean anything but one place
in one module: neither to the rsync here nor to the daemon that takes it apart once more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engines.registry import ENGINES
from core.engines.rsync import temporary_file_argv
from models.location import location_fault
from models.remote import is_remote, path_in_module
from tests.fakes.builders import a_spec

GOOD = [
    ("rsync://nas/backup", ""),
    ("rsync://nas/backup/", ""),
    ("rsync://nas.lan:8730/backup/photos/2026", "photos/2026"),
    ("rsync://nas_1.lan/backup/x", "x"),
    ("rsync://192.0.2.7/backup/a b/", "a b"),
    ("rsync://[2001:db8::1]/backup//x", "x"),
    ("rsync://[::1]:65535/backup/x", "x"),
    ("rsync://nas/backup/100%20 % at@home:22/ü 日本", "100%20 % at@home:22/ü 日本"),
    ("rsync://nas/my-backup.2/x/-y/~z #1", "x/-y/~z #1"),
]
BAD = [
    ("rsync://", "the host is a name"),
    ("rsync:///module", "the host is a name"),
    ("rsync://-host/m", "the host is a name"),
    ("rsync://host-/m", "the host is a name"),
    ("rsync://a..b/m", "the host is a name"),
    ("rsync://ho st/m", "the host is a name"),
    ("rsync://höst/m", "the host is a name"),
    ("rsync://h\\o/m", "the host is a name"),
    (f"rsync://{'a' * 64}/m", "the host is a name"),
    (f"rsync://{'a.' * 126}aa/m", "the host is a name"),
    ("rsync://1/m", "the host is a name"),
    ("rsync://1.2.3.256/m", "the host is a name"),
    ("rsync://::1/m", "the host is a name"),
    ("rsync://[::1/m", "the host is a name"),
    ("rsync://[::1]x/m", "the host is a name"),
    ("rsync://[fe80::1%eth0]/m", "the host is a name"),
    ("rsync://[1.2.3.4]/m", "the host is a name"),
    ("rsync://host:/m", "from 1 to 65535"),
    ("rsync://host:0/m", "from 1 to 65535"),
    ("rsync://host:65536/m", "from 1 to 65535"),
    ("rsync://host:+1/m", "from 1 to 65535"),
    ("rsync://host:٣/m", "from 1 to 65535"),
    ("rsync://ada@host/m", "without “ada@”"),
    ("rsync://ada:secret@host/m", "A password must not stand in a location"),
    ("rsync://ada:sec@ret@host/m", "A password must not stand in a location"),
    ("rsync://host", "Name the daemon’s module"),
    ("rsync://host/", "Name the daemon’s module"),
    ("rsync://host//path", "Name the daemon’s module"),
    ("rsync://host/-m/x", "does not begin with “-”"),
    ("rsync://host/#list", "does not begin with “-” or “#”"),
    ("rsync://host/../x", "The name of a module"),
    ("rsync://host/my module/x", "no blanks"),
    ("rsync://host/m*/x", "must not contain “*”"),
    ("rsync://host/m/-x", "take it for an option"),
    ("rsync://host/m//--delete/x", "take it for an option"),
    ("rsync://host/m/a/../b", "must not contain “..”"),
    ("rsync://host/m/..", "must not contain “..”"),
    ("rsync://host/m/a?", "must not contain “?”"),
    ("rsync://host/m/[a]", "must not contain “[”"),
    ("rsync://host/m/a\\b", "must not contain “\\”"),
    ("rsync://host/m/a m/b", "must not repeat the module’s name"),
    ("rsync://host/m/a m", "must not repeat the module’s name"),
    ("rsync://host/m/a\nb", "control character \\n"),
    ("rsync://host/m/\udcff", "control character \\udcff"),
]


@pytest.mark.parametrize(("url", "path"), GOOD)
def test_a_good_url_and_its_path(url: str, path: str) -> None:
    assert location_fault(url) is None
    assert is_remote(url)
    assert path_in_module(url) == path


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
    " m/",
    "*",
    "?",
    "[",
    "\\",
    "@",
    ":",
    "#",
    "~",
    "%2e",
    "\n",
    "é",
]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=20)
URLS = st.builds("rsync://host/m/{}".format, HOSTILE) | st.builds(
    "rsync://{}/{}".format, st.sampled_from(["host:873", "[::1]"]) | HOSTILE, HOSTILE
)


@settings(max_examples=1000)
@given(URLS)
def test_whatever_is_accepted_names_one_place(url: str) -> None:
    if location_fault(url) is not None:
        return
    host, module, path = url.removeprefix("rsync://").split("/", 2) + [""] * (2 - url.count("/", 8))
    assert re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d+)?", host)
    assert module
    assert not set("*?[\\\0\n") & set(module)
    # What the daemon is left with when it has cut off the module's name.
    left = path.lstrip("/")
    assert not left.startswith("-")
    assert ".." not in left.split("/")
    assert not set("*?[\\\0\n") & set(left)
    assert f" {module}/" not in f"{left}/"
    for field in ("source", "destination"):
        assert_nothing_else_is_called(url, field)


def assert_nothing_else_is_called(url: str, field: str) -> None:
    """Check that a URL changes only the one location of each call that it stands for."""
    engine, place = ENGINES["rsync"], -2 if field == "source" else -1
    spec = a_spec(**{field: url})
    plain = a_spec(**{field: "rsync://host/module/path"})
    for build in (engine.build_argv, engine.build_scan_argv, engine.build_verify_argv):
        argv = build(spec, "/bin/rsync", is_directory=True)
        expected = build(plain, "/bin/rsync", is_directory=True)
        expected[place] = url.rstrip("/") + "/"
        assert argv == expected
        assert argv[-3] == "--"


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_a_hostile_file_name_becomes_no_option_and_no_location(name: bytes) -> None:
    spec = a_spec(destination="rsync://host/m")
    plain = temporary_file_argv(spec, "/bin/rsync", b"a")
    argv = temporary_file_argv(spec, "/bin/rsync", name)
    names = [argument for argument in argv if argument.startswith("--include=/")]
    assert len(names) == name.count(b"/") + 1
    assert [argument for argument in argv if argument not in names] == [
        argument for argument in plain if not argument.startswith("--include")
    ]


def test_names_are_meant_literally() -> None:
    spec = a_spec(destination="rsync://host/m")
    argv = temporary_file_argv(spec, "/bin/rsync", rb"back\slash/st*r\x/f[1].b\in")
    assert [argument for argument in argv if argument.startswith("--include")] == [
        r"--include=/back\slash/",
        r"--include=/back\\slash/st\*r\\x/",
        r"--include=/back\\slash/st\*r\\x/.f\[1].b\\in.??????",
    ]

"""Proves what the system tells of a receiving and of a sending process: real ones, looked at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.runner.network import bytes_written, file_being_received, names_file

_OPENS = """
import os, sys
if os.fork():
    os.wait()
else:
    for name in sys.argv[2:]:
        descriptor = os.open(name, os.O_RDWR if name == sys.argv[1] else os.O_RDONLY)
        if name == sys.argv[1]:
            os.write(descriptor, b"x" * 1000)
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def a_process(program: str, *arguments: str) -> Iterator[int]:
    """A process that goes on until it is let go of; its pid, once it has said something."""
    argv = [sys.executable, "-S", "-c", program, *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.mark.parametrize(
    ("written", "also_open", "name", "is_compared"),
    [
        (".big.iso.x7Yz09", [], b"big.iso", False),
        ("a/.big.iso.x7Yz09", ["a/big.iso"], b"a/big.iso", True),
        ("a/.longshore-partial/big.iso", [], b"a/big.iso", False),
        (".longshore-partial/big.iso", ["other"], b"big.iso", True),
        ("big", [], b"big", False),
    ],
)
def test_the_file_that_a_helper_writes(
    tmp_path: Path, written: str, also_open: list[str], name: bytes, is_compared: bool
) -> None:
    destination = tmp_path / "to"
    paths = [destination / part for part in [written, *also_open]]
    for path in [*paths, tmp_path / "elsewhere"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    arguments = [str(path) for path in [paths[0], *paths, tmp_path / "elsewhere"]]
    link = tmp_path / "link"
    link.symlink_to(destination)
    with a_process(_OPENS, *arguments) as pid:
        for spelling in (destination, f"{destination}/", link):
            assert file_being_received(pid, str(spelling)) == (name, 1000, is_compared)
        assert file_being_received(pid, str(tmp_path / "nowhere")) is None
    assert file_being_received(pid, str(destination)) is None


def test_what_a_process_has_written() -> None:
    program = "import os, sys; print('x' * 5000, flush=True); sys.stdin.read()"
    with a_process(program) as pid:
        assert 5001 <= bytes_written(pid) < 6000
    assert bytes_written(pid) == 0


_WRITES_BY_HELPER = """
import os, sys
os.write(1, b"x" * 4000)
child = os.fork()
if child == 0:
    os._exit(os.write(2, b"y" * 9000) != 9000)
print("ready", flush=True)
sys.stdin.readline()
os.waitpid(child, 0)
print("reaped", flush=True)
sys.stdin.read()
"""


def test_what_a_helper_has_written_is_not_counted_once_more() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITES_BY_HELPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().endswith(b"ready\n")
        assert 4000 < bytes_written(process.pid, through_helper=True) < 5000
        process.stdin.write(b"go\n")
        assert process.stdout.readline() == b"reaped\n"
        assert bytes_written(process.pid) > 13_000, "the system adds them up"
        assert bytes_written(process.pid, through_helper=True) == 0
        process.stdin.close()


def test_a_listing_of_folders_names_no_file() -> None:
    folder, file = b"drwxr-xr-x  4096 2026/11/23 10:00:00 a", b"-rw-------  7 2026/11/23 10:00:00 b"
    assert not names_file([])
    assert not names_file([folder, b"created directory x"])
    assert names_file([folder, file])

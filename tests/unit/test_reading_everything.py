"""Proves that a service which may read everybody's files, and is not root, is believed to: what
docs/hardening.md tells to give the unit for that (CAP_DAC_READ_SEARCH)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from core.preflight import destination_fault, source_fault
from models.errors import FieldFault
from tests.conftest import need

_SOMEBODY = 12_345
_CAP_DAC_READ_SEARCH = 2
_PR_SET_KEEPCAPS = 8
_VERSION_3 = 0x20080522


def said_with(capability: int | None, ask: Callable[[], FieldFault | None]) -> str:
    """Return what is said to somebody who has one capability of root's (capset(2))."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, _asked_as_somebody(capability, ask).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def _asked_as_somebody(capability: int | None, ask: Callable[[], FieldFault | None]) -> str:
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(_SOMEBODY, _SOMEBODY, _SOMEBODY)
    os.setresuid(_SOMEBODY, _SOMEBODY, _SOMEBODY)
    bits = 0 if capability is None else 1 << capability
    head, sets = struct.pack("Ii", _VERSION_3, 0), struct.pack("6I", bits, bits, 0, 0, 0, 0)
    if kernel.capset(head, sets) != 0:
        return f"capset: {os.strerror(ctypes.get_errno())}"
    fault = ask()
    return fault.message if fault else "nothing"


def test_a_service_that_may_read_everything_is_not_told_that_it_may_not(tmp_path: Path) -> None:
    need("root, who may become somebody else", os.geteuid() == 0)
    need("access(2) by what a process may", os.access in os.supports_effective_ids)
    source, destination = tmp_path / "private", tmp_path / "to"
    for folder in (source, destination):
        folder.mkdir(mode=0o700)
    (source / "file").write_bytes(b"x")
    (source / "file").chmod(0o600)

    for place in (str(source), str(source / "file")):
        assert said_with(_CAP_DAC_READ_SEARCH, partial(source_fault, place)) == "nothing"
    # Neither anybody else's reading nor its own writing comes with that.
    assert "denied" in said_with(None, partial(source_fault, str(source))).lower()
    written = said_with(_CAP_DAC_READ_SEARCH, partial(destination_fault, str(destination)))
    assert "Nothing can be written to" in written

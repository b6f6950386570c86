"""Proves that a browser which reads nothing is let go of, with all that it holds."""

from __future__ import annotations

import pytest

from tests.benchmarks.fan_out import deaf, served
from tests.support import wait_until

pytestmark = pytest.mark.integration


def test_who_reads_nothing_leaves_no_descriptor() -> None:
    with served("hub") as server, deaf(server.port):
        wait_until(lambda: server.clients()["connected"] == 1, what="its coming")
        # Five seconds without an acknowledgement, then one for what was sent to it; and not
        # as long as the kernel would wait for it to be read.
        wait_until(lambda: not server.connections, seconds=10, what="its end")
        assert server.clients() == {"connected": 0, "dropped": 1}
